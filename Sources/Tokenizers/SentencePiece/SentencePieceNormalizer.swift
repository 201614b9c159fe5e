import TensorIO

/// What `sentencepiece` does to a text before it is cut into pieces (src/normalizer.cc, `Normalizer::Normalize`).
///
/// `tokenizers` has no such normalizer: its `Precompiled` looks at grapheme clusters and takes the shortest entry of the map,
/// the original takes the longest that the rest of the text begins with; and the original removes, collapses and marks the
/// whitespace of the result in the same pass.
public struct SentencePieceNormalization: Equatable, Sendable {
  /// The bytes of `precompiled_charsmap`; empty for none.
  public var charsMap: [UInt8]
  public var addsDummyPrefix: Bool
  public var removesExtraWhitespaces: Bool
  public var escapesWhitespaces: Bool
  /// Whether the dummy prefix is put behind the text.
  public var treatsWhitespaceAsSuffix: Bool
  /// Pieces that are left as they are.
  public var userDefined: [String]

  public init(_ model: SentencePieceModel) {
    charsMap = model.normalization.charsMap
    addsDummyPrefix = model.normalization.addsDummyPrefix
    removesExtraWhitespaces = model.normalization.removesExtraWhitespaces
    escapesWhitespaces = model.normalization.escapesWhitespaces
    treatsWhitespaceAsSuffix = model.treatsWhitespaceAsSuffix
    userDefined = model.types.indices.filter { model.types[$0] == .userDefined }.map { model.pieces[$0] }
  }

  init(
    charsMap: [UInt8], addsDummyPrefix: Bool, removesExtraWhitespaces: Bool, escapesWhitespaces: Bool,
    treatsWhitespaceAsSuffix: Bool, userDefined: [String]
  ) {
    self.charsMap = charsMap
    self.addsDummyPrefix = addsDummyPrefix
    self.removesExtraWhitespaces = removesExtraWhitespaces
    self.escapesWhitespaces = escapesWhitespaces
    self.treatsWhitespaceAsSuffix = treatsWhitespaceAsSuffix
    self.userDefined = userDefined
  }
}

/// A ``SentencePieceNormalization`` ready for use.
struct SentencePieceNormalizer: Sendable {
  private let rules: SentencePieceNormalization
  private let userDefined: UserDefinedPieces
  /// The map's double array of 32-bit units, made by Darts-clone; empty without a map.
  private let units: [UInt32]
  /// What is put in, each text ended by a zero byte.
  private let replacements: [UInt8]
  private static let mark: Unicode.Scalar = "▁"

  init(_ rules: SentencePieceNormalization) throws(FormatError) {
    self.rules = rules
    userDefined = UserDefinedPieces(rules.userDefined)
    let bytes = rules.charsMap
    guard !bytes.isEmpty else {
      units = []
      replacements = []
      return
    }
    func word(_ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count > 4, word(0) > 0, word(0) % 4 == 0, Int(word(0)) < bytes.count - 4 else {
      throw FormatError(
        .damaged, "the map of characters of the SentencePiece model cannot be used",
        found: "\(bytes.count) bytes", expected: "a trie and what it leads to")
    }
    let size = Int(word(0))
    units = (0..<(size / 4)).map { word(4 + 4 * $0) }
    replacements = Array(bytes[(4 + size)...])
    guard String(validating: replacements, as: UTF8.self) != nil else {
      throw FormatError(.damaged, "the map of characters of the SentencePiece model is not UTF-8")
    }
  }

  /// A code point of the result.
  private struct Output {
    var code: UInt32
    /// How many code points of the source it stands for, where it is the first of its chunk; below zero otherwise.
    var consumed: Int
  }

  /// Rewrites each piece of text as `sentencepiece` does a whole text.
  func apply(to rewriter: inout Rewriter) {
    rewriter.rewrite { (rewriter, piece) in
      var outputs: [Output] = []
      outputs.reserveCapacity(piece.end - piece.start + 2)
      // Code points of the source without a result, before the next one.
      var skipped = 0
      let space = rules.escapesWhitespaces ? Self.mark.value : 0x20
      var isAfterSpace = rules.removesExtraWhitespaces
      var isBlank = true
      var position = piece.start
      while position < piece.end {
        let (chunk, length) = chunk(rewriter.source, position, piece.end)
        let consumed = rewriter.source.codePointCount(position..<(position + length))
        position += length
        isBlank = isBlank && chunk == [0x20]
        var codes = chunk[...]
        while isAfterSpace, codes.first == 0x20 { codes = codes.dropFirst() }
        if codes.isEmpty {
          skipped += consumed
        } else {
          if skipped > 0 { outputs.append(Output(code: .max, consumed: skipped)) }
          skipped = 0
          for (index, code) in codes.enumerated() {
            let code = rules.escapesWhitespaces && code == 0x20 ? Self.mark.value : code
            outputs.append(Output(code: code, consumed: index == 0 ? consumed : -1))
          }
          isAfterSpace = codes.last == 0x20
        }
        if !rules.removesExtraWhitespaces { isAfterSpace = false }
      }
      // A text of nothing but spaces has no result at all.
      if rules.removesExtraWhitespaces, isBlank { return true }
      var prefix = rules.addsDummyPrefix && !rules.treatsWhitespaceAsSuffix ? space : nil
      if rules.removesExtraWhitespaces {
        while let last = outputs.last, last.code == space || last.code == .max { outputs.removeLast() }
        // The dummy prefix is a space at the end of an otherwise empty text.
        if outputs.isEmpty { prefix = nil }
      }
      let suffix = rules.addsDummyPrefix && rules.treatsWhitespaceAsSuffix ? space : nil
      if outputs.isEmpty {
        if let code = prefix ?? suffix {
          rewriter.emit(code, change: 1 - rewriter.source.codePointCount(piece.range))
        }
        return true
      }
      write(outputs, to: &rewriter, prefix: prefix)
      if let suffix { rewriter.emit(suffix, change: 1) }
      return true
    }
  }

  private func write(_ outputs: [Output], to rewriter: inout Rewriter, prefix: UInt32?) {
    var prefix = prefix
    for output in outputs {
      if output.code == .max {
        rewriter.skip(output.consumed)
        continue
      }
      if let code = prefix { rewriter.prepend(code) }
      prefix = nil
      rewriter.emit(output.code, change: output.consumed < 0 ? 1 : 1 - output.consumed)
    }
  }

  /// What the next bytes of the text become, and how many they are (`NormalizePrefix`).
  private func chunk(_ source: borrowing TextBuffer, _ start: Int, _ end: Int) -> (codes: [UInt32], length: Int) {
    let whole = userDefined.prefix(of: source.bytes.span.extracting(start..<end), from: 0)
    if whole > 0 {
      return (String(decoding: source.bytes[start..<(start + whole)], as: UTF8.self).unicodeScalars.map(\.value), whole)
    }
    if let match = longestRule(source.bytes, start, end) {
      let last = replacements[match.value...].firstIndex(of: 0) ?? replacements.count
      let text = String(decoding: replacements[match.value..<last], as: UTF8.self)
      return (text.unicodeScalars.map(\.value), match.length)
    }
    let (code, length) = source.codePoint(at: start)
    return ([code], length)
  }

  /// The longest key of the map that the text continues with, and the offset of its replacement.
  private func longestRule(_ bytes: [UInt8], _ start: Int, _ end: Int) -> (length: Int, value: Int)? {
    guard !units.isEmpty else { return nil }
    func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & (1 << 9)) >> 6) }
    var node = offset(units[0])
    var best: (length: Int, value: Int)?
    for index in start..<end {
      node ^= Int(bytes[index])
      guard node < units.count else { break }
      let unit = units[node]
      guard unit & (1 << 31 | 0xFF) == UInt32(bytes[index]) else { break }
      node ^= offset(unit)
      if unit >> 8 & 1 == 1, node < units.count {
        let value = Int(units[node] & ~(1 << 31))
        if value <= replacements.count { best = (index - start + 1, value) }
      }
    }
    return best
  }
}
