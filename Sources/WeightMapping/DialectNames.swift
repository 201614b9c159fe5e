import ModelFamilies
import TensorIO

/// What a dialect's names are, as far as a source is recognized by them; the index has it of every built-in dialect.
struct DialectNames: Sendable {
  let name: String
  let root: String
  let anchors: [String]
  let drops: DropRules
  /// Where a source name leads.
  let rules: RuleNames
  /// The dialect that it stands for where a config names one of the architectures.
  let variant: (of: String, architectures: [String])?
  /// Values next to the tensors without which a source is not of the dialect.
  let conditions: [Condition]
  /// Parts of names that some programs write otherwise, and how the rules have them.
  let spellings: [(other: String, ours: String)]
  /// The number that the first layer has in the dialect's names.
  let firstLayer: Int
  /// Whether a name has the number of its layer more than once.
  let repeatsLayer: Bool
  /// Words of names whose numbers count anew within what precedes them.
  let renumbered: [String]

  /// Whether the dialect may be taken for a source whose config names `architectures`.
  func isOpen(to architectures: [String]) -> Bool {
    variant.map { !Set($0.architectures).isDisjoint(with: architectures) } ?? true
  }

  func find(_ name: String) -> RuleMatch? {
    if let match = findAsWritten(name) { return match }
    let spelled = spelled(name)
    return spelled == name ? nil : findAsWritten(spelled)
  }

  /// The name with the parts that some programs write otherwise as the rules have them.
  func spelled(_ name: String) -> String {
    var spelled = name
    for spelling in spellings {
      if let range = Self.range(of: spelling.other, in: spelled) {
        spelled.replaceSubrange(range, with: spelling.ours)
      }
    }
    return spelled
  }

  /// Where a spelling is in a name; `*` in it is one component of the name.
  private static func range(of spelling: String, in name: String) -> Range<String.Index>? {
    guard let star = spelling[...].firstRange(ofBytes: "*") else { return name[...].firstRange(ofBytes: spelling) }
    let (start, end) = (String(spelling[..<star.lowerBound]), String(spelling[star.upperBound...]))
    guard let first = name[...].firstRange(ofBytes: start),
      let last = name[first.upperBound...].firstRange(ofBytes: end),
      !name[first.upperBound..<last.lowerBound].contains(where: { $0 == "." || $0 == "/" }),
      first.upperBound < last.lowerBound
    else { return nil }
    return first.lowerBound..<last.upperBound
  }

  private func findAsWritten(_ name: String) -> RuleMatch? {
    if let source = rules.source(ofName: name) { return RuleMatch(source: source, layer: nil) }
    for (pattern, number) in NamePattern.layered(name, repeated: repeatsLayer) where number >= firstLayer {
      if let source = rules.source(ofPattern: pattern) { return RuleMatch(source: source, layer: number - firstLayer) }
    }
    return nil
  }
}

/// The names that the rules of a dialect take, each with what it leads to. Names and patterns are kept apart, so that a name
/// cannot pass as a pattern.
enum RuleNames: Sendable {
  case parsed(ParsedNames)
  case indexed(HashedNames)

  struct ParsedNames: Sendable {
    let literals: [String: RuleSource]
    let patterns: [String: RuleSource]
    /// The names with every number in them written as 0.
    let shapes: Set<String>

    init(literals: [String: RuleSource], patterns: [String: RuleSource]) {
      self.literals = literals
      self.patterns = patterns
      shapes = Set(literals.keys.map(NamePattern.withoutNumbers))
    }
  }

  func source(ofName name: String) -> RuleSource? {
    switch self {
    case .parsed(let names): names.literals[name]
    case .indexed(let names): names.source(of: name, in: names.literals)
    }
  }

  func source(ofPattern pattern: String) -> RuleSource? {
    switch self {
    case .parsed(let names): names.patterns[pattern]
    case .indexed(let names): names.source(of: pattern, in: names.patterns)
    }
  }

  /// Whether a name can have that shape: its numbers written as 0.
  func hasName(ofShape shape: String) -> Bool {
    switch self {
    case .parsed(let names): names.shapes.contains(shape)
    case .indexed(let names): names.index(of: shape, in: names.shapes) != nil
    }
  }
}

/// The same names by their hashes, as the index has them. What has the hash of a name is taken for it: 64 bits tell the few
/// thousand names of all dialects from any that a file has by accident.
struct HashedNames: Sendable {
  /// Of all dialects; rising within each of the ranges below.
  let hashes: [UInt64]
  /// What the name of each hash leads to: the rule, and in the last eight bits the position.
  let sources: [UInt64]
  let literals: Range<Int>
  let patterns: Range<Int>
  let shapes: Range<Int>

  func source(of name: String, in range: Range<Int>) -> RuleSource? {
    index(of: name, in: range).map { RuleSource(rule: Int(sources[$0] >> 8), position: Int(sources[$0] & 0xFF)) }
  }

  func index(of name: String, in range: Range<Int>) -> Int? {
    let hash = FNV1a(name).value
    var (low, high) = (range.lowerBound, range.upperBound)
    while low < high {
      let middle = (low + high) / 2
      if hashes[middle] < hash { low = middle + 1 } else { high = middle }
    }
    return low < range.upperBound && hashes[low] == hash ? low : nil
  }
}
