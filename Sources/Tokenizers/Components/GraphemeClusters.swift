/// Unicode's extended grapheme clusters (UAX #29), as `unicode-segmentation` 1.12 finds them.
enum GraphemeClusters {
  /// Classes as the tables number them.
  private enum Class {
    static let any: UInt32 = 0
    static let carriageReturn: UInt32 = 1
    static let control: UInt32 = 2
    static let extend: UInt32 = 3
    static let pictographic: UInt32 = 4
    static let consonant: UInt32 = 5
    static let leading: UInt32 = 6
    static let lineFeed: UInt32 = 7
    static let leadingVowel: UInt32 = 8
    static let leadingVowelTrailing: UInt32 = 9
    static let prepend: UInt32 = 10
    static let regionalIndicator: UInt32 = 11
    static let spacingMark: UInt32 = 12
    static let trailing: UInt32 = 13
    static let vowel: UInt32 = 14
    static let joiner: UInt32 = 15
  }

  /// The end of the cluster that begins at `start`.
  @inline(__always)
  static func end(in buffer: borrowing TextBuffer, from start: Int, to end: Int) -> Int {
    // Two ASCII characters are two clusters, but for a line end of two.
    let next = start + 1
    if buffer.bytes[start] < 0x80 {
      if next >= end || buffer.bytes[next] < 0x80 && buffer.bytes[start] != 0x0D { return next }
    }
    return endOfAny(in: buffer, from: start, to: end)
  }

  private static func endOfAny(in buffer: borrowing TextBuffer, from start: Int, to end: Int) -> Int {
    let (first, length) = buffer.codePoint(at: start)
    var position = start + length
    var before = CodePointKind(of: first)
    var regionalIndicators = before.graphemeClass == Class.regionalIndicator ? 1 : 0
    // GB11: a pictograph and what extends it (1), with a joiner behind (2).
    var emoji = before.graphemeClass == Class.pictographic ? 1 : 0
    // GB9c: a consonant and what extends it (1), with a linker among that (2).
    var conjunct = before.graphemeClass == Class.consonant ? 1 : 0
    while position < end {
      let (code, length) = buffer.codePoint(at: position)
      let after = CodePointKind(of: code)
      guard
        isJoined(
          before.graphemeClass, after.graphemeClass, emoji: emoji, conjunct: conjunct,
          regionalIndicators: regionalIndicators)
      else { return position }
      position += length
      let grapheme = after.graphemeClass
      regionalIndicators = grapheme == Class.regionalIndicator ? regionalIndicators + 1 : 0
      if grapheme == Class.pictographic {
        emoji = 1
      } else if grapheme == Class.joiner {
        emoji = emoji == 1 ? 2 : 0
      } else if grapheme != Class.extend || emoji != 1 {
        emoji = 0
      }
      if grapheme == Class.consonant {
        conjunct = 1
      } else if after.has(.conjunctLinker) {
        conjunct = conjunct > 0 ? 2 : 0
      } else if !after.has(.conjunctExtend) {
        conjunct = 0
      }
      before = after
    }
    return end
  }

  @inline(__always)
  private static func isJoined(
    _ before: UInt32, _ after: UInt32, emoji: Int, conjunct: Int, regionalIndicators: Int
  ) -> Bool {
    if before == Class.any, after == Class.any { return false }
    if before == Class.carriageReturn, after == Class.lineFeed { return true }
    if isControl(before) || isControl(after) { return false }
    switch (before, after) {
    case (Class.leading, Class.leading), (Class.leading, Class.vowel), (Class.leading, Class.leadingVowel),
      (Class.leading, Class.leadingVowelTrailing):
      return true
    case (Class.leadingVowel, Class.vowel), (Class.leadingVowel, Class.trailing), (Class.vowel, Class.vowel),
      (Class.vowel, Class.trailing):
      return true
    case (Class.leadingVowelTrailing, Class.trailing), (Class.trailing, Class.trailing): return true
    case (_, Class.extend), (_, Class.joiner), (_, Class.spacingMark), (Class.prepend, _): return true
    case (_, Class.consonant): return conjunct == 2
    case (Class.joiner, Class.pictographic): return emoji == 2
    case (Class.regionalIndicator, Class.regionalIndicator): return regionalIndicators % 2 == 1
    default: return false
    }
  }

  private static func isControl(_ grapheme: UInt32) -> Bool {
    grapheme == Class.control || grapheme == Class.carriageReturn || grapheme == Class.lineFeed
  }
}
