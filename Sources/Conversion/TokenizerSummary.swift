import TensorIO
import Tokenizers

/// What a tokenizer is, in a few facts, and where it and a model disagree.
public struct TokenizerSummary: Sendable {
  /// A token that stands for something else than text.
  public struct SpecialToken: Sendable, Equatable {
    public let content: String
    public let id: Int32
  }

  public let kind: TokenizerDefinition.Kind
  /// One more than the largest id.
  public let tokenCount: Int
  /// Tokens that were added to those of the model's vocabulary.
  public let addedCount: Int
  /// Whether text is made lower-case before its tokens are looked up.
  public let lowercases: Bool
  /// In the order of their ids.
  public let specialTokens: [SpecialToken]
  /// The token for what is left out of a text; `nil` where there is none.
  public let maskToken: SpecialToken?
  /// Whether tokens have capitals; `nil` where they do not show it, and for tokens of bytes.
  private let casing: VocabularyCasing?
  private let capitals: (count: Int, of: Int)?

  public init(_ tokenizer: Tokenizer) {
    let definition = tokenizer.definition
    kind = definition.kind
    tokenCount = tokenizer.vocabularySize
    addedCount = definition.addedTokens.count { $0.id >= definition.model.tokenCount }
    lowercases = definition.normalizer?.lowercases ?? false
    let declared = definition.addedTokens.filter(\.special).map(\.content) + definition.model.unknownTokens
    var seen: Set<Int32> = []
    specialTokens = declared.compactMap { content in
      guard let id = tokenizer.id(of: content), seen.insert(id).inserted else { return nil }
      return SpecialToken(content: content, id: id)
    }.sorted { $0.id < $1.id }
    maskToken =
      Self.maskTokens.lazy.compactMap { content in
        tokenizer.id(of: content).map { SpecialToken(content: content, id: $0) }
      }.first
    let counted = definition.kind == .byteBPE ? nil : CasedTokens(definition.model.tokens)
    casing = counted?.casing
    capitals = counted.map { ($0.capitals, $0.count) }
  }

  /// The names that the mask has in the families here.
  private static let maskTokens = ["[MASK]", "<mask>", "<MASK>"]

  /// The kind as people write it.
  public var kindName: String {
    switch kind {
    case .wordPiece: "WordPiece"
    case .byteBPE: "byte-level BPE"
    case .unigram: "Unigram"
    case .bpe: "BPE"
    case .words: "whole words"
    }
  }

  /// Kind, size and casing in a phrase.
  public var text: String {
    "\(kindName), \(grouped(tokenCount)) tokens, \(lowercases ? "uncased" : "cased")"
  }

  /// Where the tokenizer and a model of this config disagree.
  public func findings(config: JSON) -> [TokenizerFinding] {
    var findings: [TokenizerFinding] = []
    if let rows = (config["vocab_size"] ?? config["vocab_sz"])?.intValue, tokenCount > rows {
      findings.append(.moreTokensThanRows(tokens: tokenCount, rows: rows))
    }
    if lowercases, casing == .cased, let capitals {
      findings.append(.lowersCasedVocabulary(capitals: capitals.count, tokens: capitals.of))
    } else if !lowercases, casing == .uncased {
      findings.append(.keepsCapitalsOfUncasedVocabulary)
    }
    let fillsMasks = (config["architectures"]?.elements ?? []).compactMap(\.stringValue).first {
      $0.hasSuffix("ForMaskedLM") || $0 == "BertForPreTraining"
    }
    if let fillsMasks, maskToken == nil { findings.append(.noMask(architecture: fillsMasks)) }
    return findings
  }

  /// Named values, as `inspect --json` prints them.
  package var json: JSON {
    .object([
      "kind": .string(kind.rawValue), "tokens": .int(tokenCount), "added_tokens": .int(addedCount),
      "lowercase": .bool(lowercases),
      "special_tokens": .object(specialTokens.map { JSON.Member($0.content, .int($0.id)) }),
      "mask_token": maskToken.map { .string($0.content) } ?? .null,
    ])
  }
}

/// Where a tokenizer and a model disagree.
public enum TokenizerFinding: Sendable, Equatable {
  case moreTokensThanRows(tokens: Int, rows: Int)
  /// Text is made lower-case, but tokens have capitals.
  case lowersCasedVocabulary(capitals: Int, tokens: Int)
  /// Text keeps its capitals, but no token has one.
  case keepsCapitalsOfUncasedVocabulary
  /// The model fills masks, but there is no token for them.
  case noMask(architecture: String)

  /// All are probably mistakes.
  public var isWarning: Bool { true }

  /// The finding in a sentence.
  public var text: String {
    switch self {
    case .moreTokensThanRows(let tokens, let rows):
      "the tokenizer has \(grouped(tokens)) tokens but the model only \(grouped(rows)) rows: some texts get ids that the "
        + "model does not have"
    case .lowersCasedVocabulary(let capitals, let tokens):
      "the tokenizer makes text lower-case, but its vocabulary is cased (\(grouped(capitals)) of \(grouped(tokens)) tokens "
        + "have a capital): text gets different ids than in training"
    case .keepsCapitalsOfUncasedVocabulary:
      "the tokenizer keeps capitals, but no token of its vocabulary has one: each word with a capital becomes unknown"
    case .noMask(let architecture):
      "the model (\(architecture)) fills masks, but the tokenizer has no [MASK] or <mask>"
    }
  }

  /// Whether the vocabulary's file shows the same.
  package func repeats(_ findings: [VocabularyFinding]) -> Bool {
    findings.contains { finding in
      switch (self, finding) {
      case (.moreTokensThanRows, .moreTokensThanRows), (.lowersCasedVocabulary, .lowersCasedVocabulary),
        (.keepsCapitalsOfUncasedVocabulary, .keepsCapitalsOfUncasedVocabulary):
        true
      default: false
      }
    }
  }
}

extension TokenizerDefinition.Normalizer {
  fileprivate var lowercases: Bool {
    switch self {
    case .bert(_, _, _, let lowercase): lowercase
    case .lowercase: true
    case .sequence(let parts): parts.contains(where: \.lowercases)
    default: false
    }
  }
}

extension ModelDefinition {
  package var tokens: TokenList {
    switch self {
    case .wordPiece(let definition): definition.vocabulary.tokens
    case .bpe(let definition): definition.vocabulary.tokens
    case .unigram(let definition): definition.tokens
    case .wordLevel(let definition): definition.vocabulary.tokens
    case .sentencePiece(let definition): definition.tokens
    }
  }

  /// The token for what is not in the vocabulary, as a list of none or one.
  fileprivate var unknownTokens: [String] {
    switch self {
    case .wordPiece(let definition): [definition.unknownToken]
    case .wordLevel(let definition): [definition.unknownToken]
    case .bpe(let definition): [definition.unknownToken].compactMap(\.self)
    case .unigram(let definition):
      definition.unknownID.flatMap { $0 < definition.tokens.count ? [definition.tokens[$0]] : nil } ?? []
    case .sentencePiece: []
    }
  }
}
