import ModelFamilies
import Testing

/// Searches in names go by bytes, and give what comparing all positions gives.
@Suite struct NameBytesTests {
  private static let texts = [
    "", "a", "aa", "aab", "ab", "aba", "abab", "b", "ba", "layer_1", "/layer_1/", "encoder.layer.1.x", "é", "e\u{301}",
    "\u{301}", "中文", "文", "xé中é", "\r\n", "\n", "a\r\nb",
  ]

  @Test(arguments: texts) func partsAreFoundWhereTheyFirstStand(text: String) {
    for part in Self.texts {
      // In a whole text, and in a part of one, whose indices are the whole's.
      for whole in [text[...], ("aé" + text + "ba").dropFirst(1), ("中" + text).dropFirst(1)] {
        let (bytes, wanted) = (Array(whole.utf8), Array(part.utf8))
        let starts = 0...max(0, bytes.count - wanted.count)
        let first = starts.first { bytes.dropFirst($0).starts(with: wanted) }
        let found = whole.firstRange(ofBytes: part)
        #expect(found.map { whole.utf8.distance(from: whole.startIndex, to: $0.lowerBound) } == first)
        #expect(found.map { Array(whole.utf8[$0]) } == first.map { _ in wanted })
      }
      #expect(text.hasEnding(part) == Array(text.utf8).reversed().starts(with: Array(part.utf8).reversed()))
    }
  }
}
