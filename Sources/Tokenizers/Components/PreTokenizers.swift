import TensorIO

/// The second stage, ready for use: the pre-tokenizer of a definition as steps that cut the pieces further.
struct PreTokenizers: Sendable {
  private enum Step: Sendable {
    /// BERT's: whitespace is left out, punctuation stands alone.
    case bert
    case split(CharacterClass, TokenizerDefinition.SplitBehavior)
    /// Runs of word characters, and runs of others, without whitespace.
    case words
    case addPrefixSpace
    case gpt2Words
    case byteAlphabet
    case fixedLength(Int)
    case metaspace(UInt32, TokenizerDefinition.PrependScheme, split: Bool)
    case pattern(TextPattern, TokenizerDefinition.SplitBehavior, invert: Bool)
  }

  private var steps: [Step] = []
  /// Whether the words are meant as bytes: `ByteLevel` is the last step, and left to a model that reads bytes.
  private(set) var leavesBytes = false

  /// - Parameter modelReadsBytes: whether the model can take the bytes themselves for `ByteLevel`'s characters
  init(_ preTokenizer: TokenizerDefinition.PreTokenizer?, modelReadsBytes: Bool) throws(FormatError) {
    if let preTokenizer { try add(preTokenizer) }
    let alphabets = steps.filter { if case .byteAlphabet = $0 { true } else { false } }.count
    if modelReadsBytes, alphabets == 1, case .byteAlphabet = steps.last {
      steps.removeLast()
      leavesBytes = true
    }
  }

  private mutating func add(_ preTokenizer: TokenizerDefinition.PreTokenizer) throws(FormatError) {
    switch preTokenizer {
    case .bert: steps.append(.bert)
    case .byteLevel(let addPrefixSpace, _, let usesRegex):
      if addPrefixSpace { steps.append(.addPrefixSpace) }
      if usesRegex { steps.append(.gpt2Words) }
      steps.append(.byteAlphabet)
    case .charDelimiterSplit(let delimiter): steps.append(.split(.scalar(delimiter.value), .removed))
    case .digits(let individual): steps.append(.split(.flag(.numeric), individual ? .isolated : .contiguous))
    case .fixedLength(let length): steps.append(.fixedLength(length))
    case .metaspace(let replacement, let scheme, let split):
      steps.append(.metaspace(replacement.value, scheme, split: split))
    case .punctuation(let behavior): steps.append(.split(.flag(.punctuation), behavior))
    case .split(let pattern, let behavior, let invert):
      steps.append(.pattern(try TextPattern(pattern), behavior, invert: invert))
    case .whitespace: steps.append(.words)
    case .whitespaceSplit: steps.append(.split(.flag(.whitespace), .removed))
    case .sequence(let parts):
      for part in parts { try add(part) }
    }
  }

  /// What a code point is compared with.
  private enum CharacterClass: Sendable {
    case flag(CodePointKind.Flag)
    case scalar(UInt32)

    @inline(__always)
    func contains(_ code: UInt32) -> Bool {
      switch self {
      case .flag(let flag): CodePointKind(of: code).has(flag)
      case .scalar(let scalar): code == scalar
      }
    }
  }

  /// Cuts all pieces that are text.
  func apply(to rewriter: inout Rewriter, scratch: inout PatternScratch) {
    for step in steps {
      switch step {
      case .bert: rewriter.withPieces { Self.splitBERT(&$0, &scratch) }
      case .split(let characters, let behavior):
        rewriter.withPieces { Self.split(&$0, &scratch, behavior) { characters.contains($0) } }
      case .words: rewriter.withPieces { Self.splitWords(&$0, &scratch) }
      case .addPrefixSpace: ByteLevel.addPrefixSpace(&rewriter)
      case .gpt2Words: rewriter.withPieces { ByteLevel.split(&$0, &scratch) }
      case .byteAlphabet: ByteLevel.mapToAlphabet(&rewriter)
      case .fixedLength(let length): rewriter.withPieces { Self.splitFixed(&$0, &scratch, length) }
      case .metaspace(let replacement, let scheme, let split):
        Self.metaspace(&rewriter, replacement, scheme, splits: split)
      case .pattern(let pattern, let behavior, let invert):
        rewriter.withPieces { Self.split(&$0, &scratch, behavior, invert, pattern) }
      }
    }
  }

  // MARK: By character

  private enum BERTClass {
    static let other: UInt8 = 0
    static let space: UInt8 = 1
    static let punctuation: UInt8 = 2

    @inline(__always)
    static func of(_ code: UInt32) -> UInt8 {
      let kind = CodePointKind(of: code)
      return kind.has(.whitespace) ? space : kind.has(.punctuation) ? punctuation : other
    }
  }

  private static let bertASCII: [UInt8] = (0..<128).map { BERTClass.of($0) }

  private static func splitBERT(_ buffer: inout TextBuffer, _ scratch: inout PatternScratch) {
    scratch.pieces.removeAll(keepingCapacity: true)
    let ascii = bertASCII
    for piece in buffer.pieces {
      guard piece.isText else {
        scratch.pieces.append(piece)
        continue
      }
      var start = piece.start
      var position = start
      while position < piece.end {
        let byte = buffer.bytes[position]
        var length = 1
        let kind: UInt8
        if byte < 0x80 {
          kind = ascii[Int(byte)]
        } else {
          let (code, codeLength) = buffer.codePoint(at: position)
          kind = BERTClass.of(code)
          length = codeLength
        }
        if kind != BERTClass.other {
          add(start..<position, of: buffer, to: &scratch)
          start = position + length
          if kind == BERTClass.punctuation { add(position..<start, of: buffer, to: &scratch) }
        }
        position += length
      }
      add(start..<position, of: buffer, to: &scratch)
    }
    swap(&buffer.pieces, &scratch.pieces)
  }

  @inline(__always)
  private static func add(_ range: Range<Int>, of buffer: borrowing TextBuffer, to scratch: inout PatternScratch) {
    guard !range.isEmpty else { return }
    scratch.pieces.append(
      Piece(start: range.lowerBound, end: range.upperBound, isFirst: buffer.isFirst(at: range.lowerBound)))
  }

  private static func splitWords(_ buffer: inout TextBuffer, _ scratch: inout PatternScratch) {
    scratch.pieces.removeAll(keepingCapacity: true)
    for piece in buffer.pieces {
      guard piece.isText else {
        scratch.pieces.append(piece)
        continue
      }
      var start = piece.start
      var position = start
      // 0 whitespace, 1 word, 2 other
      var last = 0
      while position < piece.end {
        let (code, length) = buffer.codePoint(at: position)
        let kind = CodePointKind(of: code)
        let now = kind.has(.word) ? 1 : kind.has(.whitespace) ? 0 : 2
        if now != last {
          if last != 0 { add(start..<position, of: buffer, to: &scratch) }
          start = position
          last = now
        }
        position += length
      }
      if last != 0 { add(start..<position, of: buffer, to: &scratch) }
    }
    swap(&buffer.pieces, &scratch.pieces)
  }

  /// Splits at the code points for which `isMatch` holds, each a delimiter.
  private static func split(
    _ buffer: inout TextBuffer, _ scratch: inout PatternScratch, _ behavior: TokenizerDefinition.SplitBehavior,
    _ isMatch: (UInt32) -> Bool
  ) {
    split(&buffer, &scratch, behavior, false) { (buffer, range, matches) in
      var position = range.lowerBound
      while position < range.upperBound {
        let (code, length) = buffer.codePoint(at: position)
        if isMatch(code) { matches.append(position..<(position + length)) }
        position += length
      }
    }
  }

  private static func splitFixed(_ buffer: inout TextBuffer, _ scratch: inout PatternScratch, _ length: Int) {
    split(&buffer, &scratch, .isolated, false) { (buffer, range, matches) in
      var position = range.lowerBound
      var start = position
      var count = 0
      while position < range.upperBound {
        position += buffer.codePoint(at: position).length
        count += 1
        if count == length || position == range.upperBound {
          matches.append(start..<position)
          start = position
          count = 0
        }
      }
    }
  }

  // MARK: By pattern

  private static func split(
    _ buffer: inout TextBuffer, _ scratch: inout PatternScratch, _ behavior: TokenizerDefinition.SplitBehavior,
    _ invert: Bool, _ pattern: TextPattern
  ) {
    split(&buffer, &scratch, behavior, invert) { (buffer, range, matches) in
      pattern.find(in: buffer, range, into: &matches)
    }
  }

  /// Splits at the matches that `find` appends, or, inverted, at what is between them.
  private static func split(
    _ buffer: inout TextBuffer, _ scratch: inout PatternScratch, _ behavior: TokenizerDefinition.SplitBehavior,
    _ invert: Bool, _ find: (borrowing TextBuffer, Range<Int>, inout [Range<Int>]) -> Void
  ) {
    scratch.pieces.removeAll(keepingCapacity: true)
    for piece in buffer.pieces {
      guard piece.isText else {
        scratch.pieces.append(piece)
        continue
      }
      scratch.matches.removeAll(keepingCapacity: true)
      find(buffer, piece.range, &scratch.matches)
      var parts = Parts(behavior: behavior)
      var position = piece.start
      for match in scratch.matches {
        if position < match.lowerBound {
          parts.add(position..<match.lowerBound, isMatch: invert, buffer, &scratch.pieces)
        }
        parts.add(match, isMatch: !invert, buffer, &scratch.pieces)
        position = match.upperBound
      }
      if position < piece.end { parts.add(position..<piece.end, isMatch: invert, buffer, &scratch.pieces) }
      parts.finish(buffer, &scratch.pieces)
    }
    swap(&buffer.pieces, &scratch.pieces)
  }

  /// Joins delimiters and what is between them, as `NormalizedString::split` does, one after the other.
  private struct Parts {
    let behavior: TokenizerDefinition.SplitBehavior
    private var pending: Range<Int>?
    private var wasMatch = false

    init(behavior: TokenizerDefinition.SplitBehavior) { self.behavior = behavior }

    mutating func add(
      _ range: Range<Int>, isMatch: Bool, _ buffer: borrowing TextBuffer, _ pieces: inout [Piece]
    ) {
      switch behavior {
      case .isolated: append(range, buffer, &pieces)
      case .removed: if !isMatch { append(range, buffer, &pieces) }
      case .contiguous: join(range, if: isMatch == wasMatch, buffer, &pieces)
      case .mergedWithPrevious: join(range, if: isMatch && !wasMatch, buffer, &pieces)
      case .mergedWithNext:
        // From the end: a delimiter joins what is behind it, unless that is a delimiter, which stays alone then.
        join(range, if: wasMatch && !isMatch, buffer, &pieces)
      }
      wasMatch = isMatch
    }

    private mutating func join(
      _ range: Range<Int>, if condition: Bool, _ buffer: borrowing TextBuffer, _ pieces: inout [Piece]
    ) {
      if condition, let last = pending {
        pending = last.lowerBound..<range.upperBound
      } else {
        finish(buffer, &pieces)
        pending = range
      }
    }

    mutating func finish(_ buffer: borrowing TextBuffer, _ pieces: inout [Piece]) {
      if let range = pending { append(range, buffer, &pieces) }
      pending = nil
    }

    private func append(_ range: Range<Int>, _ buffer: borrowing TextBuffer, _ pieces: inout [Piece]) {
      guard !range.isEmpty else { return }
      pieces.append(
        Piece(start: range.lowerBound, end: range.upperBound, isFirst: buffer.isFirst(at: range.lowerBound)))
    }
  }

  // MARK: Metaspace

  /// Spaces become the replacement, one is put in front, and each begins a piece.
  private static func metaspace(
    _ rewriter: inout Rewriter, _ replacement: UInt32, _ scheme: TokenizerDefinition.PrependScheme, splits: Bool
  ) {
    rewriter.rewrite { (rewriter, piece) in
      let first = rewriter.source.codePoint(at: piece.start).code
      if first != 0x20, first != replacement, scheme == .always || scheme == .first && piece.isFirst {
        rewriter.prepend(replacement)
      }
      var position = piece.start
      while position < piece.end {
        let (code, length) = rewriter.source.codePoint(at: position)
        if code == 0x20 || code == replacement {
          if splits { rewriter.cut() }
          rewriter.emit(replacement)
        } else {
          rewriter.emit(code)
        }
        position += length
      }
      // Alone, a piece is cut anew too.
      if splits { rewriter.markCut() }
      return true
    }
  }
}
