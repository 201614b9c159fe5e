/// A set of code points: what stands for one character in a regular expression.
struct CharacterSet: Sendable {
  enum Property: Sendable {
    case whitespace
    case word
    /// `\w` in brackets, where Oniguruma does not count the numbers of Latin-1 that are no digits.
    case wordInBrackets
    /// The general categories whose bits are set.
    case categories(UInt32)

    func contains(_ code: UInt32) -> Bool {
      let kind = CodePointKind(of: code)
      return switch self {
      case .whitespace: kind.has(.whitespace)
      case .word: kind.has(.onigurumaWord)
      case .wordInBrackets:
        kind.has(.onigurumaWord) && !(code < 0x100 && kind.category == GeneralCategory.otherNumber)
      case .categories(let mask): mask >> kind.category & 1 == 1
      }
    }
  }

  private enum Item: Sendable {
    case range(ClosedRange<UInt32>)
    case property(Property, isNegated: Bool)
    case set(CharacterSet)
  }

  private var items: [Item] = []
  var isNegated = false
  /// The members below 128, once the set is complete.
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  init() {}

  init(_ code: UInt32) { insert(code...code) }

  init(_ property: Property, isNegated: Bool = false) { insert(property, isNegated: isNegated) }

  mutating func insert(_ range: ClosedRange<UInt32>) { items.append(.range(range)) }

  mutating func insert(_ property: Property, isNegated: Bool) {
    items.append(.property(property, isNegated: isNegated))
  }

  mutating func insert(_ set: CharacterSet) { items.append(.set(set)) }

  /// The set with a table for ASCII.
  func completed() -> CharacterSet {
    var copy = self
    for code in 0..<UInt32(64) where search(code) { copy.low |= 1 << UInt64(code) }
    for code in 0..<UInt32(64) where search(code + 64) { copy.high |= 1 << UInt64(code) }
    return copy
  }

  private func search(_ code: UInt32) -> Bool {
    for item in items {
      let isMember =
        switch item {
        case .range(let range): range.contains(code)
        case .property(let property, let isNegated): property.contains(code) != isNegated
        case .set(let set): set.search(code)
        }
      if isMember { return !isNegated }
    }
    return isNegated
  }

  @inline(__always)
  func contains(_ code: UInt32) -> Bool {
    if code < 64 { return low >> UInt64(code) & 1 == 1 }
    if code < 128 { return high >> UInt64(code - 64) & 1 == 1 }
    return search(code)
  }
}
