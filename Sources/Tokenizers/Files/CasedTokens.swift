/// Whether the tokens of a vocabulary have capitals.
public enum VocabularyCasing: String, Sendable { case cased, uncased }

/// The tokens of a vocabulary counted by the case of their letters, without the special ones.
package struct CasedTokens: Sendable {
  /// Tokens with a capital.
  package private(set) var capitals = 0
  /// Tokens with another cased letter, and no capital.
  package private(set) var small = 0
  package private(set) var count = 0

  package init(_ text: String) {
    let bytes = text.utf8.span
    var start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
      if end > start { add(bytes.extracting(start..<end)) }
      start = end + 1
    }
  }

  package init(_ tokens: TokenList) {
    for index in 0..<tokens.count {
      let range = tokens.range(index)
      if !range.isEmpty { add(tokens.bytes.span.extracting(range)) }
    }
  }

  private mutating func add(_ token: borrowing Span<UInt8>) {
    func text() -> String { String(decoding: token.indices.map { token[$0] }, as: UTF8.self) }
    guard token[0] != UInt8(ascii: "[") && token[0] != UInt8(ascii: "<") || !Self.isSpecial(text()) else { return }
    count += 1
    var hasCapital = false
    var hasLetter = false
    var isASCII = true
    for index in token.indices {
      let byte = token[index]
      hasCapital = hasCapital || byte >= 0x41 && byte <= 0x5A
      hasLetter = hasLetter || byte >= 0x61 && byte <= 0x7A
      isASCII = isASCII && byte < 0x80
    }
    if !isASCII, !hasCapital {
      for scalar in text().unicodeScalars where !scalar.isASCII {
        // A capital is what lower-casing changes: the double-struck ℝ of mathematics stays as it is.
        let lower = scalar.properties.lowercaseMapping.unicodeScalars
        if !lower.elementsEqual(CollectionOfOne(scalar)) {
          hasCapital = true
        } else if scalar.properties.isLowercase {
          hasLetter = true
        }
      }
    }
    if hasCapital { capitals += 1 } else if hasLetter { small += 1 }
  }

  private static let special: Set = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]", "[BLANK]", "<pad>", "<unk>", "<s>", "</s>",
    "<mask>",
    "<cls>", "<sep>", "<S>", "<T>", "<PAD>", "<UNK>", "<MASK>",
  ]
  private static let reserved = ["[unused", "[UNUSED", "<unused", "<extra_id_"]

  /// `[CLS]` and the like, and places that are kept free; `[C@H]` is a token of a chemist's language.
  private static func isSpecial(_ token: String) -> Bool {
    let trimmed = token.hasSuffix("\r") ? String(token.dropLast()) : token
    return special.contains(trimmed) || reserved.contains { trimmed.hasPrefix($0) }
  }

  /// Fewer capitals than one in a thousand tokens are slips; between that and one in a hundred they show nothing.
  package var casing: VocabularyCasing? {
    if capitals > 0, capitals * 1000 >= count { return capitals * 100 >= count ? .cased : nil }
    return small > 0 && small * 100 >= count ? .uncased : nil
  }
}
