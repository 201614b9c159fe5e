/// Where the number of a layer stands in the name of a tensor.
///
/// Nothing is known of dialects here: tensors whose names differ in one number alone are the same part of different
/// layers. Where several numbers of a name would do, the first is taken.
package struct LayerPlace: Hashable, Sendable {
  /// What stands before the number.
  package let prefix: Substring
  package let layer: Int
  /// What follows the number.
  package let suffix: Substring

  private struct Template: Hashable {
    let prefix: Substring
    let suffix: Substring
  }

  private var template: Template { Template(prefix: prefix, suffix: suffix) }

  /// For each name the place of its layer; `nil` where no other name differs in that number alone.
  package static func all(in names: [String]) -> [LayerPlace?] {
    let candidates = names.map(numbers)
    var layers: [Template: Set<Int>] = [:]
    for place in candidates.joined() { layers[place.template, default: []].insert(place.layer) }
    return candidates.map { places in
      places.first { place in layers[place.template].map { $0.count > 1 } == true }
    }
  }

  /// The numbers of a name that a layer could have: whole parts of it, or the ends of parts, and no years or hashes.
  package static func numbers(_ name: String) -> [LayerPlace] {
    let text = name.utf8
    var found: [LayerPlace] = []
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
        found.append(LayerPlace(prefix: name[..<index], layer: number, suffix: name[end...]))
      }
      index = end
    }
    return found
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
