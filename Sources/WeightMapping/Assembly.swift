import ModelFamilies
import TensorIO

/// A target with what it is made of.
struct Filling {
  let operation: RuleOperation
  /// Indices into the source's tensors.
  let sources: [Int]
  /// Which of the rule's targets it is.
  let part: Int
  let rule: Int
  /// See ``Rule/shape``.
  let sourceShape: [Dimension]?
}

/// Puts the tensors of a source in the places that a dialect gives them: what is filled, with what, and what is tied.
struct Assembly {
  let table: MappingTable
  let dialect: Dialect
  let match: DialectMatch
  let tensors: [TensorInfo]
  let names: [String]

  private(set) var fillings: [TargetKey: Filling] = [:]
  /// Tensors that must hold the bytes of another target to be left out.
  private(set) var copies: [(source: Int, of: TargetKey, isAlias: Bool)] = []
  /// The numbers of the layers found, in order.
  private(set) var layers: [Int] = []
  /// Sources of rules that join several, without the others.
  private(set) var incomplete: [(rule: Int, layer: Int?, sources: [Int?])] = []

  init(table: MappingTable, match: DialectMatch, tensors: [TensorInfo], names: [String]) {
    self.table = table
    dialect = table.dialects[match.dialect]
    self.match = match
    self.tensors = tensors
    self.names = names
    fill()
    layers = Set(match.hits.compactMap { $0?.layer }).sorted()
  }

  private struct Instance: Hashable {
    let rule: Int
    let layer: Int?
  }

  private mutating func fill() {
    var found: [Instance: [Int?]] = [:]
    var order: [Instance] = []
    for (index, hit) in match.hits.enumerated() {
      guard let hit else { continue }
      let instance = Instance(rule: hit.source.rule, layer: hit.layer)
      if found[instance] == nil {
        order.append(instance)
        found[instance] = Array(repeating: nil, count: dialect.rules[hit.source.rule].sources.count)
      }
      found[instance]?[hit.source.position] = index
    }
    // A tensor's own name goes before its aliases.
    let rules = dialect.rules
    let isAlias = { (instance: Instance) in rules[instance.rule].operation == .alias }
    for instance in order.filter({ !isAlias($0) }) + order.filter(isAlias) {
      let rule = dialect.rules[instance.rule]
      let places = found[instance] ?? []
      let sources = places.compactMap(\.self)
      guard sources.count == rule.sources.count else {
        incomplete.append((instance.rule, instance.layer, places))
        continue
      }
      for (part, target) in rule.targets.enumerated() {
        let key = TargetKey(tensor: target, layer: instance.layer)
        if rule.operation == .alias, fillings[key] != nil {
          copies.append((sources[0], key, true))
          continue
        }
        // An alias lies as the tensor's own name does.
        let main = rule.operation == .alias ? dialect.ruleOfTensor[target] : instance.rule
        guard let main else { continue }
        fillings[key] = Filling(
          operation: rules[main].operation, sources: sources, part: part, rule: instance.rule,
          sourceShape: rules[main].shape)
      }
    }
    fillFromTied()
  }

  /// A tied tensor stands in for what it is tied to where that is absent; otherwise they are compared later.
  private mutating func fillFromTied() {
    for (index, tensor) in table.tensors.enumerated() {
      guard let base = tensor.tiedTo else { continue }
      for key in fillings.keys.filter({ $0.tensor == index }) {
        let baseKey = TargetKey(tensor: base, layer: key.layer)
        guard let filling = fillings[key] else { continue }
        if fillings[baseKey] == nil {
          fillings[baseKey] = filling
          fillings[key] = nil
        }
      }
    }
  }

  /// A tensor that is cut by the number of heads that the config key tells.
  func tensor(cutBy key: String) -> TensorInfo? {
    let sources = fillings.values.compactMap { filling -> Int? in
      guard case .splitHeads(_, key, _) = filling.operation else { return nil }
      return filling.sources[0]
    }
    return sources.min().map { tensors[$0] }
  }

  /// Every target of the layers found, in forward order.
  var keys: [TargetKey] { table.expanded(layers: layers) }

  /// The groups of which a tensor is there.
  var presentGroups: Set<Int> {
    var groups = Set(fillings.keys.map { table.tensors[$0.tensor].group })
    for entry in incomplete {
      for target in dialect.rules[entry.rule].targets { groups.insert(table.tensors[target].group) }
    }
    return groups
  }

  /// The shape that a filling gives its target, where its sources' shapes tell; of a source whose shape the rule gives,
  /// that shape itself tells the dimensions.
  func foundShape(_ filling: Filling) -> [Int]? {
    let shape = tensors[filling.sources[0]].shape
    switch filling.operation {
    case .rename, .alias, .drop: return shape
    case .transpose: return shape.count == 2 ? [shape[1], shape[0]] : nil
    case .reshape, .joinHeads: return nil
    case .splitTransposed:
      let parts = dialect.rules[filling.rule].targets.count
      return shape.count == 2 && shape[1] % parts == 0 ? [shape[1] / parts, shape[0]] : nil
    case .split(let axis), .splitHeads(let axis, _, _):
      // Cut into equal parts only: others have no size of their own before the dimensions are known.
      let parts = dialect.rules[filling.rule].targets
      let extents = Set(parts.map { table.tensors[$0].shape[axis].text([:]) })
      guard extents.count == 1, shape.count > axis, shape[axis] % parts.count == 0 else { return nil }
      var part = shape
      part[axis] /= parts.count
      return part
    case .concat(let axis):
      guard shape.count > axis else { return nil }
      var whole = shape
      for source in filling.sources.dropFirst() {
        var other = tensors[source].shape
        guard other.count == shape.count else { return nil }
        let (sum, overflow) = whole[axis].addingReportingOverflow(other[axis])
        if overflow { return nil }
        other[axis] = shape[axis]
        guard other == shape else { return nil }
        whole[axis] = sum
      }
      return whole
    }
  }
}
