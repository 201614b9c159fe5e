import TensorIO

/// A regular expression, compiled for a machine that tries alternatives in order, as Oniguruma does.
///
/// What is found is the first match from the left, and of several there the one that is preferred. A search that tries much
/// remembers where it failed, so that it takes at most (length of the expression) × (length of the text) steps.
struct Regex: Sendable {
  private enum Instruction: Sendable {
    case set(Int)
    /// Tries the first address, then the second.
    case split(Int, Int)
    case jump(Int)
    case assertion(RegexAssertion)
    /// As many members of the set as there are, from a number to below another one, and none given back.
    case run(set: Int, Range<Int>)
    /// The instructions behind it, up to `end`, as an expression of their own.
    case atomic(end: Int)
    case lookAhead(end: Int, isNegated: Bool)
    case lookBehind(end: Int, length: Int, isNegated: Bool)
    case accept
  }

  private var program: [Instruction] = []
  private var sets: [CharacterSet] = []
  /// Whether it may match without a character.
  let matchesEmpty: Bool
  private let pattern: String
  private static let maximumSize = 20_000

  init(_ pattern: String) throws(FormatError) {
    var parser = RegexParser(pattern)
    let node = try parser.parse()
    self.pattern = pattern
    matchesEmpty = node.matchesEmpty
    try compile(node)
    program.append(.accept)
  }

  private mutating func add(_ instruction: Instruction) throws(FormatError) {
    guard program.count < Self.maximumSize else {
      throw FormatError(.limit, "the regular expression '\(pattern)' is too large")
    }
    program.append(instruction)
  }

  private mutating func index(of set: CharacterSet) -> Int {
    sets.append(set)
    return sets.count - 1
  }

  // MARK: Compilation

  private mutating func compile(_ node: RegexNode) throws(FormatError) {
    switch node {
    case .empty: break
    case .set(let set): try add(.set(index(of: set)))
    case .sequence(let parts):
      for part in parts { try compile(part) }
    case .alternatives(let parts): try compileAlternatives(parts)
    case .repeated(let part, let count, .possessive):
      if case .set(let set) = part {
        try add(.run(set: index(of: set), count))
      } else {
        try compileNested(.repeated(part, count, .greedy)) { .atomic(end: $0) }
      }
    case .repeated(let part, let count, let repetition):
      try compileRepetition(part, count, isLazy: repetition == .lazy)
    case .atomic(let part): try compileNested(part) { .atomic(end: $0) }
    case .look(let part, false, let isNegated):
      try compileNested(part) { .lookAhead(end: $0, isNegated: isNegated) }
    case .look(let part, true, let isNegated):
      let length = part.fixedLength ?? 0
      try compileNested(part) { .lookBehind(end: $0, length: length, isNegated: isNegated) }
    case .assertion(let assertion): try add(.assertion(assertion))
    }
  }

  private mutating func compileNested(
    _ node: RegexNode, _ make: (Int) -> Instruction
  ) throws(FormatError) {
    let start = program.count
    try add(.jump(0))
    try compile(node)
    try add(.accept)
    program[start] = make(program.count)
  }

  private mutating func compileAlternatives(_ parts: [RegexNode]) throws(FormatError) {
    var jumps: [Int] = []
    for (number, part) in parts.enumerated() {
      guard number < parts.count - 1 else {
        try compile(part)
        break
      }
      let split = program.count
      try add(.jump(0))
      try compile(part)
      jumps.append(program.count)
      try add(.jump(0))
      program[split] = .split(split + 1, program.count)
    }
    for jump in jumps { program[jump] = .jump(program.count) }
  }

  private mutating func compileRepetition(
    _ part: RegexNode, _ count: Range<Int>, isLazy: Bool
  ) throws(FormatError) {
    for _ in 0..<count.lowerBound { try compile(part) }
    func split(_ inside: Int, _ outside: Int) -> Instruction {
      isLazy ? .split(outside, inside) : .split(inside, outside)
    }
    if count.upperBound >= Int.max - 1 {
      let start = program.count
      try add(.jump(0))
      try compile(part)
      try add(.jump(start))
      program[start] = split(start + 1, program.count)
      return
    }
    var splits: [Int] = []
    for _ in count.lowerBound..<(count.upperBound - 1) {
      splits.append(program.count)
      try add(.jump(0))
      try compile(part)
    }
    for start in splits { program[start] = split(start + 1, program.count) }
  }

  // MARK: Search

  /// Appends all matches in `range` to `matches`, which do not overlap; as `find_iter` of Rust's `onig`.
  func findAll(in buffer: borrowing TextBuffer, _ range: Range<Int>, into matches: inout [Range<Int>]) {
    var machine = Machine(range: range, size: program.count)
    var position = range.lowerBound
    var lastEnd = -1
    while position <= range.upperBound {
      guard let match = find(in: buffer, from: position, &machine) else { return }
      if match.isEmpty, match.lowerBound == lastEnd {
        guard position < range.upperBound else { return }
        position += buffer.codePoint(at: position).length
        continue
      }
      matches.append(match)
      position = match.upperBound
      lastEnd = match.upperBound
    }
  }

  /// What a search needs while it runs.
  private struct Machine {
    let range: Range<Int>
    let size: Int
    /// Addresses and positions still to be tried.
    var stack: [(address: Int, position: Int)] = []
    var steps = 0
    /// From this number of steps on, failures are remembered.
    static let patience = 2000
    /// A bit for each address at each position.
    var failed: [UInt64] = []
    var touched: [Int] = []

    init(range: Range<Int>, size: Int) {
      self.range = range
      self.size = size
    }

    mutating func begin() {
      steps = 0
      for word in touched { failed[word] = 0 }
      touched.removeAll(keepingCapacity: true)
    }

    /// Whether this was tried before; remembers that it was tried now.
    mutating func wasTried(_ address: Int, _ position: Int) -> Bool {
      if failed.isEmpty { failed = Array(repeating: 0, count: (range.count + 1) * size / 64 + 1) }
      let bit = (position - range.lowerBound) * size + address
      let mask = UInt64(1) << UInt64(bit & 63)
      if failed[bit >> 6] & mask != 0 { return true }
      if failed[bit >> 6] == 0 { touched.append(bit >> 6) }
      failed[bit >> 6] |= mask
      return false
    }
  }

  private func find(
    in buffer: borrowing TextBuffer, from start: Int, _ machine: inout Machine
  ) -> Range<Int>? {
    machine.begin()
    var position = start
    while true {
      if let end = run(0, at: position, in: buffer, &machine, isNested: false) { return position..<end }
      guard position < machine.range.upperBound else { return nil }
      position += buffer.codePoint(at: position).length
    }
  }

  /// The end of the preferred match of the instructions from `address` on, at `start`.
  private func run(
    _ address: Int, at start: Int, in buffer: borrowing TextBuffer, _ machine: inout Machine, isNested: Bool
  ) -> Int? {
    let base = machine.stack.count
    let end = machine.range.upperBound
    var address = address
    var position = start
    while true {
      var isAlive = true
      switch program[address] {
      case .set(let set):
        if position < end {
          let (code, length) = buffer.codePoint(at: position)
          isAlive = sets[set].contains(code)
          position += length
          address += 1
        } else {
          isAlive = false
        }
      case .split(let first, let second):
        machine.steps += 1
        if !isNested, machine.steps > Machine.patience, machine.wasTried(address, position) {
          isAlive = false
        } else {
          machine.stack.append((second, position))
          address = first
        }
      case .jump(let target): address = target
      case .assertion(let assertion):
        isAlive = holds(assertion, at: position, in: buffer, machine.range)
        address += 1
      case .run(let set, let count):
        var number = 0
        while number < count.upperBound - 1, position < end {
          let (code, length) = buffer.codePoint(at: position)
          guard sets[set].contains(code) else { break }
          position += length
          number += 1
        }
        isAlive = number >= count.lowerBound
        address += 1
      case .atomic(let next):
        if let last = run(address + 1, at: position, in: buffer, &machine, isNested: true) {
          position = last
          address = next
        } else {
          isAlive = false
        }
      case .lookAhead(let next, let isNegated):
        isAlive = (run(address + 1, at: position, in: buffer, &machine, isNested: true) != nil) != isNegated
        address = next
      case .lookBehind(let next, let length, let isNegated):
        var earlier = position
        var missing = length
        while missing > 0, earlier > machine.range.lowerBound {
          earlier = buffer.codePointStart(before: earlier)
          missing -= 1
        }
        let isThere =
          missing == 0 && run(address + 1, at: earlier, in: buffer, &machine, isNested: true) == position
        isAlive = isThere != isNegated
        address = next
      case .accept:
        machine.stack.removeSubrange(base...)
        return position
      }
      if !isAlive {
        guard machine.stack.count > base, let next = machine.stack.popLast() else { return nil }
        (address, position) = (next.address, next.position)
      }
    }
  }

  private func holds(
    _ assertion: RegexAssertion, at position: Int, in buffer: borrowing TextBuffer, _ range: Range<Int>
  ) -> Bool {
    func isWord(before: Bool) -> Bool {
      if before ? position == range.lowerBound : position == range.upperBound { return false }
      let start = before ? buffer.codePointStart(before: position) : position
      return CodePointKind(of: buffer.codePoint(at: start).code).has(.onigurumaWord)
    }
    switch assertion {
    case .textStart: return position == range.lowerBound
    case .textEnd: return position == range.upperBound
    case .textEndOrLastLine:
      return position == range.upperBound
        || position == range.upperBound - 1 && buffer.bytes[position] == 10
    case .lineStart:
      return position == range.lowerBound || buffer.bytes[position - 1] == 10 && position < range.upperBound
    case .lineEnd: return position == range.upperBound || buffer.bytes[position] == 10
    case .wordBoundary: return isWord(before: true) != isWord(before: false)
    case .notWordBoundary: return isWord(before: true) == isWord(before: false)
    }
  }
}
