/// A JSON value whose objects keep their order and whose numbers keep their digits.
public enum JSON: Sendable, Equatable {
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

  /// Sets `key`, keeping its position if it exists.
  public mutating func set(_ key: String, _ value: JSON) {
    guard case .object(var members) = self else { return }
    // The members have one owner while they change.
    self = .null
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
    var out: [UInt8] = []
    write(to: &out, indent: pretty ? 0 : nil)
    return String(decoding: out, as: UTF8.self)
  }

  private func write(to out: inout [UInt8], indent: Int?) {
    switch self {
    case .null: out += "null".utf8
    case .bool(let value): out += (value ? "true" : "false").utf8
    case .number(let text): out += text.utf8
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
        out += (indent == nil ? ":" : ": ").utf8
        member.value.write(to: &out, indent: inner)
      }
    }
  }

  private static func writeList<T>(
    _ items: [T], _ open: Unicode.Scalar, _ close: Unicode.Scalar, to out: inout [UInt8], indent: Int?,
    _ writeItem: (T, inout [UInt8], Int?) -> Void
  ) {
    func startLine(_ indent: Int) {
      out.append(UInt8(ascii: "\n"))
      out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent))
    }
    out.append(UInt8(ascii: open))
    let inner = indent.map { $0 + 2 }
    for (index, item) in items.enumerated() {
      if index > 0 { out += (inner == nil && open == "[" ? ", " : ",").utf8 }
      if let inner { startLine(inner) }
      writeItem(item, &out, inner)
    }
    if let indent, !items.isEmpty { startLine(indent) }
    out.append(UInt8(ascii: close))
  }

  /// Controls, and what a terminal or a page could misread, are written as `\u` escapes.
  private static func writeString(_ text: String, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }) {
      out += text.utf8
    } else {
      for scalar in text.unicodeScalars { writeScalar(scalar, to: &out) }
    }
    out.append(UInt8(ascii: "\""))
  }

  private static func writeScalar(_ scalar: Unicode.Scalar, to out: inout [UInt8]) {
    switch scalar.value {
    case 0x22: out += "\\\"".utf8
    case 0x5C: out += "\\\\".utf8
    case 0x0A: out += "\\n".utf8
    case 0x0D: out += "\\r".utf8
    case 0x09: out += "\\t".utf8
    case 0..<0x20, 0x7F..<0xA0, 0x200B..<0x2010, 0x2028..<0x2030, 0x2060..<0x2070, 0xFEFF:
      out += ("\\u" + hexadecimal(scalar.value, digits: 4)).utf8
    default: out += String(scalar).utf8
    }
  }
}

// MARK: Reading

extension JSON {
  /// Parses strictly. Some parsers accept, and this one does not: duplicate keys, NaN, comments, trailing commas, text after
  /// the value, more than 64 levels, more than three million values.
  public static func parse(_ text: [UInt8], file: String? = nil, at offset: UInt64 = 0) throws(FormatError) -> JSON {
    var parser = JSONParser(text: text, file: file, base: offset)
    return try parser.parseDocument()
  }

  /// The same for texts that people write: string values may have any number of combining marks. Do not compare such strings
  /// or use them as keys, which takes a time that grows with the square of the marks.
  package static func parseTexts(_ text: [UInt8], file: String?, at offset: UInt64) throws(FormatError) -> JSON {
    var parser = JSONParser(text: text, file: file, base: offset, limitsMarks: false)
    return try parser.parseDocument()
  }

  public static func parse(_ text: String, file: String? = nil) throws(FormatError) -> JSON {
    try parse(Array(text.utf8), file: file)
  }
}
