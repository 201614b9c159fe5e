/// A tensor's name in a table, with at most one `{layer}` in it.
struct NamePattern: Sendable, Equatable {
  static let placeholder = "{layer}"
  /// Numbers beyond this are no layers.
  static let maximumLayer = 9999

  let text: String
  /// What stands before and after `{layer}`; `nil` for a name without it.
  private let parts: (before: String, after: String)?

  static func == (a: NamePattern, b: NamePattern) -> Bool { a.text == b.text }

  /// `nil` when `{layer}` is there twice.
  init?(_ text: String) {
    self.text = text
    guard let place = text[...].firstRange(ofBytes: Self.placeholder) else {
      parts = nil
      return
    }
    let after = text[place.upperBound...]
    guard after.firstRange(ofBytes: Self.placeholder) == nil else { return nil }
    parts = (String(text[..<place.lowerBound]), String(after))
  }

  var isPerLayer: Bool { parts != nil }

  /// The name of that layer's tensor.
  func name(layer: Int?) -> String {
    guard let parts else { return text }
    return parts.before + (layer.map(String.init) ?? Self.placeholder) + parts.after
  }

  /// The runs of digits in `name` that could be a layer's number, each with the pattern that it leaves.
  ///
  /// Looking these up replaces matching: the cost of a name does not depend on how many patterns there are.
  static func layered(_ name: String) -> [(pattern: String, layer: Int)] {
    let utf8 = name.utf8
    var result: [(pattern: String, layer: Int)] = []
    var index = utf8.startIndex
    while index < utf8.endIndex, result.count < 8 {
      guard isDigit(utf8[index]) else {
        index = utf8.index(after: index)
        continue
      }
      let start = index
      while index < utf8.endIndex, isDigit(utf8[index]) { index = utf8.index(after: index) }
      let digits = name[start..<index]
      if digits.utf8.count <= 4, digits == "0" || digits.utf8.first != UInt8(ascii: "0"), let layer = Int(digits) {
        var pattern = String(name[..<start])
        pattern += placeholder
        pattern += name[index...]
        result.append((pattern, layer))
      }
    }
    return result
  }

  /// `name` with every number in it written as 0.
  static func withoutNumbers(_ name: String) -> String {
    guard name.utf8.contains(where: isDigit) else { return name }
    var bytes: [UInt8] = []
    var wasDigit = false
    for byte in name.utf8 {
      if !isDigit(byte) { bytes.append(byte) } else if !wasDigit { bytes.append(UInt8(ascii: "0")) }
      wasDigit = isDigit(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}

extension Substring {
  /// Where `part` first stands, byte for byte: names are bytes to every format, and comparing characters costs far more.
  func firstRange(ofBytes part: String) -> Range<Index>? {
    guard let first = part.utf8.first else { return startIndex..<startIndex }
    var rest = utf8
    while let start = rest.firstIndex(of: first) {
      rest = rest[start...]
      if rest.starts(with: part.utf8) { return start..<utf8.index(start, offsetBy: part.utf8.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
