import TensorIO

/// In which order the rows of several matrices that are cut into heads lie in one: by part (query, key, value), by head,
/// or by row of a head, the outermost first.
public struct HeadOrder: Sendable, Equatable {
  enum Axis: String, Sendable, CaseIterable { case part, head, row }

  /// Each axis once.
  let axes: [Axis]

  /// `nil` where an axis is missing or there twice.
  init?(_ names: [String]) {
    let axes = names.compactMap(Axis.init(rawValue:))
    guard axes.count == names.count, axes.count == Axis.allCases.count, Set(axes).count == axes.count else {
      return nil
    }
    self.axes = axes
  }

  static let names = Axis.allCases.map(\.rawValue)
}

/// Where each row of each part lies in a joined matrix of known sizes.
public struct HeadLayout: Sendable, Equatable {
  package let parts: Int
  let heads: Int
  /// Rows of one head in one part.
  let rows: Int
  let order: HeadOrder

  /// Rows of the whole, and of one part of it.
  package let whole: Int
  package var part: Int { heads * rows }

  /// The layout of `parts` matrices of `size` rows each; `nil` where `size` does not divide into `heads`.
  init?(parts: Int, size: Int, heads: Int, order: HeadOrder) {
    guard parts > 0, size >= 0, heads > 0, size % heads == 0 else { return nil }
    let (whole, overflow) = size.multipliedReportingOverflow(by: parts)
    guard !overflow else { return nil }
    self.parts = parts
    self.heads = heads
    rows = size / heads
    self.order = order
    self.whole = whole
  }

  /// How far apart two neighbors along each axis lie in the whole.
  private func stride(_ axis: HeadOrder.Axis) -> Int {
    order.axes.reversed().prefix { $0 != axis }.reduce(1) { $0 * extent($1) }
  }

  private func extent(_ axis: HeadOrder.Axis) -> Int {
    switch axis {
    case .part: parts
    case .head: heads
    case .row: rows
    }
  }

  /// Calls `body` with runs that lie side by side in the whole and in the part: where each begins, and how long it is.
  package func forEachRun(ofPart part: Int, _ body: (_ inWhole: Int, _ inPart: Int, _ count: Int) -> Void) {
    let (ofPart, ofHead, ofRow) = (stride(.part), stride(.head), stride(.row))
    for head in 0..<heads {
      let start = part * ofPart + head * ofHead
      if ofRow == 1 {
        body(start, head * rows, rows)
      } else {
        for row in 0..<rows { body(start + row * ofRow, head * rows + row, 1) }
      }
    }
  }
}
