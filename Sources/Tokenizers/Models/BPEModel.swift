import TensorIO

/// Byte-pair encoding (Sennrich et al. 2016): the characters of a word, merged pair by pair in the order of the merges.
///
/// The order is that of `tokenizers` (src/models/bpe/word.rs, `merge_all`): the lowest rank first, then the leftmost; the
/// queue is a heap, so that a word of a megabyte takes n·log n steps.
struct BPEModel: TokenModel {
  private let vocabulary: TokenVocabulary
  private let trie: TokenTrie
  private let merges: MergeTable
  private let characters: CharacterIDs
  private let unknownID: Int32?
  private let unknownToken: String?
  private let fusesUnknown: Bool
  private let ignoresMerges: Bool
  /// The ids of the 256 byte tokens, -1 for missing ones; empty without byte fallback.
  private let byteIDs: [Int32]
  private let prefix: [UInt8]
  private let suffix: [UInt8]
  /// Of a model over raw bytes: their tokens in the alphabet of `ByteLevel`, -1 for missing ones.
  private let rawByteIDs: [Int32]?
  /// Whether each raw byte is a symbol of its own, so that no text in that alphabet is needed.
  private let areRawBytesSymbols: Bool
  let count: Int

  /// - Parameter overBytes: words come as raw bytes, and the vocabulary is in the alphabet of `ByteLevel`
  init(_ definition: BPEDefinition, overBytes: Bool) throws(FormatError) {
    vocabulary = definition.vocabulary
    let trie = vocabulary.makeTrie()
    self.trie = trie
    count = trie.count
    prefix = Array(definition.continuingSubwordPrefix.utf8)
    suffix = Array(definition.endOfWordSuffix.utf8)
    merges = try MergeTable(definition, trie)
    characters = CharacterIDs(trie, prefix: prefix, suffix: suffix)
    unknownToken = definition.unknownToken
    unknownID = definition.unknownToken.flatMap { trie.id(of: $0) }
    fusesUnknown = definition.fuseUnknown
    ignoresMerges = definition.ignoreMerges
    byteIDs = definition.byteFallback ? ByteTokens.ids(in: trie) : []
    rawByteIDs = overBytes ? ByteAlphabet.ids(in: trie) : nil
    areRawBytesSymbols = byteIDs.isEmpty && prefix.isEmpty && suffix.isEmpty
  }

  var surfaceID: Int32? { nil }
  func id(of token: Span<UInt8>) -> Int32? { trie.id(of: token) }
  func token(of id: Int32) -> String? { vocabulary.token(of: id, trie) }

  func tokenize(
    _ word: Span<UInt8>, scratch: inout ModelScratch, into tokens: inout [ModelToken]
  ) throws(FormatError) {
    guard !word.isEmpty else { return }
    guard let rawByteIDs else { return try tokenizeText(word, &scratch, &tokens) }
    if areRawBytesSymbols, word.indices.allSatisfy({ rawByteIDs[Int(word[$0])] >= 0 }) {
      if ignoresMerges, let id = wholeWord(raw: word) {
        tokens.append(ModelToken(id: id, start: 0, count: word.count))
        return
      }
      scratch.bpe.symbols.removeAll(keepingCapacity: true)
      for index in word.indices { scratch.bpe.add(rawByteIDs[Int(word[index])], 1) }
      merges.apply(&scratch.bpe)
      scratch.bpe.appendTokens(to: &tokens)
    } else {
      try tokenizeAlphabet(word, &scratch, &tokens)
    }
  }

  /// The token that is the whole word of raw bytes.
  private func wholeWord(raw word: Span<UInt8>) -> Int32? {
    var node = TokenTrie.root
    for index in word.indices {
      let (lead, trail) = ByteAlphabet.letters[Int(word[index])]
      guard let next = trie.child(of: node, lead) else { return nil }
      node = next
      if trail != 0 {
        guard let next = trie.child(of: node, trail) else { return nil }
        node = next
      }
    }
    return trie.id(at: node)
  }

  /// Raw bytes, of which some have no token, as text in the alphabet of `ByteLevel`.
  private func tokenizeAlphabet(
    _ word: Span<UInt8>, _ scratch: inout ModelScratch, _ tokens: inout [ModelToken]
  ) throws(FormatError) {
    var text: [UInt8] = []
    // The raw byte that each byte of the text stands for.
    var origins: [Int32] = []
    for index in word.indices {
      let letter = ByteAlphabet.utf8(word[index])
      text += letter
      origins.append(contentsOf: repeatElement(Int32(truncatingIfNeeded: index), count: letter.count))
    }
    let end = Int32(truncatingIfNeeded: word.count)
    let first = tokens.count
    try tokenizeText(text.span, &scratch, &tokens)
    for index in first..<tokens.count {
      let (from, to) = (Int(tokens[index].start), Int(tokens[index].end))
      tokens[index].start = from < origins.count ? origins[from] : end
      tokens[index].end =
        to > from && to <= origins.count ? origins[to - 1] + 1 : max(tokens[index].start, to > from ? end : 0)
    }
  }

  private func tokenizeText(
    _ word: Span<UInt8>, _ scratch: inout ModelScratch, _ tokens: inout [ModelToken]
  ) throws(FormatError) {
    if ignoresMerges, let id = trie.id(of: word) {
      tokens.append(ModelToken(id: id, start: 0, count: word.count))
      return
    }
    try addSymbols(of: word, &scratch.bpe)
    merges.apply(&scratch.bpe)
    scratch.bpe.appendTokens(to: &tokens)
  }

  /// The characters of a word before any merge (`merge_word`).
  private func addSymbols(of word: Span<UInt8>, _ state: inout BPEState) throws(FormatError) {
    state.symbols.removeAll(keepingCapacity: true)
    // Bytes of unknown characters that have no symbol yet.
    var unknown = 0
    var start = 0
    while start < word.count {
      let width = min(utf8Width(word[start]), word.count - start)
      let isFirst = start == 0
      let isLast = start + width == word.count
      if let id = characters.id(word, start, width, isFirst: isFirst, isLast: isLast) {
        if unknown > 0 { try addUnknown(&unknown, &state) }
        state.add(id, width)
      } else if addBytes(word, start, width, isFirst: isFirst, isLast: isLast, &state) {
        // An unknown character before them gets its symbol behind them, as in the original.
      } else if unknownToken != nil {
        if unknown > 0, !fusesUnknown { try addUnknown(&unknown, &state) }
        if unknownID == nil { throw UnknownToken.missing(unknownToken) }
        unknown += width
      }
      start += width
    }
    if unknown > 0 { try addUnknown(&unknown, &state) }
  }

  private func addUnknown(_ unknown: inout Int, _ state: inout BPEState) throws(FormatError) {
    guard let unknownID else { throw UnknownToken.missing(unknownToken) }
    state.add(unknownID, unknown)
    unknown = 0
  }

  /// Adds the byte tokens of a character, with its prefix and suffix, where all of them exist.
  private func addBytes(
    _ word: Span<UInt8>, _ start: Int, _ width: Int, isFirst: Bool, isLast: Bool, _ state: inout BPEState
  ) -> Bool {
    guard !byteIDs.isEmpty, (start..<(start + width)).allSatisfy({ byteIDs[Int(word[$0])] >= 0 }) else { return false }
    let before = isFirst ? [] : prefix
    let after = isLast ? suffix : []
    guard before.allSatisfy({ byteIDs[Int($0)] >= 0 }), after.allSatisfy({ byteIDs[Int($0)] >= 0 }) else {
      return false
    }
    for byte in before { state.add(byteIDs[Int(byte)], 1) }
    for index in start..<(start + width) { state.add(byteIDs[Int(word[index])], 1) }
    for byte in after { state.add(byteIDs[Int(byte)], 1) }
    return true
  }
}

/// The ids of single characters: at the beginning, in the middle and at the end of a word.
private struct CharacterIDs: Sendable {
  private let trie: TokenTrie
  private let continuation: Int?
  private let suffix: [UInt8]
  /// The ids of the first 2,048 characters without prefix and suffix; -1 for those without.
  private let plain: [Int32]
  private let hasPrefix: Bool

  init(_ trie: TokenTrie, prefix: [UInt8], suffix: [UInt8]) {
    self.trie = trie
    self.suffix = suffix
    hasPrefix = !prefix.isEmpty
    continuation = trie.node(of: prefix.span)
    plain = (0..<0x800).map { value in
      Unicode.Scalar(UInt32(value)).flatMap { trie.id(of: String($0)) } ?? -1
    }
  }

  @inline(__always)
  func id(_ word: Span<UInt8>, _ start: Int, _ width: Int, isFirst: Bool, isLast: Bool) -> Int32? {
    if width <= 2, isFirst || !hasPrefix, !isLast || suffix.isEmpty {
      let lead = Int(word[start])
      let id = plain[width == 1 ? lead : (lead & 0x1F) << 6 | Int(word[start + 1] & 0x3F)]
      return id >= 0 ? id : nil
    }
    guard let origin = isFirst ? TokenTrie.root : continuation,
      let node = trie.node(of: word.extracting(start..<(start + width)), from: origin)
    else { return nil }
    if !isLast || suffix.isEmpty { return trie.id(at: node) }
    return trie.node(of: suffix.span, from: node).flatMap { trie.id(at: $0) }
  }
}

/// A word while its symbols are merged.
package struct BPEState: Sendable {
  struct Symbol {
    var id: Int32
    /// Bytes of the word; zero once it is part of the symbol on its left.
    var length: Int32
    var previous: Int32
    var next: Int32
  }

  var symbols: [Symbol] = []
  /// Merges that wait: by rank, then by the symbol on the left; with the token that they make.
  var queue = MergeQueue()

  @inline(__always)
  mutating func add(_ id: Int32, _ length: Int) {
    let index = Int32(truncatingIfNeeded: symbols.count)
    if index > 0 { symbols[Int(index) - 1].next = index }
    symbols.append(Symbol(id: id, length: Int32(truncatingIfNeeded: length), previous: index - 1, next: -1))
  }

  func appendTokens(to tokens: inout [ModelToken]) {
    var start: Int32 = 0
    for symbol in symbols where symbol.length > 0 {
      tokens.append(ModelToken(id: symbol.id, start: start, end: start &+ symbol.length))
      start &+= symbol.length
    }
  }
}

/// What each pair of tokens becomes, and when.
private struct MergeTable: Sendable {
  private struct Entry {
    var pair: UInt64
    var rank: UInt32
    var newID: Int32
  }

  /// Open addressing; `pair` is `UInt64.max` in a free entry.
  private var entries: [Entry]
  private let mask: Int

  init(_ definition: BPEDefinition, _ trie: TokenTrie) throws(FormatError) {
    let list = definition.merges
    let mergeCount = list.count / 2
    var capacity = 16
    while capacity < 2 * mergeCount { capacity *= 2 }
    mask = capacity - 1
    entries = Array(repeating: Entry(pair: .max, rank: 0, newID: 0), count: capacity)
    let prefixCount = definition.continuingSubwordPrefix.utf8.count
    for rank in 0..<mergeCount {
      let left = list.range(2 * rank)
      let right = list.range(2 * rank + 1)
      let bytes = list.bytes.span
      let leftNode = trie.node(of: bytes.extracting(left))
      guard let leftNode, let leftID = trie.id(at: leftNode), let rightID = trie.id(of: bytes.extracting(right)),
        right.count >= prefixCount,
        let whole = trie.node(
          of: bytes.extracting((right.lowerBound + prefixCount)..<right.upperBound), from: leftNode),
        let newID = trie.id(at: whole)
      else {
        throw FormatError(
          .damaged, "merge \(rank + 1) of the tokenizer's BPE model has a token that is not in its vocabulary",
          found: "'\(list[2 * rank])' and '\(list[2 * rank + 1])'", expected: "both, and what they become",
          advice: "Vocabulary and merges have to be of the same tokenizer.")
      }
      insert(Entry(pair: Self.pair(leftID, rightID), rank: UInt32(truncatingIfNeeded: rank), newID: newID))
    }
  }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func slot(_ pair: UInt64) -> Int {
    // The finalizer of MurmurHash3, so that ids in a row do not collide.
    var value = pair ^ hashSeed
    value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    value = (value ^ value >> 33) &* 0xC4CE_B9FE_1A85_EC53
    return Int(truncatingIfNeeded: value ^ value >> 33) & mask
  }

  /// Of merges of one pair the last one counts.
  private mutating func insert(_ entry: Entry) {
    var slot = slot(entry.pair)
    while entries[slot].pair != .max, entries[slot].pair != entry.pair { slot = (slot + 1) & mask }
    entries[slot] = entry
  }

  @inline(__always)
  private func find(_ left: Int32, _ right: Int32) -> (rank: UInt32, newID: Int32)? {
    let pair = Self.pair(left, right)
    var slot = slot(pair)
    while true {
      let entry = entries[slot]
      if entry.pair == pair { return (entry.rank, entry.newID) }
      if entry.pair == .max { return nil }
      slot = (slot + 1) & mask
    }
  }

  func apply(_ state: inout BPEState) {
    state.queue.removeAll()
    let count = state.symbols.count
    guard count > 1 else { return }
    for index in 0..<(count - 1) { push(index, state.symbols[index].id, state.symbols[index + 1].id, &state) }
    while let top = state.queue.pop() {
      let left = Int(top.key & 0xFFFF_FFFF)
      guard state.symbols[left].length != 0, state.symbols[left].next >= 0 else { continue }
      let right = Int(state.symbols[left].next)
      // The pair may have become another one since it was queued.
      guard let now = find(state.symbols[left].id, state.symbols[right].id), now.newID == top.value else { continue }
      state.symbols[left].id = top.value
      state.symbols[left].length &+= state.symbols[right].length
      state.symbols[left].next = state.symbols[right].next
      state.symbols[right].length = 0
      let next = Int(state.symbols[left].next)
      if next >= 0 { state.symbols[next].previous = Int32(truncatingIfNeeded: left) }
      let previous = Int(state.symbols[left].previous)
      if previous >= 0 { push(previous, state.symbols[previous].id, top.value, &state) }
      if next >= 0 { push(left, top.value, state.symbols[next].id, &state) }
    }
  }

  @inline(__always)
  private func push(_ index: Int, _ left: Int32, _ right: Int32, _ state: inout BPEState) {
    guard let merge = find(left, right) else { return }
    state.queue.push(key: UInt64(merge.rank) << 32 | UInt64(truncatingIfNeeded: index), value: merge.newID)
  }
}
