import TensorIO

/// A strict parser for the one Python dict that a `.npy` header holds.
struct NpyDictParser {
  enum Descr: Equatable {
    case plain(String)
    /// A list: a structured type.
    case fields
  }

  let text: [UInt8]
  let file: String?
  let base: UInt64
  let tensor: String
  private var position = 0

  init(text: [UInt8], file: String?, base: UInt64, tensor: String) {
    self.text = text
    self.file = file
    self.base = base
    self.tensor = tensor
  }

  private func error(
    _ problem: String, kind: FormatError.Kind = .damaged, expected: String? = nil
  ) -> FormatError {
    FormatError(
      kind, "the .npy header is not as NumPy writes it: \(problem)", file: file, offset: base + UInt64(position),
      tensor: tensor,
      found: position < text.count
        ? "'\(String(decoding: text[position..<min(text.count, position + 8)], as: UTF8.self))'" : "its end",
      expected: expected)
  }

  private var here: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpace() {
    while here == 0x20 || here == 0x0A || here == 0x0D || here == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard let value = character.asciiValue, here == value else { return false }
    position += 1
    return true
  }

  private mutating func need(_ character: Character) throws(FormatError) {
    guard take(character) else { throw error("a character is missing", expected: "'\(character)'") }
  }

  mutating func parse() throws(FormatError) -> (descr: Descr, isFortranOrder: Bool, shape: [Int]) {
    var descr: Descr?
    var order: Bool?
    var shape: [Int]?
    try need("{")
    while !take("}") {
      let start = position
      let key = try string()
      try need(":")
      switch key {
      case "descr" where descr == nil: descr = try type()
      case "fortran_order" where order == nil: order = try boolean()
      case "shape" where shape == nil: shape = try tuple()
      default:
        position = start
        throw error("an unknown or duplicate key", expected: "'descr', 'fortran_order' and 'shape'")
      }
      if take(",") { continue }
      try need("}")
      break
    }
    skipSpace()
    guard position == text.count else { throw error("there is data after the dict") }
    guard let descr, let order, let shape else {
      throw error("a key is missing", expected: "'descr', 'fortran_order' and 'shape'")
    }
    return (descr, order, shape)
  }

  private mutating func string() throws(FormatError) -> String {
    skipSpace()
    guard let quote = here, quote == 0x27 || quote == 0x22 else { throw error("no string", expected: "a quote") }
    let start = position + 1
    position = start
    while let byte = here, byte != quote {
      guard byte >= 0x20, byte != 0x5C else { throw error("a control or an escape in a string") }
      position += 1
    }
    guard here == quote else { throw error("a string is not terminated") }
    position += 1
    return String(decodingFileText: text[start..<(position - 1)])
  }

  private mutating func type() throws(FormatError) -> Descr {
    skipSpace()
    guard here == UInt8(ascii: "[") else { return .plain(try string()) }
    // A structured type is refused by the caller; here only its end is looked for.
    var depth = 0
    while let byte = here {
      if byte == 0x27 || byte == 0x22 {
        _ = try string()
        continue
      }
      position += 1
      if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "(") { depth += 1 }
      if byte == UInt8(ascii: "]") || byte == UInt8(ascii: ")") { depth -= 1 }
      if depth == 0 { return .fields }
    }
    throw error("a list is not terminated")
  }

  private mutating func boolean() throws(FormatError) -> Bool {
    skipSpace()
    for (word, value) in [("True", true), ("False", false)] where text[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw error("not a boolean", expected: "True or False")
  }

  private mutating func tuple() throws(FormatError) -> [Int] {
    try need("(")
    var values: [Int] = []
    while !take(")") {
      skipSpace()
      let start = position
      while let byte = here, (0x30...0x39).contains(byte) { position += 1 }
      guard position > start, let value = Int(String(decoding: text[start..<position], as: UTF8.self)) else {
        position = start
        throw error("a dimension is not a valid number")
      }
      // Python 2 wrote large ones as 3L.
      if here == UInt8(ascii: "L") { position += 1 }
      guard values.count < 64 else { throw error("too many dimensions", kind: .limit, expected: "at most 64") }
      values.append(value)
      if take(",") { continue }
      // (3) is a number in Python, not a tuple.
      guard values.count > 1 else { throw error("the shape is not a tuple", expected: "','") }
      try need(")")
      break
    }
    return values
  }
}
