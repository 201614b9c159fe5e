import CheckpointFormats
import ModelFamilies
import TensorIO

extension Mapper {
  /// The way back: what the tensors of a converted model are called, and how they are stored, in `dialect`.
  ///
  /// The plan's targets are named by the dialect, its sources are the model's tensors. Every rule is used backwards; a
  /// tensor that the dialect has no name for is an error, except one that is tied to another.
  public func exportPlan(
    for tensors: [TensorInfo], file: String, config: JSON, family: String, dialect dialectName: String
  ) throws -> MappingPlan {
    guard let table = tables.first(where: { $0.family == family }) else {
      throw FormatError(
        .unsupported, "no table knows the family '\(family)'", file: file,
        expected: tables.map(\.family).joined(separator: ", "))
    }
    let dialect = try table.dialectForExport(named: dialectName, config: config, file: file)
    if let small = tensors.first(where: { $0.elementType == .i8 }) {
      throw FormatError(
        .unsupported, "8-bit weights cannot be exported", file: file, tensor: small.name,
        advice: "Export the model that it was made from.")
    }
    let (config, notes) = try dialect.config(config, ofExported: table.model, file: file)
    var builder = ExportBuilder(table: table, dialect: dialect, tensors: tensors, config: config)
    builder.findCanonicalTensors()
    builder.addTargets()
    guard builder.report.isComplete, !builder.targets.isEmpty else {
      let lines = builder.report.problemLines.prefix(20).map { "\n  " + $0 }.joined()
      throw FormatError(.unsupported, "the model cannot be written as \(dialect.name)\(lines)", file: file)
    }
    var plan = builder.plan
    plan.notes += notes
    return plan
  }
}

extension Dialect {
  /// The config of a model in the words of the dialect's program, and the notes for the user.
  ///
  /// Throws where the program has no word for a setting: it would compute something else.
  fileprivate func config(
    _ config: JSON, ofExported model: ModelFamily, file: String
  ) throws(FormatError) -> (JSON, [MappingNote]) {
    var result = config
    var notes: [MappingNote] = []
    for (key, words) in content.writtenWords.sorted(by: { $0.key < $1.key }) {
      guard let word = config[key]?.stringValue else { continue }
      // Several words of `transformers` are one function.
      let function = model.activation(named: word)
      let own =
        words[word]
        ?? words.sorted { $0.key < $1.key }
        .first { function != nil && model.activation(named: $0.key) == function }?.value
      guard let own else {
        throw FormatError(
          .unsupported, "\(name) has no word for \(key) '\(word)'\(Self.form(model, word))", file: file,
          expected: "a model whose \(key) is \(words.keys.sorted().joined(separator: " or "))",
          advice: "Its program would refuse the config, or compute other numbers than this model.")
      }
      guard own != word else { continue }
      result.set(key, .string(own))
      notes.append(
        MappingNote(.reworded(key: key), "\(key) '\(word)'\(Self.form(model, word)) is called '\(own)' in \(name)"))
    }
    for (key, variations) in content.variations.sorted(by: { $0.key < $1.key }) {
      guard let word = config[key]?.stringValue else { continue }
      if let text = variations[word] {
        notes.append(MappingNote(.twoMeanings(key: key), "\(key) '\(word)' is \(text)"))
      }
    }
    for (key, value) in content.fixed.sorted(by: { $0.key < $1.key }) {
      guard let own = config[key], own != .null, own.doubleValue != value.doubleValue || own.doubleValue == nil else {
        continue
      }
      notes.append(
        MappingNote(
          .fixedByProgram(key: key),
          "\(key) is \(own.text()), but the program of \(name) always computes with \(value.text()): it will give other numbers"
        ))
    }
    return (result, notes)
  }

  private static func form(_ model: ModelFamily, _ word: String) -> String {
    switch model.activation(named: word) {
    case .gelu: " (by erf)"
    case .geluTanh: " (by tanh)"
    default: ""
    }
  }
}

extension MappingTable {
  /// The dialect of that name, or the variant of it for the config's architecture.
  fileprivate func dialectForExport(named name: String, config: JSON, file: String) throws(FormatError) -> Dialect {
    let architectures = config[.architectures]?.elements?.compactMap(\.stringValue) ?? []
    let variant = dialects.first { $0.names.variant?.of == name && $0.names.isOpen(to: architectures) }
    guard let dialect = variant ?? dialects.first(where: { $0.name == name }) else {
      throw FormatError(
        .unsupported, "no program reads \(description) in the names of \(name): it cannot be exported in this format",
        file: file,
        advice: dialectNames.contains("transformers") && name != "transformers"
          ? "Export it for PyTorch, in the names of transformers." : nil)
    }
    if let (key, value) = dialect.content.exportSettings.first(where: { config[$0.key] != $0.value }) {
      throw FormatError(
        .unsupported,
        "the dialect '\(dialect.name)' has other names for the tensors of such a model: it cannot be exported in this format",
        file: file, found: "\(key) \(config[key]?.text() ?? "not given")", expected: "\(key) \(value.text())")
    }
    return dialect
  }

  /// The canonical tensor that a name of a converted model is.
  fileprivate func key(ofCanonicalName name: String, in indices: [String: Int]) -> TargetKey? {
    if let index = indices[name], !tensors[index].pattern.isPerLayer { return TargetKey(tensor: index, layer: nil) }
    for (pattern, layer) in NamePattern.layered(name) {
      if let index = indices[pattern] { return TargetKey(tensor: index, layer: layer) }
    }
    return nil
  }
}

/// Builds the plan of an export.
private struct ExportBuilder {
  let table: MappingTable
  let dialect: Dialect
  let tensors: [TensorInfo]
  let config: JSON
  private(set) var report = MappingReport()
  private(set) var targets: [MappingPlan.Target] = []
  /// The model's canonical tensors, by their index among its tensors.
  private var indices: [TargetKey: Int] = [:]
  /// Tensors without a name in the dialect, with what they are tied to.
  private var tied: [(source: Int, base: TargetKey)] = []

  init(table: MappingTable, dialect: Dialect, tensors: [TensorInfo], config: JSON) {
    self.table = table.loaded
    self.dialect = dialect.loaded
    self.tensors = tensors
    self.config = config
    report.family = table.family
    report.dialect = dialect.name
    report.description = table.description
  }

  var plan: MappingPlan {
    let copies: [MappingPlan.Copy] = tied.compactMap { copy in
      targets.firstIndex { $0.sources == indices[copy.base].map { [$0] } }.map {
        .init(source: copy.source, target: nil, base: $0, isAlias: true)
      }
    }
    return MappingPlan(
      family: table.family, dialect: dialect.name, config: config, targets: targets, report: report, notes: [],
      copies: copies)
  }

  mutating func findCanonicalTensors() {
    let names = Dictionary(
      table.tensors.enumerated().map { ($1.pattern.text, $0) }, uniquingKeysWith: { first, _ in first })
    for (index, info) in tensors.enumerated() {
      if info.name.hasPrefix(SentenceModule.tensorPrefix) {
        report.dropped.append(
          .init(
            name: info.name, cause: .sentenceModule, rule: "model alone",
            reason: "a module of sentence-transformers, which is not written"))
      } else if let key = table.key(ofCanonicalName: info.name, in: names) {
        indices[key] = index
      } else {
        report.unexpected.append(.init(name: info.name, nearest: nil, hint: "the family's table has no such tensor"))
      }
    }
  }

  mutating func addTargets() {
    let layers = Set(indices.keys.compactMap(\.layer)).sorted()
    var done: Set<TargetKey> = []
    for key in table.expanded(layers: layers) where !done.contains(key) {
      guard let source = indices[key] else { continue }
      guard let rule = dialect.content.ruleOfTensor[key.tensor].map({ dialect.rules[$0] }) else {
        addUnnamed(key, source)
        continue
      }
      done.formUnion(rule.targets.map { TargetKey(tensor: $0, layer: key.layer) })
      addTargets(of: rule, layer: key.layer)
    }
  }

  /// A tensor without a name may be left out only where it holds the values of what it is tied to: the data decides.
  private mutating func addUnnamed(_ key: TargetKey, _ source: Int) {
    let name = table.name(key)
    let reason = "\(dialect.name) has no name for it"
    guard let base = table.tensors[key.tensor].tiedTo.map({ TargetKey(tensor: $0, layer: key.layer) }) else {
      report.unexpected.append(.init(name: name, nearest: nil, hint: reason))
      return
    }
    if indices[base] == nil {
      report.dropped.append(.init(name: name, cause: .tied(to: table.name(base)), rule: "tied", reason: reason))
    } else {
      tied.append((source, base))
    }
  }

  /// Uses a rule backwards: its targets are the sources here.
  private mutating func addTargets(of rule: Rule, layer: Int?) {
    let keys = rule.targets.map { TargetKey(tensor: $0, layer: layer) }
    let missing = keys.filter { indices[$0] == nil }
    guard missing.isEmpty else {
      let target = rule.sources[0].name(layer: layer)
      report.missing += missing.map { .init(name: table.name($0), target: target) }
      return
    }
    let sources = keys.compactMap { indices[$0] }
    let made = InverseRule(rule: rule, layer: layer, sources: sources, tensors: tensors, config: config).targets()
      .map { target in
        var info = target.info
        info.name = dialect.names.written(info.name)
        return MappingPlan.Target(info: info, operation: target.operation, sources: target.sources)
      }
    guard let first = made.first else {
      let info = tensors[sources[0]]
      report.misshapen.append(
        .init(name: info.name, found: shapeText(info.shape), expected: rule.operation.expectedOfInverse))
      return
    }
    targets += made
    for source in sources {
      report.mapped.append(
        .init(name: tensors[source].name, targets: made.map(\.info.name), operation: first.operation.description))
    }
  }
}

extension RuleOperation {
  fileprivate var expectedOfInverse: String {
    if case .splitHeads(_, let heads, _) = self { return "parts of one size that the config's \(heads) divides" }
    return "a shape that \(name) leads back from"
  }
}
