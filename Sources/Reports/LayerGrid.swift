/// A stack of layers as a grid: a column for each layer, a row for each part that layers have.
///
/// Nothing is known of dialects here: tensors whose names differ in one number alone are the same part of different
/// layers. Where several numbers of a name would do, the first is taken.
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

  private struct Template: Hashable {
    let prefix: Substring
    let suffix: Substring
  }

  /// The stacks of at least two layers, the one of most tensors first.
  static func grids(_ names: [String]) -> [LayerGrid] {
    let candidates = names.map(numbers)
    var layers: [Template: Set<Int>] = [:]
    for (template, number) in candidates.joined() { layers[template, default: []].insert(number) }

    var stacks: [Substring: [Template: [(layer: Int, tensor: Int)]]] = [:]
    for (index, numbers) in candidates.enumerated() {
      guard let (template, layer) = numbers.first(where: { layers[$0.0].map { $0.count > 1 } == true }) else {
        continue
      }
      stacks[template.prefix, default: [:]][template, default: []].append((layer, index))
    }
    let grids = stacks.compactMap { grid($0.key, parts: $0.value) }
    return grids.sorted { a, b in
      let (first, second) = (a.tensorCount, b.tensorCount)
      return first == second ? a.prefix < b.prefix : first > second
    }
  }

  private static func grid(_ prefix: Substring, parts: [Template: [(layer: Int, tensor: Int)]]) -> LayerGrid? {
    let layers = Set(parts.values.joined().map(\.layer)).sorted()
    guard layers.count > 1 else { return nil }
    let columns = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.element, $0.offset) })
    let rows = parts.map { template, members in
      var tensors = [Int?](repeating: nil, count: layers.count)
      for member in members { if let column = columns[member.layer] { tensors[column] = member.tensor } }
      return Row(part: String(template.suffix), tensors: tensors)
    }
    let places = Dictionary(rows.map { ($0.part, $0.tensors.compactMap(\.self).min() ?? 0) }) { first, _ in first }
    let order = rows.sorted { a, b in (places[a.part] ?? 0) < (places[b.part] ?? 0) }
    return LayerGrid(prefix: String(prefix), layers: layers, rows: order)
  }

  var tensorCount: Int { rows.reduce(0) { $0 + $1.tensors.count { $0 != nil } } }

  /// The numbers of a name that a layer could have: whole parts of it, or the ends of parts, and no years or hashes.
  private static func numbers(_ name: String) -> [(Template, Int)] {
    let text = name.utf8
    var found: [(Template, Int)] = []
    var index = text.startIndex
    while index < text.endIndex, found.count < 4 {
      guard isDigit(text[index]) else {
        index = text.index(after: index)
        continue
      }
      let end = text[index...].firstIndex { !isDigit($0) } ?? text.endIndex
      let isLast = end == text.endIndex
      if isLast || text[end] == UInt8(ascii: "/") || text[end] == UInt8(ascii: "."), text[index..<end].count <= 4,
        let number = Int(name[index..<end])
      {
        found.append((Template(prefix: name[..<index], suffix: name[end...]), number))
      }
      index = end
    }
    return found
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
