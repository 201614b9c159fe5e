import TensorIO

/// What one thread needs to make tokens of texts; its memory is used again from text to text.
struct Worker: Sendable {
  private var rewriter = Rewriter()
  private var patterns = PatternScratch()
  private var scratch = ModelScratch()
  private var cache = WordCache()
  private var modelTokens: [ModelToken] = []
  /// The tokens of the text that was encoded last, and what those print that print no entry of the vocabulary.
  private(set) var tokens: [Encoding.Token] = []
  private(set) var surfaces: [Int: String] = [:]

  /// The vocabulary under a reference of this worker's own: threads that count the references of one object wait for each
  /// other.
  private(set) var reference: VocabularyReference?

  /// Encodes a text into ``tokens``, without special tokens.
  mutating func encode(_ text: Span<UInt8>, with stages: Stages, wantsOffsets: Bool) throws(FormatError) {
    tokens.removeAll(keepingCapacity: true)
    surfaces.removeAll(keepingCapacity: true)
    if reference == nil { reference = VocabularyReference(stages.vocabulary) }
    rewriter.load(text)
    let added = stages.vocabulary.added
    rewriter.withPieces { added.split(&$0, with: added.plain, scratch: &patterns) }
    stages.normalizers.apply(to: &rewriter, scratch: &patterns)
    rewriter.withPieces { added.split(&$0, with: added.normalized, scratch: &patterns) }
    stages.preTokenizers.apply(to: &rewriter, scratch: &patterns)
    try tokenize(stages)
    if wantsOffsets {
      setOffsets(text)
      for trim in stages.trims { self.trim(trim, stages) }
    }
  }

  /// Makes tokens of all pieces; their offsets are bytes of the buffer until ``setOffsets(_:)``.
  private mutating func tokenize(_ stages: Stages) throws(FormatError) {
    let model = stages.vocabulary.model
    let surfaceID = model.surfaceID ?? -1
    // The buffer shares its storage with this copy, which is gone before it changes again.
    let source = rewriter.source
    for (index, piece) in source.pieces.enumerated() {
      let word = Int32(truncatingIfNeeded: index)
      guard piece.isText else {
        addAdded(piece, word, stages)
        continue
      }
      let start = UInt32(truncatingIfNeeded: piece.start)
      let bytes = source.bytes.span.extracting(piece.range)
      let hash = WordCache.hash(bytes)
      if let known = cache.find(bytes, hash: hash) {
        for position in known { append(cache.tokens[position], start, word) }
      } else {
        modelTokens.removeAll(keepingCapacity: true)
        try model.tokenize(bytes, scratch: &scratch, into: &modelTokens)
        for token in modelTokens { append(token, start, word) }
        cache.insert(bytes, hash: hash, modelTokens[...])
      }
      if surfaceID >= 0 { addSurfaces(of: word, surfaceID, stages) }
    }
  }

  @inline(__always)
  private mutating func append(_ token: ModelToken, _ start: UInt32, _ word: Int32) {
    tokens.append(
      Encoding.Token(
        id: token.id, start: start &+ UInt32(truncatingIfNeeded: token.start),
        end: start &+ UInt32(truncatingIfNeeded: token.end), word: word))
  }

  private mutating func addAdded(_ piece: Piece, _ word: Int32, _ stages: Stages) {
    let content = stages.vocabulary.added.byID[piece.token]?.content ?? []
    if !rewriter.source.bytes[piece.range].elementsEqual(content) {
      surfaces[tokens.count] = String(decoding: rewriter.source.bytes[piece.range], as: UTF8.self)
    }
    tokens.append(
      Encoding.Token(
        id: piece.token, start: UInt32(truncatingIfNeeded: piece.start), end: UInt32(truncatingIfNeeded: piece.end),
        word: word))
  }

  /// Notes what the unknown tokens of the last word cover.
  private mutating func addSurfaces(of word: Int32, _ surfaceID: Int32, _ stages: Stages) {
    var index = tokens.count - 1
    while index >= 0, tokens[index].word == word {
      if tokens[index].id == surfaceID {
        let (start, end) = (Int(tokens[index].start), Int(tokens[index].end))
        surfaces[index] = String(decoding: rewriter.source.bytes[start..<max(start, end)], as: UTF8.self)
      }
      index -= 1
    }
  }

  // MARK: Offsets

  /// Turns bytes of the buffer into code points of the text as given.
  private mutating func setOffsets(_ text: Span<UInt8>) {
    let source = rewriter.source
    if source.isIdentity {
      if !source.isASCII { setIdentityOffsets() }
      return
    }
    let count = source.alignments.count
    for index in tokens.indices {
      let (start, end) = (Int(tokens[index].start), Int(tokens[index].end))
      guard start < end, end <= count else { continue }
      tokens[index].start = source.alignments[start].start
      tokens[index].end = source.alignments[end - 1].end
    }
  }

  /// Where every byte stands where it stood: counts the code points before each token, from one to the next.
  private mutating func setIdentityOffsets() {
    let source = rewriter.source
    let bytes = source.bytes.span
    var position = 0
    // Code points that begin before `position`.
    var count: UInt32 = 0
    for index in tokens.indices {
      let (start, end) = (Int(tokens[index].start), min(Int(tokens[index].end), bytes.count))
      if start < position {
        position = 0
        count = 0
      }
      while position < start {
        if bytes[position] & 0xC0 != 0x80 { count += 1 }
        position += 1
      }
      // Inside of a code point, that code point counts.
      let isInside = position < bytes.count && bytes[position] & 0xC0 == 0x80
      tokens[index].start = isInside ? count - 1 : count
      while position < end {
        if bytes[position] & 0xC0 != 0x80 { count += 1 }
        position += 1
      }
      tokens[index].end = count
    }
  }

  // MARK: Trimming

  /// Leaves the spaces out with which tokens begin and end (`process_offsets` of `tokenizers`).
  private mutating func trim(_ trim: PostProcessors.Trim, _ stages: Stages) {
    for index in tokens.indices {
      var spaces = stages.spaces(of: tokens[index].id)
      if let surface = surfaces[index] { spaces = Spaces(surface) }
      guard spaces.leading > 0 || spaces.trailing > 0 else { continue }
      var (start, end) = (tokens[index].start, tokens[index].end)
      if spaces.leading > 0 {
        // The one in front of the text was put there.
        let isOurs = (index == 0 || start == 0) && trim.addPrefixSpace && spaces.leading == 1
        start = min(start + (isOurs ? 0 : spaces.leading), end)
      }
      if spaces.trailing > 0, end >= spaces.trailing { end = max(end - spaces.trailing, start) }
      tokens[index].start = start
      tokens[index].end = end
    }
  }
}

/// The spaces that the text of a token begins and ends with, `Ġ` counting as one.
struct Spaces: Sendable, Equatable {
  var leading: UInt32 = 0
  var trailing: UInt32 = 0

  init() {}

  init(_ text: String) {
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.value == 0x120 || CodePointKind(of: scalar.value).has(.whitespace)
    }
    leading = UInt32(clamping: text.unicodeScalars.prefix(while: isSpace).count)
    trailing = UInt32(clamping: text.unicodeScalars.reversed().prefix(while: isSpace).count)
  }
}

/// The stages of a tokenizer, ready for use.
final class Stages: Sendable {
  let normalizers: Normalizers
  let preTokenizers: PreTokenizers
  let vocabulary: Vocabulary
  let postProcessors: PostProcessors
  /// By id, where offsets are trimmed.
  private let spaces: [Spaces]

  var trims: [PostProcessors.Trim] { postProcessors.trims }

  init(_ definition: TokenizerDefinition) throws(FormatError) {
    normalizers = try Normalizers(definition.normalizer)
    var readsBytes = false
    if case .bpe = definition.model { readsBytes = true }
    preTokenizers = try PreTokenizers(definition.preTokenizer, modelReadsBytes: readsBytes)
    let model = try definition.model.makeModel(overBytes: preTokenizers.leavesBytes)
    let added = try AddedTokens(definition.addedTokens, model: model, normalizers: normalizers)
    let vocabulary = Vocabulary(model: model, added: added)
    self.vocabulary = vocabulary
    postProcessors = try PostProcessors(definition.postProcessor, vocabulary)
    let count = (added.byID.keys.max().map { Int($0) + 1 } ?? 0)
    spaces =
      postProcessors.trims.isEmpty
      ? [] : (0..<max(count, model.count)).map { Spaces(vocabulary.text(of: Int32($0)) ?? "") }
  }

  @inline(__always)
  func spaces(of id: Int32) -> Spaces {
    let index = Int(id)
    return index >= 0 && index < spaces.count ? spaces[index] : Spaces()
  }
}
