import TensorIO

/// The model of a tokenizer with its vocabulary, as `tokenizer.json` has it.
public enum ModelDefinition: Equatable, Sendable {
  case wordPiece(WordPieceDefinition)
  case bpe(BPEDefinition)
  case unigram(UnigramDefinition)
  case wordLevel(WordLevelDefinition)
  case sentencePiece(SentencePieceDefinition)
}

public struct WordPieceDefinition: Equatable, Sendable {
  public var vocabulary: TokenVocabulary
  public var unknownToken: String
  /// In front of tokens that continue a word.
  public var continuingSubwordPrefix: String
  /// Longer words are unknown.
  public var maxInputCharsPerWord: Int

  public init(
    vocabulary: TokenVocabulary, unknownToken: String = "[UNK]", continuingSubwordPrefix: String = "##",
    maxInputCharsPerWord: Int = 100
  ) {
    self.vocabulary = vocabulary
    self.unknownToken = unknownToken
    self.continuingSubwordPrefix = continuingSubwordPrefix
    self.maxInputCharsPerWord = maxInputCharsPerWord
  }
}

public struct BPEDefinition: Equatable, Sendable {
  public var vocabulary: TokenVocabulary
  /// Two tokens for each merge, in the order of the merges.
  public var merges: TokenList
  /// For characters that have no token; `nil`: they leave none.
  public var unknownToken: String?
  /// In front of characters that are not the first of a word; as a rule empty.
  public var continuingSubwordPrefix: String
  /// Behind the last character of a word; as a rule empty.
  public var endOfWordSuffix: String
  /// Unknown characters in a row are one token.
  public var fuseUnknown: Bool
  /// Bytes of unknown characters become `<0x00>` to `<0xFF>`.
  public var byteFallback: Bool
  /// A word that is a token stays whole, whatever the merges say.
  public var ignoreMerges: Bool

  public init(
    vocabulary: TokenVocabulary, merges: TokenList, unknownToken: String? = nil, continuingSubwordPrefix: String = "",
    endOfWordSuffix: String = "", fuseUnknown: Bool = false, byteFallback: Bool = false, ignoreMerges: Bool = false
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.unknownToken = unknownToken
    self.continuingSubwordPrefix = continuingSubwordPrefix
    self.endOfWordSuffix = endOfWordSuffix
    self.fuseUnknown = fuseUnknown
    self.byteFallback = byteFallback
    self.ignoreMerges = ignoreMerges
  }
}

public struct UnigramDefinition: Equatable, Sendable {
  /// Ids are indices.
  public var tokens: TokenList
  /// The logarithm of each token's probability.
  public var scores: [Double]
  public var unknownID: Int?
  /// Bytes of unknown characters become `<0x00>` to `<0xFF>`.
  public var byteFallback: Bool

  public init(tokens: TokenList, scores: [Double], unknownID: Int?, byteFallback: Bool = false) {
    self.tokens = tokens
    self.scores = scores
    self.unknownID = unknownID
    self.byteFallback = byteFallback
  }
}

public struct WordLevelDefinition: Equatable, Sendable {
  public var vocabulary: TokenVocabulary
  public var unknownToken: String

  public init(vocabulary: TokenVocabulary, unknownToken: String = "<unk>") {
    self.vocabulary = vocabulary
    self.unknownToken = unknownToken
  }
}

/// A SentencePiece model that computes exactly as `sentencepiece` does. `tokenizers` has no such model: its Unigram sums in
/// f64, and its BPE knows no scores.
public struct SentencePieceDefinition: Equatable, Sendable {
  /// Ids are indices.
  public var tokens: TokenList
  public var scores: [Float]
  public var types: [SentencePieceModel.PieceType]
  /// ``SentencePieceModel/Kind/unigram`` or ``SentencePieceModel/Kind/bpe``.
  public var algorithm: SentencePieceModel.Kind
  public var byteFallback: Bool

  public init(
    tokens: TokenList, scores: [Float], types: [SentencePieceModel.PieceType], algorithm: SentencePieceModel.Kind,
    byteFallback: Bool
  ) {
    self.tokens = tokens
    self.scores = scores
    self.types = types
    self.algorithm = algorithm
    self.byteFallback = byteFallback
  }
}

extension ModelDefinition {
  /// The model ready for use. `overBytes`: words come as raw bytes, and the vocabulary is in the alphabet of `ByteLevel`
  /// (only for BPE).
  func makeModel(overBytes: Bool) throws(FormatError) -> any TokenModel {
    switch self {
    case .wordPiece(let definition): WordPieceModel(definition)
    case .bpe(let definition): try BPEModel(definition, overBytes: overBytes)
    case .unigram(let definition): try UnigramModel(definition)
    case .wordLevel(let definition): WordLevelModel(definition)
    case .sentencePiece(let definition): try makeSentencePiece(definition)
    }
  }

  private func makeSentencePiece(_ definition: SentencePieceDefinition) throws(FormatError) -> any TokenModel {
    let pieces = try SentencePieceTable(definition)
    return definition.algorithm == .bpe ? SentencePieceBPE(pieces) : SentencePieceUnigram(pieces)
  }

  /// The number of tokens.
  public var tokenCount: Int {
    switch self {
    case .wordPiece(let definition): definition.vocabulary.count
    case .bpe(let definition): definition.vocabulary.count
    case .unigram(let definition): definition.tokens.count
    case .wordLevel(let definition): definition.vocabulary.count
    case .sentencePiece(let definition): definition.tokens.count
    }
  }

  /// The id of a token, looked for one by one; of equal tokens the last one counts.
  public func id(of token: String) -> Int? {
    switch self {
    case .wordPiece(let definition): definition.vocabulary.id(of: token)
    case .bpe(let definition): definition.vocabulary.id(of: token)
    case .unigram(let definition): TokenVocabulary(definition.tokens).id(of: token)
    case .wordLevel(let definition): definition.vocabulary.id(of: token)
    case .sentencePiece(let definition): TokenVocabulary(definition.tokens).id(of: token)
    }
  }
}
