import CheckpointFormats
import ModelFamilies
import TensorIO

extension Mapper {
  /// The way back: what the tensors of a converted model are called, and how they lie, in `dialect`.
  ///
  /// The plan's targets are named by the dialect, its sources are the model's tensors. Every rule is used backwards; a
  /// tensor that the dialect has no name for is an error, except one that is tied to another.
  public func exportPlan(
    for tensors: [TensorInfo], file: String, config: JSON, family: String, dialect dialectName: String
  ) throws -> MappingPlan {
    guard let table = tables.first(where: { $0.family == family }) else {
      throw FormatError(
        "no table knows the family '\(family)'", file: file, expected: tables.map(\.family).joined(separator: ", "))
    }
    let architectures = config["architectures"]?.elements?.compactMap(\.stringValue) ?? []
    let variant = table.dialects.first { $0.variant?.of == dialectName && $0.isOpen(to: architectures) }
    guard let dialect = variant ?? table.dialects.first(where: { $0.name == dialectName }) else {
      throw FormatError(
        "the family '\(family)' has no dialect '\(dialectName)': it cannot be written so", file: file,
        expected: table.dialectNames.joined(separator: ", "))
    }
    let dialectName = dialect.name
    if let (key, value) = dialect.exportSettings.first(where: { config[$0.key] != $0.value }) {
      throw FormatError(
        "the dialect '\(dialectName)' calls the tensors of such a model otherwise: it cannot be written so", file: file,
        found: "\(key) \(config[key]?.text() ?? "not given")", expected: "\(key) \(value.text())")
    }
    if let small = tensors.first(where: { $0.elementType == .i8 }) {
      throw FormatError(
        "8-bit weights have no way back", file: file, tensor: small.name,
        advice: "Export the model that it was made from.")
    }
    let canonical = canonicalIndex(table)
    var places: [TargetKey: Int] = [:]
    var layers: Set<Int> = []
    var report = MappingReport()
    report.family = family
    report.dialect = dialectName
    report.description = table.description
    for (index, info) in tensors.enumerated() {
      guard !info.name.hasPrefix(SentenceModule.tensorPrefix) else {
        report.dropped.append(
          .init(
            name: info.name, cause: .sentenceModule, rule: "model alone",
            reason: "a module of sentence-transformers, which is not written"))
        continue
      }
      guard let key = canonical(info.name) else {
        report.unexpected.append(.init(name: info.name, nearest: nil, hint: "the family's table has no such tensor"))
        continue
      }
      places[key] = index
      if let layer = key.layer { layers.insert(layer) }
    }
    var targets: [MappingPlan.Target] = []
    var done: Set<TargetKey> = []
    var tied: [(source: Int, base: TargetKey)] = []
    for key in table.expanded(layers: layers.sorted()) where places[key] != nil && !done.contains(key) {
      guard let index = dialect.ruleOfTensor[key.tensor] else {
        let name = table.name(key)
        if let base = table.tensors[key.tensor].tiedTo, let source = places[key],
          places[TargetKey(tensor: base, layer: key.layer)] != nil
        {
          // It may be left out only where it holds the same values: that is found out with the data.
          tied.append((source, TargetKey(tensor: base, layer: key.layer)))
        } else if let base = table.tensors[key.tensor].tiedTo {
          report.dropped.append(
            .init(
              name: name, cause: .tied(to: table.tensors[base].pattern.text), rule: "tied",
              reason: "\(dialectName) has no name for it"))
        } else {
          report.unexpected.append(.init(name: name, nearest: nil, hint: "\(dialectName) has no name for it"))
        }
        continue
      }
      let rule = dialect.rules[index]
      let keys = rule.targets.map { TargetKey(tensor: $0, layer: key.layer) }
      done.formUnion(keys)
      let sources = keys.compactMap { places[$0] }
      guard sources.count == keys.count else {
        for missing in keys where places[missing] == nil {
          report.missing.append(.init(name: table.name(missing), target: rule.sources[0].name(layer: key.layer)))
        }
        continue
      }
      let made = Self.inverse(rule, layer: key.layer, sources: sources, tensors: tensors, config: config)
      guard !made.isEmpty else {
        report.misshapen.append(
          .init(
            name: tensors[sources[0]].name, found: shapeText(tensors[sources[0]].shape),
            expected: Self.expected(rule.operation)))
        continue
      }
      targets += made
      for source in sources {
        report.mapped.append(
          .init(name: tensors[source].name, targets: made.map(\.info.name), operation: made[0].operation.description))
      }
    }
    guard report.isComplete, !targets.isEmpty else {
      let lines = report.problemLines.prefix(20).map { "\n  " + $0 }.joined()
      throw FormatError("the model cannot be written as \(dialectName)\(lines)", file: file)
    }
    let copies: [MappingPlan.Copy] = tied.compactMap { copy in
      targets.firstIndex { $0.sources == places[copy.base].map { [$0] } }.map {
        .init(source: copy.source, target: nil, base: $0, isAlias: true)
      }
    }
    return MappingPlan(
      family: family, dialect: dialectName, config: config, targets: targets, report: report, notes: [], copies: copies)
  }

  private static func expected(_ operation: RuleOperation) -> String {
    if case .splitHeads(_, let heads, _) = operation { return "parts of one size that the config's \(heads) divides" }
    return "a shape that \(operation.name) leads back from"
  }

  private func canonicalIndex(_ table: MappingTable) -> (String) -> TargetKey? {
    var names: [String: Int] = [:]
    for (index, tensor) in table.tensors.enumerated() { names[tensor.pattern.text] = index }
    return { name in
      if let index = names[name], !table.tensors[index].pattern.isPerLayer {
        return TargetKey(tensor: index, layer: nil)
      }
      for (pattern, layer) in NamePattern.layered(name) {
        if let index = names[pattern] { return TargetKey(tensor: index, layer: layer) }
      }
      return nil
    }
  }

  /// The sources of a rule, made of its targets; nothing when the shapes do not allow it.
  private static func inverse(
    _ rule: Rule, layer: Int?, sources: [Int], tensors: [TensorInfo], config: JSON
  ) -> [MappingPlan.Target] {
    let first = tensors[sources[0]]
    func target(_ position: Int, _ shape: [Int], _ operation: Operation) -> [MappingPlan.Target] {
      let name = rule.sources[position].name(layer: layer)
      guard let info = TensorInfo(name: name, elementType: first.elementType, shape: shape) else { return [] }
      return [MappingPlan.Target(info: info, operation: operation, sources: sources)]
    }
    switch rule.operation.inverse {
    case .rename: return target(0, first.shape, .rename)
    case .transpose where rule.shape != nil, .reshape where rule.shape != nil:
      let sizes = Dictionary(
        (config.members ?? []).compactMap { member in member.value.intValue.map { (member.key, $0) } },
        uniquingKeysWith: { first, _ in first })
      let wanted = rule.shape ?? []
      let shape = wanted.compactMap { $0.value(sizes) }
      guard shape.count == wanted.count, checkedElementCount(shape) == checkedElementCount(first.shape) else {
        return []
      }
      return target(0, shape, rule.operation == .transpose ? .transpose : .reshape)
    case .transpose where first.shape.count == 2: return target(0, first.shape.reversed(), .transpose)
    case .concat(let axis):
      var shape = first.shape
      guard axis < shape.count else { return [] }
      for source in sources.dropFirst() {
        var other = tensors[source].shape
        guard other.count == shape.count, tensors[source].elementType == first.elementType else { return [] }
        let (sum, overflow) = shape[axis].addingReportingOverflow(other[axis])
        other[axis] = first.shape[axis]
        guard other == first.shape, !overflow else { return [] }
        shape[axis] = sum
      }
      return target(0, shape, .concatenate(axis: axis))
    case .split(let axis):
      // The parts of a joined tensor are taken to be alike: the table does not record their sizes.
      let count = rule.sources.count
      guard axis < first.shape.count, first.shape[axis] % count == 0 else { return [] }
      var shape = first.shape
      shape[axis] /= count
      return (0..<count).flatMap {
        target($0, shape, .slice(axis: axis, start: $0 * shape[axis], count: shape[axis]))
      }
    case .joinHeads(let axis, let key, let order):
      guard axis < first.shape.count, let heads = config[key]?.intValue,
        let layout = HeadLayout(parts: sources.count, size: first.shape[axis], heads: heads, order: order),
        sources.allSatisfy({ tensors[$0].shape == first.shape && tensors[$0].elementType == first.elementType })
      else { return [] }
      var shape = first.shape
      shape[axis] = layout.whole
      return target(0, shape, .joinHeads(axis: axis, layout: layout))
    case .splitHeads, .splitTransposed, .transpose, .reshape, .alias, .drop, nil: return []
    }
  }
}
