import TensorIO

/// A word is a token, or unknown (`tokenizers`, src/models/wordlevel/mod.rs).
struct WordLevelModel: TokenModel {
  private let vocabulary: TokenVocabulary
  private let trie: TokenTrie
  private let unknownID: Int32?
  private let unknownToken: String
  let count: Int

  init(_ definition: WordLevelDefinition) {
    vocabulary = definition.vocabulary
    trie = vocabulary.makeTrie()
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
    guard let id = trie.id(of: word) ?? unknownID else { throw UnknownToken.missing(unknownToken) }
    tokens.append(ModelToken(id: id, start: 0, count: word.count))
  }
}
