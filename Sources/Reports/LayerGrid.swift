import TensorIO

/// A stack of layers as a grid: a column for each layer, a row for each part that layers have.
struct LayerGrid: Equatable {
  struct Row: Equatable {
    /// What follows the layer's number.
    let part: String
    /// For each layer the tensor, as an index into the names.
    let tensors: [Int?]
  }

  /// What stands before the layer's number.
  let prefix: String
  let layers: [Int]
  /// In the order of the names.
  let rows: [Row]

  /// The stacks of at least two layers, the one of most tensors first.
  static func grids(_ names: [String]) -> [LayerGrid] {
    var stacks: [Substring: [Substring: [(layer: Int, tensor: Int)]]] = [:]
    for (index, place) in LayerPlace.all(in: names).enumerated() {
      guard let place else { continue }
      stacks[place.prefix, default: [:]][place.suffix, default: []].append((place.layer, index))
    }
    let grids = stacks.compactMap { grid($0.key, parts: $0.value) }
    return grids.sorted { a, b in
      let (first, second) = (a.tensorCount, b.tensorCount)
      return first == second ? a.prefix < b.prefix : first > second
    }
  }

  private static func grid(_ prefix: Substring, parts: [Substring: [(layer: Int, tensor: Int)]]) -> LayerGrid? {
    let layers = Set(parts.values.joined().map(\.layer)).sorted()
    guard layers.count > 1 else { return nil }
    let columns = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.element, $0.offset) })
    let rows = parts.map { suffix, members in
      var tensors = [Int?](repeating: nil, count: layers.count)
      for member in members { if let column = columns[member.layer] { tensors[column] = member.tensor } }
      return Row(part: String(suffix), tensors: tensors)
    }
    let places = Dictionary(rows.map { ($0.part, $0.tensors.compactMap(\.self).min() ?? 0) }) { first, _ in first }
    let order = rows.sorted { a, b in (places[a.part] ?? 0) < (places[b.part] ?? 0) }
    return LayerGrid(prefix: String(prefix), layers: layers, rows: order)
  }

  var tensorCount: Int { rows.reduce(0) { $0 + $1.tensors.count { $0 != nil } } }
}
