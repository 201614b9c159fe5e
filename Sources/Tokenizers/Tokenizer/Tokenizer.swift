import TensorIO

/// Makes tokens of texts, and texts of tokens, exactly as Hugging Face's `tokenizers` does with the same `tokenizer.json`.
///
/// A tokenizer may be used by several threads at once.
public final class Tokenizer: Sendable {
  public let definition: TokenizerDefinition
  let stages: Stages
  private let decoders: Decoders
  /// Workers that have nothing to do.
  private let workers = Lock<[Worker]>([])

  /// How a text is encoded.
  public struct Options: Sendable, Equatable {
    /// Whether the post-processor puts in its special tokens.
    public var addSpecialTokens: Bool
    /// The most tokens of a text or pair, special ones included; what is too much is cut off at the end. `nil`: nothing is
    /// cut, whatever the definition asks for.
    public var maxLength: Int?
    /// Which text of a pair is cut.
    public var strategy: TokenizerDefinition.Truncation.Strategy

    public init(
      addSpecialTokens: Bool = true, maxLength: Int? = nil,
      strategy: TokenizerDefinition.Truncation.Strategy = .longestFirst
    ) {
      self.addSpecialTokens = addSpecialTokens
      self.maxLength = maxLength
      self.strategy = strategy
    }
  }

  /// - Throws: a ``FormatError`` that names what cannot be computed
  public init(_ definition: TokenizerDefinition) throws(FormatError) {
    self.definition = definition
    stages = try Stages(definition)
    decoders = try Decoders(definition.decoder)
  }

  // MARK: The vocabulary

  /// The tokens of the model and those that were added: one more than the largest id.
  public var vocabularySize: Int {
    max(stages.vocabulary.model.count, (stages.vocabulary.added.byID.keys.max().map { Int($0) + 1 }) ?? 0)
  }

  /// The id of a token; `nil` where there is none.
  public func id(of token: String) -> Int32? {
    let bytes = Array(token.utf8)
    return stages.vocabulary.added.idsByContent[bytes] ?? stages.vocabulary.model.id(of: bytes.span)
  }

  /// The token of an id, as the vocabulary has it; `nil` where there is none.
  public func token(of id: Int32) -> String? { stages.vocabulary.text(of: id) }

  /// Whether an added token is special: decoding can leave it out.
  public func isSpecial(_ id: Int32) -> Bool { stages.vocabulary.added.isSpecial(id) }

  /// How many special tokens the post-processor puts in.
  public func specialTokenCount(isPair: Bool) -> Int { stages.postProcessors.addedCount(isPair: isPair) }

  // MARK: Encoding

  /// Encodes a text, or a pair of texts.
  ///
  /// - Throws: a ``FormatError`` where `maxLength` leaves no room for the special tokens, or where the model has no token
  ///   for what it does not know
  public func encode(
    _ text: String, pair: String? = nil, options: Options = Options()
  ) throws(FormatError) -> Encoding {
    var worker = takeWorker()
    defer { putBack(worker) }
    return try encode(text, pair, options, &worker)
  }

  /// The ids of a text with the special tokens of the post-processor, and nothing else.
  public func ids(of text: String, addSpecialTokens: Bool = true) throws(FormatError) -> [Int32] {
    var worker = takeWorker()
    defer { putBack(worker) }
    try worker.encode(text.utf8Span.span, with: stages, wantsOffsets: false)
    let tokens = worker.tokens
    guard addSpecialTokens else { return tokens.map(\.id) }
    var ids: [Int32] = []
    ids.reserveCapacity(tokens.count + 2)
    for piece in stages.postProcessors.single {
      switch piece {
      case .sequence: for token in tokens { ids.append(token.id) }
      case .special(let id, _, _): ids.append(id)
      }
    }
    return ids
  }

  /// Encodes texts, or pairs of texts, on several threads; the result is in their order.
  ///
  /// - Parameters:
  ///   - pairs: the second texts, as many as `texts`; `nil` where there are none
  ///   - threads: at most this many at once
  public func encode(
    _ texts: [String], pairs: [String]? = nil, options: Options = Options(), threads: Int = 1
  ) throws(FormatError) -> [Encoding] {
    if let pairs, pairs.count != texts.count {
      throw FormatError(
        .input, "there are not as many second texts as first ones", found: "\(pairs.count)", expected: "\(texts.count)")
    }
    let chunks = Self.chunks(texts, pairs)
    let results = Lock<[Result<[Encoding], FormatError>?]>(Array(repeating: nil, count: chunks.count))
    let next = Lock<Int>(0)
    Processors.forEach(max(1, min(threads, chunks.count))) { _ in
      var worker = takeWorker()
      while true {
        let number = next.withLock { (next: inout Int) -> Int in
          next += 1
          return next - 1
        }
        guard number < chunks.count else { break }
        let result = encode(chunks[number], texts, pairs, options, &worker)
        results.withLock { $0[number] = result }
      }
      putBack(worker)
    }
    var encodings: [Encoding] = []
    encodings.reserveCapacity(texts.count)
    for result in results.withLock({ $0 }) {
      switch result {
      case .success(let part): encodings += part
      case .failure(let error): throw error
      case nil: break
      }
    }
    return encodings
  }

  /// Ranges of texts of some size, which a thread encodes in one go.
  private static func chunks(_ texts: [String], _ pairs: [String]?) -> [Range<Int>] {
    var chunks: [Range<Int>] = []
    var start = 0
    var size = 0
    for index in texts.indices {
      size += texts[index].utf8.count + (pairs?[index].utf8.count ?? 0) + 50
      if size >= 64 << 10 {
        chunks.append(start..<(index + 1))
        start = index + 1
        size = 0
      }
    }
    if start < texts.count { chunks.append(start..<texts.count) }
    return chunks
  }

  private func encode(
    _ range: Range<Int>, _ texts: [String], _ pairs: [String]?, _ options: Options, _ worker: inout Worker
  ) -> Result<[Encoding], FormatError> {
    var encodings: [Encoding] = []
    encodings.reserveCapacity(range.count)
    for index in range {
      do throws(FormatError) {
        encodings.append(try encode(texts[index], pairs?[index], options, &worker))
      } catch {
        return .failure(error)
      }
    }
    return .success(encodings)
  }

  private func encode(
    _ text: String, _ pair: String?, _ options: Options, _ worker: inout Worker
  ) throws(FormatError) -> Encoding {
    let first = try tokens(of: text, &worker)
    let second: Part?
    if let pair { second = try tokens(of: pair, &worker) } else { second = nil }
    var counts = (first.tokens.count, second?.tokens.count ?? 0)
    if let maxLength = options.maxLength {
      let added = options.addSpecialTokens ? specialTokenCount(isPair: pair != nil) : 0
      guard maxLength >= added else {
        throw FormatError(
          .input, "the maximum length leaves no room for the special tokens", found: "\(maxLength)",
          expected: "at least \(added)")
      }
      counts = try Self.truncated(counts, to: maxLength - added, options.strategy, isPair: pair != nil)
    }
    return assemble(
      first, 0..<counts.0, second, 0..<counts.1, addSpecialTokens: options.addSpecialTokens)
  }

  /// The tokens of one text, and what some of them print.
  private struct Part {
    var tokens: [Encoding.Token]
    var surfaces: [Int: String]
    var vocabulary: VocabularyReference
  }

  private func tokens(of text: String, _ worker: inout Worker) throws(FormatError) -> Part {
    try worker.encode(text.utf8Span.span, with: stages, wantsOffsets: true)
    return Part(
      tokens: worker.tokens, surfaces: worker.surfaces,
      vocabulary: worker.reference ?? VocabularyReference(stages.vocabulary))
  }

  /// How many tokens are left of each text (`tokenizers/src/utils/truncation.rs`).
  static func truncated(
    _ counts: (Int, Int), to length: Int, _ strategy: TokenizerDefinition.Truncation.Strategy, isPair: Bool
  ) throws(FormatError) -> (Int, Int) {
    guard length > 0 else { return (0, 0) }
    let total = counts.0 + counts.1
    guard total > length else { return counts }
    let excess = total - length
    switch strategy {
    case .longestFirst:
      guard isPair else { return (length, 0) }
      let isSwapped = counts.0 > counts.1
      var shorter = min(counts.0, counts.1)
      var longer = shorter > length ? shorter : max(shorter, length - shorter)
      if shorter + longer > length {
        shorter = length / 2
        longer = shorter + length % 2
      }
      return isSwapped ? (longer, shorter) : (shorter, longer)
    case .onlyFirst, .onlySecond:
      let isFirst = strategy == .onlyFirst
      let count = isFirst ? counts.0 : counts.1
      guard count > excess else {
        throw FormatError(
          .input, "the \(isFirst ? "first" : "second") text is too short to be cut by \(counted(excess, "token"))",
          found: counted(count, "token"))
      }
      return isFirst ? (count - excess, counts.1) : (counts.0, count - excess)
    }
  }

  /// Puts the special tokens of the post-processor around parts of texts that were encoded without them.
  ///
  /// - Parameters:
  ///   - first: a text, encoded with `addSpecialTokens: false`
  ///   - range: its tokens that count
  ///   - second: the other text of a pair, encoded likewise
  ///   - secondRange: its tokens that count
  public func addSpecialTokens(
    to first: Encoding, _ range: Range<Int>, second: Encoding? = nil, _ secondRange: Range<Int> = 0..<0
  ) -> Encoding {
    assemble(
      Part(tokens: first.tokens, surfaces: first.surfaces, vocabulary: first.vocabulary),
      range.clamped(to: 0..<first.count),
      second.map { Part(tokens: $0.tokens, surfaces: $0.surfaces, vocabulary: $0.vocabulary) },
      secondRange.clamped(to: 0..<(second?.count ?? 0)), addSpecialTokens: true)
  }

  private func assemble(
    _ first: Part, _ range: Range<Int>, _ second: Part?, _ secondRange: Range<Int>, addSpecialTokens: Bool
  ) -> Encoding {
    var encoding = Encoding(vocabulary: first.vocabulary)
    let pieces = second == nil ? stages.postProcessors.single : stages.postProcessors.pair
    encoding.tokens.reserveCapacity(range.count + secondRange.count + pieces.count)
    for piece in pieces {
      switch piece {
      case .sequence(0, let typeID): append(first, range, 0, typeID, to: &encoding)
      case .sequence(_, let typeID):
        if let second { append(second, secondRange, 1, typeID, to: &encoding) }
      case .special(let id, let text, let typeID):
        guard addSpecialTokens else { continue }
        if let text { encoding.surfaces[encoding.tokens.count] = text }
        encoding.tokens.append(
          Encoding.Token(id: id, start: 0, end: 0, word: -1, typeID: typeID, sequence: -1, isSpecial: true))
      }
    }
    encoding.removedCount = first.tokens.count - range.count + (second?.tokens.count ?? 0) - secondRange.count
    return encoding
  }

  private func append(
    _ part: Part, _ range: Range<Int>, _ sequence: Int8, _ typeID: UInt16, to encoding: inout Encoding
  ) {
    let start = encoding.tokens.count
    encoding.tokens.append(contentsOf: part.tokens[range])
    if typeID != 0 || sequence != 0 {
      for index in start..<encoding.tokens.count {
        encoding.tokens[index].typeID = typeID
        encoding.tokens[index].sequence = sequence
      }
    }
    guard !part.surfaces.isEmpty else { return }
    for (index, text) in part.surfaces where range.contains(index) {
      encoding.surfaces[start + index - range.lowerBound] = text
    }
  }

  // MARK: Decoding

  /// The text of ids; ids without a token are left out.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = true) -> String {
    var tokens: [[UInt8]] = []
    for id in ids {
      guard let text = stages.vocabulary.text(of: id) else { continue }
      let bytes = Array(text.utf8)
      if skipSpecialTokens, stages.vocabulary.added.specialContents.contains(bytes) { continue }
      tokens.append(bytes)
    }
    return decoders.decode(tokens)
  }

  // MARK: Workers

  private func takeWorker() -> Worker {
    workers.withLock { $0.popLast() } ?? Worker()
  }

  private func putBack(_ worker: Worker) {
    workers.withLock { if $0.count < 64 { $0.append(worker) } }
  }
}
