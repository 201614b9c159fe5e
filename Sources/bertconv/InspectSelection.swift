import ArgumentParser
import TensorIO

/// Which tensors of a checkpoint are shown, and in what order.
struct InspectSelection: ParsableArguments {
  enum Sorting: String, ExpressibleByArgument, CaseIterable { case name, size, offset }

  @Option(
    help: ArgumentHelp(
      "Show the tensors whose name (or full name) matches, as '*layer_1*kernel'; several: those that match one of them.",
      valueName: "glob"))
  var filter: [String] = []
  @Option(help: ArgumentHelp("Show the tensors of this dtype, as F32; may be repeated.", valueName: "dtype"))
  var dtype: [ElementType] = []
  @Option(
    help: ArgumentHelp(
      "Show the tensors of this shape, as 768,3072, '*,768' or '*' for all vectors; [] for scalars.", valueName: "shape"
    ))
  var shape: [ShapePattern] = []
  @Option(
    help: "Order: name, size (largest first, repeated layers together) or offset; without it, the checkpoint's own.")
  var sort: Sorting?

  var isWhole: Bool { filter.isEmpty && dtype.isEmpty && shape.isEmpty }

  /// What is left out, as a user would say it; `nil` for nothing.
  var description: String? {
    guard !isWhole else { return nil }
    return (filter + dtype.map(\.rawValue) + shape.map(\.description)).joined(separator: ", ")
  }

  /// The indices of what is shown, in order.
  func indices(of tensors: [TensorInfo]) -> [Int] {
    let globs = filter.map { Glob($0) }
    let shown =
      isWhole
      ? Array(tensors.indices)
      : tensors.indices.filter { index in
        let tensor = tensors[index]
        return (dtype.isEmpty || dtype.contains(tensor.elementType))
          && (shape.isEmpty || shape.contains { $0.matches(tensor.shape) })
          && (globs.isEmpty
            || globs.contains { $0.matches(tensor.name) || tensor.fullName.map($0.matches) == true })
      }
    switch sort {
    case .name: return byteOrder(shown.map { tensors[$0].name }).map { shown[$0] }
    case .size: return shown.sorted { (tensors[$1].byteCount, $0) < (tensors[$0].byteCount, $1) }
    case .offset:
      func key(_ index: Int) -> (Int, UInt64, Int) {
        let place = tensors[index].location
        return (place?.file ?? Int.max, place?.offset ?? 0, index)
      }
      return shown.sorted { key($0) < key($1) }
    case nil: return shown
    }
  }
}

/// A shape in which a dimension can be anything: `*,768`.
struct ShapePattern: ExpressibleByArgument, CustomStringConvertible {
  /// `nil` for any size.
  private let sizes: [Int?]
  let description: String

  init?(argument: String) {
    var text = argument[...]
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

  func matches(_ shape: [Int]) -> Bool {
    shape.count == sizes.count && zip(shape, sizes).allSatisfy { $1 == nil || $0 == $1 }
  }
}

extension ElementType: ExpressibleByArgument {
  public init?(argument: String) { self.init(rawValue: argument.uppercased()) }
}
