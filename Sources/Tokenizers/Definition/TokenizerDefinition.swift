import TensorIO

/// What a tokenizer is: the content of a `tokenizer.json` of Hugging Face's `tokenizers`, as typed values.
///
/// A text passes four stages: normalizer, pre-tokenizer, model, post-processor. Names and defaults are those of `tokenizers`
/// 0.22 (`tokenizers/src/{normalizers,pre_tokenizers,models,processors,decoders}`). A component or an option that has no case
/// here is refused when the file is read.
public struct TokenizerDefinition: Equatable, Sendable {
  /// What the file asks to cut; nothing is cut unless a caller asks for it.
  public var truncation: Truncation?
  /// What the file asks to pad; nothing is padded.
  public var padding: Padding?
  public var addedTokens: [AddedToken]
  public var normalizer: Normalizer?
  public var preTokenizer: PreTokenizer?
  public var model: ModelDefinition
  public var postProcessor: PostProcessor?
  public var decoder: Decoder?

  public init(
    model: ModelDefinition, addedTokens: [AddedToken] = [], normalizer: Normalizer? = nil,
    preTokenizer: PreTokenizer? = nil, postProcessor: PostProcessor? = nil, decoder: Decoder? = nil,
    truncation: Truncation? = nil, padding: Padding? = nil
  ) {
    self.model = model
    self.addedTokens = addedTokens
    self.normalizer = normalizer
    self.preTokenizer = preTokenizer
    self.postProcessor = postProcessor
    self.decoder = decoder
    self.truncation = truncation
    self.padding = padding
  }
}

extension TokenizerDefinition {
  public struct Truncation: Equatable, Sendable {
    public enum Direction: String, Sendable, CaseIterable {
      case left = "Left"
      case right = "Right"
    }
    public enum Strategy: String, Sendable, CaseIterable {
      case longestFirst = "LongestFirst"
      case onlyFirst = "OnlyFirst"
      case onlySecond = "OnlySecond"
    }
    public var direction: Direction
    public var maxLength: Int
    public var strategy: Strategy
    public var stride: Int

    public init(
      maxLength: Int, strategy: Strategy = .longestFirst, stride: Int = 0, direction: Direction = .right
    ) {
      self.maxLength = maxLength
      self.strategy = strategy
      self.stride = stride
      self.direction = direction
    }
  }

  public struct Padding: Equatable, Sendable {
    /// The length of the whole batch; `nil` where that of its longest text counts.
    public var fixedLength: Int?
    public var direction: Truncation.Direction
    public var padToMultipleOf: Int?
    public var padID: Int
    public var padTypeID: Int
    public var padToken: String

    public init(
      fixedLength: Int? = nil, direction: Truncation.Direction = .right, padToMultipleOf: Int? = nil, padID: Int,
      padTypeID: Int = 0, padToken: String
    ) {
      self.fixedLength = fixedLength
      self.direction = direction
      self.padToMultipleOf = padToMultipleOf
      self.padID = padID
      self.padTypeID = padTypeID
      self.padToken = padToken
    }
  }

  /// A token that is searched for in the text before the model sees it.
  public struct AddedToken: Equatable, Sendable {
    /// The id in the file. What counts is the model's id for this content, where it has one.
    public var id: Int
    public var content: String
    /// Only where no word character is next to it.
    public var singleWord: Bool
    /// Whitespace before it is part of it.
    public var stripsLeft: Bool
    /// Whitespace after it is part of it.
    public var stripsRight: Bool
    /// Searched for, in its normal form, in the normalized text; otherwise in the text as given.
    public var normalized: Bool
    public var special: Bool

    public init(
      id: Int, content: String, singleWord: Bool = false, stripsLeft: Bool = false, stripsRight: Bool = false,
      normalized: Bool? = nil, special: Bool = false
    ) {
      self.id = id
      self.content = content
      self.singleWord = singleWord
      self.stripsLeft = stripsLeft
      self.stripsRight = stripsRight
      self.normalized = normalized ?? !special
      self.special = special
    }
  }

  /// What `Replace` and `Split` search for.
  public enum Pattern: Equatable, Sendable {
    case string(String)
    /// In Oniguruma's syntax.
    case regex(String)
  }

  public indirect enum Normalizer: Equatable, Sendable {
    case bert(cleanText: Bool, handleChineseChars: Bool, stripAccents: Bool?, lowercase: Bool)
    case nfc
    case nfd
    case nfkc
    case nfkd
    case lowercase
    case stripAccents
    case strip(left: Bool, right: Bool)
    case replace(Pattern, content: String)
    case prepend(String)
    /// SentencePiece's map of characters: the bytes of `precompiled_charsmap`.
    case precompiled([UInt8])
    case nmt
    case byteLevel
    /// The normalizer of `sentencepiece` itself, which `tokenizers` has no form for.
    case sentencePiece(SentencePieceNormalization)
    case sequence([Normalizer])
  }

  /// What becomes of a delimiter.
  public enum SplitBehavior: String, Sendable, CaseIterable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
  }

  public enum PrependScheme: String, Sendable, CaseIterable {
    case first
    case never
    case always
  }

  public indirect enum PreTokenizer: Equatable, Sendable {
    case bert
    case byteLevel(addPrefixSpace: Bool, trimOffsets: Bool, usesRegex: Bool)
    case charDelimiterSplit(Unicode.Scalar)
    case digits(individual: Bool)
    case fixedLength(Int)
    case metaspace(replacement: Unicode.Scalar, prependScheme: PrependScheme, split: Bool)
    case punctuation(SplitBehavior)
    case split(Pattern, SplitBehavior, invert: Bool)
    case whitespace
    case whitespaceSplit
    case sequence([PreTokenizer])
  }

  /// A piece of a template.
  public enum TemplatePiece: Equatable, Sendable {
    /// The first text (`A`) or the second one (`B`).
    case sequence(isSecond: Bool, typeID: Int)
    /// The special token of this key in the template's own list.
    case special(String, typeID: Int)
  }

  /// What a template puts in for one key.
  public struct TemplateToken: Equatable, Sendable {
    public var key: String
    public var ids: [Int]
    public var tokens: [String]

    public init(key: String, ids: [Int], tokens: [String]) {
      self.key = key
      self.ids = ids
      self.tokens = tokens
    }
  }

  /// A special token and its id, as `BertProcessing` has them.
  public struct SpecialToken: Equatable, Sendable {
    public var content: String
    public var id: Int

    public init(_ content: String, _ id: Int) {
      self.content = content
      self.id = id
    }
  }

  public indirect enum PostProcessor: Equatable, Sendable {
    case template(single: [TemplatePiece], pair: [TemplatePiece], tokens: [TemplateToken])
    case bert(separator: SpecialToken, classifier: SpecialToken)
    case roberta(separator: SpecialToken, classifier: SpecialToken, trimOffsets: Bool, addPrefixSpace: Bool)
    case byteLevel(addPrefixSpace: Bool, trimOffsets: Bool, usesRegex: Bool)
    case sequence([PostProcessor])
  }

  public indirect enum Decoder: Equatable, Sendable {
    case bpe(suffix: String)
    case byteFallback
    case byteLevel(addPrefixSpace: Bool, trimOffsets: Bool, usesRegex: Bool)
    case fuse
    case metaspace(replacement: Unicode.Scalar, prependScheme: PrependScheme, split: Bool)
    case replace(Pattern, content: String)
    case strip(content: Unicode.Scalar, start: Int, stop: Int)
    case wordPiece(prefix: String, cleanup: Bool)
    case sequence([Decoder])
  }

  /// The name that the JSON of `tokenize` has for the tokenizer.
  public enum Kind: String, Sendable, CaseIterable {
    case wordPiece = "wordpiece"
    case byteBPE = "byte-bpe"
    case unigram
    case bpe
    case words
  }

  /// `byte-bpe` is a BPE with `ByteLevel` as its normalizer or pre-tokenizer.
  public var kind: Kind {
    switch model {
    case .wordPiece: .wordPiece
    case .unigram: .unigram
    case .wordLevel: .words
    case .sentencePiece(let model): model.algorithm == .bpe ? .bpe : .unigram
    case .bpe: (normalizer?.hasByteLevel ?? false) || (preTokenizer?.hasByteLevel ?? false) ? .byteBPE : .bpe
    }
  }
}

extension TokenizerDefinition.Normalizer {
  var hasByteLevel: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let parts): parts.contains(where: \.hasByteLevel)
    default: false
    }
  }
}

extension TokenizerDefinition.PreTokenizer {
  var hasByteLevel: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let parts): parts.contains(where: \.hasByteLevel)
    default: false
    }
  }
}
