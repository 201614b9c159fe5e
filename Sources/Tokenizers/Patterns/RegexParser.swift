import TensorIO

/// A regular expression as a tree.
indirect enum RegexNode {
  case empty
  case set(CharacterSet)
  case sequence([RegexNode])
  /// In order of preference.
  case alternatives([RegexNode])
  case repeated(RegexNode, Range<Int>, RegexRepetition)
  case atomic(RegexNode)
  case look(RegexNode, isBehind: Bool, isNegated: Bool)
  case assertion(RegexAssertion)

  /// Whether it may match without a character.
  var matchesEmpty: Bool {
    switch self {
    case .empty, .look, .assertion: true
    case .set: false
    case .sequence(let parts): parts.allSatisfy(\.matchesEmpty)
    case .alternatives(let parts): parts.contains(where: \.matchesEmpty)
    case .repeated(let part, let count, _): count.lowerBound == 0 || part.matchesEmpty
    case .atomic(let part): part.matchesEmpty
    }
  }

  /// The number of characters that each match has, where that is always the same.
  var fixedLength: Int? {
    switch self {
    case .empty, .look, .assertion: return 0
    case .set: return 1
    case .sequence(let parts):
      var sum = 0
      for part in parts {
        guard let length = part.fixedLength else { return nil }
        sum += length
      }
      return sum
    case .alternatives(let parts):
      guard let first = parts.first?.fixedLength, parts.allSatisfy({ $0.fixedLength == first }) else { return nil }
      return first
    case .repeated(let part, let count, _):
      guard count.count == 1, let length = part.fixedLength else { return nil }
      return length * count.lowerBound
    case .atomic(let part): return part.fixedLength
    }
  }
}

enum RegexRepetition {
  case greedy
  case lazy
  case possessive
}

enum RegexAssertion {
  case textStart
  case textEnd
  /// The end, or before a line end at the end.
  case textEndOrLastLine
  case lineStart
  case lineEnd
  case wordBoundary
  case notWordBoundary
}

/// Reads the part of Oniguruma's syntax that patterns of tokenizers use. What it does not know it refuses by name.
struct RegexParser {
  private let pattern: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var dotMatchesLines = false
  private var depth = 0
  private static let unlimited = Int.max
  private static let maximumCount = 1000
  private static let maximumDepth = 50

  init(_ pattern: String) { self.pattern = Array(pattern.unicodeScalars) }

  private func refuse(_ what: String) -> FormatError {
    FormatError(
      .unsupported,
      "the regular expression '\(String(String.UnicodeScalarView(pattern)))' uses \(what), which is not supported")
  }

  private func wrong(_ what: String) -> FormatError {
    FormatError(.damaged, "not a regular expression: \(what) in '\(String(String.UnicodeScalarView(pattern)))'")
  }

  private var next: Unicode.Scalar? { position < pattern.count ? pattern[position] : nil }

  private func at(_ distance: Int) -> Unicode.Scalar? {
    position + distance < pattern.count ? pattern[position + distance] : nil
  }

  private mutating func consume(_ text: String) -> Bool {
    let letters = Array(text.unicodeScalars)
    guard pattern[position...].starts(with: letters) else { return false }
    position += letters.count
    return true
  }

  mutating func parse() throws(FormatError) -> RegexNode {
    guard pattern.count <= 10_000 else { throw refuse("more than 10,000 characters") }
    let node = try alternatives()
    guard position == pattern.count else { throw wrong("an unmatched ')'") }
    return node
  }

  private mutating func alternatives() throws(FormatError) -> RegexNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { throw refuse("groups deeper than \(Self.maximumDepth) levels") }
    var parts = [try sequence()]
    while consume("|") { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .alternatives(parts)
  }

  private mutating func sequence() throws(FormatError) -> RegexNode {
    var parts: [RegexNode] = []
    while let letter = next, letter != "|", letter != ")" {
      let start = position
      // An option without a colon holds to the end of the group.
      if consume("(?i)") {
        ignoresCase = true
        continue
      }
      let atom = try self.atom()
      if ignoresCase { try checkFolding(start) }
      parts.append(try quantified(atom))
    }
    return parts.isEmpty ? .empty : parts.count == 1 ? parts[0] : .sequence(parts)
  }

  /// Without case, Oniguruma takes some pairs of letters for one: ss for ß, st for ﬆ.
  private func checkFolding(_ start: Int) throws(FormatError) {
    guard start > 0 else { return }
    let pair = String(pattern[start - 1]).lowercased() + String(pattern[start]).lowercased()
    if ["ss", "st", "ff", "fi", "fl"].contains(pair) { throw refuse("'\(pair)' without regard to case") }
  }

  // MARK: Quantifiers

  private mutating func quantified(_ atom: RegexNode) throws(FormatError) -> RegexNode {
    var node = atom
    while let letter = next {
      let count: Range<Int>
      var isInterval = false
      switch letter {
      case "*": count = 0..<Self.unlimited
      case "+": count = 1..<Self.unlimited
      case "?": count = 0..<2
      case "{":
        guard let interval = try interval() else { return node }
        count = interval
        isInterval = true
      default: return node
      }
      if !isInterval { position += 1 }
      if case .assertion = node { throw refuse("a repeated assertion") }
      if case .look = node { throw refuse("a repeated assertion") }
      if node.matchesEmpty, count.upperBound > 2 { throw refuse("a repetition of what may be empty") }
      var repetition = RegexRepetition.greedy
      if consume("?") {
        repetition = .lazy
      } else if next == "+" {
        guard !isInterval else { throw refuse("'+' after '}'") }
        position += 1
        repetition = .possessive
      }
      node = .repeated(node, count, repetition)
    }
    return node
  }

  /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; `nil` where the brace stands for itself.
  private mutating func interval() throws(FormatError) -> Range<Int>? {
    var end = position + 1
    while end < pattern.count, pattern[end] != "}" { end += 1 }
    let text = String(String.UnicodeScalarView(pattern[(position + 1)..<min(end, pattern.count)]))
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let isNumber = { (part: Substring) in !part.isEmpty && part.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
    guard end < pattern.count, parts.count <= 2, parts.allSatisfy({ $0.isEmpty || isNumber($0) }),
      parts.contains(where: isNumber)
    else { throw refuse("a brace that is no repetition") }
    let low = parts[0].isEmpty ? 0 : Int(parts[0]) ?? Self.maximumCount + 1
    let high = parts.count == 1 ? low : parts[1].isEmpty ? Self.unlimited - 1 : Int(parts[1]) ?? Self.maximumCount + 1
    guard low <= Self.maximumCount, high <= Self.maximumCount || high == Self.unlimited - 1 else {
      throw refuse("a repetition of more than \(Self.maximumCount) times")
    }
    guard low <= high else { throw wrong("a repetition from \(low) to \(high)") }
    position = end + 1
    return low..<(high + 1)
  }

  // MARK: Atoms

  private mutating func atom() throws(FormatError) -> RegexNode {
    guard let letter = next else { return .empty }
    switch letter {
    case "(": return try group()
    case "[": return .set(try characterClass().completed())
    case ".":
      position += 1
      var set = CharacterSet()
      if !dotMatchesLines { set.insert(10...10) }
      set.isNegated = true
      return .set(set.completed())
    case "^":
      position += 1
      return .assertion(.lineStart)
    case "$":
      position += 1
      return .assertion(.lineEnd)
    case "\\": return try escape()
    case "*", "+", "?": throw wrong("nothing to repeat")
    case "{": throw refuse("a brace that is no repetition")
    default:
      position += 1
      return .set(try literal(letter.value))
    }
  }

  private mutating func group() throws(FormatError) -> RegexNode {
    let saved = (ignoresCase, dotMatchesLines)
    var wrap: (RegexNode) -> RegexNode = { $0 }
    if consume("(?:") {
    } else if consume("(?>") {
      wrap = { .atomic($0) }
    } else if consume("(?=") {
      wrap = { .look($0, isBehind: false, isNegated: false) }
    } else if consume("(?!") {
      wrap = { .look($0, isBehind: false, isNegated: true) }
    } else if consume("(?<=") {
      wrap = { .look($0, isBehind: true, isNegated: false) }
    } else if consume("(?<!") {
      wrap = { .look($0, isBehind: true, isNegated: true) }
    } else if consume("(?i:") {
      ignoresCase = true
    } else if consume("(?-i:") {
      ignoresCase = false
    } else if consume("(?m:") {
      dotMatchesLines = true
    } else if consume("(?") {
      throw refuse("'(?\(next.map { String($0) } ?? "")'")
    } else {
      // What it captures is not asked for.
      position += 1
    }
    let node = try alternatives()
    guard consume(")") else { throw wrong("an unmatched '('") }
    (ignoresCase, dotMatchesLines) = saved
    let wrapped = wrap(node)
    if case .look(let inner, true, _) = wrapped, inner.fixedLength == nil {
      throw refuse("a look-behind of several lengths")
    }
    return wrapped
  }

  private func literal(_ code: UInt32) throws(FormatError) -> CharacterSet {
    var set = CharacterSet()
    try insert(code...code, into: &set)
    return set.completed()
  }

  /// A range, and without regard to case what its members are in the other case.
  private func insert(_ range: ClosedRange<UInt32>, into set: inout CharacterSet) throws(FormatError) {
    set.insert(range)
    guard ignoresCase else { return }
    let letters: [(ClosedRange<UInt32>, UInt32)] = [(0x41...0x5A, 0x20), (0x61...0x7A, 0x20)]
    for (alphabet, bit) in letters where alphabet.overlaps(range) {
      let part = range.clamped(to: alphabet)
      set.insert((part.lowerBound ^ bit)...(part.upperBound ^ bit))
      for (letter, other) in [(0x73, 0x17F), (0x6B, 0x212A)] as [(UInt32, UInt32)]
      where part.contains(letter) || part.contains(letter ^ 0x20) { set.insert(other...other) }
    }
    if range.upperBound >= 0x80 {
      for code in range.clamped(to: 0x80...0x10FFFF) {
        let bit = UInt32(1) << CodePointKind(of: code).category
        if bit & GeneralCategory.mask("Lu", "Ll", "Lt") != 0 {
          throw refuse("letters beyond ASCII without regard to case")
        }
      }
    }
  }

  // MARK: Escapes

  private mutating func escape() throws(FormatError) -> RegexNode {
    if let assertion = assertion() { return .assertion(assertion) }
    if consume("\\R") || consume("\\X") { throw refuse("\\R or \\X") }
    if let set = try classEscape() { return .set(set.completed()) }
    return .set(try literal(try codeEscape()))
  }

  private mutating func assertion() -> RegexAssertion? {
    if consume("\\A") { return .textStart }
    if consume("\\z") { return .textEnd }
    if consume("\\Z") { return .textEndOrLastLine }
    if consume("\\b") { return .wordBoundary }
    if consume("\\B") { return .notWordBoundary }
    return nil
  }

  /// A class in one escape: `\s`, `\p{L}` and so on.
  private mutating func classEscape(inBrackets: Bool = false) throws(FormatError) -> CharacterSet? {
    guard let letter = at(1) else { throw wrong("a backslash at the end") }
    switch letter {
    case "s", "S":
      position += 2
      return CharacterSet(.whitespace, isNegated: letter == "S")
    case "d", "D":
      position += 2
      return CharacterSet(.categories(GeneralCategory.mask("Nd")), isNegated: letter == "D")
    case "w", "W":
      position += 2
      return CharacterSet(inBrackets ? .wordInBrackets : .word, isNegated: letter == "W")
    case "p", "P": return try property(isNegated: letter == "P")
    default: return nil
    }
  }

  private mutating func property(isNegated: Bool) throws(FormatError) -> CharacterSet {
    position += 2
    guard consume("{") else { throw refuse("\\p without braces") }
    let isInverse = consume("^")
    let start = position
    while let letter = next, letter != "}" {
      position += 1
      _ = letter
    }
    let name = String(String.UnicodeScalarView(pattern[start..<position]))
    guard consume("}") else { throw wrong("an unmatched '{'") }
    if ignoresCase, name.hasPrefix("L"), name != "L" { throw refuse("\\p{\(name)} without regard to case") }
    let mask = Self.categories(name)
    guard mask != 0 else {
      if name == "Space" || name == "White_Space" {
        return CharacterSet(.whitespace, isNegated: isNegated != isInverse)
      }
      throw refuse("\\p{\(name)}")
    }
    return CharacterSet(.categories(mask), isNegated: isNegated != isInverse)
  }

  private static func categories(_ name: String) -> UInt32 {
    let long = [
      "Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Symbol": "S", "Separator": "Z", "Other": "C",
    ]
    let short = long[name] ?? name
    if short == "LC" { return GeneralCategory.mask("Lu", "Ll", "Lt") }
    guard short.count <= 2, short.first.map({ "LMNPSZC".contains($0) }) == true else { return 0 }
    return GeneralCategory.mask(short)
  }

  /// An escape for one code point.
  private mutating func codeEscape() throws(FormatError) -> UInt32 {
    guard let letter = at(1) else { throw wrong("a backslash at the end") }
    position += 2
    switch letter {
    case "n": return 10
    case "t": return 9
    case "r": return 13
    case "f": return 12
    case "v": return 11
    case "a": return 7
    case "e": return 27
    case "x":
      if consume("{") {
        let code = try hexadecimal(upTo: 8)
        guard consume("}") else { throw wrong("an unmatched '{'") }
        return code
      }
      return try hexadecimal(upTo: 2)
    case "u":
      let start = position
      let code = try hexadecimal(upTo: 4)
      guard position == start + 4 else { throw wrong("'\\u' without four digits") }
      return code
    default:
      if letter.properties.isAlphabetic || ("0"..."9").contains(letter) { throw refuse("\\\(letter)") }
      return letter.value
    }
  }

  private mutating func hexadecimal(upTo count: Int) throws(FormatError) -> UInt32 {
    var value: UInt32 = 0
    let start = position
    while position - start < count, let letter = next,
      let digit = letter.properties.numericType == nil && !("a"..."f").contains(letter) && !("A"..."F").contains(letter)
        ? nil : UInt32(String(letter), radix: 16)
    {
      value = value << 4 | digit
      position += 1
    }
    guard position > start, value < 0x110000, !(0xD800..<0xE000).contains(value) else {
      throw wrong("a wrong code point")
    }
    return value
  }

  // MARK: Classes in brackets

  private mutating func characterClass() throws(FormatError) -> CharacterSet {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { throw refuse("classes deeper than \(Self.maximumDepth) levels") }
    position += 1
    var set = CharacterSet()
    if consume("^") { set.isNegated = true }
    var isFirst = true
    while true {
      guard let letter = next else { throw wrong("an unmatched '['") }
      if letter == "]" {
        guard !isFirst else { throw refuse("an empty class") }
        position += 1
        return set
      }
      isFirst = false
      if consume("[:") { throw refuse("a POSIX class") }
      if consume("&&") { throw refuse("an intersection of classes") }
      if letter == "[" {
        set.insert(try characterClass())
        continue
      }
      if letter == "\\", let inner = try classEscape(inBrackets: true) {
        set.insert(inner)
        if next == "-", at(1) != "]" { throw refuse("a range from a class") }
        continue
      }
      let low = try classMember()
      guard next == "-", let after = at(1), after != "]" else {
        try insert(low...low, into: &set)
        continue
      }
      position += 1
      guard after != "[" else { throw refuse("a range to a class") }
      let high = try classMember()
      guard low <= high else { throw wrong("a range from a later to an earlier character") }
      try insert(low...high, into: &set)
    }
  }

  private mutating func classMember() throws(FormatError) -> UInt32 {
    guard let letter = next else { throw wrong("an unmatched '['") }
    guard letter == "\\" else {
      position += 1
      return letter.value
    }
    if at(1) == "b" {
      position += 2
      return 8
    }
    return try codeEscape()
  }
}
