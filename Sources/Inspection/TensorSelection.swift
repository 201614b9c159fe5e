import TensorIO

/// Which tensors of a checkpoint are shown, and in what order.
public struct TensorSelection: Sendable {
  public enum Order: String, Sendable, CaseIterable {
    case name
    /// Largest first.
    case size
    /// As the data is stored.
    case offset
  }

  /// Globs: a tensor is shown where its name, or its full name, matches one of them; empty for all.
  public var globs: [String] = []
  /// The types that are shown; empty for all.
  public var types: [ElementType] = []
  /// The shapes that are shown; empty for all.
  public var shapes: [ShapePattern] = []
  /// `nil` for the checkpoint's own order.
  public var order: Order?

  public init() {}

  /// Whether every tensor is shown.
  public var isWhole: Bool { globs.isEmpty && types.isEmpty && shapes.isEmpty }

  /// The patterns, as a user gives them; `nil` where every tensor is shown.
  public var text: String? {
    guard !isWhole else { return nil }
    return (globs + types.map(\.rawValue) + shapes.map(\.description)).joined(separator: ", ")
  }

  /// The indices of the tensors that are shown, in order.
  public func indices(of tensors: [TensorInfo]) -> [Int] {
    let shown = isWhole ? Array(tensors.indices) : matches(tensors)
    switch order {
    case .name: return byteOrder(shown.map { tensors[$0].name }).map { shown[$0] }
    case .size: return shown.sorted { (tensors[$1].byteCount, $0) < (tensors[$0].byteCount, $1) }
    case .offset:
      func key(_ index: Int) -> (Int, UInt64, Int) {
        let location = tensors[index].location
        return (location?.file ?? Int.max, location?.offset ?? 0, index)
      }
      return shown.sorted { key($0) < key($1) }
    case nil: return shown
    }
  }

  private func matches(_ tensors: [TensorInfo]) -> [Int] {
    let globs = globs.map { Glob($0) }
    return tensors.indices.filter { index in
      let tensor = tensors[index]
      return (types.isEmpty || types.contains(tensor.elementType))
        && (shapes.isEmpty || shapes.contains { $0.matches(tensor.shape) })
        && (globs.isEmpty
          || globs.contains { $0.matches(tensor.name) || tensor.fullName.map($0.matches) == true })
    }
  }
}

/// A shape in which a dimension can be anything: `*,768`.
public struct ShapePattern: Sendable, CustomStringConvertible {
  /// `nil` for any size.
  private let sizes: [Int?]
  public let description: String

  /// `nil` where `text` is not a shape, as `768,3072`, `[768, 3072]`, `768x*` or `[]`.
  public init?(_ text: String) {
    var text = text[...]
    if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
    description = "[\(text)]"
    let words = text.split { $0 == "," || $0 == " " || $0 == "x" || $0 == "×" }
    guard !words.isEmpty || text.allSatisfy({ $0 == " " }) else { return nil }
    var sizes: [Int?] = []
    for word in words {
      if word == "*" || word == "?" {
        sizes.append(nil)
      } else if let size = Int(word), size >= 0 {
        sizes.append(size)
      } else {
        return nil
      }
    }
    self.sizes = sizes
  }

  public func matches(_ shape: [Int]) -> Bool {
    shape.count == sizes.count && zip(shape, sizes).allSatisfy { $1 == nil || $0 == $1 }
  }
}
