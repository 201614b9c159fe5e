import TensorIO

/// The sequence of tokens whose scores have the largest sum (Kudo 2018), found as `tokenizers` finds it
/// (src/models/unigram/model.rs, `encode_optimized`): sums in f64 from the left, the first of equal sums.
struct UnigramModel: TokenModel {
  /// The best way to a position of the word.
  struct Node {
    var score: Double
    /// Where its last token begins; -1 for a position that no token ends at.
    var start: Int32
    var id: Int32
  }

  private let tokens: TokenList
  private let trie: TokenTrie
  private let scores: [Double]
  private let unknownID: Int32?
  private let unknownScore: Double
  /// The ids of the 256 byte tokens, -1 for missing ones; empty without byte fallback.
  private let byteIDs: [Int32]
  /// What an unknown character costs below the worst token (`K_UNK_PENALTY`).
  static let unknownPenalty = 10.0

  init(_ definition: UnigramDefinition) throws(FormatError) {
    tokens = definition.tokens
    scores = definition.scores
    guard tokens.count == scores.count else {
      throw FormatError(
        .mismatch, "a Unigram vocabulary needs one score for each token", found: "\(scores.count) scores",
        expected: "\(tokens.count)")
    }
    if let id = definition.unknownID, id < 0 || id >= tokens.count {
      throw FormatError(
        .damaged, "the model's unk_id is not the id of a token", found: "\(id)", expected: "below \(tokens.count)")
    }
    trie = TokenTrie(tokens)
    unknownID = definition.unknownID.map { Int32(truncatingIfNeeded: $0) }
    unknownScore = (scores.min() ?? .infinity) - Self.unknownPenalty
    byteIDs = definition.byteFallback ? ByteTokens.ids(in: trie) : []
  }

  var count: Int { tokens.count }
  var surfaceID: Int32? { unknownID }
  func id(of token: Span<UInt8>) -> Int32? { trie.id(of: token) }
  func token(of id: Int32) -> String? { id >= 0 && id < tokens.count ? tokens[Int(id)] : nil }

  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError) {
    let size = word.count
    guard size > 0 else { return }
    try findBest(word, &scratch.unigram)
    // From the end to the beginning, then the other way round.
    let first = tokens.count
    var end = size
    while end > 0 {
      let node = scratch.unigram[end]
      var start = Int(node.start)
      guard node.id == unknownID else {
        tokens.append(ModelToken(id: node.id, start: node.start, count: end - start))
        end = start
        continue
      }
      // Unknown characters in a row are one token.
      while start > 0, scratch.unigram[start].id == unknownID { start = Int(scratch.unigram[start].start) }
      appendUnknown(word, start..<end, to: &tokens)
      end = start
    }
    tokens[first...].reverse()
  }

  private func findBest(_ word: Span<UInt8>, _ best: inout [Node]) throws(FormatError) {
    let size = word.count
    let empty = Node(score: 0, start: -1, id: -1)
    if best.count <= size { best.append(contentsOf: repeatElement(empty, count: size + 1 - best.count)) }
    for index in 0...size { best[index] = empty }
    var start = 0
    while start < size {
      let score = best[start].score
      let width = utf8Width(word[start])
      var hasCharacter = false
      var node = TokenTrie.root
      var end = start
      while end < size, let next = trie.child(of: node, word[end]) {
        node = next
        end += 1
        guard let id = trie.id(at: node) else { continue }
        let candidate = scores[Int(id)] + score
        if best[end].start < 0 || candidate > best[end].score {
          best[end] = Node(score: candidate, start: Int32(truncatingIfNeeded: start), id: id)
        }
        if end - start == width { hasCharacter = true }
      }
      end = min(start + width, size)
      if !hasCharacter {
        let candidate = unknownScore + score
        if best[end].start < 0 || candidate > best[end].score {
          guard let unknownID else { throw UnknownToken.missing(nil) }
          best[end] = Node(score: candidate, start: Int32(truncatingIfNeeded: start), id: unknownID)
        }
      }
      start = end
    }
  }

  /// Characters that are unknown by themselves: a token where they are one together, bytes, or the unknown token. Backwards.
  private func appendUnknown(_ word: Span<UInt8>, _ range: Range<Int>, to tokens: inout [ModelToken]) {
    func append(_ id: Int32) {
      tokens.append(ModelToken(id: id, start: Int32(truncatingIfNeeded: range.lowerBound), count: range.count))
    }
    if let id = trie.id(of: word.extracting(range)) { return append(id) }
    if !byteIDs.isEmpty, range.allSatisfy({ byteIDs[Int(word[$0])] >= 0 }) {
      for index in range.reversed() { append(byteIDs[Int(word[index])]) }
    } else if let unknownID {
      append(unknownID)
    }
  }
}

/// The bytes of the character that begins with `byte`, in valid UTF-8.
@inline(__always)
func utf8Width(_ byte: UInt8) -> Int { byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4 }
