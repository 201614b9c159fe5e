/// A JSON value whose objects keep their order and whose numbers keep their digits.
public indirect enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  /// The number as it is written.
  case number(String)
  case string(String)
  case array([JSON])
  case object([Member])

  public struct Member: Sendable, Equatable {
    public var key: String
    public var value: JSON
    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  public static func int(_ value: some BinaryInteger) -> JSON { .number(String(value)) }
  /// NaN and infinities, which JSON has no form for, become `null`.
  public static func double(_ value: Double) -> JSON { value.isFinite ? .number("\(value)") : .null }
  public static func strings(_ values: some Sequence<String>) -> JSON { .array(values.map { .string($0) }) }
  public static func ints(_ values: some Sequence<Int>) -> JSON { .array(values.map { .int($0) }) }
  public static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
    .object(members.map { Member($0.key, $0.value) })
  }

  public subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  public var members: [Member]? { if case .object(let members) = self { members } else { nil } }
  public var elements: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
  public var stringValue: String? { if case .string(let text) = self { text } else { nil } }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var doubleValue: Double? { if case .number(let text) = self { Double(text) } else { nil } }
  /// The value as an integer; `2.0` and `2e3` count as one.
  public var intValue: Int? {
    guard case .number(let text) = self else { return nil }
    if let value = Int(text) { return value }
    return Double(text).flatMap { Int(exactly: $0) }
  }

  /// Sets `key`, keeping its place when it was there.
  public mutating func set(_ key: String, _ value: JSON) {
    guard case .object(var members) = self else { return }
    if let index = members.firstIndex(where: { $0.key == key }) {
      members[index].value = value
    } else {
      members.append(Member(key, value))
    }
    self = .object(members)
  }
}

// MARK: Writing

extension JSON {
  /// The value as text: on one line, or with two spaces of indentation.
  public func text(pretty: Bool = false) -> String {
    var out = ""
    write(to: &out, indent: pretty ? 0 : nil)
    return out
  }

  private func write(to out: inout String, indent: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .number(let text): out += text
    case .string(let text): Self.writeString(text, to: &out)
    case .array(let elements):
      let isFlat = elements.allSatisfy {
        if case .object = $0 { false } else if case .array = $0 { false } else { true }
      }
      Self.writeList(elements, "[", "]", to: &out, indent: isFlat ? nil : indent) { element, out, inner in
        element.write(to: &out, indent: inner)
      }
    case .object(let members):
      Self.writeList(members, "{", "}", to: &out, indent: indent) { member, out, inner in
        Self.writeString(member.key, to: &out)
        out += indent == nil ? ":" : ": "
        member.value.write(to: &out, indent: inner)
      }
    }
  }

  private static func writeList<T>(
    _ items: [T], _ open: String, _ close: String, to out: inout String, indent: Int?,
    _ writeItem: (T, inout String, Int?) -> Void
  ) {
    out += open
    let inner = indent.map { $0 + 2 }
    let line = inner.map { "\n" + String(repeating: " ", count: $0) }
    for (index, item) in items.enumerated() {
      if index > 0 { out += inner == nil && open == "[" ? ", " : "," }
      if let line { out += line }
      writeItem(item, &out, inner)
    }
    if let indent, !items.isEmpty { out += "\n" + String(repeating: " ", count: indent) }
    out += close
  }

  /// Controls, and what a terminal or a page could misread, are written as `\u` escapes.
  static func writeString(_ text: String, to out: inout String) {
    out += "\""
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }) {
      out += text
      out += "\""
      return
    }
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x22: out += "\\\""
      case 0x5C: out += "\\\\"
      case 0x0A: out += "\\n"
      case 0x0D: out += "\\r"
      case 0x09: out += "\\t"
      case 0..<0x20, 0x7F..<0xA0, 0x200B..<0x2010, 0x2028..<0x2030, 0x2060..<0x2070, 0xFEFF:
        out += "\\u" + hexadecimal(scalar.value, digits: 4)
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

// MARK: Reading

extension JSON {
  /// What is not allowed although some parsers take it: duplicate keys, NaN, comments, trailing commas, text after the
  /// value, more than 64 levels, more than three million values.
  public static func parse(_ text: [UInt8], file: String? = nil, at offset: UInt64 = 0) throws(FormatError) -> JSON {
    var parser = JSONParser(text: text, file: file, base: offset)
    return try parser.parseDocument()
  }

  public static func parse(_ text: String, file: String? = nil) throws(FormatError) -> JSON {
    try parse(Array(text.utf8), file: file)
  }
}

private struct JSONParser {
  let text: [UInt8]
  let file: String?
  let base: UInt64
  var position = 0
  /// How many values may still come: each takes some fifty times the two bytes that a file needs for it.
  var room = 3_000_000
  static let maximumDepth = 64

  init(text: [UInt8], file: String?, base: UInt64) {
    self.text = text
    self.file = file
    self.base = base
  }

  func error(_ problem: String, found: String? = nil, expected: String? = nil) -> FormatError {
    FormatError(
      "not valid JSON: \(problem)", file: file, offset: base + UInt64(position), found: found, expected: expected)
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
    guard depth < Self.maximumDepth else { throw error("nested deeper than \(Self.maximumDepth) levels") }
    room -= 1
    guard room >= 0 else { throw error("more values than any model's files have") }
    skipSpace()
    guard position < text.count else { throw error("it ends where a value should be") }
    switch text[position] {
    case UInt8(ascii: "{"): return try parseObject(depth: depth)
    case UInt8(ascii: "["): return try parseArray(depth: depth)
    case UInt8(ascii: "\""): return .string(try parseString())
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
      guard seen.insert(key).inserted else {
        position = start
        throw error("the key '\(key)' is there twice")
      }
      skipSpace()
      guard consume(UInt8(ascii: ":")) else { throw error("no colon after a key", found: here) }
      members.append(JSON.Member(key, try parseValue(depth: depth + 1)))
      skipSpace()
      if consume(UInt8(ascii: ",")) { continue }
      if consume(UInt8(ascii: "}")) { return .object(members) }
      throw error("an object goes on wrongly", found: here, expected: "',' or '}'")
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
      throw error("an array goes on wrongly", found: here, expected: "',' or ']'")
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

  mutating func parseString() throws(FormatError) -> String {
    position += 1
    var end = position
    while end < text.count, text[end] >= 0x20, text[end] != UInt8(ascii: "\""), text[end] != UInt8(ascii: "\\") {
      end += 1
    }
    var bytes = Array(text[position..<end])
    position = end
    while true {
      guard position < text.count else { throw error("a string does not end") }
      let byte = text[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        guard let result = String(fileText: bytes) else { throw error("a string \(FileText.problem(bytes))") }
        return result
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

  mutating func parseEscape(into bytes: inout [UInt8]) throws(FormatError) {
    guard position < text.count else { throw error("a string does not end") }
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
