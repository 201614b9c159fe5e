import ModelFamilies
import TensorIO

/// The tensors of a source, and what each of them is in one dialect.
struct MatchedSource {
  let table: MappingTable
  let dialect: Dialect
  let match: DialectMatch
  let tensors: [TensorInfo]
  /// The names that were looked up, one for each tensor.
  let names: [String]
  /// Notes on the names, for the user.
  let notes: [MappingNote]
  /// The tensors that others replace, with the reason.
  let replaced: [Int: MappingReport.Dropped]

  init(table: MappingTable, match: DialectMatch, tensors: [TensorInfo], source: SourceNames) {
    self.table = table.loaded
    dialect = table.dialects[match.dialect].loaded
    self.match = match
    self.tensors = tensors
    names = match.names
    notes = source.notes
    replaced = source.replaced
  }
}

/// A canonical tensor with the tensors of the source that it is made of.
struct Assignment {
  let operation: RuleOperation
  /// Indices into the source's tensors.
  let sources: [Int]
  /// Which of the rule's targets it is.
  let part: Int
  let rule: Int
  /// See ``Rule/shape``.
  let sourceShape: [Dimension]?
}

/// Which canonical tensors a source has, each with what it is made of.
struct Assignments {
  /// An alias of a tensor, which must hold the bytes of the first to be left out.
  struct Copy {
    let source: Int
    let of: TargetKey
  }

  /// A rule of which some sources are absent.
  struct Incomplete {
    let rule: Int
    let layer: Int?
    /// In the rule's order.
    let sources: [Int?]
  }

  let source: MatchedSource
  fileprivate(set) var byTarget: [TargetKey: Assignment] = [:]
  fileprivate(set) var copies: [Copy] = []
  fileprivate(set) var incomplete: [Incomplete] = []
  /// The numbers of the layers found, rising.
  let layers: [Int]

  fileprivate init(_ source: MatchedSource, layers: [Int]) {
    self.source = source
    self.layers = layers
  }

  var table: MappingTable { source.table }
  var dialect: Dialect { source.dialect }
  var tensors: [TensorInfo] { source.tensors }

  /// Every canonical tensor of the layers found, in forward order.
  var keys: [TargetKey] { table.expanded(layers: layers) }

  /// The groups of which a tensor is present.
  var presentGroups: Set<Int> {
    var groups = Set(byTarget.keys.map { table.tensors[$0.tensor].group })
    for entry in incomplete {
      for target in dialect.rules[entry.rule].targets { groups.insert(table.tensors[target].group) }
    }
    return groups
  }

  /// The first tensor whose rows are cut by the number of heads that the config key gives.
  func tensor(cutBy key: String) -> TensorInfo? {
    let sources = byTarget.values.compactMap { assignment -> Int? in
      guard case .splitHeads(_, key, _) = assignment.operation else { return nil }
      return assignment.sources[0]
    }
    return sources.min().map { tensors[$0] }
  }
}

// MARK: Making them

/// Assigns the tensors of a source to the canonical tensors that the dialect's rules make of them.
func assignments(of source: MatchedSource) -> Assignments {
  let layers = Set(source.match.matches.compactMap { $0?.layer }).sorted()
  var result = Assignments(source, layers: layers)
  let rules = source.dialect.rules
  let found = sourcesByRule(source)
  // A tensor's own name takes precedence over its aliases.
  let isAlias = { (entry: RuleSources) in rules[entry.rule].operation == .alias }
  for entry in found.filter({ !isAlias($0) }) + found.filter(isAlias) {
    let sources = entry.sources.compactMap(\.self)
    guard sources.count == entry.sources.count else {
      result.incomplete.append(.init(rule: entry.rule, layer: entry.layer, sources: entry.sources))
      continue
    }
    result.assign(sources, by: entry.rule, layer: entry.layer)
  }
  result.addRepeatedTensors()
  result.addZeros()
  result.assignTiedTensorsToAbsentBases()
  return result
}

/// The sources of one rule, in one layer where the rule has layers.
private struct RuleSources {
  let rule: Int
  let layer: Int?
  var sources: [Int?]
}

/// What the rules find, in the order in which the source has the first tensor of each.
private func sourcesByRule(_ source: MatchedSource) -> [RuleSources] {
  struct Key: Hashable {
    let rule: Int
    let layer: Int?
  }
  var found: [RuleSources] = []
  var indices: [Key: Int] = [:]
  for (tensor, match) in source.match.matches.enumerated() {
    guard let match else { continue }
    let rule = match.source.rule
    let key = Key(rule: rule, layer: match.layer)
    let index = indices[key] ?? found.count
    if index == found.count {
      indices[key] = index
      let count = source.dialect.rules[rule].sources.count
      found.append(RuleSources(rule: rule, layer: match.layer, sources: Array(repeating: nil, count: count)))
    }
    found[index].sources[match.source.position] = tensor
  }
  return found
}

extension Assignments {
  fileprivate mutating func assign(_ sources: [Int], by rule: Int, layer: Int?) {
    let rules = dialect.rules
    for (part, target) in rules[rule].targets.enumerated() {
      let key = TargetKey(tensor: target, layer: layer)
      let isAlias = rules[rule].operation == .alias
      if isAlias, byTarget[key] != nil {
        copies.append(Copy(source: sources[0], of: key))
        continue
      }
      // An alias is stored as the tensor's own name is.
      guard let main = isAlias ? dialect.content.ruleOfTensor[target] : rule else { continue }
      byTarget[key] = Assignment(
        operation: rules[main].operation, sources: sources, part: part, rule: rule, sourceShape: rules[main].shape)
    }
  }

  /// Tensors that the dialect's program lacks, and which change nothing where they are zeros.
  fileprivate mutating func addZeros() {
    for (tensor, rows) in dialect.content.zeros {
      let key = TargetKey(tensor: tensor, layer: nil)
      guard byTarget[key] == nil,
        let words = table.model.tensors.firstIndex(where: { $0.role == TensorRole(.wordEmbeddings) }),
        let assignment = byTarget[TargetKey(tensor: words, layer: nil)]
      else { continue }
      byTarget[key] = Assignment(
        operation: .zeros(rows: rows), sources: [assignment.sources[0]], part: 0, rule: assignment.rule,
        sourceShape: nil)
    }
  }

  /// Keras stores a weight that several layers share once for each of them, under one name.
  fileprivate mutating func addRepeatedTensors() {
    for (index, first) in source.match.duplicates.sorted(by: { $0.key < $1.key })
    where source.names[index] == source.names[first] && tensors[index].shape == tensors[first].shape {
      guard let match = source.match.matches[first], dialect.rules[match.source.rule].targets.count == 1 else {
        continue
      }
      let key = TargetKey(tensor: dialect.rules[match.source.rule].targets[0], layer: match.layer)
      guard byTarget[key] != nil else { continue }
      copies.append(Copy(source: index, of: key))
    }
  }

  /// A tied tensor is used as its base where that is absent; otherwise the two are compared later.
  fileprivate mutating func assignTiedTensorsToAbsentBases() {
    for (index, tensor) in table.tensors.enumerated() {
      guard let base = tensor.tiedTo else { continue }
      for key in byTarget.keys.filter({ $0.tensor == index }) {
        let baseKey = TargetKey(tensor: base, layer: key.layer)
        guard byTarget[baseKey] == nil, let assignment = byTarget.removeValue(forKey: key) else { continue }
        byTarget[baseKey] = assignment
      }
    }
  }
}

// MARK: Shapes

extension Assignments {
  /// The shape that an assignment gives its target, where the shapes of its sources decide it.
  func foundShape(_ assignment: Assignment) -> [Int]? {
    let shape = tensors[assignment.sources[0]].shape
    switch assignment.operation {
    case .rename, .alias, .drop: return shape
    case .transpose: return shape.count == 2 ? [shape[1], shape[0]] : nil
    case .reshape, .joinHeads: return nil
    case .zerosBefore(let rows):
      guard shape.count == 2 else { return nil }
      let (count, overflow) = shape[0].addingReportingOverflow(rows)
      return overflow ? nil : [count, shape[1]]
    case .zeros(let rows): return shape.count == 2 ? [rows, shape[1]] : nil
    case .splitTransposed:
      let parts = dialect.rules[assignment.rule].targets.count
      return shape.count == 2 && shape[1] % parts == 0 ? [shape[1] / parts, shape[0]] : nil
    case .split(let axis), .splitHeads(let axis, _, _):
      // Equal parts only: others have no size of their own before the dimensions are known.
      let parts = dialect.rules[assignment.rule].targets
      let extents = Set(parts.map { table.tensors[$0].shape[axis].text([:]) })
      guard extents.count == 1, shape.count > axis, shape[axis] % parts.count == 0 else { return nil }
      var part = shape
      part[axis] /= parts.count
      return part
    case .concat(let axis): return joinedShape(assignment.sources.map { tensors[$0].shape }, axis: axis)
    }
  }
}

/// The shape of tensors that are joined along `axis`; `nil` where they differ in another axis.
func joinedShape(_ shapes: [[Int]], axis: Int) -> [Int]? {
  guard var whole = shapes.first, axis < whole.count else { return nil }
  for shape in shapes.dropFirst() {
    guard shape.count == whole.count else { return nil }
    var rest = shape
    rest[axis] = whole[axis]
    let (sum, overflow) = whole[axis].addingReportingOverflow(shape[axis])
    guard rest == whole, !overflow else { return nil }
    whole[axis] = sum
  }
  return whole
}
