import ModelFamilies
import TensorIO

/// The part of a dialect that a source is recognized by; the index contains it for every built-in dialect.
struct DialectNames: Sendable {
  let name: String
  let root: String
  let anchors: [String]
  let drops: DropRules
  /// Where a source name leads.
  let rules: RuleNames
  /// The dialect that it replaces where a config names one of the architectures.
  let variant: (of: String, architectures: [String])?
  /// Values next to the tensors without which a source is not of the dialect.
  let conditions: [Condition]
  /// Parts of names that some programs write otherwise, and how the rules have them.
  let spellings: [(other: String, ours: String)]
  /// The number that the first layer has in the dialect's names.
  let firstLayer: Int
  /// Whether a name has the number of its layer more than once.
  let repeatsLayer: Bool
  /// Words of names whose numbers restart within what precedes them.
  let renumbered: [String]
  /// Whether a source has all tensors of the model in one scope: what is next to it is not the model's.
  let isContained: Bool

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

  /// A name of the rules as the program writes it: it leaves out the number of a layer that a spelling writes out.
  func written(_ name: String) -> String {
    var written = name
    for spelling in spellings where Self.hasNumber(spelling.ours) {
      if let range = written[...].firstRange(ofBytes: spelling.ours) {
        written.replaceSubrange(range, with: spelling.other)
      }
    }
    return written
  }

  /// Whether a part of a name has a number, which may be a layer's.
  static func hasNumber(_ part: String) -> Bool { part.utf8.contains(where: LayerNumber.isDigit) }

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

  func source(ofName name: String) -> RuleSource? {
    switch self {
    case .parsed(let names): names.literals[name]
    case .indexed(let names): names.literals[name]
    }
  }

  func source(ofPattern pattern: String) -> RuleSource? {
    switch self {
    case .parsed(let names): names.patterns[pattern]
    case .indexed(let names): names.patterns[pattern]
    }
  }

  /// Whether a name can be that one once every number in it is written as 0.
  func hasName(withoutNumbers name: String) -> Bool {
    switch self {
    case .parsed(let names): names.literalsWithoutNumbers.contains(name)
    case .indexed(let names): SortedHashes.index(of: name, in: names.literalsWithoutNumbers) != nil
    }
  }
}

struct ParsedNames: Sendable {
  let literals: [String: RuleSource]
  let patterns: [String: RuleSource]
  /// The literals with every number in them written as 0.
  let literalsWithoutNumbers: Set<String>

  init(literals: [String: RuleSource], patterns: [String: RuleSource]) {
    self.literals = literals
    self.patterns = patterns
    literalsWithoutNumbers = Set(literals.keys.map(NamePattern.withoutNumbers))
  }
}

/// The same names by their hashes, as the index contains them.
struct HashedNames: Sendable {
  let literals: SortedHashes
  let patterns: SortedHashes
  /// The hashes of the literals with every number in them written as 0, rising.
  let literalsWithoutNumbers: [UInt64]
}

/// What names lead to, by the hashes of the names.
///
/// What has the hash of a name is taken for it: 64 bits distinguish the few thousand names of all dialects from any that a file has by
/// accident, and who makes a name of the same hash could as well have taken the name itself.
struct SortedHashes: Sendable {
  /// Rising.
  let hashes: [UInt64]
  /// For each hash the rule, and in the last eight bits the position.
  let sources: [UInt64]

  subscript(name: String) -> RuleSource? {
    Self.index(of: name, in: hashes).map { RuleSource(rule: Int(sources[$0] >> 8), position: Int(sources[$0] & 0xFF)) }
  }

  static func index(of name: String, in hashes: [UInt64]) -> Int? {
    let hash = FNV1a(name).value
    var (low, high) = (0, hashes.count)
    while low < high {
      let middle = (low + high) / 2
      if hashes[middle] < hash { low = middle + 1 } else { high = middle }
    }
    return low < hashes.count && hashes[low] == hash ? low : nil
  }
}
