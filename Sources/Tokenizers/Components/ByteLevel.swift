/// The byte level of GPT-2: bytes as printable characters, and its words.
enum ByteLevel {
  private static let codes: [UInt32] = ByteAlphabet.scalars.map(\.value)

  /// Every byte becomes its character (`tokenizers/src/normalizers/byte_level.rs`).
  static func mapToAlphabet(_ rewriter: inout Rewriter) {
    rewriter.rewrite { (rewriter, piece) in
      var position = piece.start
      while position < piece.end {
        let length = rewriter.source.codePoint(at: position).length
        for index in 0..<length {
          rewriter.emit(codes[Int(rewriter.source.bytes[position + index])], change: index == 0 ? 0 : 1)
        }
        position += length
      }
      return true
    }
  }

  /// Puts a space in front of every piece that does not begin with one.
  static func addPrefixSpace(_ rewriter: inout Rewriter) {
    let isNeeded = rewriter.source.pieces.contains { $0.isText && rewriter.source.bytes[$0.start] != 0x20 }
    guard isNeeded else { return }
    rewriter.rewrite { (rewriter, piece) in
      if rewriter.source.bytes[piece.start] != 0x20 { rewriter.prepend(0x20) }
      rewriter.copy(to: piece.end)
      return true
    }
  }

  /// What GPT-2's pattern tells apart.
  private enum Class {
    static let other: UInt8 = 0
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 3
  }

  private static let letters = GeneralCategory.mask("L")
  private static let numbers = GeneralCategory.mask("N")

  private static func classify(_ code: UInt32) -> UInt8 {
    let kind = CodePointKind(of: code)
    if kind.has(.whitespace) { return Class.space }
    let bit = UInt32(1) << kind.category
    return bit & letters != 0 ? Class.letter : bit & numbers != 0 ? Class.number : Class.other
  }

  private static let ascii: [UInt8] = (0..<128).map { classify($0) }

  /// Cuts the pieces as GPT-2's pattern does, all parts of a text being matches:
  ///
  ///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  static func split(_ buffer: inout TextBuffer, _ scratch: inout PatternScratch) {
    scratch.pieces.removeAll(keepingCapacity: true)
    for piece in buffer.pieces {
      guard piece.isText else {
        scratch.pieces.append(piece)
        continue
      }
      var start = piece.start
      while start < piece.end {
        let end = wordEnd(in: buffer, from: start, to: piece.end)
        scratch.pieces.append(Piece(start: start, end: end, isFirst: buffer.isFirst(at: start)))
        start = end
      }
    }
    swap(&buffer.pieces, &scratch.pieces)
  }

  @inline(__always)
  private static func classAndLength(_ buffer: borrowing TextBuffer, _ position: Int) -> (kind: UInt8, length: Int) {
    let byte = buffer.bytes[position]
    if byte < 0x80 { return (ascii[Int(byte)], 1) }
    let (code, length) = buffer.codePoint(at: position)
    return (classify(code), length)
  }

  @inline(__always)
  private static func wordEnd(in buffer: borrowing TextBuffer, from start: Int, to end: Int) -> Int {
    let first = buffer.bytes[start]
    if first == UInt8(ascii: "'"), let contraction = contractionEnd(in: buffer, from: start, to: end) {
      return contraction
    }
    var position = start
    if first == 0x20, start + 1 < end, classAndLength(buffer, start + 1).kind != Class.space { position += 1 }
    let kind = classAndLength(buffer, position).kind
    var last = position
    while position < end {
      let (other, length) = classAndLength(buffer, position)
      guard other == kind else { break }
      last = position
      position += length
    }
    // Of several spaces before a word, the last one is left to it.
    if kind == Class.space, position < end, last > start { return last }
    return position
  }

  private static func contractionEnd(in buffer: borrowing TextBuffer, from start: Int, to end: Int) -> Int? {
    guard start + 1 < end else { return nil }
    switch buffer.bytes[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < end && buffer.bytes[start + 2] == UInt8(ascii: "e") ? start + 3 : nil
    case UInt8(ascii: "l"):
      return start + 2 < end && buffer.bytes[start + 2] == UInt8(ascii: "l") ? start + 3 : nil
    default: return nil
    }
  }
}
