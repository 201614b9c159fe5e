import ModelFamilies
import TensorIO

/// What a source makes through one dialect, complete or not: the report of every tensor, and as much of a plan as there is.
struct PlanDraft {
  let assignments: Assignments
  let config: CanonicalConfig
  fileprivate(set) var notes: [MappingNote]
  fileprivate(set) var report = MappingReport()
  /// In forward order, without what does not fit.
  fileprivate(set) var targets: [MappingPlan.Target] = []
  fileprivate(set) var copies: [MappingPlan.Copy] = []

  fileprivate var table: MappingTable { assignments.table }
  fileprivate var dialect: Dialect { assignments.dialect }
  fileprivate var tensors: [TensorInfo] { assignments.tensors }
  fileprivate var match: DialectMatch { assignments.source.match }
}

/// Makes as much of a plan as the source allows. `conflicts` are those that are known already; names that match one of
/// `allowed` may be left out.
func planDraft(
  of source: MatchedSource, config: SourceConfig, conflicts: [MappingConflict], allowed: [Glob]
) -> PlanDraft {
  let assignments = assignments(of: source)
  let canonical = canonicalConfig(of: assignments, source: config)
  let dialect = source.dialect
  var draft = PlanDraft(
    assignments: assignments, config: canonical,
    notes: source.notes + [dialect.content.note].compactMap { $0.map { MappingNote(.dialect, $0) } } + canonical.notes)
  draft.report.family = source.table.family
  draft.report.description = source.table.description
  draft.report.dialect = dialect.name
  draft.report.scope = source.match.scope.prefix
  draft.report.conflicts =
    conflicts + source.table.conflicts(with: dialect, config.values) + canonical.conflicts
  draft.addTargets()
  draft.addMissing()
  draft.addUnmatched(allowed)
  draft.addIncomplete()
  return draft
}

// MARK: Targets

extension PlanDraft {
  fileprivate mutating func addTargets() {
    let shapes = ShapeCheck(assignments: assignments, config: config)
    // By source.
    var made: [[(part: Int, name: String)]] = Array(repeating: [], count: tensors.count)
    var isMisshapen = Array(repeating: false, count: tensors.count)
    var indices: [TargetKey: Int] = [:]
    for key in assignments.keys {
      guard let assignment = assignments.byTarget[key] else { continue }
      let name = table.name(key)
      if case .zeros(let rows) = assignment.operation {
        notes.append(
          MappingNote(
            .zeros(name), "\(name) is \(rows == 1 ? "one row" : "\(rows) rows") of zeros: \(dialect.name) has none"))
      } else {
        for source in assignment.sources { made[source].append((assignment.part, name)) }
      }
      let problems = shapes.problems(key, assignment)
      for (source, problem) in problems where !isMisshapen[source] {
        isMisshapen[source] = true
        report.misshapen.append(problem)
      }
      guard problems.isEmpty, let target = target(key, assignment) else { continue }
      indices[key] = targets.count
      targets.append(target)
    }
    for source in made.indices where !made[source].isEmpty && !isMisshapen[source] {
      addMapped(source, to: made[source].sorted { $0.part < $1.part }.map(\.name), by: operation(of: source))
    }
    addCopies(indices)
  }

  private mutating func addMapped(_ source: Int, to targets: [String], by operation: RuleOperation) {
    report.mapped.append(.init(name: tensors[source].name, targets: targets, operation: operation.name))
  }

  /// What the rule of a matched tensor does; an alias is stored as the tensor's own name is.
  private func operation(of source: Int) -> RuleOperation {
    guard let rule = match.matches[source].map({ dialect.rules[$0.source.rule] }) else { return .rename }
    guard rule.operation == .alias, let main = dialect.content.ruleOfTensor[rule.targets[0]] else {
      return rule.operation
    }
    return dialect.rules[main].operation
  }

  /// `nil` for what a check has found wrong, or a number of heads that the config does not give.
  private func target(_ key: TargetKey, _ assignment: Assignment) -> MappingPlan.Target? {
    let sizes = config.dimensions.values
    let symbols = table.shape(key, layers: assignments.layers)
    let shape = symbols.compactMap { $0.value(sizes) }
    guard shape.count == symbols.count, let operation = operation(assignment, shape),
      let info = TensorInfo(
        name: table.name(key), elementType: tensors[assignment.sources[0]].elementType, shape: shape)
    else { return nil }
    return MappingPlan.Target(info: info, operation: operation, sources: assignment.sources)
  }

  private func operation(_ assignment: Assignment, _ shape: [Int]) -> Operation? {
    switch assignment.operation {
    case .rename, .alias, .drop: return .rename
    case .transpose: return .transpose
    case .reshape: return .reshape
    case .splitTransposed: return .transposeColumns(start: start(of: assignment, axis: 0), count: shape[0])
    case .concat(let axis): return .concatenate(axis: axis)
    case .split(let axis):
      return .slice(axis: axis, start: start(of: assignment, axis: axis), count: shape[axis])
    case .splitHeads(let axis, let heads, let order):
      let parts = dialect.rules[assignment.rule].targets.count
      guard let heads = config.json[heads]?.intValue,
        let layout = HeadLayout(parts: parts, size: shape[axis], heads: heads, order: order)
      else { return nil }
      return .takeHeads(axis: axis, part: assignment.part, layout: layout)
    case .zerosBefore(let rows): return .zerosBefore(rows: rows)
    case .zeros: return .zeros
    case .joinHeads: return nil
    }
  }

  /// Where the assignment's part of a split source begins.
  private func start(of assignment: Assignment, axis: Int) -> Int {
    dialect.rules[assignment.rule].targets.prefix(assignment.part).reduce(0) {
      $0 + (table.tensors[$1].shape[axis].value(config.dimensions.values) ?? 0)
    }
  }

  private mutating func addCopies(_ indices: [TargetKey: Int]) {
    for copy in assignments.copies {
      addMapped(copy.source, to: [table.name(copy.of)], by: .alias)
      guard let base = indices[copy.of] else { continue }
      copies.append(.init(source: copy.source, target: nil, base: base, isAlias: true))
    }
    for (tensor, tied) in table.tensors.enumerated().compactMap({ index, tensor in tensor.tiedTo.map { (index, $0) } })
    {
      for (key, index) in indices.sorted(by: { $0.value < $1.value }) where key.tensor == tensor {
        guard let base = indices[TargetKey(tensor: tied, layer: key.layer)] else { continue }
        copies.append(.init(source: targets[index].sources[0], target: index, base: base, isAlias: false))
      }
    }
  }
}

// MARK: Missing

extension PlanDraft {
  fileprivate mutating func addMissing() {
    let present = assignments.presentGroups
    // A tensor that is there in a wrong shape is not missing as well.
    var reported: Set<String> = []
    // Without any layer, the first is what is missing.
    let layers = assignments.layers.isEmpty ? [0] : assignments.layers
    for key in table.expanded(layers: layers) {
      let tensor = table.tensors[key.tensor]
      guard assignments.byTarget[key] == nil, tensor.tiedTo == nil,
        table.groups[tensor.group].isRequired(config.dimensions.values, config.json) || present.contains(tensor.group)
      else { continue }
      for name in expectedNames(key) where reported.insert(name).inserted {
        report.missing.append(.init(name: name, target: table.name(key)))
      }
    }
  }

  /// The names that the source ought to have for a target; of a joined one those that it lacks.
  private func expectedNames(_ key: TargetKey) -> [String] {
    guard let rule = dialect.content.ruleOfTensor[key.tensor] else { return [table.name(key)] }
    let partial = assignments.incomplete.first { $0.rule == rule && $0.layer == key.layer }?.sources
    return dialect.rules[rule].sources.enumerated().compactMap { position, pattern in
      if let partial, partial[position] != nil { return nil }
      return match.scope.qualified(pattern.name(layer: key.layer), root: dialect.root)
    }
  }
}

// MARK: The other tensors of the source

extension PlanDraft {
  /// Computing the nearest name compares with every known one, so only the first unexpected names get it.
  private static let maxNearestNames = 100

  /// Reports the tensors that no rule makes anything of.
  fileprivate mutating func addUnmatched(_ allowed: [Glob]) {
    let names = assignments.source.names
    lazy var known = Set(names)
    let copies = Set(assignments.copies.map(\.source))
    for (index, info) in tensors.enumerated() where match.matches[index] == nil && !copies.contains(index) {
      let name = names[index]
      if let entry = assignments.source.replaced[index] {
        report.dropped.append(entry)
        continue
      }
      var hint: String?
      if let other = match.duplicates[index] {
        hint = "it would be the same tensor as \(tensors[other].name)"
      } else if let rule = dialect.names.drops.all.first(where: { $0.matches(name) || $0.matches(info.name) }) {
        guard rule.copyEnding.map({ name.hasSuffix($0) && known.contains(String(name.dropLast($0.count))) }) == false
        else {
          report.dropped.append(.init(name: info.name, rule: rule))
          continue
        }
        hint = rule.hint
      }
      if report.drop(info.name, known: name, allowedBy: allowed) { continue }
      let isNamed = hint == nil && report.unexpected.count < Self.maxNearestNames
      report.unexpected.append(.init(name: info.name, nearest: isNamed ? nearestKnownName(to: name) : nil, hint: hint))
    }
  }

  /// Reports the sources of rules that lack others.
  fileprivate mutating func addIncomplete() {
    for entry in assignments.incomplete {
      let rule = dialect.rules[entry.rule]
      let targets = rule.targets.map { table.tensors[$0].pattern.name(layer: entry.layer) }
      for source in entry.sources.compactMap(\.self) { addMapped(source, to: targets, by: rule.operation) }
    }
  }

  private func nearestKnownName(to name: String) -> String? {
    // The layer that the name itself gives, so that the nearest is of the same layer.
    let number = NamePattern.layered(name).first { assignments.layers.contains($0.layer - dialect.names.firstLayer) }?
      .layer
    let layer = number.map { $0 - dialect.names.firstLayer } ?? 0
    let isScoped = name.hasPrefix(match.scope.prefix)
    let candidates = dialect.rules.flatMap(\.sources).map { pattern in
      let known = pattern.name(layer: layer)
      return isScoped ? match.scope.qualified(known, root: dialect.root) : known
    }
    return nearestName(to: name, among: candidates)
  }
}
