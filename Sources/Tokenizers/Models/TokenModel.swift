import TensorIO

/// One token of a word: its id, and the bytes of the word that it covers.
package struct ModelToken: Equatable, Sendable {
  package var id: Int32
  package var start: Int32
  package var end: Int32

  package init(id: Int32, start: Int32, end: Int32) {
    self.id = id
    self.start = start
    self.end = end
  }
}

/// The third stage: the words that the pre-tokenizer cut to tokens of a vocabulary.
///
/// A model is a value that several threads use at once. What it needs while it works lies in the caller's ``ModelScratch``,
/// one a thread, so that no word and no token allocates.
///
/// The rules, for all models:
/// - A word is valid UTF-8 (``BPEModel`` over raw bytes excepted, see there) and not empty. Tokens are appended in order.
/// - Offsets are bytes of the word. They are those that `tokenizers` computes, even where these look wrong (an unknown
///   character that leaves no token, say): the pipeline maps them to the text, by the rules of `NormalizedString`.
/// - The result depends on the bytes of the word alone: results are cached by word.
/// - Time is at most n·log n in the length of the word, times the length of the longest token: words of a megabyte occur.
/// - An error is for what `tokenizers` refuses too (an unknown word without an unknown token).
package protocol TokenModel: Sendable {
  /// Ids below this number have a token; as a rule 0..<count. `get_vocab_size` of `tokenizers` without added tokens.
  var count: Int { get }

  /// The id whose tokens print the text that they cover, instead of the vocabulary's entry: that of a Unigram's unknown
  /// token. `nil` in all other models.
  var surfaceID: Int32? { get }

  /// The id of a token, given as in the vocabulary's file.
  func id(of token: Span<UInt8>) -> Int32?

  /// The token of an id, as in the vocabulary's file; `nil` where there is none.
  func token(of id: Int32) -> String?

  /// Appends the tokens of `word` to `tokens`.
  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError)
}

extension TokenModel {
  package func id(of token: String) -> Int32? {
    // A local copy has contiguous UTF-8, whatever the text came from.
    let bytes = Array(token.utf8)
    return id(of: bytes.span)
  }
}
