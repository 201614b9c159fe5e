/// Writes a text anew, piece by piece, by the rules by which `NormalizedString` of `tokenizers` keeps track of where each
/// byte comes from (`tokenizers/src/tokenizer/normalizer.rs`, `transform_range` and `replace`).
///
/// A component reads `source` and calls ``emit(_:change:)`` for each code point of the new text, in order:
/// - `change` 0: it replaces the next code point of the old text, and takes its place in the text as given;
/// - `change` 1: it is new, and shares the place of the code point before it;
/// - `change` −n: it replaces the next code point, and the n after that are gone.
struct Rewriter {
  private(set) var source = TextBuffer()
  private var target = TextBuffer()
  /// Of the piece that is being rewritten.
  private var piece = Piece(start: 0, end: 0, isFirst: false)
  /// The byte of the source up to which it has been replaced.
  private var offset = 0
  /// While the source is an identity: the code point of the text as given at `offset`.
  private var codePoint: UInt32 = 0
  private var targetStart = 0
  private var wasCut = false

  /// The text as given, for the first component.
  mutating func load(_ text: Span<UInt8>) { source.load(text) }

  /// Changes the pieces, not the text.
  mutating func withPieces(_ body: (inout TextBuffer) -> Void) { body(&source) }

  /// Rewrites every piece of text with `body`, which gets it and calls ``emit(_:change:)`` or ``copy(to:)``. Added tokens
  /// stay. Where `body` returns false, everything stays as it was.
  ///
  /// - Returns: whether the text was rewritten
  @inline(__always)
  @discardableResult
  mutating func rewrite(_ body: (inout Rewriter, Piece) -> Bool) -> Bool {
    target.removeAll()
    target.isIdentity = false
    offset = 0
    codePoint = 0
    for index in source.pieces.indices {
      let piece = source.pieces[index]
      begin(piece)
      if piece.isText {
        guard body(&self, piece) else { return false }
      } else {
        copy(to: piece.end)
      }
      end()
    }
    swap(&source, &target)
    return true
  }

  private mutating func end() {
    guard target.bytes.count > targetStart else { return }
    let isFirst = wasCut ? target.isFirst(at: targetStart) : piece.isFirst
    target.pieces.append(
      Piece(start: targetStart, end: target.bytes.count, token: piece.token, isFirst: isFirst))
  }

  /// Ends a piece of the new text here: what follows is another one, of the same section.
  mutating func cut() {
    wasCut = true
    guard target.bytes.count > targetStart else { return }
    target.pieces.append(
      Piece(start: targetStart, end: target.bytes.count, isFirst: target.isFirst(at: targetStart)))
    targetStart = target.bytes.count
  }

  /// The piece of the new text that is being written counts as cut from its section, wherever it ends.
  mutating func markCut() { wasCut = true }

  private mutating func begin(_ piece: Piece) {
    self.piece = piece
    if source.isIdentity {
      codePoint += UInt32(truncatingIfNeeded: source.codePointCount(min(offset, piece.start)..<piece.start))
    }
    offset = piece.start
    wasCut = false
    targetStart = target.bytes.count
  }

  /// Copies the old text up to `position`.
  mutating func copy(to position: Int) {
    guard position > offset else { return }
    target.isASCII = target.isASCII && source.isASCII
    if source.isIdentity {
      while offset < position {
        let (code, length) = source.codePoint(at: offset)
        target.append(code, Alignment(start: codePoint, end: codePoint + 1))
        offset += length
        codePoint += 1
      }
    } else {
      target.bytes.append(contentsOf: source.bytes[offset..<position])
      target.alignments.append(contentsOf: source.alignments[offset..<position])
      offset = position
    }
  }

  /// Leaves `count` code points of the old text out, at the beginning.
  mutating func skip(_ count: Int) {
    for _ in 0..<count { consume() }
  }

  /// Leaves the old text up to `position` out.
  mutating func skip(to position: Int) {
    if source.isIdentity, position > offset {
      codePoint += UInt32(truncatingIfNeeded: source.codePointCount(offset..<position))
    }
    offset = position
  }

  @inline(__always)
  private mutating func consume() {
    guard offset < piece.end else { return }
    offset += source.codePoint(at: offset).length
    codePoint &+= 1
  }

  @inline(__always)
  mutating func emit(_ code: UInt32, change: Int = 0) {
    let alignment: Alignment
    if change > 0 {
      if offset <= piece.start {
        alignment = firstAlignment
      } else if source.isIdentity {
        alignment = Alignment(start: codePoint &- 1, end: codePoint)
      } else {
        alignment = source.alignments[offset - 1]
      }
    } else {
      if source.isIdentity {
        alignment = Alignment(start: codePoint, end: codePoint &+ 1)
      } else {
        alignment = source.alignments[min(offset, piece.end - 1)]
      }
      consume()
      if change < 0 { skip(-change) }
    }
    target.append(code, alignment)
  }

  /// Where the next code point of the old text comes from.
  private var firstAlignment: Alignment {
    source.isIdentity
      ? Alignment(start: codePoint, end: codePoint &+ 1) : source.alignments[min(offset, piece.end - 1)]
  }

  /// Puts a code point in, at the place of the next one of the old text, which stays.
  mutating func prepend(_ code: UInt32) { target.append(code, firstAlignment) }
}
