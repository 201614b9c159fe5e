import TensorIO

/// Reads JSON in one pass, without a tree: a vocabulary of 250,000 entries takes milliseconds.
///
/// As strict as ``JSON``: UTF-8, the grammar of RFC 8259, no more than 64 levels. Keys that appear twice are for the reader
/// of the object to find.
package struct JSONScanner {
  private let text: [UInt8]
  let file: String?
  private(set) var position = 0
  private var depth = 0
  /// The bytes of a string that had escapes.
  private var unescaped: [UInt8] = []
  static let maximumDepth = 64

  package init(_ text: [UInt8], file: String?) {
    self.text = text
    self.file = file
    if text.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
  }

  func error(
    _ problem: String, kind: FormatError.Kind = .damaged, found: String? = nil, expected: String? = nil
  ) -> FormatError {
    FormatError(kind, problem, file: file, offset: UInt64(position), found: found, expected: expected)
  }

  private func syntaxError(_ problem: String, found: String? = nil, expected: String? = nil) -> FormatError {
    error("not valid JSON: \(problem)", found: found ?? here, expected: expected)
  }

  private var here: String {
    position < text.count ? "'\(String(decoding: [text[position]], as: UTF8.self))'" : "the end"
  }

  private mutating func skipSpace() {
    while position < text.count {
      let byte = text[position]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      position += 1
    }
  }

  /// The first byte of the next value or mark; zero at the end.
  package mutating func peek() -> UInt8 {
    skipSpace()
    return position < text.count ? text[position] : 0
  }

  private mutating func consume(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  /// Whether nothing but space is left.
  package mutating func finish() throws(FormatError) {
    guard peek() == 0, position == text.count else { throw syntaxError("text after the value") }
  }

  // MARK: Objects and arrays

  /// Calls `body` before each value of an object, with its key; `body` has to read the value.
  package mutating func members(
    _ body: (inout JSONScanner, Slice) throws(FormatError) -> Void
  ) throws(FormatError) {
    try open(UInt8(ascii: "{"), "an object")
    if consume(UInt8(ascii: "}")) { return close() }
    while true {
      let key = try string()
      guard consume(UInt8(ascii: ":")) else { throw syntaxError("no colon after a key") }
      try body(&self, key)
      if consume(UInt8(ascii: ",")) { continue }
      if consume(UInt8(ascii: "}")) { return close() }
      throw syntaxError("an object continues incorrectly", expected: "',' or '}'")
    }
  }

  /// Calls `body` before each element of an array; `body` has to read the element.
  package mutating func elements(
    _ body: (inout JSONScanner) throws(FormatError) -> Void
  ) throws(FormatError) {
    try open(UInt8(ascii: "["), "an array")
    if consume(UInt8(ascii: "]")) { return close() }
    while true {
      try body(&self)
      if consume(UInt8(ascii: ",")) { continue }
      if consume(UInt8(ascii: "]")) { return close() }
      throw syntaxError("an array continues incorrectly", expected: "',' or ']'")
    }
  }

  private mutating func open(_ byte: UInt8, _ name: String) throws(FormatError) {
    guard consume(byte) else { throw syntaxError("another value", expected: name) }
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw error("not valid JSON: nested deeper than \(Self.maximumDepth) levels", kind: .limit)
    }
  }

  private mutating func close() { depth -= 1 }

  // MARK: Strings

  /// A string or number that was read: bytes of the text, or of ``unescaped`` until the next string is read.
  package struct Slice {
    fileprivate var range: Range<Int>
    fileprivate var isUnescaped = false
    var count: Int { range.count }
  }

  /// Reads a string without making one: see ``withBytes(_:_:)``.
  package mutating func string() throws(FormatError) -> Slice {
    guard consume(UInt8(ascii: "\"")) else { throw syntaxError("another value", expected: "a string") }
    let start = position
    var end = start
    while end < text.count, text[end] >= 0x20, text[end] != UInt8(ascii: "\""), text[end] != UInt8(ascii: "\\") {
      end += 1
    }
    position = end
    if end < text.count, text[end] == UInt8(ascii: "\"") {
      position = end + 1
      return Slice(range: start..<end)
    }
    unescaped.removeAll(keepingCapacity: true)
    unescaped.append(contentsOf: text[start..<end])
    while position < text.count {
      let byte = text[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return Slice(range: 0..<unescaped.count, isUnescaped: true)
      case UInt8(ascii: "\\"):
        position += 1
        try escape()
      case 0..<0x20: throw syntaxError("a control character in a string")
      default:
        unescaped.append(byte)
        position += 1
      }
    }
    throw syntaxError("a string is not terminated")
  }

  private mutating func escape() throws(FormatError) {
    guard position < text.count else { throw syntaxError("a string is not terminated") }
    let letter = text[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(letter)
    case UInt8(ascii: "b"): unescaped.append(8)
    case UInt8(ascii: "f"): unescaped.append(12)
    case UInt8(ascii: "n"): unescaped.append(10)
    case UInt8(ascii: "r"): unescaped.append(13)
    case UInt8(ascii: "t"): unescaped.append(9)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard position + 1 < text.count, text[position] == UInt8(ascii: "\\"), text[position + 1] == UInt8(ascii: "u")
        else { throw syntaxError("half a surrogate pair") }
        position += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw syntaxError("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw syntaxError("half a surrogate pair") }
      unescaped.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
    default: throw syntaxError("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(FormatError) -> UInt32 {
    guard text.count - position >= 4 else { throw syntaxError("a wrong \\u escape") }
    var value: UInt32 = 0
    for byte in text[position..<(position + 4)] {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: throw syntaxError("a wrong \\u escape")
      }
      value = value << 4 | UInt32(digit)
    }
    position += 4
    return value
  }

  /// The bytes of a string or number that was read; those of a string only until the next string is read.
  func withBytes<R>(_ slice: Slice, _ body: (Span<UInt8>) -> R) -> R {
    slice.isUnescaped
      ? body(unescaped.span.extracting(slice.range)) : body(text.span.extracting(slice.range))
  }

  /// Appends the bytes of a string to `buffer`.
  func append(_ slice: Slice, to buffer: inout [UInt8]) {
    if slice.isUnescaped {
      buffer.append(contentsOf: unescaped[slice.range])
    } else {
      buffer.append(contentsOf: text[slice.range])
    }
  }

  /// Reads a string, however many combining marks it has in a row: a text that is never compared with another one.
  package mutating func anyText() throws(FormatError) -> String {
    var bytes: [UInt8] = []
    let slice = try string()
    append(slice, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Reads a string as a name: with a limit to combining marks (``FileText``).
  ///
  /// Not `text(try string())`, which would take the scanner as it is before the string is read.
  package mutating func readText() throws(FormatError) -> String {
    let slice = try string()
    return try text(slice)
  }

  /// A string that was read, as a name: with a limit to combining marks (``FileText``).
  package func text(_ slice: Slice) throws(FormatError) -> String {
    var bytes: [UInt8] = []
    append(slice, to: &bytes)
    guard let text = String(fileText: bytes) else {
      throw error("not valid JSON: a string \(FileText.problem(bytes))")
    }
    return text
  }

  // MARK: Numbers and words

  /// Reads a number: its digits as they are written.
  mutating func number() throws(FormatError) -> Slice {
    _ = peek()
    let start = position
    if position < text.count, text[position] == UInt8(ascii: "-") { position += 1 }
    let first = position
    let whole = digits()
    guard whole > 0 else { throw syntaxError("another value", expected: "a number") }
    if whole > 1, text[first] == UInt8(ascii: "0") { throw syntaxError("a number with a leading zero") }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      position += 1
      guard digits() > 0 else { throw syntaxError("not a number") }
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < text.count, text[position] == UInt8(ascii: "+") || text[position] == UInt8(ascii: "-") {
        position += 1
      }
      guard digits() > 0 else { throw syntaxError("not a number") }
    }
    return Slice(range: start..<position)
  }

  private mutating func digits() -> Int {
    let start = position
    while position < text.count, text[position] &- UInt8(ascii: "0") < 10 { position += 1 }
    return position - start
  }

  /// Reads a whole number from 0 to 2³¹ − 1, as ids and lengths are.
  package mutating func natural(_ name: String) throws(FormatError) -> Int {
    let slice = try number()
    var value = 0
    for byte in text[slice.range] {
      guard byte &- UInt8(ascii: "0") < 10, value <= Int(Int32.max) else {
        throw error("'\(name)' is not a whole number from 0 to \(Int32.max)", found: digitsText(slice))
      }
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    guard value <= Int(Int32.max) else {
      throw error("'\(name)' is not a whole number from 0 to \(Int32.max)", found: digitsText(slice))
    }
    return value
  }

  private func digitsText(_ slice: Slice) -> String { String(decoding: text[slice.range], as: UTF8.self) }

  package mutating func bool(_ name: String) throws(FormatError) -> Bool {
    if try word("true") { return true }
    if try word("false") { return false }
    throw syntaxError("'\(name)' has another value", expected: "true or false")
  }

  /// Whether the next value is `null`, which is read then.
  package mutating func isNull() throws(FormatError) -> Bool { try word("null") }

  private mutating func word(_ word: StaticString) throws(FormatError) -> Bool {
    let letters = word.description.utf8
    guard let first = letters.first, peek() == first else { return false }
    guard text[position...].starts(with: letters) else { throw syntaxError("no value") }
    position += letters.count
    return true
  }

  /// Reads any value as a tree.
  package mutating func value() throws(FormatError) -> JSON {
    let start = position
    try skip()
    return try JSON.parse(Array(text[start..<position]), file: file, at: UInt64(start))
  }

  /// Reads any value and forgets it.
  package mutating func skip() throws(FormatError) {
    switch peek() {
    case UInt8(ascii: "{"): try members { (scanner, _) throws(FormatError) in try scanner.skip() }
    case UInt8(ascii: "["): try elements { (scanner) throws(FormatError) in try scanner.skip() }
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"), UInt8(ascii: "f"): _ = try bool("value")
    case UInt8(ascii: "n"): _ = try isNull()
    default: _ = try number()
    }
  }
}
