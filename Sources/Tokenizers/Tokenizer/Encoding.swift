/// A text as tokens.
public struct Encoding: Sendable {
  /// One token of a text.
  public struct Token: Equatable, Sendable {
    /// Its number in the vocabulary.
    public var id: Int32
    /// The first code point of the text that it covers, and the one behind the last; 0 and 0 for special tokens that the
    /// post-processor put in.
    public var start: UInt32
    public var end: UInt32
    /// The index of the word, as the pre-tokenizer cut the text; −1 for special tokens that the post-processor put in.
    public var word: Int32
    public var typeID: UInt16
    /// 0 for the first text, 1 for the second one, −1 for special tokens that the post-processor put in.
    public var sequence: Int8
    /// Whether the post-processor put it in; an added token in the text is not meant, special or not.
    public var isSpecial: Bool

    public init(
      id: Int32, start: UInt32, end: UInt32, word: Int32, typeID: UInt16 = 0, sequence: Int8 = 0,
      isSpecial: Bool = false
    ) {
      self.id = id
      self.start = start
      self.end = end
      self.word = word
      self.typeID = typeID
      self.sequence = sequence
      self.isSpecial = isSpecial
    }
  }

  /// The tokens in order.
  public internal(set) var tokens: [Token]
  /// The text of tokens that do not print the vocabulary's entry, by index: unknown ones of a Unigram, added tokens with
  /// the space that they take in.
  var surfaces: [Int: String] = [:]
  /// Tokens of the first and the second text that were cut off.
  public internal(set) var removedCount = 0
  let vocabulary: VocabularyReference

  init(tokens: [Token] = [], vocabulary: VocabularyReference) {
    self.tokens = tokens
    self.vocabulary = vocabulary
  }

  public var count: Int { tokens.count }
  public var ids: [Int32] { tokens.map(\.id) }
  public var typeIDs: [Int32] { tokens.map { Int32($0.typeID) } }
  /// 1 for the tokens that the post-processor put in, 0 for all others.
  public var specialTokensMask: [Int32] { tokens.map { $0.isSpecial ? 1 : 0 } }
  /// The code points of the text that each token covers.
  public var offsets: [Range<Int>] { tokens.map { Int($0.start)..<Int(max($0.start, $0.end)) } }

  /// What the token at an index prints.
  public func text(at index: Int) -> String {
    surfaces[index] ?? vocabulary.vocabulary.text(of: tokens[index].id) ?? ""
  }

  /// What each token prints.
  public var texts: [String] { tokens.indices.map { text(at: $0) } }
}

/// The tokens of a model and the added ones, by id.
final class Vocabulary: Sendable {
  let model: any TokenModel
  let added: AddedTokens

  init(model: any TokenModel, added: AddedTokens) {
    self.model = model
    self.added = added
  }

  func text(of id: Int32) -> String? {
    added.byID[id].map { String(decoding: $0.content, as: UTF8.self) } ?? model.token(of: id)
  }
}

/// A vocabulary, for the encodings that one worker makes.
final class VocabularyReference: Sendable {
  let vocabulary: Vocabulary

  init(_ vocabulary: Vocabulary) { self.vocabulary = vocabulary }
}
