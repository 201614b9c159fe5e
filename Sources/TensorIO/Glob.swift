/// A shell-style pattern over names: `*` any run of characters, `?` one, `[abc]`, `[a-z]` and `[!…]` one of a set,
/// `{a,b}` either.
///
/// Matching takes time proportional to name × pattern at most, whatever the pattern.
public struct Glob: Sendable, Equatable {
  public let pattern: String
  private let alternatives: [[Element]]
  /// For each byte, whether a name that matches can end with it: most names are told from most patterns by that.
  private let canEndWith: [Bool]

  private enum Element: Equatable, Sendable {
    case anyRun
    case anyOne
    case literal(UInt8)
    case set([ClosedRange<UInt8>], negated: Bool)
  }

  public init(_ pattern: String) {
    self.pattern = pattern
    alternatives = Self.expandBraces(Array(pattern.utf8)).map(Self.compile)
    canEndWith = Self.finalBytes(alternatives)
  }

  public func matches(_ name: String) -> Bool {
    if let last = name.utf8.last, !canEndWith[Int(last)] { return false }
    let bytes = Array(name.utf8)
    return alternatives.contains { Self.match($0, bytes) }
  }

  private static func finalBytes(_ alternatives: [[Element]]) -> [Bool] {
    var result = [Bool](repeating: false, count: 256)
    for last in alternatives.compactMap(\.last) {
      switch last {
      case .literal(let byte): result[Int(byte)] = true
      case .anyRun, .anyOne: return [Bool](repeating: true, count: 256)
      case .set: for byte in UInt8.min...UInt8.max where accepts(last, byte) { result[Int(byte)] = true }
      }
    }
    return result
  }

  private static func expandBraces(_ pattern: [UInt8]) -> [[UInt8]] {
    var results: [[UInt8]] = [[]]
    // What no brace has changed yet begins here.
    var start = 0
    var index = 0
    func append(upTo end: Int, to results: inout [[UInt8]]) {
      guard start < end else { return }
      for i in results.indices { results[i] += pattern[start..<end] }
    }
    while let open = pattern[index...].firstIndex(of: UInt8(ascii: "{")) {
      index = open + 1
      guard let end = pattern[open...].firstIndex(of: UInt8(ascii: "}")) else { break }
      let options = pattern[(open + 1)..<end].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
      // A pattern that multiplies out beyond reason keeps its braces as letters.
      guard results.count * options.count <= 256 else { continue }
      append(upTo: open, to: &results)
      results = results.flatMap { beginning in options.map { beginning + $0 } }
      (start, index) = (end + 1, end + 1)
    }
    append(upTo: pattern.count, to: &results)
    return results
  }

  private static func compile(_ pattern: [UInt8]) -> [Element] {
    var elements: [Element] = []
    elements.reserveCapacity(pattern.count)
    var index = 0
    while index < pattern.count {
      let byte = pattern[index]
      index += 1
      switch byte {
      case UInt8(ascii: "*"): if elements.last != .anyRun { elements.append(.anyRun) }
      case UInt8(ascii: "?"): elements.append(.anyOne)
      case UInt8(ascii: "["):
        var cursor = index
        var negated = false
        if cursor < pattern.count, pattern[cursor] == UInt8(ascii: "!") || pattern[cursor] == UInt8(ascii: "^") {
          negated = true
          cursor += 1
        }
        var ranges: [ClosedRange<UInt8>] = []
        let first = cursor
        while cursor < pattern.count, pattern[cursor] != UInt8(ascii: "]") || cursor == first {
          let low = pattern[cursor]
          if cursor + 2 < pattern.count, pattern[cursor + 1] == UInt8(ascii: "-"),
            pattern[cursor + 2] != UInt8(ascii: "]"), pattern[cursor + 2] >= low
          {
            ranges.append(low...pattern[cursor + 2])
            cursor += 3
          } else {
            ranges.append(low...low)
            cursor += 1
          }
        }
        if cursor < pattern.count {
          elements.append(.set(ranges, negated: negated))
          index = cursor + 1
        } else {
          elements.append(.literal(byte))
        }
      default: elements.append(.literal(byte))
      }
    }
    return elements
  }

  private static func match(_ pattern: [Element], _ name: [UInt8]) -> Bool {
    // Most names differ in the bytes that the pattern ends with.
    var end = (pattern: pattern.count, name: name.count)
    while end.pattern > 0, case .literal(let byte) = pattern[end.pattern - 1] {
      guard end.name > 0, name[end.name - 1] == byte else { return false }
      end = (end.pattern - 1, end.name - 1)
    }
    var p = 0
    var n = 0
    var star: (pattern: Int, name: Int)?
    while n < end.name {
      if p < end.pattern, pattern[p] == .anyRun {
        star = (p, n)
        p += 1
      } else if p < end.pattern, accepts(pattern[p], name[n]) {
        p += 1
        n += 1
      } else if let last = star {
        p = last.pattern + 1
        n = last.name + 1
        star = (last.pattern, n)
      } else {
        return false
      }
    }
    while p < end.pattern, pattern[p] == .anyRun { p += 1 }
    return p == end.pattern
  }

  private static func accepts(_ element: Element, _ byte: UInt8) -> Bool {
    switch element {
    case .anyRun, .anyOne: true
    case .literal(let wanted): wanted == byte
    case .set(let ranges, let negated): ranges.contains { $0.contains(byte) } != negated
    }
  }
}
