import CLibYAML
import TensorIO

/// Makes values of the events that libyaml finds in a text: the only code that uses the library.
///
/// A scalar stays the text that it is, plain or quoted; the table's parser decides what a number or a word means.
/// The text must outlive the reader.
@safe final class YAMLReader {
  // Memory safety: the parser lives from `init` to `deinit`, and the text as long, which who calls `init` promises. What an
  // event points to is copied before the event is deleted, and a text that may be missing is looked for. libyaml ends its
  // texts with a NUL and gives a scalar's length.

  /// Values of a table, aliases counted each time: nested aliases multiply.
  private static let maxCount = 200_000
  private static let maxDepth = 64
  /// A tab, and what joins and parts letters in some scripts.
  private static let allowedScalars: Set<Unicode.Scalar> = ["\t", "\u{200C}", "\u{200D}"]

  /// It points to itself, so it must not move.
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let text: UnsafeBufferPointer<UInt8>
  private let file: String?
  private var anchors: [String: (value: YAMLValue, count: Int)] = [:]
  private var count = 0

  /// `text` is not empty.
  @unsafe init(_ text: UnsafeBufferPointer<UInt8>, file: String?) throws(FormatError) {
    self.file = file
    unsafe self.text = text
    unsafe parser = .allocate(capacity: 1)
    // Where it fails it has freed what it had, and may be deleted all the same.
    guard unsafe yaml_parser_initialize(parser) == 1 else {
      throw FormatError(.system, "there is not enough memory to read the table", file: file)
    }
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    unsafe yaml_parser_set_input_string(parser, text.baseAddress, text.count)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
  }

  /// The one document of the text.
  func document() throws(FormatError) -> YAMLValue {
    _ = try next()  // the start of the stream
    guard case .start = try next().kind else { throw FormatError(.table, "the table is empty", file: file) }
    let value = try value(from: try next(), depth: 0)
    _ = try next()  // the end of the document
    let end = try next()
    guard case .streamEnd = end.kind else { throw error(end.line, "a second document, where one table is expected") }
    return value
  }

  // MARK: Values

  private func value(from event: Event, depth: Int) throws(FormatError) -> YAMLValue {
    guard depth < Self.maxDepth else {
      throw error(event.line, "the table is nested more than \(Self.maxDepth) levels deep")
    }
    let before = count
    try add(1)
    let content: YAMLValue.Content
    switch event.kind {
    case .scalar(let text, let isPlain):
      guard Self.isSeen(text) else {
        throw error(event.line, "a text with a control character or an invisible one: '\(printable(text))'")
      }
      content = .scalar(text, isPlain: isPlain)
    case .sequenceStart: content = .list(try items(depth: depth + 1))
    case .mappingStart: content = .map(try members(depth: depth + 1))
    case .alias(let name):
      guard let (value, size) = anchors[name] else {
        throw error(event.line, "the alias '\(name)' precedes its anchor, or has none")
      }
      try add(size - 1)
      return value
    case .start, .end, .streamEnd: throw error(event.line, "not valid YAML: a value is missing")
    }
    let value = YAMLValue(content: content, line: event.line, file: file)
    if let anchor = event.anchor { anchors[anchor] = (value, count - before) }
    return value
  }

  /// Whether nothing of a text is hidden: names, descriptions and reasons are printed as they are.
  private static func isSeen(_ text: String) -> Bool {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return true }
    let seen = text.unicodeScalars.filter { !allowedScalars.contains($0) }
    return printable(String(String.UnicodeScalarView(seen)), keepingNewlines: true).unicodeScalars.elementsEqual(seen)
  }

  private func items(depth: Int) throws(FormatError) -> [YAMLValue] {
    var items: [YAMLValue] = []
    while true {
      let event = try next()
      if case .end = event.kind { return items }
      items.append(try value(from: event, depth: depth))
    }
  }

  private func members(depth: Int) throws(FormatError) -> [(key: String, value: YAMLValue)] {
    var members: [(key: String, value: YAMLValue)] = []
    var keys: Set<String> = []
    while true {
      let event = try next()
      if case .end = event.kind { return members }
      guard case .scalar(let key, _) = try value(from: event, depth: depth).content else {
        throw error(event.line, "a key that is not a word")
      }
      guard keys.insert(key).inserted else { throw error(event.line, "the key '\(key)' is there twice") }
      members.append((key, try value(from: try next(), depth: depth)))
    }
  }

  private func add(_ more: Int) throws(FormatError) {
    count += more
    guard count < Self.maxCount else {
      throw FormatError(.limit, "the table has more than \(grouped(Self.maxCount)) values", file: file)
    }
  }

  // MARK: Events

  private struct Event {
    enum Kind {
      /// Of the document, or of the whole stream.
      case start
      case scalar(String, isPlain: Bool)
      case alias(String)
      case sequenceStart
      case mappingStart
      /// Of a sequence, a mapping or the document.
      case end
      case streamEnd
    }

    let kind: Kind
    let anchor: String?
    let line: Int
  }

  private func next() throws(FormatError) -> Event {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw problem() }
    defer { unsafe yaml_event_delete(&event) }
    let line = unsafe event.start_mark.line + 1
    var anchor: UnsafeMutablePointer<yaml_char_t>?
    let kind: Event.Kind
    switch unsafe event.type {
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      unsafe anchor = scalar.anchor
      kind = .scalar(
        unsafe String(decodingFileText: bytes), isPlain: unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE)
    case YAML_ALIAS_EVENT: kind = .alias(unsafe Self.string(event.data.alias.anchor) ?? "")
    case YAML_SEQUENCE_START_EVENT:
      unsafe anchor = event.data.sequence_start.anchor
      kind = .sequenceStart
    case YAML_MAPPING_START_EVENT:
      unsafe anchor = event.data.mapping_start.anchor
      kind = .mappingStart
    case YAML_STREAM_END_EVENT: kind = .streamEnd
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT, YAML_DOCUMENT_END_EVENT: kind = .end
    default: kind = .start
    }
    return Event(kind: kind, anchor: unsafe Self.string(anchor), line: line)
  }

  @unsafe private static func string(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    unsafe pointer.map { unsafe String(cString: $0).withoutExcessMarks }
  }

  // MARK: Errors

  private func error(_ line: Int, _ problem: String) -> FormatError {
    FormatError(.table, "line \(line): \(problem)", file: file)
  }

  /// The message of libyaml, with the line that it is about.
  private func problem() -> FormatError {
    let parser = unsafe self.parser.pointee
    let what = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "no memory to read it"
    guard unsafe parser.error != YAML_READER_ERROR else {
      return FormatError(.table, "not valid YAML: \(what)", file: file, offset: UInt64(unsafe parser.problem_offset))
    }
    let line = unsafe parser.problem_mark.line
    var problem = "not valid YAML: \(what)"
    if let context = unsafe parser.context {
      problem += unsafe " \(String(cString: context)) in line \(parser.context_mark.line + 1)"
    }
    let lines = unsafe text.split(separator: UInt8(ascii: "\n"), maxSplits: line + 1, omittingEmptySubsequences: false)
    let found = unsafe line < lines.count ? String(decoding: lines[line], as: UTF8.self).prefix(100) : ""
    let location = unsafe "column \(parser.problem_mark.column + 1) of '\(found)'"
    return FormatError(.table, "line \(line + 1): \(problem)", file: file, found: location)
  }
}

extension ModelFamily {
  /// The library that reads tables, as found at run time.
  // Memory safety: a constant of the library.
  package static var libraryVersion: String { "libyaml \(unsafe String(cString: yaml_get_version_string()))" }
}
