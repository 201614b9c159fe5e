import TensorIO

/// Writes encodings as JSON, straight into bytes: a file of 20 MB has five million tokens.
public struct EncodingWriter {
  /// What was written and not yet taken.
  public private(set) var bytes: [UInt8] = []

  public init() {}

  /// Takes what was written so far.
  public mutating func take() -> [UInt8] {
    defer { bytes.removeAll(keepingCapacity: true) }
    return bytes
  }

  public mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// An object on one line: `tokens`, `input_ids`, `token_type_ids` where the model has them, `offsets`, `special_tokens_mask`, and `removed` where
  /// tokens were cut off.
  public mutating func write(_ encoding: Encoding, hasTokenTypes: Bool) {
    raw("{\"tokens\": [")
    for index in encoding.tokens.indices {
      if index > 0 { separator() }
      string(encoding.text(at: index))
    }
    raw("], \"input_ids\": ")
    numbers(encoding.tokens) { Int($0.id) }
    if hasTokenTypes {
      raw(", \"token_type_ids\": ")
      numbers(encoding.tokens) { Int($0.typeID) }
    }
    raw(", \"offsets\": [")
    for (index, token) in encoding.tokens.enumerated() {
      if index > 0 { separator() }
      bytes.append(UInt8(ascii: "["))
      number(Int(token.start))
      separator()
      number(Int(token.end))
      bytes.append(UInt8(ascii: "]"))
    }
    raw("], \"special_tokens_mask\": ")
    numbers(encoding.tokens) { $0.isSpecial ? 1 : 0 }
    if encoding.removedCount > 0 {
      raw(", \"removed\": ")
      number(encoding.removedCount)
    }
    bytes.append(UInt8(ascii: "}"))
  }

  private mutating func numbers(_ tokens: [Encoding.Token], _ value: (Encoding.Token) -> Int) {
    bytes.append(UInt8(ascii: "["))
    for (index, token) in tokens.enumerated() {
      if index > 0 { separator() }
      number(value(token))
    }
    bytes.append(UInt8(ascii: "]"))
  }

  private mutating func separator() {
    bytes.append(UInt8(ascii: ","))
    bytes.append(0x20)
  }

  private mutating func number(_ value: Int) {
    if value >= 0, value < 10 {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value))
      return
    }
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    var rest = value.magnitude
    let start = bytes.count
    while rest > 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    }
    bytes[start...].reverse()
  }

  /// Controls, and what a terminal could misread, are written as escapes, as ``JSON`` writes them.
  private mutating func string(_ text: String) {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }) {
      bytes.append(UInt8(ascii: "\""))
      bytes.append(contentsOf: text.utf8)
      bytes.append(UInt8(ascii: "\""))
    } else {
      bytes.append(contentsOf: JSON.string(text).text().utf8)
    }
  }
}
