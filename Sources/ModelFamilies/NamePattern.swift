/// A tensor's name in a table, with `{layer}` for the number of its layer.
package struct NamePattern: Sendable, Equatable {
  package static let placeholder = "{layer}"

  package let text: String
  /// The text around each `{layer}`: one part for a name without it.
  private let parts: [Substring]
  /// The number that the first layer has in such names.
  private let firstLayer: Int

  package init(_ text: String, firstLayer: Int = 0) {
    self.text = text
    self.firstLayer = firstLayer
    var parts: [Substring] = []
    var rest = text[...]
    while let range = rest.firstRange(ofBytes: Self.placeholder) {
      parts.append(rest[..<range.lowerBound])
      rest = rest[range.upperBound...]
    }
    self.parts = parts + [rest]
  }

  package var isPerLayer: Bool { parts.count > 1 }
  /// Whether the number of the layer is there more than once.
  package var repeatsLayer: Bool { parts.count > 2 }

  /// The name of that layer's tensor, the layers counted from 0.
  package func name(layer: Int?) -> String {
    parts.joined(separator: layer.map { String($0 + firstLayer) } ?? Self.placeholder)
  }

  /// The numbers in `name` that could be a layer's, each with the pattern that it leaves; `repeated` gives the patterns
  /// too in which several equal numbers are the layer's.
  ///
  /// Looking these up replaces matching: the cost of a name does not depend on how many patterns there are.
  package static func layered(_ name: String, repeated: Bool = false) -> [(pattern: String, layer: Int)] {
    let layers = LayerNumber.all(in: name, .anywhere, maximum: 8).filter(\.isPlain)
    func pattern(_ runs: some Sequence<Range<String.Index>>) -> String {
      var result = ""
      var end = name.startIndex
      for run in runs {
        result += name[end..<run.lowerBound]
        result += placeholder
        end = run.upperBound
      }
      return result + name[end...]
    }
    var result = layers.map { (pattern: pattern([$0.range]), layer: $0.number) }
    guard repeated else { return result }
    for layer in Set(layers.map(\.number)) {
      let equal = layers.filter { $0.number == layer }.map(\.range)
      // Each choice of two of them or more: a bit shows whether one is the layer's.
      for choice in 1..<(1 << equal.count) where choice.nonzeroBitCount > 1 {
        result.append((pattern(equal.indices.filter { choice >> $0 & 1 == 1 }.map { equal[$0] }), layer))
      }
    }
    return result
  }

  /// `name` with every number in it written as 0.
  package static func withoutNumbers(_ name: String) -> String {
    guard hasOtherNumbers(name.utf8.span) else { return name }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(name.utf8.count)
    var wasDigit = false
    for byte in name.utf8 {
      if !LayerNumber.isDigit(byte) { bytes.append(byte) } else if !wasDigit { bytes.append(UInt8(ascii: "0")) }
      wasDigit = LayerNumber.isDigit(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Whether a number is there that is not a single 0.
  private static func hasOtherNumbers(_ name: borrowing Span<UInt8>) -> Bool {
    var wasDigit = false
    for index in name.indices {
      let isDigit = LayerNumber.isDigit(name[index])
      if isDigit, wasDigit || name[index] != UInt8(ascii: "0") { return true }
      wasDigit = isDigit
    }
    return false
  }
}

extension Substring {
  /// Where `part` first occurs, byte for byte: names are bytes to every format, and comparing characters costs far more.
  package func firstRange(ofBytes part: String) -> Range<Index>? {
    guard let offset = firstOffset(ofBytes: part) else { return nil }
    let start = utf8.index(startIndex, offsetBy: offset)
    return start..<utf8.index(start, offsetBy: part.utf8.count)
  }

  /// The byte at which `part` first occurs.
  private func firstOffset(ofBytes part: String) -> Int? {
    let (bytes, wanted) = (utf8.span, part.utf8.span)
    guard !wanted.isEmpty else { return 0 }
    guard bytes.count >= wanted.count else { return nil }
    let first = wanted[0]
    for start in 0...(bytes.count - wanted.count) where bytes[start] == first {
      var length = 1
      while length < wanted.count, bytes[start + length] == wanted[length] { length += 1 }
      if length == wanted.count { return start }
    }
    return nil
  }
}

extension String {
  /// Whether the last bytes are those of `ending`.
  package func hasEnding(_ ending: String) -> Bool {
    let (bytes, wanted) = (utf8.span, ending.utf8.span)
    guard bytes.count >= wanted.count else { return false }
    let start = bytes.count - wanted.count
    for index in wanted.indices.reversed() where bytes[start + index] != wanted[index] { return false }
    return true
  }
}
