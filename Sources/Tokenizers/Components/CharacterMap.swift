/// What a normalizer makes of each code point, where that does not depend on its neighbors.
///
/// A table for the code points below 65536, which takes a lookup each, and the rule itself for those above.
final class CharacterMap: Sendable {
  /// What a code point becomes.
  enum Result {
    case one(UInt32)
    case nothing
    /// Itself or another one, with a space on each side.
    case spaced(UInt32)
    case several(ArraySlice<UInt32>)
    /// It depends on its neighbors after all.
    case complex
  }

  /// The rule: appends what a code point becomes, and returns whether that does not depend on its neighbors.
  typealias Rule = @Sendable (UInt32, inout [UInt32]) -> Bool

  private let table: [UInt32]
  /// What code points with several results become: their number, then they.
  private let pool: [UInt32]
  private let rule: Rule
  private let changes: CodePointKind.Flag
  /// What each ASCII byte becomes; 0xFF where it is not one ASCII byte.
  private let ascii: [UInt8]

  private static let nothing: UInt32 = 0xFFFF_FFFF
  private static let complex: UInt32 = 0xFFFF_FFFE
  private static let spaced: UInt32 = 0x4000_0000
  private static let pooled: UInt32 = 0x8000_0000

  /// - Parameters:
  ///   - changes: the flags of the code points that the rule may change
  ///   - isChinese: whether it may change Chinese characters besides
  ///   - others: what it may change besides, below 65536
  init(
    changing changes: [CodePointKind.Flag], isChinese: Bool = false, others: [UInt32] = [], rule: @escaping Rule
  ) {
    self.rule = rule
    let changes = CodePointKind.Flag(mask: changes.reduce(0) { $0 | $1.mask })
    self.changes = changes
    var table = (0..<0x10000).map { UInt32($0) }
    var pool: [UInt32] = []
    var results: [UInt32] = []
    let decomposes = changes.mask & CodePointKind.Flag.hasNFD.mask != 0
    for code in 0..<UInt32(0x10000)
    where CodePointKind(of: code).has(changes) || isChinese && isChineseCharacter(code)
      || decomposes && Hangul.syllables.contains(code) || others.contains(code)
    {
      results.removeAll(keepingCapacity: true)
      guard rule(code, &results) else {
        table[Int(code)] = Self.complex
        continue
      }
      if results.isEmpty {
        table[Int(code)] = Self.nothing
      } else if results.count == 1 {
        table[Int(code)] = results[0]
      } else if results.count == 3, results[0] == 0x20, results[2] == 0x20 {
        table[Int(code)] = Self.spaced | results[1]
      } else {
        table[Int(code)] = Self.pooled | UInt32(pool.count)
        pool.append(UInt32(results.count))
        pool += results
      }
    }
    self.table = table
    self.pool = pool
    ascii = (0..<128).map { table[$0] < 0x80 ? UInt8(table[$0]) : 0xFF }
  }

  /// Rewrites the text with the map.
  ///
  /// - Returns: whether every code point was clear; if not, the text is as it was
  func apply(to rewriter: inout Rewriter) -> Bool {
    if applyToASCII(&rewriter) { return true }
    return rewriter.rewrite { (rewriter, piece) in
      var position = piece.start
      while position < piece.end {
        let (code, length) = rewriter.source.codePoint(at: position)
        position += length
        guard write(code, to: &rewriter) else { return false }
      }
      return true
    }
  }

  /// In place, where the text is ASCII and stays as long as it is.
  private func applyToASCII(_ rewriter: inout Rewriter) -> Bool {
    guard rewriter.source.isASCII else { return false }
    var isComplete = true
    let ascii = ascii
    rewriter.withPieces { buffer in
      for piece in buffer.pieces where piece.isText {
        for index in piece.range where ascii[Int(buffer.bytes[index] & 0x7F)] == 0xFF {
          isComplete = false
          return
        }
      }
      for piece in buffer.pieces where piece.isText {
        for index in piece.range { buffer.bytes[index] = ascii[Int(buffer.bytes[index] & 0x7F)] }
      }
    }
    return isComplete
  }

  @inline(__always)
  private func write(_ code: UInt32, to rewriter: inout Rewriter) -> Bool {
    guard code < 0x10000 else { return writeRare(code, to: &rewriter) }
    let entry = table[Int(code)]
    if entry < Self.spaced {
      rewriter.emit(entry)
    } else if entry < Self.pooled {
      rewriter.emit(0x20)
      rewriter.emit(entry & ~Self.spaced, change: 1)
      rewriter.emit(0x20, change: 1)
    } else if entry == Self.nothing {
      rewriter.skip(1)
    } else if entry == Self.complex {
      return false
    } else {
      let start = Int(entry & ~Self.pooled)
      for index in 0..<Int(pool[start]) { rewriter.emit(pool[start + 1 + index], change: index == 0 ? 0 : 1) }
    }
    return true
  }

  private func writeRare(_ code: UInt32, to rewriter: inout Rewriter) -> Bool {
    if !CodePointKind(of: code).has(changes), !isChineseCharacter(code) {
      rewriter.emit(code)
      return true
    }
    var results: [UInt32] = []
    guard rule(code, &results) else { return false }
    if results.isEmpty { rewriter.skip(1) }
    for (index, result) in results.enumerated() { rewriter.emit(result, change: index == 0 ? 0 : 1) }
    return true
  }
}

/// The blocks that `BertNormalizer` takes for Chinese characters.
func isChineseCharacter(_ code: UInt32) -> Bool {
  switch code {
  case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
    0xF900...0xFAFF, 0x2F800...0x2FA1F:
    true
  default: false
  }
}
