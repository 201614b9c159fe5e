import TensorIO

/// A file of items, read as it is needed: lines of text, `.jsonl`, or `.csv` and `.tsv` with a header.
///
/// Text is UTF-8; a byte order mark at the beginning is left out. An error names the file and the line, or the byte where the
/// text is not UTF-8.
public final class InputFile {
  /// How a file is read.
  public enum Form: Sendable, Equatable {
    /// A text a line; an empty line is an empty text.
    case lines
    /// An object a line, with `text`, `text_pair`, `question`, `context`, `choices`; other keys are not read.
    case json
    /// Records with a header, fields separated by this byte (RFC 4180).
    case table(separator: UInt8)
  }

  public let form: Form
  /// Bytes of the file; `nil` where that is not known.
  public var size: Int? { stream.size }
  /// Bytes that are read so far.
  public var position: Int { stream.position }

  private let stream: ByteStream
  private let lines: LineReader
  private let column: String?
  private var records: RecordReader?

  /// - Parameters:
  ///   - path: a file, or `-` for lines of text from standard input
  ///   - column: the column of a table, or the key of an object, that has the text; `text` when absent
  public init(_ path: String, column: String? = nil) throws(FormatError) {
    form = try Self.form(of: path)
    if column != nil, form == .lines {
      throw FormatError(
        .input, "a column is named, and lines of text have none", file: path, found: column,
        expected: "a .csv, .tsv or .jsonl file")
    }
    stream = try ByteStream(path)
    lines = LineReader(stream)
    self.column = column
    if case .table(let separator) = form {
      records = try RecordReader(lines, separator: separator, column: column ?? "text")
    }
  }

  private static func form(of path: String) throws(FormatError) -> Form {
    let name = path.lowercased()
    if name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson") { return .json }
    if name.hasSuffix(".csv") { return .table(separator: UInt8(ascii: ",")) }
    if name.hasSuffix(".tsv") { return .table(separator: 0x09) }
    for suffix in [".json", ".gz", ".zip", ".xlsx", ".parquet", ".npz", ".npy", ".pdf", ".docx"]
    where name.hasSuffix(suffix) {
      throw FormatError(
        .unsupported, "texts are not read from \(suffix) files", file: path, expected: ".txt, .jsonl, .csv or .tsv")
    }
    return .lines
  }

  /// The next item; `nil` at the end.
  public func next() throws(FormatError) -> PredictionItem? {
    if records != nil { return try records?.next() }
    guard let line = try lines.next() else { return nil }
    if form == .lines {
      return PredictionItem(try line.text(file: stream.name), line: line.number, file: stream.name)
    }
    return try item(line)
  }

  // MARK: Objects

  private func item(_ line: LineReader.Line) throws(FormatError) -> PredictionItem? {
    _ = try line.text(file: stream.name)
    // An empty line at the end, or between objects, is no object.
    guard line.bytes.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D }) else { return try next() }
    let object: JSON
    do throws(FormatError) {
      object = try JSON.parseTexts(line.bytes, file: stream.name, at: UInt64(line.offset))
    } catch {
      var located = error
      located.problem = "line \(line.number): \(error.problem)"
      throw located
    }
    func error(_ problem: String, found: String? = nil, expected: String? = nil) -> FormatError {
      FormatError(
        .input, "line \(line.number): \(problem)", file: stream.name, found: found, expected: expected)
    }
    guard let members = object.members else {
      throw error("not an object", found: withoutMiddle(object.text()), expected: "{\"text\": …}")
    }
    func string(_ key: String) throws(FormatError) -> String? {
      guard let value = object[key], value != .null else { return nil }
      guard let text = value.stringValue else {
        throw error("'\(key)' is not a text", found: String(value.text().prefix(60)), expected: "a string")
      }
      return text
    }
    let textKeys = column.map { [$0] } ?? ["text", "context"]
    var text: String?
    for key in textKeys where text == nil { text = try string(key) }
    guard let text else {
      let keys = members.prefix(8).map { "'\($0.key)'" }.joined(separator: ", ")
      throw error("no '\(textKeys[0])'", found: keys.isEmpty ? "no keys" : keys, expected: "'\(textKeys[0])'")
    }
    var choices: [String] = []
    if let value = object["choices"], value != .null {
      for element in value.elements ?? [.null] {
        guard let choice = element.stringValue else {
          throw error("'choices' is not a list of texts", found: String(value.text().prefix(60)))
        }
        choices.append(choice)
      }
    }
    return PredictionItem(
      text, pair: try string("text_pair"), question: try string("question"), choices: choices, line: line.number,
      file: stream.name)
  }
}

// MARK: Tables

/// The records of a table (RFC 4180): fields in quotes may have separators, newlines and doubled quotes in them.
private final class RecordReader {
  private let lines: LineReader
  private let separator: UInt8
  private var header: [String] = []
  /// The columns of what an item has.
  private var text = 0
  private var pair: Int?
  private var question: Int?

  init(_ lines: LineReader, separator: UInt8, column: String) throws(FormatError) {
    self.lines = lines
    self.separator = separator
    let file = lines.stream.name
    guard let header = try record() else {
      throw FormatError(.damaged, "the table has no header", file: file, expected: "the names of the columns")
    }
    self.header = header.fields
    func find(_ names: [String]) -> Int? {
      for name in names {
        if let index = header.fields.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) { return index }
      }
      return nil
    }
    guard let index = find(column == "text" ? ["text", "context"] : [column]) else {
      throw FormatError(
        .input, "the table has no column '\(column)'", file: file,
        found: header.fields.prefix(20).map { "'\($0)'" }.joined(separator: ", "),
        advice: "Name the column that has the texts.")
    }
    text = index
    pair = find(["text_pair"])
    question = find(["question"])
  }

  func next() throws(FormatError) -> PredictionItem? {
    guard let (fields, number) = try record() else { return nil }
    guard fields.count == header.count else {
      throw FormatError(
        .damaged, "line \(number): the row does not have the fields of the header", file: lines.stream.name,
        found: counted(fields.count, "field"), expected: "\(header.count)",
        advice: "Fields with separators or newlines in them need quotes.")
    }
    return PredictionItem(
      fields[text], pair: pair.flatMap { $0 == text ? nil : fields[$0] },
      question: question.flatMap { $0 == text ? nil : fields[$0] }, line: number, file: lines.stream.name)
  }

  /// The next record and the number of its first line. Empty lines are left out.
  private func record() throws(FormatError) -> (fields: [String], line: Int)? {
    var line: LineReader.Line
    repeat {
      guard let next = try lines.next() else { return nil }
      line = next
    } while line.bytes.isEmpty
    let number = line.number
    let file = lines.stream.name
    _ = try line.text(file: file)
    var fields: [String] = []
    var field: [UInt8] = []
    var bytes = line.bytes[...]
    func error(_ problem: String, _ advice: FormatError.Advice? = nil) -> FormatError {
      FormatError(.damaged, "line \(number): \(problem)", file: file, advice: advice)
    }
    func finishField() {
      fields.append(String(decoding: field, as: UTF8.self))
      field.removeAll(keepingCapacity: true)
    }
    let quote = UInt8(ascii: "\"")
    while true {
      guard bytes.first == quote else {
        // A field without quotes ends at the separator.
        let end = bytes.firstIndex(of: separator)
        field += bytes[..<(end ?? bytes.endIndex)]
        finishField()
        guard let end else { return (fields, number) }
        bytes = bytes[(end + 1)...]
        continue
      }
      bytes = bytes.dropFirst()
      while true {
        if let end = bytes.firstIndex(of: quote) {
          field += bytes[..<end]
          bytes = bytes[(end + 1)...]
          guard bytes.first == quote else { break }
          field.append(quote)
          bytes = bytes.dropFirst()
        } else {
          field += bytes
          field += line.ending
          guard field.count <= LineReader.maxLine else { throw error("a field is too long") }
          guard let next = try lines.next() else {
            throw error("a quote is not closed", "Double the quotes that are part of a field.")
          }
          line = next
          _ = try line.text(file: file)
          bytes = line.bytes[...]
        }
      }
      finishField()
      guard let first = bytes.first else { return (fields, number) }
      guard first == separator else {
        throw error("text after a quoted field", "Double the quotes that are part of a field.")
      }
      bytes = bytes.dropFirst()
    }
  }
}
