import ModelFamilies
import TensorIO

/// A source read through one dialect: the report of every tensor, the targets, the config and the notes.
struct Evaluation {
  let assembly: Assembly
  private(set) var report = MappingReport()
  private(set) var targets: [MappingPlan.Target] = []
  private(set) var copies: [MappingPlan.Copy] = []
  let config: JSON
  private(set) var notes: [MappingNote]
  private let dimensions: Dimensions
  private let impossibleSizes: [String: String]

  private var table: MappingTable { assembly.table }
  private var dialect: Dialect { assembly.dialect }
  private var tensors: [TensorInfo] { assembly.tensors }
  private var names: [String] { assembly.names }

  init(
    assembly: Assembly, config source: JSON?, configName: String?, values: SourceValues, allowUnexpected: [String],
    foreignConfig: MappingConflict?
  ) {
    self.assembly = assembly
    let builder = ConfigBuilder(assembly: assembly, source: source, sourceName: configName, values: values)
    config = builder.config
    notes = [assembly.dialect.note].compactMap { $0.map { MappingNote(.dialect, $0) } } + builder.notes
    dimensions = builder.dimensions
    impossibleSizes = builder.impossibleSizes
    report.family = assembly.table.family
    report.description = assembly.table.description
    report.dialect = assembly.dialect.name
    report.scope = assembly.match.scope.prefix
    report.conflicts =
      [foreignConfig].compactMap(\.self) + assembly.table.objections(to: assembly.dialect, values) + builder.conflicts
    place()
    addMissing()
    addOthers(allowUnexpected)
  }

  // MARK: Targets

  private mutating func place() {
    var made: [Int: [(part: Int, name: String)]] = [:]
    var operations: [Int: String] = [:]
    var isBad: Set<Int> = []
    var targetIndex: [TargetKey: Int] = [:]
    for key in assembly.keys {
      guard let filling = assembly.fillings[key] else { continue }
      let name = table.name(key)
      for source in filling.sources {
        made[source, default: []].append((filling.part, name))
        operations[source] = filling.operation.name
      }
      let problems = check(key, filling)
      for (source, problem) in problems where isBad.insert(source).inserted { report.misshapen.append(problem) }
      let info = tensors[filling.sources[0]]
      let symbols = table.shape(key, layers: assembly.layers)
      let shape = symbols.compactMap { $0.value(dimensions.values) }
      guard problems.isEmpty, shape.count == symbols.count,
        let target = TensorInfo(name: name, elementType: info.elementType, shape: shape),
        let operation = concrete(filling, shape)
      else { continue }
      targetIndex[key] = targets.count
      targets.append(
        MappingPlan.Target(info: target, operation: operation, sources: filling.sources))
    }
    for (source, parts) in made.sorted(by: { $0.key < $1.key }) where !isBad.contains(source) {
      let names = parts.sorted { $0.part < $1.part }.map(\.name)
      report.mapped.append(.init(name: tensors[source].name, targets: names, operation: operations[source] ?? ""))
    }
    placeCopies(targetIndex)
  }

  private mutating func placeCopies(_ targetIndex: [TargetKey: Int]) {
    for copy in assembly.copies {
      let name = table.name(copy.of)
      report.mapped.append(.init(name: tensors[copy.source].name, targets: [name], operation: RuleOperation.alias.name))
      guard let base = targetIndex[copy.of] else { continue }
      copies.append(.init(source: copy.source, target: nil, base: base, isAlias: true))
    }
    for (index, tensor) in table.tensors.enumerated() {
      guard let tied = tensor.tiedTo else { continue }
      for (key, place) in targetIndex.sorted(by: { $0.value < $1.value }) where key.tensor == index {
        guard let base = targetIndex[TargetKey(tensor: tied, layer: key.layer)] else { continue }
        copies.append(.init(source: targets[place].sources[0], target: place, base: base, isAlias: false))
      }
    }
  }

  /// `nil` only for what a check has found wrong, or a number of heads that the config does not tell.
  private func concrete(_ filling: Filling, _ shape: [Int]) -> Operation? {
    switch filling.operation {
    case .rename, .alias, .drop: return .rename
    case .transpose: return .transpose
    case .reshape: return .reshape
    case .splitTransposed:
      return .transposeColumns(start: start(of: filling, axis: 0), count: shape[0])
    case .concat(let axis): return .concatenate(axis: axis)
    case .split(let axis):
      return .slice(axis: axis, start: start(of: filling, axis: axis), count: shape[axis])
    case .splitHeads(let axis, let heads, let order):
      guard let heads = config[heads]?.intValue,
        let layout = HeadLayout(
          parts: dialect.rules[filling.rule].targets.count, size: shape[axis], heads: heads, order: order)
      else { return nil }
      return .takeHeads(axis: axis, part: filling.part, layout: layout)
    case .joinHeads: return nil
    }
  }

  /// Where the part begins that a filling takes of a source that is split.
  private func start(of filling: Filling, axis: Int) -> Int {
    dialect.rules[filling.rule].targets.prefix(filling.part).reduce(0) {
      $0 + (table.tensors[$1].shape[axis].value(dimensions.values) ?? 0)
    }
  }

  /// What is wrong with the sources of a target, in the words and the orientation of the source.
  private func check(_ key: TargetKey, _ filling: Filling) -> [(Int, MappingReport.Misshapen)] {
    for source in filling.sources {
      let type = tensors[source].elementType
      guard [.f32, .f16, .bf16, .f64].contains(type), type == tensors[filling.sources[0]].elementType else {
        return [(source, misshapen(source, "floating-point numbers (F32, F16, BF16 or F64), all of one type"))]
      }
    }
    let symbols = dimensions.values
    let shape = table.shape(key, layers: assembly.layers)
    let source = filling.sources[0]
    let found = tensors[source].shape
    if shape.contains(where: isImpossible) {
      let wanted = filling.operation == .transpose ? shape.reversed() : shape
      return filling.sources.map { ($0, misshapen($0, text(wanted))) }
    }
    if let wanted = filling.sourceShape {
      let sizes = wanted.compactMap { $0.value(symbols) }
      guard found == sizes, found.count == wanted.count else { return [(source, misshapen(source, text(wanted)))] }
      guard holds(filling, shape, found) else {
        return [(source, misshapen(source, "the elements of \(text(shape)), whose dimensions it has together"))]
      }
      return []
    }
    switch filling.operation {
    case .rename, .alias, .drop, .transpose:
      let wanted = filling.operation == .transpose ? shape.reversed() : shape
      if found != wanted.compactMap({ $0.value(symbols) }) || found.count != wanted.count {
        return [(source, misshapen(source, text(wanted)))]
      }
    case .reshape:
      let count = checkedElementCount(shape.compactMap { $0.value(symbols) })
      if count == nil || count != checkedElementCount(found) {
        return [(source, misshapen(source, "as many elements as \(text(shape))"))]
      }
    case .splitTransposed:
      if !holds(filling, shape, found) || found.count != 2 {
        return [(source, misshapen(source, "\(text(shape.reversed())) of each of its parts, side by side"))]
      }
    case .split(let axis), .splitHeads(let axis, _, _):
      // The whole must have what its parts have together.
      let parts = dialect.rules[filling.rule].targets.map { table.tensors[$0].shape }
      var wanted = shape.map { $0.value(symbols) }
      wanted[axis] = rows(of: parts, axis: axis)
      if wanted.contains(nil) || found != wanted.compactMap(\.self) {
        let sizes = wanted.map { $0.map(String.init) ?? "?" }.joined(separator: ", ")
        return [(source, misshapen(source, "[\(sizes)]"))]
      }
      if case .splitHeads(_, let key, _) = filling.operation, let heads = config[key]?.intValue,
        let size = shape[axis].value(symbols), heads < 1 || size % heads != 0
      {
        return [(source, misshapen(source, "\(size) rows a part, in \(heads) heads of one size (\(key))"))]
      }
    case .concat(let axis):
      if assembly.foundShape(filling) != shape.compactMap({ $0.value(symbols) }) {
        return filling.sources.map { ($0, misshapen($0, "\(text(shape)) when joined along axis \(axis)")) }
      }
    case .joinHeads: break
    }
    return []
  }

  /// Whether a source of the shape `found` holds the elements of a target, as a matrix where it is to be transposed.
  private func holds(_ filling: Filling, _ shape: [Dimension], _ found: [Int]) -> Bool {
    let sizes = shape.compactMap { $0.value(dimensions.values) }
    guard sizes.count == shape.count, let count = checkedElementCount(found) else { return false }
    switch filling.operation {
    case .transpose, .splitTransposed:
      let rows = rows(of: dialect.rules[filling.rule].targets.map { table.tensors[$0].shape }, axis: 0)
      guard let rows, checkedElementCount([rows, sizes[1]]) == count else { return false }
      // The first dimensions of the source make the columns of the target.
      return (0...found.count).contains { checkedElementCount(Array(found[..<$0])) == sizes[1] }
    default: return checkedElementCount(sizes) == count
    }
  }

  /// What the parts of a whole have together along an axis.
  private func rows(of parts: [[Dimension]], axis: Int) -> Int? {
    parts.reduce(0 as Int?) { sum, part in
      guard let sum, let size = part[axis].value(dimensions.values) else { return nil }
      let (total, overflow) = sum.addingReportingOverflow(size)
      return overflow ? nil : total
    }
  }

  private func isImpossible(_ dimension: Dimension) -> Bool {
    if case .symbol(let name, _) = dimension { impossibleSizes[name] != nil } else { false }
  }

  private func text(_ shape: some Sequence<Dimension>) -> String {
    let sizes = shape.map { dimension in
      if case .symbol(let name, 1) = dimension, let allowed = impossibleSizes[name] { return allowed }
      return dimension.text(dimensions.values)
    }
    return "[" + sizes.joined(separator: ", ") + "]"
  }

  private func misshapen(_ source: Int, _ expected: String) -> MappingReport.Misshapen {
    let info = tensors[source]
    return .init(name: info.name, found: "\(info.elementType.rawValue) \(shapeText(info.shape))", expected: expected)
  }

  // MARK: Missing

  private mutating func addMissing() {
    let present = assembly.presentGroups
    // A tensor that is there in a wrong shape is not missing as well.
    var reported: Set<String> = []
    // Without any layer, the first is what is missing.
    let layers = assembly.layers.isEmpty ? [0] : assembly.layers
    for key in table.expanded(layers: layers) {
      let tensor = table.tensors[key.tensor]
      guard assembly.fillings[key] == nil, tensor.tiedTo == nil,
        table.groups[tensor.group].isRequired(dimensions.values, config) || present.contains(tensor.group)
      else { continue }
      for name in sourceNames(key) where reported.insert(name).inserted {
        report.missing.append(.init(name: name, target: table.name(key)))
      }
    }
  }

  /// The names that the source ought to have for a target; of a joined one those that it lacks.
  private func sourceNames(_ key: TargetKey) -> [String] {
    guard let rule = dialect.ruleOfTensor[key.tensor] else { return [table.name(key)] }
    let partial = assembly.incomplete.first { $0.rule == rule && $0.layer == key.layer }?.sources
    return dialect.rules[rule].sources.enumerated().compactMap { position, pattern in
      if let partial, partial[position] != nil { return nil }
      return assembly.match.scope.qualified(pattern.name(layer: key.layer), root: dialect.root)
    }
  }

  // MARK: The other tensors of the source

  private mutating func addOthers(_ allowUnexpected: [String]) {
    let allowed = allowUnexpected.map { Glob($0) }
    var all: Set<String>?
    for (index, info) in tensors.enumerated() where assembly.match.hits[index] == nil {
      let name = names[index]
      var hint: String?
      if let other = assembly.match.duplicates[index] {
        hint = "it would fill the same place as \(tensors[other].name)"
      } else if let rule = dialect.drops.first(where: { $0.matches(name) || $0.matches(info.name) }) {
        if let ending = rule.beside {
          let known = all ?? Set(names)
          all = known
          if name.hasSuffix(ending), known.contains(String(name.dropLast(ending.count))) {
            report.dropped.append(.init(name: info.name, rule: rule))
            continue
          }
          hint = rule.hint
        } else {
          report.dropped.append(.init(name: info.name, rule: rule))
          continue
        }
      }
      if report.drop(info.name, known: name, allowedBy: allowed) { continue }
      // The nearest name costs a comparison with every known one, so only the first few get it.
      let nearest = hint == nil && report.unexpected.count < 100 ? nearest(to: name) : nil
      report.unexpected.append(.init(name: info.name, nearest: nearest, hint: hint))
    }
    for entry in assembly.incomplete {
      let targets = dialect.rules[entry.rule].targets.map { table.tensors[$0].pattern.name(layer: entry.layer) }
      for source in entry.sources.compactMap(\.self) {
        report.mapped.append(
          .init(name: tensors[source].name, targets: targets, operation: dialect.rules[entry.rule].operation.name))
      }
    }
  }

  private func nearest(to name: String) -> String? {
    // The layer that the name itself gives, so that the nearest is of the same layer.
    let number = NamePattern.layered(name).first { assembly.layers.contains($0.layer - dialect.firstLayer) }?.layer
    let layer = number.map { $0 - dialect.firstLayer } ?? 0
    let scope = assembly.match.scope
    let isScoped = name.hasPrefix(scope.prefix)
    var candidates: [String] = []
    for rule in dialect.rules {
      for pattern in rule.sources {
        let known = pattern.name(layer: layer)
        candidates.append(isScoped ? scope.qualified(known, root: dialect.root) : known)
      }
    }
    return nearestName(to: name, among: candidates)
  }
}
