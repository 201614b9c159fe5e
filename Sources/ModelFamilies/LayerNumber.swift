/// A number in the name of a tensor that can be the number of a layer, with what precedes and follows it.
///
/// No dialect is known here: tensors whose names differ in one number alone are the same part of different layers.
package struct LayerNumber: Hashable, Sendable {
  /// What precedes the number.
  package let prefix: Substring
  package let number: Int
  /// What follows the number.
  package let suffix: Substring

  /// A name without its number: equal for the same part of different layers.
  package struct Template: Hashable, Sendable {
    package let prefix: Substring
    package let suffix: Substring

    package init(prefix: Substring, suffix: Substring) {
      self.prefix = prefix
      self.suffix = suffix
    }
  }

  package var template: Template { Template(prefix: prefix, suffix: suffix) }

  /// Which runs of digits count as numbers of layers. All have at most four digits: years and hashes are not layers.
  package enum Position: Sendable {
    /// Whole components of a name or the ends of components: `layer_3`, `3`, but not `v2beta`.
    case endOfComponent
    /// Anywhere in the name.
    case anywhere
  }

  /// The numbers of `name`, the first `maximum` of them, in order.
  package static func all(
    in name: String, _ position: Position = .endOfComponent, maximum: Int = 4
  ) -> [LayerNumber] {
    let text = name.utf8
    var found: [LayerNumber] = []
    var index = text.startIndex
    while index < text.endIndex, found.count < maximum {
      guard isDigit(text[index]) else {
        index = text.index(after: index)
        continue
      }
      let end = text[index...].firstIndex { !isDigit($0) } ?? text.endIndex
      let isLast = end == text.endIndex
      if position == .anywhere || isLast || text[end] == UInt8(ascii: "/") || text[end] == UInt8(ascii: "."),
        text[index..<end].count <= 4, let number = Int(name[index..<end])
      {
        found.append(LayerNumber(prefix: name[..<index], number: number, suffix: name[end...]))
      }
      index = end
    }
    return found
  }

  /// For each name the first number that makes it the same part of another layer as some other name; `nil` where no other
  /// name differs in one number alone.
  package static func distinguishing(_ names: [String]) -> [LayerNumber?] {
    let candidates = names.map { all(in: $0) }
    var numbers: [Template: Set<Int>] = [:]
    for candidate in candidates.joined() { numbers[candidate.template, default: []].insert(candidate.number) }
    return candidates.map { candidates in
      candidates.first { numbers[$0.template].map { $0.count > 1 } == true }
    }
  }

  /// Where the digits of the number are in the name.
  package var range: Range<String.Index> { prefix.endIndex..<suffix.startIndex }
  /// The digits of the number, as they are in the name.
  package var digits: Substring { prefix.base[range] }

  /// Whether the number is written without leading zeros, so that it can be written again from its value.
  package var isPlain: Bool { digits.utf8.count == 1 || digits.utf8.first != UInt8(ascii: "0") }

  package static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}

/// Layers of one prefix: `encoder.layer.0`, `encoder.layer.1`, ….
package struct LayerStack: Sendable {
  /// What precedes the number of the layer.
  package let prefix: Substring
  /// The tensors of the stack: the index among the names, and the number of the layer in it.
  package private(set) var members: [(index: Int, layer: LayerNumber)] = []
  package private(set) var layers: Set<Int> = []

  /// The stacks of at least two layers in `names`, the one of most tensors first.
  package static func all(in names: [String]) -> [LayerStack] {
    var stacks: [Substring: LayerStack] = [:]
    for (index, layer) in LayerNumber.distinguishing(names).enumerated() {
      guard let layer else { continue }
      stacks[layer.prefix, default: LayerStack(prefix: layer.prefix)].add(index, layer)
    }
    return stacks.values.filter { $0.layers.count > 1 }.sorted { a, b in
      a.members.count == b.members.count ? a.prefix < b.prefix : a.members.count > b.members.count
    }
  }

  private init(prefix: Substring) { self.prefix = prefix }

  private mutating func add(_ index: Int, _ layer: LayerNumber) {
    members.append((index, layer))
    layers.insert(layer.number)
  }
}
