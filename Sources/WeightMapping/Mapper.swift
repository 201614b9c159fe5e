import ModelFamilies
import TensorIO

/// What the names of a source's tensors say of it.
public struct Recognition: Sendable {
  public let family: String?
  public let dialect: String?
  /// The family with its article, as in "an ULMFiT (AWD-LSTM) language model".
  public let description: String?
  /// How many tensors the dialect knows.
  public let matched: Int
}

/// Reads a source's tensors through the tables.
public struct Mapper: Sendable {
  public let tables: [MappingTable]
  /// Families without a table come first.
  private let knownFamilies: [KnownFamily]
  private let families: Set<String>

  /// Earlier tables win where several know the same number of tensors; a user's own go first.
  public init(tables: [MappingTable]) {
    self.tables = tables
    let families = Set(tables.map(\.family))
    self.families = families
    // The file is part of the program, and a test reads it.
    let known = (try? KnownFamily.builtIn()) ?? []
    knownFamilies = known.filter { !families.contains($0.family) } + known.filter { families.contains($0.family) }
  }

  /// What family and dialect the names are of. Cheap: no data is read.
  ///
  /// `metadata` is what the source says beside its tensors. The dialect is `nil` where that speaks against all that the
  /// names fit.
  public func recognise(_ tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], config: JSON? = nil)
    -> Recognition
  {
    let values = SourceValues(metadata, config: config)
    return recognition(find(SentenceModules(tensors, config: nil).modelTensors, config: nil, values: values), values)
  }

  private func recognition(_ finding: Finding, _ values: SourceValues) -> Recognition {
    switch finding {
    case .known(let family):
      return Recognition(family: family.family, dialect: nil, description: family.description, matched: 0)
    case .matched(let match, _):
      let table = tables[match.table]
      let dialect = table.dialects[match.dialect]
      return Recognition(
        family: table.family, dialect: dialect.isAllowed(by: values) ? dialect.name : nil,
        description: table.description, matched: match.count)
    case .unknown: return Recognition(family: nil, dialect: nil, description: nil, matched: 0)
    }
  }

  /// All that can be said of these tensors without reading them, whether or not they make a model. `configFile` is the
  /// name that the config goes by in sentences.
  public func outline(
    of tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], config: JSON?, configFile: String? = nil
  ) -> ModelOutline {
    let values = SourceValues(metadata, config: config)
    let modules = SentenceModules(tensors, config: config)
    let finding = find(modules.modelTensors, config: config, values: values)
    var outline = ModelOutline(recognition: recognition(finding, values), report: MappingReport())
    switch finding {
    case .matched(let match, let names):
      let result = evaluate(match, modules.modelTensors, names, config, configFile, values, [])
      outline.report = result.report
      _ = modules.place(after: result.config, allowUnexpected: [], into: &outline.report)
      outline.config = result.config
      outline.notes = result.notes.filter { if case .inferred = $0.kind { false } else { true } }
      outline.addParts(of: result, tensors, at: modules.areAbsent ? Array(tensors.indices) : modules.others)
      for index in modules.own { outline.parts?[index] = .heads }
      outline.addTies(of: result)
    case .known, .unknown: outline.report = unmappable(tensors, finding)
    }
    return outline
  }

  /// The way to convert these tensors, with `metadata` beside them.
  ///
  /// Throws `FormatError` with every reason against it: tensors that no rule knows, that are missing or of a wrong
  /// shape, and a config that contradicts them. With `allowsMissing` it does not mind what is missing, which the report
  /// lists: such a plan is for looking, not for converting.
  public func plan(
    for tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], file: String, config: JSON?,
    configFile: String?, allowUnexpected: [String], allowsMissing: Bool = false
  ) throws -> MappingPlan {
    let modules = SentenceModules(tensors, config: config)
    let model = modules.modelTensors
    let values = SourceValues(metadata, config: config)
    switch find(model, config: config, values: values, ignoring: allowUnexpected) {
    case .known(let family): throw notConvertible(family, file)
    case .unknown: throw unknown(tensors, file)
    case .matched(let match, let names):
      let result = evaluate(match, model, names, config, configFile, values, allowUnexpected)
      var report = result.report
      let others = modules.place(after: result.config, allowUnexpected: allowUnexpected, into: &report)
      let isEnough = allowsMissing && report.problemCount == report.missing.count && !result.targets.isEmpty
      guard report.isComplete || isEnough else { throw problems(report, file) }
      var plan = MappingPlan(
        family: tables[match.table].family, dialect: tables[match.table].dialects[match.dialect].name,
        config: result.config, targets: result.targets, report: report, notes: result.notes,
        copies: result.copies, tiedTargets: tiedTargets(of: tables[match.table], in: result.targets))
      if !modules.areAbsent {
        plan.renumberSources(modules.others)
        plan.targets += others
      }
      return plan
    }
  }

  /// The names of the tied tensors whose group is there.
  private func tiedTargets(of table: MappingTable, in targets: [MappingPlan.Target]) -> Set<String> {
    let names = Set(targets.map(\.info.name))
    let present = Set(table.tensors.filter { names.contains($0.pattern.text) }.map(\.group))
    return Set(table.tensors.filter { $0.tiedTo != nil && present.contains($0.group) }.map(\.pattern.text))
  }

  /// The report of tensors that no table converts.
  private func unmappable(_ tensors: [TensorInfo], _ finding: Finding) -> MappingReport {
    var report = MappingReport()
    if case .known(let family) = finding {
      report.family = family.family
      report.description = family.description
    }
    report.unexpected = tensors.map { .init(name: $0.name, nearest: nil, hint: nil) }
    return report
  }

  private func evaluate(
    _ match: DialectMatch, _ tensors: [TensorInfo], _ names: [String], _ config: JSON?, _ configFile: String?,
    _ values: SourceValues, _ allowUnexpected: [String]
  ) -> Evaluation {
    Evaluation(
      assembly: Assembly(table: tables[match.table], match: match, tensors: tensors, names: names), config: config,
      configName: configFile, values: values, allowUnexpected: allowUnexpected,
      foreignConfig: foreignConfig(config, of: tables[match.table], configFile))
  }

  /// What is to be said of a config that has none of the sizes of `table`'s family and several of another's.
  private func foreignConfig(_ config: JSON?, of table: MappingTable, _ file: String?) -> MappingConflict? {
    guard let members = config?.members else { return nil }
    let keys = Set(members.map(\.key))
    guard keys.isDisjoint(with: table.model.sizeKeys) else { return nil }
    let other = tables.map { (table: $0, keys: $0.model.sizeKeys.intersection(keys)) }.max {
      $0.keys.count < $1.keys.count
    }
    guard let other, other.keys.count >= 3 else { return nil }
    return MappingConflict(
      .family,
      "\(file ?? "the config") has the keys of \(other.table.description) (\(other.keys.sorted().joined(separator: ", "))) "
        + "and none of \(table.description), which the tensors are named like")
  }

  // MARK: Finding the family

  private enum Finding {
    case known(KnownFamily)
    case matched(DialectMatch, names: [String])
    case unknown
  }

  /// What the tensors are. Names that match one of `ignoring` do not decide in which scope the model lies.
  private func find(
    _ tensors: [TensorInfo], config: JSON?, values: SourceValues, ignoring: [String] = []
  ) -> Finding {
    let names = tensors.map(\.name)
    let finding = find(tensors, names: names, config: config, values: values, ignoring: ignoring)
    // Object graphs have keys that say where a variable hangs, and beside them the names that it was given.
    if case .unknown = finding, tensors.contains(where: { $0.fullName != nil }) {
      return find(
        tensors, names: tensors.map { $0.fullName ?? $0.name }, config: config, values: values, ignoring: ignoring)
    }
    return finding
  }

  private func find(
    _ tensors: [TensorInfo], names: [String], config: JSON?, values: SourceValues, ignoring: [String]
  ) -> Finding {
    let modelType = config?["model_type"]?.stringValue
    let architectures = config?["architectures"]?.elements?.compactMap(\.stringValue) ?? []
    let known = KnownFamily.find(knownFamilies, in: tensors, names: names)
    if let known, !families.contains(known.family) { return .known(known) }
    // What the names say goes before what a config says: a model must not be taken for another of the same tensors.
    let type = known.flatMap { known in
      let table = tables.first { $0.family == known.family }
      return table?.model.isOf(modelType: modelType) == true ? modelType : table?.model.modelType
    }
    let match = DialectMatcher(tables: tables, names: names, values: values, ignoring: ignoring).best(
      modelType: type ?? modelType, architectures: architectures)
    if let match, match.isCredible, known == nil || tables[match.table].family == known?.family {
      return .matched(match, names: names)
    }
    // A family that has a table, but in a dialect that the table lacks.
    return known.map { .known($0) } ?? .unknown
  }

  // MARK: Errors

  private var convertible: String {
    "a model of \(tables.map(\.family).joined(separator: ", ")) in names that a table has"
  }

  private func notConvertible(_ family: KnownFamily, _ file: String) -> FormatError {
    FormatError(
      families.contains(family.family)
        ? "this is \(family.description), but in a dialect that no table describes"
        : "this is \(family.description): no table converts '\(family.family)' models",
      file: file, expected: convertible, advice: "A table of your own can be given with --table.")
  }

  private func unknown(_ tensors: [TensorInfo], _ file: String) -> FormatError {
    let first = tensors.prefix(3).map { printable($0.name) }.joined(separator: ", ")
    return FormatError(
      tensors.isEmpty ? "there are no tensors in it" : "no table knows these tensors", file: file,
      found: "\(grouped(tensors.count)) tensors" + (tensors.isEmpty ? "" : ", the first named \(first)"),
      expected: convertible, advice: "A table of your own can be given with --table.")
  }

  private func problems(_ report: MappingReport, _ file: String) -> FormatError {
    let kinds = report.problemsByKind
    let total = kinds.reduce(0) { $0 + $1.count }
    var text = "the tensors do not make \(report.description ?? "a model") (dialect \(report.dialect ?? "?")): "
    let counts: [(Int, String)] = [
      (report.conflicts.count, "in conflict with the config"), (report.misshapen.count, "misshapen"),
      (report.missing.count, "missing"), (report.unexpected.count, "unexpected"),
    ]
    text += counts.filter { $0.0 > 0 }.map { "\(grouped($0.0)) \($0.1)" }.joined(separator: ", ")
    // Twenty lines at most, but some of every kind: one must not hide the others.
    var room = 20
    for (index, lines) in kinds.enumerated() {
      let later = kinds[(index + 1)...].reduce(0) { $0 + min(4, $1.count) }
      let shown = lines.prefix(room - later)
      room -= shown.count
      for line in shown { text += "\n  " + line }
    }
    if total > 20 { text += "\n  … and \(grouped(total - 20)) more: 'bertconv inspect --unmapped' lists them" }
    var advice: [String] = []
    if !report.conflicts.isEmpty { advice.append("Give the config that belongs to these weights with --config.") }
    if !report.unexpected.isEmpty {
      advice.append("Unexpected tensors can be left out on request: --allow-unexpected '\(allowance(report))'.")
    }
    if !report.missing.isEmpty { advice.append("A model cannot be made without the tensors that are missing.") }
    if advice.isEmpty { advice.append("Check that the file is the one that is meant.") }
    return FormatError(text, file: file, advice: .sentence(advice.joined(separator: " ")))
  }

  private func allowance(_ report: MappingReport) -> String {
    report.unexpected.count == 1 ? report.unexpected[0].name : "GLOB"
  }
}
