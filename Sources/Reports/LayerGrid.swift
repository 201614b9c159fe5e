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
  /// All of them, also those for which ``rows`` have no column.
  let layers: [Int]
  /// In the order of the names.
  let rows: [Row]
  /// Parts that have no row.
  var moreRows = 0

  /// How much of a checkpoint is drawn: a grid has as many cells as its parts have layers together, which can be the square
  /// of the number of names.
  struct Limits {
    var grids = Int.max
    var rows = Int.max
    var columns = Int.max
  }

  private struct Stack {
    let prefix: Substring
    var parts: [Substring: [(layer: Int, tensor: Int)]] = [:]
    var layers: Set<Int> = []
    var count = 0
  }

  /// The stacks of at least two layers, the one of most tensors first, and how many there are beyond the limit.
  static func grids(_ names: [String], _ limits: Limits = Limits()) -> (grids: [LayerGrid], more: Int) {
    var stacks: [Substring: Stack] = [:]
    for (index, place) in LayerPlace.all(in: names).enumerated() {
      guard let place else { continue }
      stacks[place.prefix, default: Stack(prefix: place.prefix)].parts[place.suffix, default: []].append(
        (place.layer, index))
      stacks[place.prefix]?.layers.insert(place.layer)
      stacks[place.prefix]?.count += 1
    }
    let order = stacks.values.filter { $0.layers.count > 1 }.sorted { a, b in
      a.count == b.count ? a.prefix < b.prefix : a.count > b.count
    }
    return (order.prefix(limits.grids).map { grid($0, limits) }, max(0, order.count - limits.grids))
  }

  private static func grid(_ stack: Stack, _ limits: Limits) -> LayerGrid {
    let layers = stack.layers.sorted()
    let shown = layers.prefix(limits.columns)
    let columns = Dictionary(uniqueKeysWithValues: zip(shown, shown.indices))
    func first(_ members: [(layer: Int, tensor: Int)]) -> Int { members.map(\.tensor).min() ?? 0 }
    let order = stack.parts.sorted { first($0.value) < first($1.value) }
    let rows = order.prefix(limits.rows).map { suffix, members in
      var tensors = [Int?](repeating: nil, count: columns.count)
      for member in members { if let column = columns[member.layer] { tensors[column] = member.tensor } }
      return Row(part: String(suffix), tensors: tensors)
    }
    return LayerGrid(prefix: String(stack.prefix), layers: layers, rows: rows, moreRows: order.count - rows.count)
  }
}
