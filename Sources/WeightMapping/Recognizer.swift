import ModelFamilies
import TensorIO

/// What the tables make of a source.
enum TableMatch {
  /// A family that is known by a few names, and whose tensors no table has a dialect for.
  case known(KnownFamily)
  case matched(MatchedSource)
  /// The names fit these families alike, which compute different things, and nothing decides between them.
  case ambiguous([MappingTable])
  case unknown
}

/// Finds the table and the dialect that the names of a source belong to.
struct Recognizer: Sendable {
  private let tables: [MappingTable]
  /// Families without a table come first.
  private let knownFamilies: [KnownFamily]
  private let families: Set<String>

  /// With `isFamilyChosen` the tables are those of one family that the user has chosen: nothing else is recognized.
  init(tables: [MappingTable], isFamilyChosen: Bool = false) {
    self.tables = tables
    let families = Set(tables.map(\.family))
    self.families = families
    guard !isFamilyChosen else {
      knownFamilies = []
      return
    }
    // The file is part of the program, and a test reads it.
    let known = (try? KnownFamily.builtIn()) ?? []
    knownFamilies =
      known.filter { !families.contains($0.family) }
      + tables.map { KnownFamily(family: $0.family, description: $0.description, signatures: $0.identity.signatures) }
  }

  func hasTable(_ family: KnownFamily) -> Bool { families.contains(family.family) }

  /// What the tensors are. Names that match one of `ignoring` do not decide in which scope the model lies.
  ///
  /// Of the names that the tensors have, those count that most tensors of a model are found by.
  func match(
    _ tensors: [TensorInfo], _ config: SourceConfig, ignoring: [String] = [], takesAverages: Bool = false
  ) -> TableMatch {
    var best: TableMatch?
    for names in SourceNames.all(of: tensors, takesAverages: takesAverages) {
      let match = match(tensors, names, config, ignoring)
      // No other names can show more of a model than all tensors.
      if case .matched(let source) = match, source.match.count == tensors.count { return match }
      switch (match, best) {
      case (.known(let family), nil) where !hasTable(family): return match
      case (.matched(let new), .matched(let old)): if new.match.count > old.match.count { best = match }
      case (.matched, _), (_, nil), (.known, .unknown), (.ambiguous, .unknown), (.ambiguous, .known): best = match
      case (.known, _), (.unknown, _), (.ambiguous, _): break
      }
    }
    return best ?? .unknown
  }

  /// The table of the family that the config names: by its `model_type`, else by its `architectures`.
  private func namedTable(_ config: SourceConfig) -> MappingTable? {
    if let type = config.modelType { return tables.first { $0.identity.isOf(modelType: type) } }
    return config.architectures.lazy.compactMap { name in tables.first { $0.identity.hasArchitecture(name) } }.first
  }

  /// The family of the class of KerasHub that Keras has recorded: its classes begin as those of `transformers` do.
  private func kerasFamily(_ config: SourceConfig) -> String? {
    guard let model = config.kerasModel else { return nil }
    return tables.first { $0.identity.architectures.contains { $0.hasPrefix(model + "For") } }?.family
  }

  /// The first family whose signature the names have; of several the one that the config names.
  private func knownFamily(_ names: SignatureNames, _ config: SourceConfig, named: MappingTable?) -> KnownFamily? {
    let found = knownFamilies.filter { $0.signatures.contains { $0.matches(names, config: config.json) } }
    return found.first { $0.family == named?.family } ?? found.first
  }

  private func match(
    _ tensors: [TensorInfo], _ source: SourceNames, _ config: SourceConfig, _ ignoring: [String]
  ) -> TableMatch {
    let named = namedTable(config)
    let signatureNames = SignatureNames(source.names, of: tensors)
    let known = knownFamily(signatureNames, config, named: named)
    if let known, !hasTable(known) { return .known(known) }
    // The names decide before the config does: a model must not be taken for another of the same tensors.
    let table = known.flatMap { known in tables.first { $0.family == known.family } } ?? named
    let type = table?.identity.isOf(modelType: config.modelType) == true ? config.modelType : table?.identity.modelType
    let matcher = DialectMatcher(tables: tables, names: source.names, values: config.values, ignoring: ignoring)
    if let match = matcher.best(
      modelType: type ?? config.modelType, architectures: config.architectures,
      family: known?.family ?? kerasFamily(config)),
      match.isCredible, isSubstantial(match)
    {
      let matched = tables[match.table]
      if known == nil, named == nil, match.scope.isBare {
        let others = possibleTables(signatureNames, config, besides: matched).filter { table in
          // It must know the names as well as the one that was found.
          let matcher = DialectMatcher(tables: [table], names: source.names, values: config.values, ignoring: ignoring)
          return matcher.best(modelType: table.identity.modelType).map { $0.count >= match.count } == true
        }
        if !others.isEmpty { return .ambiguous([matched] + others) }
      }
      return .matched(MatchedSource(table: matched, match: match, tensors: tensors, source: source))
    }
    // A family that has a table, but in a dialect that the table lacks.
    return known.map { .known($0) } ?? .unknown
  }

  /// Other families that the tensors may be of. A padding id in the config has decided.
  private func possibleTables(
    _ names: SignatureNames, _ config: SourceConfig, besides matched: MappingTable
  ) -> [MappingTable] {
    guard config.json?.value(of: .paddingID) == nil else { return [] }
    return tables.filter { table in
      table.family != matched.family
        && table.identity.possibleSignatures.contains { $0.matches(names, config: config.json) }
    }
  }

  /// Whether enough of the model is there to claim its family: a layer, or half of the names.
  private func isSubstantial(_ match: DialectMatch) -> Bool {
    match.matches.contains { $0?.layer != nil } || 2 * max(match.count, match.copies) >= match.matches.count
  }
}
