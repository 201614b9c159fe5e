import ModelFamilies
import TensorIO

/// What the tables make of a source.
enum TableMatch {
  /// A family that is known by a few names, and whose tensors no table has a dialect for.
  case known(KnownFamily)
  case matched(MatchedSource)
  case unknown
}

/// Finds the table and the dialect that the names of a source belong to.
struct Recognizer: Sendable {
  private let tables: [MappingTable]
  /// Families without a table come first.
  private let knownFamilies: [KnownFamily]
  private let families: Set<String>

  init(tables: [MappingTable]) {
    self.tables = tables
    let families = Set(tables.map(\.family))
    self.families = families
    // The file is part of the program, and a test reads it.
    let known = (try? KnownFamily.builtIn()) ?? []
    knownFamilies =
      known.filter { !families.contains($0.family) }
      + tables.map { KnownFamily(family: $0.family, description: $0.description, signatures: $0.model.signatures) }
  }

  func hasTable(_ family: KnownFamily) -> Bool { families.contains(family.family) }

  /// What the tensors are. Names that match one of `ignoring` do not decide in which scope the model lies.
  func match(_ tensors: [TensorInfo], _ config: SourceConfig, ignoring: [String] = []) -> TableMatch {
    let match = match(tensors, names: tensors.map(\.name), config, ignoring)
    // Object graphs have keys that say where a variable hangs, and next to them the names that it was given.
    guard case .unknown = match, tensors.contains(where: { $0.fullName != nil }) else { return match }
    return self.match(tensors, names: tensors.map { $0.fullName ?? $0.name }, config, ignoring)
  }

  /// The first family whose signature the names have; of several the one that the config names.
  private func knownFamily(_ names: SignatureNames, _ modelType: String?) -> KnownFamily? {
    let found = knownFamilies.filter { $0.signatures.contains { $0.matches(names) } }
    let named = tables.first { $0.model.isOf(modelType: modelType) }
    return found.first { $0.family == named?.family } ?? found.first
  }

  private func match(
    _ tensors: [TensorInfo], names: [String], _ config: SourceConfig, _ ignoring: [String]
  ) -> TableMatch {
    let known = knownFamily(SignatureNames(names, of: tensors), config.modelType)
    if let known, !hasTable(known) { return .known(known) }
    // The names decide before the config does: a model must not be taken for another of the same tensors.
    let type = known.flatMap { known in
      let table = tables.first { $0.family == known.family }
      return table?.model.isOf(modelType: config.modelType) == true ? config.modelType : table?.model.modelType
    }
    let matcher = DialectMatcher(tables: tables, names: names, values: config.values, ignoring: ignoring)
    if let match = matcher.best(modelType: type ?? config.modelType, architectures: config.architectures),
      match.isCredible, known == nil || tables[match.table].family == known?.family
    {
      return .matched(MatchedSource(table: tables[match.table], match: match, tensors: tensors, names: names))
    }
    // A family that has a table, but in a dialect that the table lacks.
    return known.map { .known($0) } ?? .unknown
  }
}
