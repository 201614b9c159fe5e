import ModelFamilies
import TensorIO

/// What recognition needs of the built-in dialects as a file, `CIndex/tables.index`. Only the dialect of the source is parsed.
///
///     the files' checksum | drop rules | sets of drop rules, as their numbers | drop lists: name, set | known families | tables
///     a table: family, dialects | a dialect: file, name, root, anchors, drop set, variant, conditions, spellings, first layer,
///     repeats, renumbered words, whether contained, then hashes: of names, of patterns (each with what they lead to), of names without numbers
///
/// `make index` writes it, and a test compares it with the tables. One that does not match the files is not used.
struct TableIndex: Sendable {
  let tables: [MappingTable]
  let dropLists: [String: [DropRule]]
  let knownFamilies: [KnownFamily]

  /// `nil` where the index does not match the program's files.
  static let builtIn: TableIndex? = try? TableIndex(decoding: BuiltInIndex.tables)

  /// Raised where the same files give another index: with its form, or with the code that reads the files.
  private static let version: UInt32 = 3

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

  /// The index of the program's files, all of which are parsed.
  static func encoded() throws(FormatError) -> [UInt8] {
    let tables = try MappingTable.parsedWithFiles()
    let lists = try DropLists.parsedBuiltIn().sorted { $0.key < $1.key }
    var drops = DropNumbering()
    let listSets = lists.map { drops.number(of: $0.value) }
    let dialectSets = tables.map { $0.table.dialects.map { drops.number(of: $0.names.drops.all) } }
    var encoder = IndexEncoder()
    encoder.add(Int(fingerprint))
    encoder.add(drops.rules) { $0.add($1) }
    encoder.add(drops.sets) { encoder, set in encoder.add(set) { $0.add($1) } }
    encoder.add(Array(zip(lists, listSets))) { encoder, list in
      encoder.add(list.0.key)
      encoder.add(list.1)
    }
    encoder.add(try KnownFamily.parsedBuiltIn()) { $0.add($1) }
    encoder.add(tables.count)
    for ((table, files), sets) in zip(tables, dialectSets) {
      encoder.add(table.family)
      encoder.add(table.dialects.count)
      for (dialect, (file, set)) in zip(table.dialects, zip(files, sets)) {
        encoder.add(file)
        try encoder.add(dialect.names, dropSet: set)
      }
    }
    return encoder.bytes
  }

  // MARK: Reading

  init(decoding bytes: Bytes) throws(FormatError) {
    var decoder = IndexDecoder(bytes)
    guard try decoder.number() == Int(Self.fingerprint) else { throw decoder.mismatch }
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
    let families = try FamilyCatalog.builtIn()
    var tables: [MappingTable] = []
    for _ in 0..<(try decoder.count()) {
      let name = try decoder.text()
      guard let family = families.entries.first(where: { $0.identity.name == name }) else { throw decoder.mismatch }
      var dialects: [Dialect] = []
      for _ in 0..<(try decoder.count()) {
        let file = MappingTable.dialectFiles[try decoder.index(below: MappingTable.dialectFiles.count)]
        let names = try decoder.dialect(sets)
        let content = Lazy { Self.content(of: names.name, in: file, family.family) }
        dialects.append(Dialect(names: names, content: .lazy(content)))
      }
      tables.append(MappingTable(family, dialects: dialects))
    }
    self.tables = tables
    guard decoder.isAtEnd else { throw decoder.mismatch }
  }

  private static func content(
    of dialect: String, in file: (name: String, content: [UInt8]), _ family: ModelFamily
  ) -> DialectContent {
    do {
      return try TableParser(file, families: nil).dialect(dialect, of: family).content
    } catch {
      fatalError("a built-in dialect does not parse: \(error)")
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

extension SortedHashes {
  /// - Throws: `FormatError` where two names have one hash, or a rule has more sources than eight bits count
  fileprivate init(_ rules: [String: RuleSource]) throws(FormatError) {
    let sorted = rules.map { (hash: FNV1a($0.key).value, source: $0.value) }.sorted { $0.hash < $1.hash }
    hashes = sorted.map(\.hash)
    sources = sorted.map { UInt64($0.source.rule << 8 | $0.source.position) }
    guard Set(hashes).count == hashes.count, rules.values.allSatisfy({ $0.position < 256 }) else {
      throw FormatError(
        .table, "the names of a dialect cannot be indexed: two have one hash, or a rule has too many sources")
    }
  }
}

extension IndexEncoder {
  fileprivate mutating func add(_ rule: DropRule) {
    add(rule.pattern)
    add(rule.reason)
    add(rule.cause.word ?? "")
    add(rule.copyEnding) { $0.add($1) }
    add(rule.hint) { $0.add($1) }
    add(rule.isModel)
  }

  fileprivate mutating func add(_ known: KnownFamily) {
    add(known.family)
    add(known.description)
    add(known.signatures)
    // The two forms that such a file can give.
    add(known.advice == .giveBaseModel)
    if case .sentence(let text) = known.advice { add(text) } else { add("") }
  }

  fileprivate mutating func add(_ names: DialectNames, dropSet: Int) throws(FormatError) {
    guard case .parsed(let rules) = names.rules else {
      throw FormatError(.table, "an index is made of parsed dialects", found: names.name)
    }
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
    add(names.isContained)
    for names in [try SortedHashes(rules.literals), try SortedHashes(rules.patterns)] {
      add(names.hashes.count)
      add(hashes: names.hashes)
      add(hashes: names.sources)
    }
    let others = rules.literalsWithoutNumbers.map { FNV1a($0).value }.sorted()
    add(others.count)
    add(hashes: others)
  }
}

extension IndexDecoder {
  fileprivate mutating func dropRule() throws(FormatError) -> DropRule {
    let (pattern, reason, word) = (try text(), try text(), try text())
    guard let cause = word.isEmpty ? .unstated : DropCause(word: word) else { throw mismatch }
    return DropRule(
      pattern: pattern, reason: reason, cause: cause, copyEnding: try optionalText(), hint: try optionalText(),
      isModel: try flag())
  }

  fileprivate mutating func knownFamily() throws(FormatError) -> KnownFamily {
    let (family, description, signatures) = (try text(), try text(), try signatures())
    let (givesBaseModel, sentence) = (try flag(), try text())
    return KnownFamily(
      family: family, description: description, signatures: signatures,
      advice: givesBaseModel ? .giveBaseModel : sentence.isEmpty ? nil : .sentence(sentence))
  }

  fileprivate mutating func dialect(_ dropSets: [DropRules]) throws(FormatError) -> DialectNames {
    let (name, root, anchors) = (try text(), try text(), try texts())
    let drops = dropSets[try index(below: dropSets.count)]
    let variant = try flag() ? (of: try text(), architectures: try texts()) : nil
    var conditions: [Condition] = []
    for _ in 0..<(try count()) {
      conditions.append(Condition(key: try text(), values: try texts(), allowsAbsence: try flag()))
    }
    var spellings: [(other: String, ours: String)] = []
    for _ in 0..<(try count()) { spellings.append((try text(), try text())) }
    let (firstLayer, repeatsLayer) = (try number(), try flag())
    let (renumbered, isContained) = (try texts(), try flag())
    let rules = HashedNames(
      literals: try sortedHashes(), patterns: try sortedHashes(),
      literalsWithoutNumbers: try hashes(count: try number()))
    return DialectNames(
      name: name, root: root, anchors: anchors, drops: drops, rules: .indexed(rules), variant: variant,
      conditions: conditions, spellings: spellings, firstLayer: firstLayer, repeatsLayer: repeatsLayer,
      renumbered: renumbered, isContained: isContained)
  }

  private mutating func sortedHashes() throws(FormatError) -> SortedHashes {
    let count = try number()
    return SortedHashes(hashes: try hashes(count: count), sources: try hashes(count: count))
  }
}
