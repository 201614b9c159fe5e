/// How the matrices of layers are packed: for products of this precision, by one library or the other.
struct Packing: Sendable {
  let precision: Precision
  let layout: Layout

  enum Layout: Sendable {
    /// Whatever oneDNN's products want.
    case oneDNN
    /// Panels of sixteen outputs, filled by these threads.
    case panels(ThreadPool)
  }

  init(_ precision: Precision, _ layout: Layout) {
    self.precision = precision
    self.layout = layout
  }

  /// Calls `body` with parts of `0..<count`, several at once where there are threads: what one writes, no other may read or
  /// write.
  func forRows(_ count: Int, _ body: (Range<Int>) -> Void) {
    switch layout {
    case .oneDNN: body(0..<count)
    case .panels(let pool): pool.forParts(count, grain: 64) { body($1) }
    }
  }
}
