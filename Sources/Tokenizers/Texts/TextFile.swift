import TensorIO

/// A text of an input file, or a pair.
public struct InputText: Sendable, Equatable {
  public var text: String
  /// The second text of a pair.
  public var pair: String?
  /// The line of the file, from 1.
  public var line: Int

  public init(_ text: String, pair: String? = nil, line: Int) {
    self.text = text
    self.pair = pair
    self.line = line
  }
}

/// The texts of a file, one after the other.
///
///     .txt      a text a line; LF or CR LF ends one
///     .jsonl    {"text": "…", "text_pair": "…"} a line; other keys are not looked at
///
/// A byte order mark at the beginning is skipped. Bad UTF-8 is an error with its offset in the file; what is wrong with a line
/// of JSON is one with its number.
public struct TextFile {
  /// What the lines are.
  public enum Form: Sendable, Equatable {
    case plain
    case jsonLines
  }

  /// The name for messages.
  public let name: String
  public let form: Form
  private let bytes: Bytes
  /// Where the next line begins.
  private var position = 0
  private var line = 0

  /// Opens a file whose name shows its form.
  public init(path: String) throws(FormatError) {
    let form: Form
    if path.hasSuffix(".txt") {
      form = .plain
    } else if path.hasSuffix(".jsonl") {
      form = .jsonLines
    } else {
      throw FormatError(
        .input, "the form of the texts is not known", file: path, expected: "a name that ends in .txt or .jsonl")
    }
    try self.init(try MappedFile.open(path), name: path, form: form)
  }

  /// Texts in memory, as those of standard input.
  ///
  /// - Parameter name: for messages
  public init(_ bytes: Bytes, name: String, form: Form) throws(FormatError) {
    self.bytes = bytes
    self.name = name
    self.form = form
    let head = bytes.slice(0, min(3, bytes.count))?.array() ?? []
    if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) {
      throw FormatError(
        .input, "the texts are UTF-16", file: name, offset: 0, expected: "UTF-8", advice: "Save the file as UTF-8.")
    }
    if head == [0xEF, 0xBB, 0xBF] { position = 3 }
  }

  /// Bytes that were read so far, and how many there are.
  public var progress: (done: Int, total: Int) { (position, bytes.count) }

  /// The next text; `nil` at the end.
  public mutating func next() throws(FormatError) -> InputText? {
    while let range = nextLine() {
      switch form {
      case .plain: return InputText(try text(range), line: line)
      case .jsonLines:
        // A blank line is no text: files often end with one.
        if let item = try object(range) { return item }
      }
    }
    try bytes.checkIntact()
    return nil
  }

  /// The bytes of the next line, without its end.
  private mutating func nextLine() -> Range<Int>? {
    guard position < bytes.count else { return nil }
    let start = position
    let end = bytes.withSpan { span in
      var index = start
      while index < span.byteCount, span.byte(at: index) != 0x0A { index += 1 }
      return index
    }
    position = end + 1
    line += 1
    return start..<(end > start && bytes.byte(at: end - 1) == 0x0D ? end - 1 : end)
  }

  private func array(_ range: Range<Int>) -> [UInt8] { bytes.slice(range.lowerBound, range.count)?.array() ?? [] }

  private func text(_ range: Range<Int>) throws(FormatError) -> String {
    let array = array(range)
    guard let text = String(validating: array, as: UTF8.self) else { throw notUTF8(array, range.lowerBound) }
    return text
  }

  private func notUTF8(_ array: [UInt8], _ start: Int) -> FormatError {
    let offset = TokenizerDefinition.invalidUTF8(array) ?? 0
    return FormatError(
      .input, "line \(line): the text is not UTF-8", file: name, offset: UInt64(start + offset),
      found: hexadecimal(array[offset...].prefix(4)), advice: "Save the file as UTF-8.")
  }

  /// The text and pair of a JSON object; `nil` for a blank line.
  private func object(_ range: Range<Int>) throws(FormatError) -> InputText? {
    let array = array(range)
    if array.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return nil }
    if TokenizerDefinition.invalidUTF8(array) != nil { throw notUTF8(array, range.lowerBound) }
    do throws(FormatError) {
      var scanner = JSONScanner(array, file: nil)
      var values: [String: String] = [:]
      try scanner.members { (scanner, slice) throws(FormatError) in
        let key = Self.text(slice, scanner)
        guard Self.keys.contains(where: { $0.utf8.elementsEqual(key.utf8) }) else {
          try scanner.skip()
          return
        }
        guard values[key] == nil else { throw FormatError(.input, "the key '\(key)' appears twice") }
        if try scanner.isNull() { return }
        guard scanner.peek() == UInt8(ascii: "\"") else {
          throw FormatError(.input, "'\(key)' is no text", expected: "a string")
        }
        values[key] = Self.text(try scanner.string(), scanner)
      }
      try scanner.finish()
      guard let text = values["text"] else {
        throw FormatError(.input, "there is no 'text'", expected: "{\"text\": \"…\"}")
      }
      return InputText(text, pair: values["text_pair"], line: line)
    } catch {
      var error = error
      error.problem = "line \(line): \(error.problem)"
      error.offset = UInt64(range.lowerBound) + (error.offset ?? 0)
      throw error.inFile(name)
    }
  }

  private static let keys = ["text", "text_pair"]

  /// However many combining marks it has in a row: a text is not compared.
  private static func text(_ slice: JSONScanner.Slice, _ scanner: JSONScanner) -> String {
    scanner.withBytes(slice) { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) }
  }
}
