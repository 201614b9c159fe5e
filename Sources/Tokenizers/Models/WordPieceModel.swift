import TensorIO

/// Cuts a word to the longest token that it begins with, then what is left of it (`tokenizers`, src/models/wordpiece/mod.rs).
///
/// A vocabulary is valid UTF-8, so the longest token in bytes is the longest in characters.
struct WordPieceModel: TokenModel {
  private let vocabulary: TokenVocabulary
  private let trie: TokenTrie
  /// From where tokens that continue a word are looked for; `nil` where no token begins with the prefix.
  private let continuation: Int?
  private let maxCharacters: Int
  private let unknownID: Int32?
  private let unknownToken: String
  let count: Int

  init(_ definition: WordPieceDefinition) {
    vocabulary = definition.vocabulary
    trie = vocabulary.makeTrie()
    continuation = trie.node(of: Array(definition.continuingSubwordPrefix.utf8).span)
    maxCharacters = definition.maxInputCharsPerWord
    unknownToken = definition.unknownToken
    unknownID = trie.id(of: unknownToken)
    count = trie.count
  }

  var surfaceID: Int32? { nil }
  func id(of token: Span<UInt8>) -> Int32? { trie.id(of: token) }
  func token(of id: Int32) -> String? { vocabulary.token(of: id, trie) }

  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError) {
    let first = tokens.count
    if word.count <= maxCharacters || characterCount(word) <= maxCharacters {
      var start = 0
      var origin: Int? = TokenTrie.root
      while start < word.count, let node = origin, let match = trie.longestPrefix(of: word, from: start, origin: node) {
        tokens.append(ModelToken(id: match.id, start: Int32(truncatingIfNeeded: start), count: match.count))
        start += match.count
        origin = continuation
      }
      if start == word.count { return }
      tokens.removeSubrange(first...)
    }
    guard let unknownID else { throw UnknownToken.missing(unknownToken) }
    tokens.append(ModelToken(id: unknownID, start: 0, count: word.count))
  }
}

/// Characters of valid UTF-8.
private func characterCount(_ text: Span<UInt8>) -> Int {
  var count = 0
  for index in text.indices { count += text[index] & 0xC0 == 0x80 ? 0 : 1 }
  return count
}

/// A text has a part without a token, and the tokenizer no token for that.
enum UnknownToken {
  static func missing(_ name: String?) -> FormatError {
    FormatError(
      .input, "a part of the text has no token, and the tokenizer has no token for what is unknown",
      found: name.map { "the unknown token '\($0)', which is not in the vocabulary" } ?? "no unknown token",
      advice: "Use the tokenizer that belongs to the model.")
  }
}

extension ModelToken {
  @inline(__always)
  init(id: Int32, start: Int32, count: Int) {
    self.init(id: id, start: start, end: start &+ Int32(truncatingIfNeeded: count))
  }
}

extension TokenVocabulary {
  /// The token of an id, where it is the one that the token has: the earlier of equal tokens has none.
  func token(of id: Int32, _ trie: TokenTrie) -> String? {
    guard let index = index(ofID: id), tokens.withBytes(index, { trie.id(of: $0) }) == id else { return nil }
    return tokens[index]
  }
}
