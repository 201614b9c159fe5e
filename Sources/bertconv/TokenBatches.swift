import CheckpointWriters
import TensorIO
import Tokenizers

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The texts of a command: those given, or those of a file.
struct TextSource {
  private let given: [InputText]
  private let file: TextFile?

  init(_ texts: [String], pair: String?, input: String?) throws(FormatError) {
    given = texts.map { InputText($0, pair: pair, line: 1) }
    guard let input else {
      file = nil
      return
    }
    let opened =
      input == "-"
      ? try TextFile(Bytes(StandardInput.bytes(), file: nil), name: "standard input", form: .plain)
      : try TextFile(path: input)
    // What is wrong with a line is found before anything is printed.
    var check = opened
    while try check.next() != nil {}
    file = opened
  }

  /// Calls `body` with the texts in order, until it returns false.
  func visit(_ body: (InputText, _ progress: (done: Int, total: Int)) throws -> Bool) throws {
    for item in given { guard try body(item, (0, 1)) else { return } }
    guard var file else { return }
    while let item = try file.next() { guard try body(item, file.progress) else { return } }
  }
}

enum StandardInput {
  /// All of it.
  static func bytes() -> [UInt8] {
    var bytes: [UInt8] = []
    let size = 1 << 16
    var buffer = [UInt8](repeating: 0, count: size)
    while true {
      // Memory safety: at most as many bytes are read as the buffer has.
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(0, $0.baseAddress, size) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return bytes }
      bytes += buffer[..<count]
    }
  }
}

/// Tokenizes texts in batches, so that the memory of a long file is bounded.
struct TokenBatches {
  let tokenizer: Tokenizer
  let options: Tokenizer.Options
  let threads: Int
  /// From texts to tokens, and nothing else.
  private(set) var seconds = 0.0
  private var cutTexts = 0
  private var cutTokens = 0

  /// Bytes of texts that are tokenized at once.
  private static let batchSize = 4 << 20

  init(_ tokenizer: Tokenizer, options: Tokenizer.Options, threads: Int) {
    self.tokenizer = tokenizer
    self.options = options
    self.threads = threads
  }

  /// What was cut off, in a sentence; `nil` for nothing.
  var cutText: String? {
    guard cutTexts > 0, let maxLength = options.maxLength else { return nil }
    return "\(counted(cutTexts, "text")) \(cutTexts == 1 ? "was" : "were") cut to \(grouped(maxLength)) tokens: "
      + "\(counted(cutTokens, "token")) left out"
  }

  /// Calls `body` with each text and its tokens, in order; false where `body` returned false.
  @discardableResult
  mutating func forEach(in source: TextSource, _ body: (InputText, Encoding) -> Bool) throws -> Bool {
    var batch: [InputText] = []
    var size = 0
    var goesOn = true
    try ProgressBar.during("tokenizing") { progress in
      try source.visit { item, position in
        // Pairs and single texts go separately.
        if let first = batch.first, size > Self.batchSize || (first.pair == nil) != (item.pair == nil) {
          goesOn = try encode(batch, body)
          batch.removeAll(keepingCapacity: true)
          size = 0
          progress(position.done, position.total)
        }
        batch.append(item)
        size += item.text.utf8.count + (item.pair?.utf8.count ?? 0) + 50
        return goesOn
      }
    }
    if goesOn, !batch.isEmpty { goesOn = try encode(batch, body) }
    return goesOn
  }

  private mutating func encode(_ batch: [InputText], _ body: (InputText, Encoding) -> Bool) throws -> Bool {
    let texts = batch.map(\.text)
    let pairs = batch[0].pair == nil ? nil : batch.map { $0.pair ?? "" }
    let start = Clock.now
    let encodings = try tokenizer.encode(texts, pairs: pairs, options: options, threads: threads)
    seconds += Clock.now - start
    for (item, encoding) in zip(batch, encodings) {
      if encoding.removedCount > 0 {
        cutTexts += 1
        cutTokens += encoding.removedCount
      }
      guard body(item, encoding) else { return false }
    }
    return true
  }
}

/// Rows of ids, padded to the longest.
struct PaddedRows {
  private let padding: Int32
  private var ids: [Int32] = []
  private var types: [UInt16] = []
  /// The end of each row in ``ids``.
  private var ends: [Int] = []
  private(set) var width = 0

  private let hasTokenTypes: Bool

  init(padding: Int32, hasTokenTypes: Bool) {
    self.padding = padding
    self.hasTokenTypes = hasTokenTypes
  }

  var count: Int { ends.count }
  var tokenCount: Int { ids.count }

  mutating func append(_ encoding: Encoding) {
    for token in encoding.tokens {
      ids.append(token.id)
      types.append(token.typeID)
    }
    ends.append(ids.count)
    width = max(width, encoding.count)
  }

  /// Writes `input_ids`, `attention_mask` and, where the model has them, `token_type_ids`, `[rows, width]` of 64-bit integers, as `transformers` gives
  /// them.
  func write(to sink: NpzWriter, file: String) throws {
    let infos = (["input_ids", "attention_mask"] + (hasTokenTypes ? ["token_type_ids"] : [])).map {
      TensorInfo(name: $0, elementType: .i64, shape: [count, width])
    }
    guard !infos.contains(nil) else {
      throw FormatError(
        .limit, "the rows are too many and too long for one array", file: file,
        found: shapeText([count, width]), advice: "Cut long texts with --max-length.")
    }
    try sink.begin(infos.compactMap(\.self))
    for array in infos.indices {
      var start = 0
      for end in ends {
        var row = [UInt8]()
        row.reserveCapacity(width * 8)
        for column in 0..<width {
          let index = start + column
          let value: Int64 =
            index < end
            ? (array == 0 ? Int64(ids[index]) : array == 1 ? 1 : Int64(types[index])) : array == 0 ? Int64(padding) : 0
          row += [UInt8](littleEndian: UInt64(bitPattern: value))
        }
        // Memory safety: bytes have no padding.
        try sink.append(unsafe row.span.bytes, toTensorAt: array)
        start = end
      }
    }
    try sink.finish()
  }
}

extension Tokenizer {
  /// The id that fills rows up: what the definition says, else that of the token for it, else 0.
  var paddingID: Int32 {
    if let id = definition.padding?.padID { return Int32(truncatingIfNeeded: id) }
    return ["[PAD]", "<pad>", "<PAD>", "xxpad", "_pad_"].lazy.compactMap { self.id(of: $0) }.first ?? 0
  }
}
