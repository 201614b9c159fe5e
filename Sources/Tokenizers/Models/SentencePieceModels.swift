import TensorIO

// What `sentencepiece` itself computes: src/model_interface.cc, src/unigram_model.cc, src/bpe_model.cc, and
// `PopulateSentencePieceText` of src/sentencepiece_processor.cc.

/// The pieces of a SentencePiece model, ready for use.
struct SentencePieceTable: Sendable {
  let tokens: TokenList
  let scores: [Float]
  let types: [SentencePieceModel.PieceType]
  /// Pieces that text can become: normal, user-defined and unused ones.
  let trie: TokenTrie
  /// All others.
  private let reserved: TokenTrie
  let userDefined: UserDefinedPieces
  let unknownID: Int32
  /// The ids of the 256 byte pieces; empty without byte fallback.
  private let byteIDs: [Int32]
  /// Of normal pieces.
  let lowestScore: Float
  let highestScore: Float

  init(_ definition: SentencePieceDefinition) throws(FormatError) {
    tokens = definition.tokens
    scores = definition.scores
    types = definition.types
    guard tokens.count == scores.count, tokens.count == types.count else {
      throw FormatError(
        .damaged, "a SentencePiece model needs a score and a type for each piece",
        found: "\(scores.count) scores and \(types.count) types", expected: "\(tokens.count)")
    }
    guard definition.algorithm == .unigram || definition.algorithm == .bpe else {
      throw FormatError(
        .unsupported, "SentencePiece models of single characters or whole words are not read",
        found: "model type \(definition.algorithm)", expected: "unigram or bpe")
    }
    let unknown = types.indices.filter { definition.types[$0] == .unknown }
    guard unknown.count == 1 else {
      throw FormatError(
        .damaged, "the SentencePiece model has not one piece for what is unknown", found: "\(unknown.count)",
        expected: "1")
    }
    unknownID = Int32(truncatingIfNeeded: unknown[0])
    trie = Self.trie(definition) { !$0.isReserved }
    reserved = Self.trie(definition) { $0.isReserved }
    userDefined = UserDefinedPieces(
      types.indices.filter { definition.types[$0] == .userDefined }.map { definition.tokens[$0] })
    byteIDs = definition.byteFallback ? ByteTokens.ids(in: reserved) : []
    guard byteIDs.allSatisfy({ $0 >= 0 }) else {
      throw FormatError(.damaged, "the byte pieces of the SentencePiece model are not complete", expected: "256")
    }
    let normal = types.indices.lazy.filter { definition.types[$0] == .normal }.map { definition.scores[$0] }
    lowestScore = normal.reduce(.greatestFiniteMagnitude) { min($0, $1) }
    highestScore = normal.reduce(.leastNormalMagnitude) { max($0, $1) }
  }

  private static func trie(
    _ definition: SentencePieceDefinition, _ isIncluded: (SentencePieceModel.PieceType) -> Bool
  ) -> TokenTrie {
    var list = TokenList()
    var ids: [Int32] = []
    for index in definition.types.indices where isIncluded(definition.types[index]) {
      definition.tokens.withBytes(index) { list.append($0) }
      ids.append(Int32(truncatingIfNeeded: index))
    }
    return TokenTrie(list, ids: ids)
  }

  func id(of token: Span<UInt8>) -> Int32? { reserved.id(of: token) ?? trie.id(of: token) }
  func token(of id: Int32) -> String? { id >= 0 && id < tokens.count ? tokens[Int(id)] : nil }

  /// Appends the piece of a range of `word`: unknown ones as their bytes, or as one piece together with those before.
  func append(_ id: Int32, _ range: Range<Int>, of word: Span<UInt8>, after isFirst: Int, to tokens: inout [ModelToken])
  {
    let start = Int32(truncatingIfNeeded: range.lowerBound)
    if id == unknownID {
      if !byteIDs.isEmpty {
        for index in range {
          tokens.append(ModelToken(id: byteIDs[Int(word[index])], start: start, count: range.count))
        }
        return
      }
      if tokens.count > isFirst, tokens[tokens.count - 1].id == unknownID {
        tokens[tokens.count - 1].end = Int32(truncatingIfNeeded: range.upperBound)
        return
      }
    }
    tokens.append(ModelToken(id: id, start: start, count: range.count))
  }
}

/// User-defined pieces, which are neither normalized nor cut nor merged.
struct UserDefinedPieces: Sendable, Equatable {
  private let trie: TokenTrie?
  let pieces: [String]

  init(_ pieces: [String]) {
    self.pieces = pieces
    trie = pieces.isEmpty ? nil : TokenTrie(TokenList(pieces))
  }

  /// How many bytes the longest piece has that `text` continues with; zero for none.
  @inline(__always)
  func prefix(of text: Span<UInt8>, from start: Int) -> Int {
    guard let trie else { return 0 }
    return trie.longestPrefix(of: text, from: start)?.count ?? 0
  }

  static func == (a: Self, b: Self) -> Bool { TokenList(a.pieces) == TokenList(b.pieces) }
}

/// The sequence of pieces with the largest sum of scores, in the arithmetic of `EncodeOptimized`: sums are rounded to f32
/// where they are kept, and compared in f64 before that.
struct SentencePieceUnigram: TokenModel {
  private let table: SentencePieceTable
  private let unknownScore: Float

  init(_ table: SentencePieceTable) {
    self.table = table
    unknownScore = table.lowestScore - 10
  }

  var count: Int { table.tokens.count }
  var surfaceID: Int32? { table.unknownID }
  func id(of token: Span<UInt8>) -> Int32? { table.id(of: token) }
  func token(of id: Int32) -> String? { table.token(of: id) }

  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError) {
    guard !word.isEmpty else { return }
    findBest(word, &scratch.unigram)
    scratch.path.removeAll(keepingCapacity: true)
    var end = word.count
    while end > 0 {
      scratch.path.append(Int32(truncatingIfNeeded: end))
      end = Int(scratch.unigram[end].start)
    }
    let first = tokens.count
    for end in scratch.path.reversed() {
      let node = scratch.unigram[Int(end)]
      table.append(node.id, Int(node.start)..<Int(end), of: word, after: first, to: &tokens)
    }
  }

  private func findBest(_ word: Span<UInt8>, _ best: inout [UnigramModel.Node]) {
    let size = word.count
    let empty = UnigramModel.Node(score: 0, start: -1, id: -1)
    if best.count <= size { best.append(contentsOf: repeatElement(empty, count: size + 1 - best.count)) }
    for index in 0...size { best[index] = empty }
    var start = 0
    while start < size {
      let score = best[start].score
      let width = utf8Width(word[start])
      var hasCharacter = false
      var node = TokenTrie.root
      var end = start
      while end < size, let next = table.trie.child(of: node, word[end]) {
        node = next
        end += 1
        guard let id = table.trie.id(at: node) else { continue }
        let type = table.types[Int(id)]
        if type == .unused { continue }
        let own =
          type == .userDefined
          ? Float(Double(Float(end - start) * table.highestScore) - 0.1) : table.scores[Int(id)]
        let candidate = Double(own + Float(score))
        if best[end].start < 0 || candidate > best[end].score {
          best[end] = UnigramModel.Node(
            score: candidate, start: Int32(truncatingIfNeeded: start), id: id)
        }
        if end - start == width { hasCharacter = true }
      }
      end = min(start + width, size)
      if !hasCharacter {
        let candidate = Double(unknownScore + Float(score))
        if best[end].start < 0 || candidate > best[end].score {
          best[end] = UnigramModel.Node(
            score: candidate, start: Int32(truncatingIfNeeded: start), id: table.unknownID)
        }
      }
      start = end
    }
  }
}

/// Characters merged pair by pair: the pair first that makes the piece of the highest score, of those the leftmost.
struct SentencePieceBPE: TokenModel {
  private let table: SentencePieceTable
  private let hasUnused: Bool

  init(_ table: SentencePieceTable) {
    self.table = table
    hasUnused = table.types.contains(.unused)
  }

  var count: Int { table.tokens.count }
  var surfaceID: Int32? { table.unknownID }
  func id(of token: Span<UInt8>) -> Int32? { table.id(of: token) }
  func token(of id: Int32) -> String? { table.token(of: id) }

  /// A text while its symbols are merged.
  struct State: Sendable {
    struct Symbol {
      var start: Int32
      /// Bytes; zero once it is part of the symbol on its left.
      var length: Int32
      var previous: Int32
      var next: Int32
      /// The node of its text; -1 where nothing can follow it in a piece.
      var node: Int32
    }

    var symbols: [Symbol] = []
    var queue = MergeQueue()
    /// Of unused pieces that were made: how many bytes of them were the left symbol.
    var splits: [Int32: Int32] = [:]
  }

  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError) {
    guard !word.isEmpty else { return }
    addSymbols(of: word, &scratch.pieces)
    merge(word, &scratch.pieces)
    let first = tokens.count
    for symbol in scratch.pieces.symbols where symbol.length > 0 {
      let range = Int(symbol.start)..<Int(symbol.start + symbol.length)
      append(range, of: word, scratch.pieces, after: first, to: &tokens)
    }
  }

  private func addSymbols(of word: Span<UInt8>, _ state: inout State) {
    state.symbols.removeAll(keepingCapacity: true)
    state.queue.removeAll()
    state.splits.removeAll(keepingCapacity: true)
    var start = 0
    while start < word.count {
      let whole = table.userDefined.prefix(of: word, from: start)
      let length = whole > 0 ? whole : min(utf8Width(word[start]), word.count - start)
      let node = whole > 0 ? nil : table.trie.node(of: word.extracting(start..<(start + length)))
      let index = Int32(truncatingIfNeeded: state.symbols.count)
      if index > 0 { state.symbols[Int(index) - 1].next = index }
      state.symbols.append(
        State.Symbol(
          start: Int32(truncatingIfNeeded: start), length: Int32(truncatingIfNeeded: length), previous: index - 1,
          next: -1,
          node: node.map { Int32(truncatingIfNeeded: $0) } ?? (whole > 0 ? Self.frozen : -1)))
      start += length
    }
  }

  /// The node of a symbol that is never merged.
  private static let frozen: Int32 = -2

  private func merge(_ word: Span<UInt8>, _ state: inout State) {
    guard state.symbols.count > 1 else { return }
    for index in 1..<state.symbols.count { push(index - 1, index, word, &state) }
    while let top = state.queue.pop() {
      let left = Int(top.key & 0xFFFF_FFFF)
      guard state.symbols[left].length > 0, state.symbols[left].next >= 0 else { continue }
      let right = Int(state.symbols[left].next)
      guard state.symbols[left].length + state.symbols[right].length == top.value else { continue }
      let range = Int(state.symbols[left].start)..<Int(state.symbols[left].start + top.value)
      state.symbols[left].node = Int32(truncatingIfNeeded: table.trie.node(of: word.extracting(range)) ?? -1)
      state.symbols[left].length = top.value
      state.symbols[left].next = state.symbols[right].next
      state.symbols[right].length = 0
      let next = Int(state.symbols[left].next)
      if next >= 0 { state.symbols[next].previous = Int32(truncatingIfNeeded: left) }
      push(Int(state.symbols[left].previous), left, word, &state)
      push(left, next, word, &state)
    }
  }

  private func push(_ left: Int, _ right: Int, _ word: Span<UInt8>, _ state: inout State) {
    guard left >= 0, right >= 0, state.symbols[left].node >= 0, state.symbols[right].node != Self.frozen else { return }
    let (one, other) = (state.symbols[left], state.symbols[right])
    let range = Int(other.start)..<Int(other.start + other.length)
    guard let node = table.trie.node(of: word.extracting(range), from: Int(one.node)),
      let id = table.trie.id(at: node)
    else { return }
    // Ascending bits for descending scores.
    let bits = (table.scores[Int(id)] + 0).bitPattern
    let rising = bits >> 31 == 1 ? ~bits : bits | 1 << 31
    state.queue.push(key: UInt64(~rising) << 32 | UInt64(truncatingIfNeeded: left), value: one.length + other.length)
    if hasUnused, table.types[Int(id)] == .unused { state.splits[id] = one.length }
  }

  /// An unused piece becomes again what it was made of.
  private func append(
    _ range: Range<Int>, of word: Span<UInt8>, _ state: State, after first: Int, to tokens: inout [ModelToken]
  ) {
    guard hasUnused else {
      let id = table.id(of: word.extracting(range)) ?? table.unknownID
      return table.append(id, range, of: word, after: first, to: &tokens)
    }
    var ranges = [range]
    while let range = ranges.popLast() {
      let id = table.id(of: word.extracting(range)) ?? table.unknownID
      if table.types[Int(id)] == .unused, let length = state.splits[id], Int(length) < range.count {
        let middle = range.lowerBound + Int(length)
        ranges.append(middle..<range.upperBound)
        ranges.append(range.lowerBound..<middle)
      } else {
        table.append(id, range, of: word, after: first, to: &tokens)
      }
    }
  }
}
