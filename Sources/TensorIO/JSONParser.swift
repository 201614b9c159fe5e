/// A strict parser for one JSON document.
struct JSONParser {
  let text: [UInt8]
  let file: String?
  let base: UInt64
  var position = 0
  /// How many more values are allowed: each takes some fifty times the two bytes that a file needs for it.
  var remainingValues = 3_000_000
  static let maximumDepth = 64
  /// Whether strings that are values have a limit of combining marks, as names in files do (``FileText``).
  let limitsMarks: Bool

  init(text: [UInt8], file: String?, base: UInt64, limitsMarks: Bool = true) {
    self.text = text
    self.file = file
    self.base = base
    self.limitsMarks = limitsMarks
  }

  func error(
    _ problem: String, kind: FormatError.Kind = .damaged, found: String? = nil, expected: String? = nil
  ) -> FormatError {
    FormatError(
      kind, "not valid JSON: \(problem)", file: file, offset: base + UInt64(position), found: found, expected: expected)
  }

  var here: String {
    position < text.count ? "'\(String(decoding: [text[position]], as: UTF8.self))'" : "the end"
  }

  mutating func skipSpace() {
    while position < text.count, text[position] <= 0x20, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) {
      position += 1
    }
  }

  mutating func parseDocument() throws(FormatError) -> JSON {
    if text.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    let value = try parseValue(depth: 0)
    skipSpace()
    guard position == text.count else { throw error("text after the value", found: here) }
    return value
  }

  mutating func parseValue(depth: Int) throws(FormatError) -> JSON {
    guard depth < Self.maximumDepth else { throw error("nested deeper than \(Self.maximumDepth) levels", kind: .limit) }
    remainingValues -= 1
    guard remainingValues >= 0 else { throw error("too many values", kind: .limit) }
    skipSpace()
    guard position < text.count else { throw error("the text ends where a value is expected") }
    switch text[position] {
    case UInt8(ascii: "{"): return try parseObject(depth: depth)
    case UInt8(ascii: "["): return try parseArray(depth: depth)
    case UInt8(ascii: "\""): return .string(try parseString(isKey: false))
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    default: throw error("no value", found: here)
    }
  }

  mutating func parseWord(_ word: String, _ value: JSON) throws(FormatError) -> JSON {
    guard text[position...].starts(with: word.utf8) else { throw error("no value", found: here) }
    position += word.utf8.count
    return value
  }

  mutating func parseObject(depth: Int) throws(FormatError) -> JSON {
    position += 1
    var members: [JSON.Member] = []
    // The keys, once they are too many to compare each with all.
    var seen: Set<String> = []
    skipSpace()
    if consume(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipSpace()
      guard position < text.count, text[position] == UInt8(ascii: "\"") else {
        throw error("no key", found: here, expected: "a string")
      }
      let start = position
      let key = try parseString()
      if members.count == 8 { seen = Set(members.map(\.key)) }
      let isNew = members.count < 8 ? !members.contains(where: { $0.key == key }) : seen.insert(key).inserted
      guard isNew else {
        position = start
        throw error("the key '\(key)' appears twice")
      }
      skipSpace()
      guard consume(UInt8(ascii: ":")) else { throw error("no colon after a key", found: here) }
      members.append(JSON.Member(key, try parseValue(depth: depth + 1)))
      skipSpace()
      if consume(UInt8(ascii: ",")) { continue }
      if consume(UInt8(ascii: "}")) { return .object(members) }
      throw error("an object continues incorrectly", found: here, expected: "',' or '}'")
    }
  }

  mutating func parseArray(depth: Int) throws(FormatError) -> JSON {
    position += 1
    var elements: [JSON] = []
    skipSpace()
    if consume(UInt8(ascii: "]")) { return .array([]) }
    while true {
      elements.append(try parseValue(depth: depth + 1))
      skipSpace()
      if consume(UInt8(ascii: ",")) { continue }
      if consume(UInt8(ascii: "]")) { return .array(elements) }
      throw error("an array continues incorrectly", found: here, expected: "',' or ']'")
    }
  }

  mutating func consume(_ byte: UInt8) -> Bool {
    guard position < text.count, text[position] == byte else { return false }
    position += 1
    return true
  }

  mutating func digits() -> Int {
    let start = position
    while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) { position += 1 }
    return position - start
  }

  mutating func parseNumber() throws(FormatError) -> JSON {
    let start = position
    _ = consume(UInt8(ascii: "-"))
    let first = position
    let whole = digits()
    guard whole > 0 else { throw error("not a number", found: here) }
    if whole > 1, text[first] == UInt8(ascii: "0") { throw error("a number with a leading zero") }
    if consume(UInt8(ascii: ".")) {
      guard digits() > 0 else { throw error("not a number", found: here) }
    }
    if position < text.count, text[position] == UInt8(ascii: "e") || text[position] == UInt8(ascii: "E") {
      position += 1
      if !consume(UInt8(ascii: "+")) { _ = consume(UInt8(ascii: "-")) }
      guard digits() > 0 else { throw error("not a number", found: here) }
    }
    return .number(String(decoding: text[start..<position], as: UTF8.self))
  }

  mutating func parseString(isKey: Bool = true) throws(FormatError) -> String {
    position += 1
    let start = position
    var end = position
    while end < text.count, text[end] >= 0x20, text[end] != UInt8(ascii: "\""), text[end] != UInt8(ascii: "\\") {
      end += 1
    }
    if end < text.count, text[end] == UInt8(ascii: "\"") {
      position = end + 1
      return try string(text[start..<end], isKey: isKey)
    }
    var bytes = Array(text[start..<end])
    position = end
    while true {
      guard position < text.count else { throw error("a string is not terminated") }
      let byte = text[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return try string(bytes, isKey: isKey)
      case UInt8(ascii: "\\"):
        position += 1
        try parseEscape(into: &bytes)
      case 0..<0x20: throw error("a control character in a string")
      default:
        bytes.append(byte)
        position += 1
      }
    }
  }

  func string(_ bytes: some Collection<UInt8>, isKey: Bool) throws(FormatError) -> String {
    if !isKey, !limitsMarks, let text = String(validating: bytes, as: UTF8.self) { return text }
    guard let result = String(fileText: bytes) else { throw error("a string \(FileText.problem(bytes))") }
    return result
  }

  mutating func parseEscape(into bytes: inout [UInt8]) throws(FormatError) {
    guard position < text.count else { throw error("a string is not terminated") }
    let letter = text[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(letter)
    case UInt8(ascii: "b"): bytes.append(8)
    case UInt8(ascii: "f"): bytes.append(12)
    case UInt8(ascii: "n"): bytes.append(10)
    case UInt8(ascii: "r"): bytes.append(13)
    case UInt8(ascii: "t"): bytes.append(9)
    case UInt8(ascii: "u"):
      var code = UInt32(try parseHex())
      if (0xD800..<0xDC00).contains(code) {
        guard consume(UInt8(ascii: "\\")), consume(UInt8(ascii: "u")) else { throw error("half a surrogate pair") }
        let low = UInt32(try parseHex())
        guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
      bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw error("an unknown escape")
    }
  }

  mutating func parseHex() throws(FormatError) -> UInt16 {
    guard text.count - position >= 4,
      let value = UInt16(String(decoding: text[position..<(position + 4)], as: UTF8.self), radix: 16),
      text[position] != UInt8(ascii: "+"), text[position] != UInt8(ascii: "-")
    else { throw error("a wrong \\u escape") }
    position += 4
    return value
  }
}
