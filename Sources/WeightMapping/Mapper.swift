import ModelFamilies
import TensorIO

/// What the names of a source's tensors make of it.
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
  let recognizer: Recognizer
  private let isFamilyChosen: Bool

  /// Earlier tables win where several know the same number of tensors; a user's own go first.
  public init(tables: [MappingTable]) { self.init(tables: tables, isFamilyChosen: false) }

  private init(tables: [MappingTable], isFamilyChosen: Bool) {
    self.tables = tables
    self.isFamilyChosen = isFamilyChosen
    recognizer = Recognizer(tables: tables, isFamilyChosen: isFamilyChosen)
  }

  /// The same for models of one family alone, whatever their config gives.
  ///
  /// - Throws: `FormatError` of kind `input` where no table is of that family
  public func restricted(to family: String) throws(FormatError) -> Mapper {
    let chosen = tables.filter { $0.family == family || $0.identity.isOf(modelType: family) }
    guard !chosen.isEmpty else {
      let families = tables.map(\.family)
      throw FormatError(
        .input, "there is no table of the family", found: family, expected: families.joined(separator: ", "),
        advice: nearestName(to: family, among: families).map { .didYouMean($0) })
    }
    return Mapper(tables: chosen, isFamilyChosen: true)
  }

  /// What family and dialect the names are of. Cheap: no data is read.
  ///
  /// `metadata` is what the source has next to its tensors. The dialect is `nil` where that contradicts all dialects that
  /// the names fit.
  public func recognize(_ tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], config: JSON? = nil)
    -> Recognition
  {
    let config = SourceConfig(json: config, name: "", values: SourceValues(metadata, config: config))
    let model = SentenceModules(tensors, config: nil).modelTensors
    // The values of the config count, and not what it names, unless nothing else decides: a config may be of another model.
    var match = recognizer.match(model, SourceConfig(json: nil, name: "", values: config.values))
    if case .ambiguous = match { match = recognizer.match(model, config) }
    return recognition(match, config.values)
  }

  private func recognition(_ match: TableMatch, _ values: SourceValues) -> Recognition {
    switch match {
    case .known(let family):
      return Recognition(family: family.family, dialect: nil, description: family.description, matched: 0)
    case .matched(let source):
      return Recognition(
        family: source.table.family, dialect: source.dialect.names.isAllowed(by: values) ? source.dialect.name : nil,
        description: source.table.description, matched: source.match.count)
    case .ambiguous(let tables):
      let descriptions = tables.map(\.description).joined(separator: " or ")
      return Recognition(family: nil, dialect: nil, description: descriptions, matched: 0)
    case .unknown: return Recognition(family: nil, dialect: nil, description: nil, matched: 0)
    }
  }

  /// All that is known of these tensors without reading them, whether or not they make a model. `configFile` is the name
  /// that the config has in sentences; `observed` is what else shows settings of the model.
  public func outline(
    of tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], observed: [ObservedSetting] = [],
    config: JSON?, configFile: String? = nil, takesAverages: Bool = false
  ) -> ModelOutline {
    let config = sourceConfig(config, configFile, metadata, observed)
    let modules = SentenceModules(tensors, config: config.json)
    let match = recognizer.match(modules.modelTensors, config, takesAverages: takesAverages)
    let recognition = recognition(match, config.values)
    guard case .matched(let source) = match else {
      return ModelOutline(recognition: recognition, report: unmappableReport(tensors, match))
    }
    let draft = draft(source, config, allowed: [])
    var report = draft.report
    _ = modules.targets(after: draft.config.json, allowed: [], report: &report)
    return ModelOutline(recognition: recognition, report: report, draft: draft, of: tensors, modules: modules)
  }

  /// The way to convert these tensors, with `metadata` next to them and settings that something else shows.
  ///
  /// Throws `FormatError` with every reason against it: tensors that no rule knows, that are missing or of a wrong
  /// shape, and a config that contradicts them. With `allowsMissing` missing tensors are not a reason; the report lists
  /// them: such a plan is for looking, not for converting. With `takesAverages` the moving averages of weights are taken
  /// where both are present.
  public func plan(
    for tensors: [TensorInfo], metadata: [(key: String, value: String)] = [], observed: [ObservedSetting] = [],
    file: String, config: JSON?, configFile: String?, allowUnexpected: [String], allowsMissing: Bool = false,
    takesAverages: Bool = false
  ) throws -> MappingPlan {
    let config = sourceConfig(config, configFile, metadata, observed)
    let modules = SentenceModules(tensors, config: config.json)
    let source: MatchedSource
    switch recognizer.match(
      modules.modelTensors, config, ignoring: allowUnexpected, takesAverages: takesAverages)
    {
    case .known(let family): throw notConvertible(family, config, file)
    case .ambiguous(let tables): throw ambiguous(tables, config, file)
    case .unknown: throw unknown(tensors, config, file)
    case .matched(let matched): source = matched
    }
    let allowed = allowUnexpected.map { Glob($0) }
    let draft = draft(source, config, allowed: allowed)
    var report = draft.report
    let moduleTargets = modules.targets(after: draft.config.json, allowed: allowed, report: &report)
    let isEnough = allowsMissing && report.problemCount == report.missing.count && !draft.targets.isEmpty
    guard report.isComplete || isEnough else { throw problems(report, draft, config, file) }
    var plan = MappingPlan(
      family: source.table.family, dialect: source.dialect.name, config: draft.config.json, targets: draft.targets,
      report: report, notes: draft.notes, copies: draft.copies,
      tiedTargets: tiedTargets(of: source.table, in: draft.targets))
    if !modules.areAbsent {
      plan.renumberSources(modules.others)
      plan.targets += moduleTargets
    }
    return plan
  }

  private func sourceConfig(
    _ config: JSON?, _ file: String?, _ metadata: [(key: String, value: String)], _ observed: [ObservedSetting]
  ) -> SourceConfig {
    let name = file ?? "the config"
    var observed = observed + ModuleSettings(metadata).observed
    if let text = metadata.first(where: { $0.key == "model_config" })?.value, let json = try? JSON.parse(text) {
      observed += KerasSettings(json).observed(origin: "the layers in the checkpoint's Keras config")
    }
    var json = config
    // Its keys are those of Keras' objects, and no config of a model.
    if let config, KerasSettings.isOne(config) {
      observed += KerasSettings(config).observed(origin: name)
      json = .object([JSON.Member]())
    }
    return SourceConfig(
      json: json, name: name, values: SourceValues(metadata, config: config), observed: observed,
      isFamilyChosen: isFamilyChosen)
  }

  private func draft(_ source: MatchedSource, _ config: SourceConfig, allowed: [Glob]) -> PlanDraft {
    let foreign = conflictWithOtherFamily(config, table: source.table)
    return planDraft(of: source, config: config, conflicts: [foreign].compactMap(\.self), allowed: allowed)
  }

  /// The names of the tied tensors whose group is present, each with what it is tied to.
  private func tiedTargets(of table: MappingTable, in targets: [MappingPlan.Target]) -> [String: String] {
    let names = Set(targets.map(\.info.name))
    let present = Set(table.tensors.filter { names.contains($0.pattern.text) }.map(\.group))
    var tied: [String: String] = [:]
    for tensor in table.tensors where present.contains(tensor.group) {
      if let base = tensor.tiedTo { tied[tensor.pattern.text] = table.tensors[base].pattern.text }
    }
    return tied
  }

  /// The report of tensors that no table converts.
  private func unmappableReport(_ tensors: [TensorInfo], _ match: TableMatch) -> MappingReport {
    var report = MappingReport()
    switch match {
    case .known(let family):
      report.family = family.family
      report.description = family.description
    case .ambiguous(let tables): report.description = tables.map(\.description).joined(separator: " or ")
    default: break
    }
    report.unexpected = tensors.map { .init(name: $0.name, nearest: nil, hint: nil) }
    return report
  }

  /// A config that names a class of another family, or has none of the sizes of `table`'s family and several of another's.
  private func conflictWithOtherFamily(_ config: SourceConfig, table: MappingTable) -> MappingConflict? {
    if let name = config.foreignClass(tables.map(\.identity)) {
      return MappingConflict(
        .family, "\(config.name) names the class \(name), but the tensors have the names of \(table.description)")
    }
    guard let members = config.json?.members, !isFamilyChosen else { return nil }
    let keys = Set(members.map(\.key))
    guard keys.isDisjoint(with: table.identity.sizeKeys) else { return nil }
    let other = tables.map { (table: $0, keys: keys.intersection($0.identity.sizeKeys)) }.max {
      $0.keys.count < $1.keys.count
    }
    guard let other, other.keys.count >= 3 else { return nil }
    return MappingConflict(
      .family,
      "\(config.name) has the keys of \(other.table.description) (\(other.keys.sorted().joined(separator: ", "))), "
        + "but the tensors have the names of \(table.description)")
  }
}
