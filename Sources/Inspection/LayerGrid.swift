import ModelFamilies

/// A stack of layers as a grid: a column for each layer, a row for each part that layers have.
package struct LayerGrid: Equatable {
  package struct Row: Equatable {
    /// What follows the layer's number.
    package let part: String
    /// For each layer the tensor, as an index into the names.
    package let tensors: [Int?]
  }

  /// What precedes the layer's number.
  package let prefix: String
  /// All of them, also those for which ``rows`` have no column.
  package let layers: [Int]
  /// In the order of the names.
  package let rows: [Row]
  /// Parts that have no row.
  package var moreRows = 0

  /// How much of a checkpoint is drawn: a grid has as many cells as its parts have layers together, which can be the square
  /// of the number of names.
  package struct Limits {
    package var grids: Int
    package var rows: Int
    package var columns: Int

    package init(grids: Int = .max, rows: Int = .max, columns: Int = .max) {
      self.grids = grids
      self.rows = rows
      self.columns = columns
    }
  }

  /// The grids of the stacks in `names`, the one of most tensors first, and how many there are beyond the limit.
  package static func all(in names: [String], _ limits: Limits = Limits()) -> (grids: [LayerGrid], more: Int) {
    let stacks = LayerStack.all(in: names)
    return (stacks.prefix(limits.grids).map { grid($0, limits) }, max(0, stacks.count - limits.grids))
  }

  private static func grid(_ stack: LayerStack, _ limits: Limits) -> LayerGrid {
    let layers = stack.layers.sorted()
    let shown = layers.prefix(limits.columns)
    let columns = Dictionary(uniqueKeysWithValues: zip(shown, shown.indices))
    // In the order of the names, so the first member of a part is its first tensor.
    let parts = Dictionary(grouping: stack.members, by: \.layer.suffix)
    let order = parts.sorted { ($0.value.first?.index ?? 0) < ($1.value.first?.index ?? 0) }
    let rows = order.prefix(limits.rows).map { suffix, members in
      var tensors = [Int?](repeating: nil, count: columns.count)
      for member in members { if let column = columns[member.layer.number] { tensors[column] = member.index } }
      return Row(part: String(suffix), tensors: tensors)
    }
    return LayerGrid(prefix: String(stack.prefix), layers: layers, rows: rows, moreRows: order.count - rows.count)
  }
}
