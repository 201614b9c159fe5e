import CTensorIO

/// A shell-style pattern over names: `*` any run of characters, `?` one, `[abc]`, `[a-z]` and `[!…]` one of a set,
/// `{a,b}` either. A character is a Unicode scalar.
///
/// Reading one takes time proportional to the pattern, and braces make at most 256 patterns of it, of 262,144 characters
/// together; matching takes time proportional to name × pattern at most.
public struct Glob: Sendable, Equatable {
  public let pattern: String
  private let alternatives: [Alternative]
  private let sets: [ScalarSet]
  /// For each byte, whether a name that matches can end with it: that alone excludes most names for most patterns.
  private let canEndWith: ByteSet

  /// A pattern without braces.
  private struct Alternative: Equatable, Sendable {
    let elements: [Element]
    /// The longest run of ASCII letters in it: a name without them need not be matched.
    let literal: [UInt8]

    init(_ elements: [Element]) {
      self.elements = elements
      var (start, longest) = (0, 0..<0)
      for (index, element) in elements.enumerated() {
        guard case .literal(let scalar) = element, scalar.isASCII else {
          start = index + 1
          continue
        }
        if index + 1 - start > longest.count { longest = start..<(index + 1) }
      }
      literal = elements[longest].compactMap { element in
        if case .literal(let scalar) = element { UInt8(truncatingIfNeeded: scalar.value) } else { nil }
      }
    }

    // Memory safety: both texts are lent with their lengths until the call returns.
    func mayMatch(_ name: Span<UInt8>) -> Bool {
      guard !literal.isEmpty else { return true }
      return unsafe name.withUnsafeBufferPointer { name in
        unsafe literal.withUnsafeBufferPointer { literal in
          unsafe bertconv_contains(name.baseAddress, name.count, literal.baseAddress, literal.count) != 0
        }
      }
    }
  }

  /// An element holds no array, so that matching, which copies elements, counts no references.
  private enum Element: Equatable, Sendable {
    case anyRun
    case anyOne
    case literal(Unicode.Scalar)
    /// One of `sets`, by its position.
    case set(Int)
  }

  public init(_ pattern: String) {
    self.pattern = pattern
    var compiler = Compiler()
    alternatives = Self.expandBraces(Array(pattern.unicodeScalars)).map { Alternative(compiler.compile($0)) }
    sets = compiler.sets
    canEndWith = Self.finalBytes(alternatives, compiler.sets)
  }

  public func matches(_ name: String) -> Bool {
    let bytes = name.utf8Span.span
    if !bytes.isEmpty, !canEndWith.contains(bytes[bytes.count - 1]) { return false }
    for alternative in alternatives where alternative.mayMatch(bytes) && match(alternative.elements, bytes) {
      return true
    }
    return false
  }

  private static func finalBytes(_ alternatives: [Alternative], _ sets: [ScalarSet]) -> ByteSet {
    var result = ByteSet()
    for last in alternatives.compactMap(\.elements.last) {
      switch last {
      case .literal(let scalar):
        if scalar.isASCII { result.insert(UInt8(scalar.value)) } else { result.formUnion(.beyondASCII) }
      case .anyRun, .anyOne: return .all
      case .set(let number): result.formUnion(sets[number].finalBytes)
      }
    }
    return result
  }

  private func match(_ pattern: [Element], _ name: Span<UInt8>) -> Bool {
    // Most names differ in the bytes that the pattern ends with.
    var end = (pattern: pattern.count, name: name.count)
    while end.pattern > 0, case .literal(let scalar) = pattern[end.pattern - 1], scalar.isASCII {
      guard end.name > 0, UInt32(name[end.name - 1]) == scalar.value else { return false }
      end = (end.pattern - 1, end.name - 1)
    }
    var p = 0
    var n = 0
    var star: (pattern: Int, name: Int)?
    while n < end.name {
      if p < end.pattern, pattern[p] == .anyRun {
        star = (p, n)
        p += 1
      } else if p < end.pattern, let next = accept(pattern[p], name, at: n) {
        p += 1
        n = next
      } else if let last = star {
        p = last.pattern + 1
        n = Self.scalar(of: name, at: last.name).next
        star = (last.pattern, n)
      } else {
        return false
      }
    }
    while p < end.pattern, pattern[p] == .anyRun { p += 1 }
    return p == end.pattern
  }

  /// The position after the character at `position`, when `element` accepts that.
  private func accept(_ element: Element, _ name: Span<UInt8>, at position: Int) -> Int? {
    if case .literal(let wanted) = element, wanted.isASCII {
      return UInt32(name[position]) == wanted.value ? position + 1 : nil
    }
    let (scalar, next) = Self.scalar(of: name, at: position)
    let accepted =
      switch element {
      case .anyRun, .anyOne: true
      case .literal(let wanted): wanted.value == scalar
      case .set(let number): sets[number].contains(scalar)
      }
    return accepted ? next : nil
  }

  /// The character that begins at `position` of valid UTF-8, and where the next one begins.
  private static func scalar(of name: Span<UInt8>, at position: Int) -> (value: UInt32, next: Int) {
    let first = name[position]
    guard first >= 0x80 else { return (UInt32(first), position + 1) }
    let count = (~first).leadingZeroBitCount
    var value = UInt32(first & (0x7F >> UInt8(count)))
    for offset in 1..<count { value = value << 6 | UInt32(name[position + offset] & 0x3F) }
    return (value, position + count)
  }
}

// MARK: - Sets

/// A set of bytes, one bit each.
private struct ByteSet: Equatable, Sendable {
  private var words: SIMD4<UInt64> = .zero

  static let all = ByteSet(words: ~.zero)
  /// The bytes that a character beyond ASCII can end with.
  static let beyondASCII = ByteSet(words: [0, 0, ~0, ~0])

  init() {}

  private init(words: SIMD4<UInt64>) { self.words = words }

  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] & (1 << UInt64(byte & 63)) != 0 }

  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

  mutating func formUnion(_ other: ByteSet) { words |= other.words }
}

/// The text between brackets.
private struct ScalarSet: Equatable, Sendable {
  var ranges: [ClosedRange<UInt32>] = []
  var negated = false

  func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != negated }

  /// The bytes that a character of the set can end with, and perhaps others beyond ASCII.
  var finalBytes: ByteSet {
    var result = ByteSet.beyondASCII
    for byte in UInt8(0)..<0x80 where contains(UInt32(byte)) { result.insert(byte) }
    return result
  }
}

// MARK: - Compilation

extension Glob {
  private struct Compiler {
    var sets: [ScalarSet] = []

    mutating func compile(_ pattern: [Unicode.Scalar]) -> [Element] {
      var elements: [Element] = []
      elements.reserveCapacity(pattern.count)
      let lastBracket = pattern.lastIndex(of: "]") ?? 0
      var index = 0
      while index < pattern.count {
        let scalar = pattern[index]
        index += 1
        switch scalar {
        case "*": if elements.last != .anyRun { elements.append(.anyRun) }
        case "?": elements.append(.anyOne)
        case "[":
          // A bracket that nothing closes is a letter.
          guard index < lastBracket, let end = readSet(pattern, from: index) else { fallthrough }
          elements.append(.set(sets.count - 1))
          index = end
        default: elements.append(.literal(scalar))
        }
      }
      return elements
    }

    /// Appends the set that begins at `start`, after its bracket, and gives the position after its end.
    private mutating func readSet(_ pattern: [Unicode.Scalar], from start: Int) -> Int? {
      var cursor = start
      var set = ScalarSet()
      if pattern[cursor] == "!" || pattern[cursor] == "^" {
        set.negated = true
        cursor += 1
      }
      let first = cursor
      while cursor < pattern.count, pattern[cursor] != "]" || cursor == first {
        let low = pattern[cursor].value
        if cursor + 2 < pattern.count, pattern[cursor + 1] == "-", pattern[cursor + 2] != "]",
          pattern[cursor + 2].value >= low
        {
          set.ranges.append(low...pattern[cursor + 2].value)
          cursor += 3
        } else {
          set.ranges.append(low...low)
          cursor += 1
        }
      }
      guard cursor < pattern.count else { return nil }
      sets.append(set)
      return cursor + 1
    }
  }

  /// The patterns without braces that a pattern stands for. Braces that would multiply it out to more than 256 patterns, or
  /// to more than 262,144 characters, are letters.
  private static func expandBraces(_ pattern: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    guard pattern.contains("{") else { return [pattern] }
    let commas = countsOfCommas(pattern)
    var results: [[Unicode.Scalar]] = [[]]
    // What no brace has changed yet begins at `start`; braces are looked for from `index`, their end from `close`.
    var start = 0
    var index = 0
    var close = 0
    while let open = pattern[index...].firstIndex(of: "{") {
      index = open + 1
      if close < index {
        guard let next = pattern[index...].firstIndex(of: "}") else { break }
        close = next
      }
      // Each result will hold all of the pattern at most.
      let count = results.count * (commas[close] - commas[open] + 1)
      guard count <= 256, count * pattern.count <= 1 << 18 else { continue }
      let options = pattern[index..<close].split(separator: ",", omittingEmptySubsequences: false)
      for i in results.indices { results[i] += pattern[start..<open] }
      results = results.flatMap { beginning in options.map { beginning + $0 } }
      (start, index) = (close + 1, close + 1)
    }
    for i in results.indices { results[i] += pattern[start...] }
    return results
  }

  /// For each position of a pattern, how many commas precede it.
  private static func countsOfCommas(_ pattern: [Unicode.Scalar]) -> [Int] {
    var count = 0
    return pattern.map { scalar in
      defer { count += scalar == "," ? 1 : 0 }
      return count
    }
  }
}
