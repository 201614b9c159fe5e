import TensorIO

/// The tokens that are cut out of a text before the model sees it: `tokenizers/src/tokenizer/added_vocabulary.rs`.
final class AddedTokens: Sendable {
  struct Token: Sendable {
    var id: Int32
    var content: [UInt8]
    var singleWord: Bool
    var stripsLeft: Bool
    var stripsRight: Bool
  }

  /// By id; the last one counts.
  let byID: [Int32: Token]
  let idsByContent: [[UInt8]: Int32]
  let specialContents: Set<[UInt8]>
  /// Searched for in the text as given.
  let plain: Matcher
  /// Searched for in the normalized text.
  let normalized: Matcher

  init(
    _ tokens: [TokenizerDefinition.AddedToken], model: any TokenModel, normalizers: Normalizers
  ) throws(FormatError) {
    guard tokens.count <= 1 << 20 else {
      throw FormatError(.limit, "the tokenizer has more than a million added tokens")
    }
    var next = Int32(clamping: model.count)
    var byID: [Int32: Token] = [:]
    var idsByContent: [[UInt8]: Int32] = [:]
    var specialContents: Set<[UInt8]> = []
    var plain = Trie()
    var normalized = Trie()
    var order: [TokenizerDefinition.AddedToken] = []
    var seen: Set<[UInt8]> = []
    for token in tokens where token.special {
      let content = Array(token.content.utf8)
      if !content.isEmpty, specialContents.insert(content).inserted { order.append(token) }
    }
    for token in tokens {
      let content = Array(token.content.utf8)
      guard !content.isEmpty else { continue }
      let id: Int32
      if let known = idsByContent[content] {
        id = known
      } else if let known = model.id(of: content.span) {
        id = known
      } else {
        id = next
        next += 1
      }
      idsByContent[content] = id
      byID[id] = Token(
        id: id, content: content, singleWord: token.singleWord, stripsLeft: token.stripsLeft,
        stripsRight: token.stripsRight)
      if !specialContents.contains(content), seen.insert(content).inserted { order.append(token) }
    }
    for token in order {
      let content = Array(token.content.utf8)
      guard let id = idsByContent[content] else { continue }
      if token.normalized {
        normalized.add(try Self.normalize(content, token, normalizers), id: id)
      } else {
        plain.add(content, id: id)
      }
    }
    self.byID = byID
    self.idsByContent = idsByContent
    self.specialContents = specialContents
    self.plain = Matcher(plain)
    self.normalized = Matcher(normalized)
  }

  private static func normalize(
    _ content: [UInt8], _ token: TokenizerDefinition.AddedToken, _ normalizers: Normalizers
  ) throws(FormatError) -> [UInt8] {
    guard !normalizers.isEmpty else { return content }
    var rewriter = Rewriter()
    var scratch = PatternScratch()
    rewriter.load(content.span)
    normalizers.apply(to: &rewriter, scratch: &scratch)
    guard let piece = rewriter.source.pieces.first else {
      throw FormatError(
        .unsupported, "the normalizer leaves nothing of the added token '\(token.content)'",
        advice: "Set \"normalized\" to false for this token.")
    }
    return Array(rewriter.source.bytes[piece.range])
  }

  func isSpecial(_ id: Int32) -> Bool { byID[id].map { specialContents.contains($0.content) } ?? false }

  /// Cuts the tokens of `matcher` out of all pieces that are text.
  func split(_ buffer: inout TextBuffer, with matcher: Matcher, scratch: inout PatternScratch) {
    guard !matcher.isEmpty, matcher.mayMatch(buffer) else { return }
    scratch.pieces.removeAll(keepingCapacity: true)
    for piece in buffer.pieces {
      guard piece.isText else {
        scratch.pieces.append(piece)
        continue
      }
      split(piece, of: buffer, with: matcher, to: &scratch.pieces)
    }
    swap(&buffer.pieces, &scratch.pieces)
  }

  private func split(
    _ piece: Piece, of buffer: borrowing TextBuffer, with matcher: Matcher, to pieces: inout [Piece]
  ) {
    func append(_ start: Int, _ end: Int, _ token: Int32) {
      guard start < end else { return }
      pieces.append(Piece(start: start, end: end, token: token, isFirst: buffer.isFirst(at: start)))
    }
    var done = piece.start
    var position = piece.start
    while let match = matcher.next(in: buffer, from: position, to: piece.end) {
      position = match.range.upperBound
      guard let token = byID[match.id] else { continue }
      var (start, end) = (match.range.lowerBound, match.range.upperBound)
      if token.singleWord {
        let isAfterWord =
          start > piece.start
          && CodePointKind(of: buffer.codePoint(at: buffer.codePointStart(before: start)).code).has(.word)
        let isBeforeWord = end < piece.end && CodePointKind(of: buffer.codePoint(at: end).code).has(.word)
        if isAfterWord || isBeforeWord { continue }
      }
      if token.stripsLeft {
        while start > piece.start {
          let before = buffer.codePointStart(before: start)
          guard CodePointKind(of: buffer.codePoint(at: before).code).has(.whitespace) else { break }
          start = before
        }
        // Another token may have taken the space.
        start = max(start, done)
      }
      if token.stripsRight {
        while end < piece.end {
          let (code, length) = buffer.codePoint(at: end)
          guard CodePointKind(of: code).has(.whitespace) else { break }
          end += length
        }
      }
      append(done, start, -1)
      append(start, end, token.id)
      done = end
    }
    append(done, piece.end, -1)
  }

  /// Texts by their bytes, which a ``Matcher`` looks for; node 0 is the root.
  struct Trie: Sendable {
    fileprivate var children: [[UInt8: Int32]] = [[:]]
    fileprivate var ids: [Int32] = [-1]
    fileprivate var first: [Bool] = Array(repeating: false, count: 256)
    fileprivate var isEmpty = true

    mutating func add(_ text: [UInt8], id: Int32) {
      guard let byte = text.first else { return }
      isEmpty = false
      first[Int(byte)] = true
      var node = 0
      for byte in text {
        if let child = children[node][byte] {
          node = Int(child)
        } else {
          children[node][byte] = Int32(children.count)
          node = children.count
          children.append([:])
          ids.append(-1)
        }
      }
      // Of equal texts the first one counts.
      if ids[node] < 0 { ids[node] = id }
    }
  }

  /// Finds several texts at once: the leftmost, and of several there the longest.
  final class Matcher: Sendable {
    private let children: [[UInt8: Int32]]
    private let ids: [Int32]
    private let first: [Bool]
    let isEmpty: Bool

    init(_ trie: Trie) {
      children = trie.children
      ids = trie.ids
      first = trie.first
      isEmpty = trie.isEmpty
    }

    /// Whether any byte may begin a match.
    func mayMatch(_ buffer: borrowing TextBuffer) -> Bool {
      let first = first
      let bytes = buffer.bytes.span
      for index in bytes.indices where first[Int(bytes[index])] { return true }
      return false
    }

    func next(in buffer: borrowing TextBuffer, from start: Int, to end: Int) -> (range: Range<Int>, id: Int32)? {
      let bytes = buffer.bytes.span
      var position = start
      while position < end {
        if first[Int(bytes[position])], let match = longest(bytes, position, end) {
          return (position..<match.end, match.id)
        }
        position += 1
      }
      return nil
    }

    private func longest(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> (end: Int, id: Int32)? {
      var node = 0
      var position = start
      var best: (end: Int, id: Int32)?
      while position < end, let child = children[node][bytes[position]] {
        node = Int(child)
        position += 1
        if ids[node] >= 0 { best = (position, ids[node]) }
      }
      return best
    }
  }
}
