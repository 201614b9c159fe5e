import CUnicode

/// What a code point is to the components of `tokenizers` 0.22, whose crates take Unicode's data from several versions:
/// see `Scripts/unicode_tables.py`. Code points are numbers here, below 0x110000.
struct CodePointKind {
  let bits: UInt32

  @inline(__always)
  init(of code: UInt32) { bits = bertconv_unicode_kind(code) }

  /// The whole table has 24 bits and more; the names are those of the libraries that the property comes from.
  struct Flag {
    let mask: UInt32
    /// `BertNormalizer` cleans it away: category C but for tab and line ends, U+FFFD.
    static let removedByBert = Flag(mask: 1 << 0)
    /// Rust's `char::is_whitespace`, and `\s` of both regular expression libraries.
    static let whitespace = Flag(mask: 1 << 1)
    /// A nonspacing mark (Mn) to `BertNormalizer`.
    static let nonspacingMark = Flag(mask: 1 << 2)
    /// A mark (M) to `StripAccents`.
    static let mark = Flag(mask: 1 << 3)
    /// ASCII punctuation, or category P.
    static let punctuation = Flag(mask: 1 << 4)
    /// Rust's `char::is_numeric`.
    static let numeric = Flag(mask: 1 << 5)
    /// `\w` of Rust's `regex`.
    static let word = Flag(mask: 1 << 6)
    static let hasLowercase = Flag(mask: 1 << 7)
    static let hasNFD = Flag(mask: 1 << 8)
    static let hasNFKD = Flag(mask: 1 << 9)
    /// Its combining class is not zero.
    static let isReordered = Flag(mask: 1 << 10)
    /// NFC changes it, reorders it, or may compose it with what is before it.
    static let changesInNFC = Flag(mask: 1 << 11)
    static let changesInNFKC = Flag(mask: 1 << 12)
    /// `\w` of Oniguruma.
    static let onigurumaWord = Flag(mask: 1 << 18)
    static let conjunctLinker = Flag(mask: 1 << 23)
    static let conjunctExtend = Flag(mask: 1 << 24)
  }

  @inline(__always)
  func has(_ flag: Flag) -> Bool { bits & flag.mask != 0 }

  /// The general category, in the order of `GeneralCategory`.
  @inline(__always)
  var category: UInt32 { bits >> 13 & 31 }

  @inline(__always)
  var graphemeClass: UInt32 { bits >> 19 & 15 }
}

/// General categories, as the tables number them (Oniguruma's version).
enum GeneralCategory: String, CaseIterable {
  case cn = "Cn"
  case co = "Co"
  case cc = "Cc"
  case cf = "Cf"
  case lu = "Lu"
  case ll = "Ll"
  case lt = "Lt"
  case lm = "Lm"
  case lo = "Lo"
  case mn = "Mn"
  case mc = "Mc"
  case me = "Me"
  case nd = "Nd"
  case nl = "Nl"
  case no = "No"
  case pc = "Pc"
  case pd = "Pd"
  case ps = "Ps"
  case pe = "Pe"
  case pi = "Pi"
  case pf = "Pf"
  case po = "Po"
  case sm = "Sm"
  case sc = "Sc"
  case sk = "Sk"
  case so = "So"
  case zs = "Zs"
  case zl = "Zl"
  case zp = "Zp"
  case cs = "Cs"

  /// The number of ``no``.
  static let otherNumber: UInt32 = 14

  /// The bit of each category whose name begins with one of `prefixes`.
  static func mask(_ prefixes: String...) -> UInt32 {
    var mask: UInt32 = 0
    for (index, category) in allCases.enumerated() where prefixes.contains(where: { category.rawValue.hasPrefix($0) }) {
      mask |= 1 << UInt32(index)
    }
    return mask
  }
}

/// A list of code points in one of the tables' pools.
struct CodePointMapping {
  enum Table {
    case lowercase
    case nfd
    case nfkd
  }

  private let table: Table
  private let offset: UInt32
  let count: Int

  /// `nil` where the table maps `code` to itself. Hangul is not in the tables.
  @inline(__always)
  init?(_ table: Table, of code: UInt32) {
    let offset =
      switch table {
      case .lowercase: bertconv_unicode_lower(code)
      case .nfd: bertconv_unicode_nfd(code)
      case .nfkd: bertconv_unicode_nfkd(code)
      }
    guard offset != 0 else { return nil }
    self.table = table
    self.offset = offset
    count = Int(Self.entry(table, offset))
  }

  private static func entry(_ table: Table, _ offset: UInt32) -> UInt32 {
    switch table {
    case .lowercase: bertconv_unicode_lower_entry(offset)
    case .nfd: bertconv_unicode_nfd_entry(offset)
    case .nfkd: bertconv_unicode_nfkd_entry(offset)
    }
  }

  subscript(index: Int) -> UInt32 { Self.entry(table, offset + 1 + UInt32(index)) }
}

/// Hangul syllables and their letters: Unicode, section 3.12.
enum Hangul {
  static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  private static let leading: Range<UInt32> = 0x1100..<0x1113
  private static let vowels: Range<UInt32> = 0x1161..<0x1176
  /// The code point before the first trailing consonant.
  private static let beforeTrailing: UInt32 = 0x11A7
  private static let trailing: Range<UInt32> = 0x11A8..<0x11C3

  /// Calls `body` with the two or three letters of a syllable.
  @inline(__always)
  static func decompose(_ syllable: UInt32, _ body: (UInt32) -> Void) {
    let index = syllable - syllables.lowerBound
    body(leading.lowerBound + index / 588)
    body(vowels.lowerBound + index % 588 / 28)
    if index % 28 > 0 { body(beforeTrailing + index % 28) }
  }

  static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if leading.contains(first), vowels.contains(second) {
      return syllables.lowerBound + (first - leading.lowerBound) * 588 + (second - vowels.lowerBound) * 28
    }
    if syllables.contains(first), (first - syllables.lowerBound) % 28 == 0, trailing.contains(second) {
      return first + (second - beforeTrailing)
    }
    return nil
  }
}
