import ModelFamilies
import TensorIO

/// What recognition needs of all built-in dialects, in a file: of the dialects themselves one is parsed, the one that a source
/// is of.
///
/// The file is `Tables/tables.index`. A test compares it with the tables and writes it anew where it is asked to; one that is
/// of other files is not used.
struct TableIndex: Sendable {
  let tables: [MappingTable]
  let dropLists: [String: [DropRule]]
  let knownFamilies: [KnownFamily]

  /// `nil` where the index is of other files than those of the program.
  static let builtIn: TableIndex? = try? TableIndex(decoding: PackageResources.tables_index)

  /// A change of what the index contains changes this.
  private static let version: UInt32 = 1

  /// The checksum of the files that the index is made of.
  private static let fingerprint: UInt32 = {
    var sum = CRC32C(version)
    sum.update([UInt8](littleEndian: FamilyIndex.fingerprint))
    for content in [
      PackageResources.conventions_yaml, PackageResources.training_state_yaml, PackageResources.known_families_yaml,
    ] {
      sum.update(content)
    }
    for (name, content) in MappingTable.dialectFiles {
      sum.update(Array(name.utf8))
      sum.update(content)
    }
    return sum.value
  }()

  // MARK: Writing

  /// The index of these files, all of which are parsed.
  static func encoded() throws(FormatError) -> [UInt8] {
    let tables = try MappingTable.parsedBuiltIn()
    let lists = try DropLists.parsedBuiltIn()
    var drops = DropNumbering()
    let numbered = lists.sorted { $0.key < $1.key }.map { (name: $0.key, set: drops.number(of: $0.value)) }
    let sets = tables.map { $0.dialects.map { drops.number(of: $0.names.drops.all) } }
    var encoder = IndexEncoder()
    encoder.add(Int(fingerprint))
    encoder.add(drops.rules) { $0.add($1) }
    encoder.add(drops.sets) { encoder, set in encoder.add(set) { $0.add($1) } }
    encoder.add(numbered) { encoder, list in
      encoder.add(list.name)
      encoder.add(list.set)
    }
    encoder.add(try KnownFamily.parsedBuiltIn()) { $0.add($1) }
    let names = tables.map { $0.dialects.map { HashTable($0.names) } }
    let hashes = names.joined().flatMap(\.hashes)
    encoder.add(hashes.count)
    encoder.add(fixed: hashes)
    encoder.add(fixed: names.joined().flatMap(\.sources))
    let files = try fileOfDialect()
    encoder.add(tables.count)
    for (table, (sets, names)) in zip(tables, zip(sets, names)) {
      encoder.add(table.family)
      encoder.add(table.dialects.count)
      for (dialect, (set, names)) in zip(table.dialects, zip(sets, names)) {
        encoder.add(files["\(table.family) \(dialect.name)"] ?? 0)
        encoder.add(dialect.names, dropSet: set, counts: names.counts)
      }
    }
    return encoder.bytes
  }

  /// For each family and dialect the index of the file that has it.
  private static func fileOfDialect() throws(FormatError) -> [String: Int] {
    var result: [String: Int] = [:]
    let families = try FamilyCatalog.builtIn()
    for (index, file) in MappingTable.dialectFiles.enumerated() {
      for (family, dialects) in try TableParser(file, families: families).parseDialects() {
        for dialect in dialects { result["\(family) \(dialect.name)"] = index }
      }
    }
    return result
  }

  // MARK: Reading

  init(decoding bytes: [UInt8]) throws {
    var decoder = IndexDecoder(bytes)
    guard try decoder.number() == Int(Self.fingerprint) else { throw IndexDecoder.Failure() }
    var rules: [DropRule] = []
    for _ in 0..<(try decoder.count()) { rules.append(try decoder.dropRule()) }
    var sets: [DropRules] = []
    for _ in 0..<(try decoder.count()) {
      var set: [DropRule] = []
      for _ in 0..<(try decoder.count()) { set.append(rules[try decoder.index(below: rules.count)]) }
      sets.append(DropRules(set))
    }
    var lists: [String: [DropRule]] = [:]
    for _ in 0..<(try decoder.count()) { lists[try decoder.text()] = sets[try decoder.index(below: sets.count)].all }
    dropLists = lists
    var known: [KnownFamily] = []
    for _ in 0..<(try decoder.count()) { known.append(try decoder.knownFamily()) }
    knownFamilies = known
    tables = try Self.tables(&decoder, sets)
    guard decoder.isAtEnd else { throw IndexDecoder.Failure() }
  }

  private static func tables(_ decoder: inout IndexDecoder, _ dropSets: [DropRules]) throws -> [MappingTable] {
    let count = try decoder.number()
    let hashes = try decoder.fixed(count: count)
    let sources = try decoder.fixed(count: count)
    let families = try FamilyCatalog.builtIn()
    let files = MappingTable.dialectFiles
    var end = 0
    var tables: [MappingTable] = []
    for _ in 0..<(try decoder.count()) {
      let name = try decoder.text()
      guard let family = families.entries.first(where: { $0.identity.name == name }) else {
        throw IndexDecoder.Failure()
      }
      var dialects: [Dialect] = []
      for _ in 0..<(try decoder.count()) {
        let file = files[try decoder.index(below: files.count)]
        let names = try decoder.dialect(dropSets, hashes, sources, from: &end)
        guard end <= count else { throw IndexDecoder.Failure() }
        let content = Lazy { Self.content(of: names.name, in: file, family.family, families) }
        dialects.append(Dialect(names: names, content: .lazy(content)))
      }
      tables.append(MappingTable(identity: family.identity, model: family.deferredFamily, dialects: dialects))
    }
    guard end == count else { throw IndexDecoder.Failure() }
    return tables
  }

  private static func content(
    of dialect: String, in file: (name: String, content: [UInt8]), _ family: ModelFamily, _ families: FamilyCatalog
  ) -> DialectContent {
    do {
      return try TableParser(file, families: families).dialect(dialect, of: family).content
    } catch {
      fatalError("the index is of this very file, which was parsed to make it: \(error)")
    }
  }
}

/// Drop rules and sets of them, each once.
private struct DropNumbering {
  private(set) var rules: [DropRule] = []
  private(set) var sets: [[Int]] = []

  mutating func number(of set: [DropRule]) -> Int {
    let numbers = set.map { rule in
      if let known = rules.firstIndex(of: rule) { return known }
      rules.append(rule)
      return rules.count - 1
    }
    if let known = sets.firstIndex(of: numbers) { return known }
    sets.append(numbers)
    return sets.count - 1
  }
}

/// The names of a dialect's rules by their hashes: whole names, patterns, and shapes of names.
private struct HashTable {
  private(set) var hashes: [UInt64] = []
  private(set) var sources: [UInt64] = []
  private(set) var counts: [Int] = []

  init(_ names: DialectNames) {
    guard case .parsed(let parsed) = names.rules else { return }
    for rules in [parsed.literals, parsed.patterns] {
      let sorted = rules.map { (hash: FNV1a($0.key).value, source: $0.value) }.sorted { $0.hash < $1.hash }
      hashes += sorted.map(\.hash)
      sources += sorted.map { UInt64($0.source.rule << 8 | $0.source.position) }
      counts.append(sorted.count)
    }
    let shapes = parsed.shapes.map { FNV1a($0).value }.sorted()
    hashes += shapes
    sources += shapes.map { _ in 0 }
    counts.append(shapes.count)
  }
}

extension IndexEncoder {
  fileprivate mutating func add(_ rule: DropRule) {
    add(rule.pattern)
    add(rule.reason)
    add(rule.cause.word ?? "")
    add(rule.beside) { $0.add($1) }
    add(rule.hint) { $0.add($1) }
    add(rule.isModel)
  }

  fileprivate mutating func add(_ known: KnownFamily) {
    add(known.family)
    add(known.description)
    add(known.signatures)
    add(known.advice) { encoder, advice in
      if case .sentence(let text) = advice { encoder.add(text) } else { encoder.add("") }
    }
  }

  fileprivate mutating func add(_ names: DialectNames, dropSet: Int, counts: [Int]) {
    add(names.name)
    add(names.root)
    add(names.anchors)
    add(dropSet)
    add(names.variant) { encoder, variant in
      encoder.add(variant.of)
      encoder.add(variant.architectures)
    }
    add(names.conditions) { encoder, condition in
      encoder.add(condition.key)
      encoder.add(condition.values)
      encoder.add(condition.allowsAbsence)
    }
    add(names.spellings) { encoder, spelling in
      encoder.add(spelling.other)
      encoder.add(spelling.ours)
    }
    add(names.firstLayer)
    add(names.repeatsLayer)
    add(names.renumbered)
    for count in counts { add(count) }
  }
}

extension IndexDecoder {
  fileprivate mutating func dropRule() throws(Failure) -> DropRule {
    DropRule(
      pattern: try text(), reason: try text(), cause: DropCause(word: try text()) ?? .unstated,
      beside: try optionalText(), hint: try optionalText(), isModel: try flag())
  }

  private mutating func optionalText() throws(Failure) -> String? { try flag() ? try text() : nil }

  fileprivate mutating func knownFamily() throws(Failure) -> KnownFamily {
    let (family, description, signatures) = (try text(), try text(), try signatures())
    let advice = try optionalText().map { $0.isEmpty ? FormatError.Advice.giveBaseModel : .sentence($0) }
    return KnownFamily(family: family, description: description, signatures: signatures, advice: advice)
  }

  /// A dialect whose hashes begin at `start`; `start` is then where they end.
  fileprivate mutating func dialect(
    _ dropSets: [DropRules], _ hashes: [UInt64], _ sources: [UInt64], from start: inout Int
  ) throws(Failure) -> DialectNames {
    let (name, root, anchors) = (try text(), try text(), try texts())
    let drops = dropSets[try index(below: dropSets.count)]
    let variant = try flag() ? (of: try text(), architectures: try texts()) : nil
    var conditions: [Condition] = []
    for _ in 0..<(try count()) {
      conditions.append(Condition(key: try text(), values: try texts(), allowsAbsence: try flag()))
    }
    var spellings: [(other: String, ours: String)] = []
    for _ in 0..<(try count()) { spellings.append((try text(), try text())) }
    let (firstLayer, repeatsLayer, renumbered) = (try number(), try flag(), try texts())
    let literals = start + (try number())
    let patterns = literals + (try number())
    let shapes = patterns + (try number())
    let rules = HashedNames(
      hashes: hashes, sources: sources, literals: start..<literals, patterns: literals..<patterns,
      shapes: patterns..<shapes)
    start = shapes
    return DialectNames(
      name: name, root: root, anchors: anchors, drops: drops, rules: .indexed(rules), variant: variant,
      conditions: conditions, spellings: spellings, firstLayer: firstLayer, repeatsLayer: repeatsLayer,
      renumbered: renumbered)
  }
}
