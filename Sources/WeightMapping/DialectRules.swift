import ModelFamilies
import TensorIO

/// Collects the rules of a dialect: no two may take one name or make one tensor.
struct DialectRules {
  let dialect: String
  let model: ModelFamily
  /// The number that the first layer has in the dialect's names.
  let firstLayer: Int
  private(set) var rules: [Rule] = []
  private(set) var literals: [String: RuleSource] = [:]
  private(set) var patterns: [String: RuleSource] = [:]
  private(set) var ruleOfTensor: [Int: Int] = [:]

  init(dialect: String, model: ModelFamily, firstLayer: Int) {
    self.dialect = dialect
    self.model = model
    self.firstLayer = firstLayer
  }

  private var tensors: [CanonicalTensor] { model.tensors }

  /// Every name that a rule takes, as a pattern.
  var sourceNames: [String] { Array(literals.keys) + patterns.keys }

  func takes(_ name: String) -> Bool {
    literals[name] != nil || NamePattern.layered(name).contains { patterns[$0.pattern] != nil }
  }

  /// The name of a tensor of that role in the first layer, where the dialect has one.
  func name(of role: TensorRole) -> String? {
    for (index, tensor) in tensors.enumerated() where tensor.role == role {
      guard let rule = ruleOfTensor[index] else { continue }
      return rules[rule].sources[0].name(layer: rules[rule].isPerLayer ? 0 : nil)
    }
    return nil
  }

  mutating func add(
    _ operation: RuleOperation, _ sources: [String], _ targets: [Int], shape: [Dimension]? = nil, at location: YAMLValue
  ) throws(FormatError) {
    var sourcePatterns: [NamePattern] = []
    for (position, source) in sources.enumerated() {
      let pattern = NamePattern(source, firstLayer: firstLayer)
      guard targets.allSatisfy({ tensors[$0].pattern.isPerLayer == pattern.isPerLayer }) else {
        throw location.fail("{layer} must be in both the source '\(source)' and its target, or in neither")
      }
      let entry = RuleSource(rule: rules.count, position: position)
      let previous =
        pattern.isPerLayer
        ? patterns.updateValue(entry, forKey: source) : literals.updateValue(entry, forKey: source)
      guard previous == nil else {
        throw location.fail("two rules take '\(source)': the dialect '\(dialect)' is ambiguous")
      }
      sourcePatterns.append(pattern)
    }
    if operation != .alias {
      for target in targets {
        guard ruleOfTensor.updateValue(rules.count, forKey: target) == nil else {
          throw location.fail(
            "two rules make '\(tensors[target].pattern.text)': the dialect '\(dialect)' is ambiguous",
            advice: "A second name of the same tensor is an alias.")
        }
      }
    }
    try checkRanks(operation, targets, at: location)
    rules.append(Rule(operation: operation, sources: sourcePatterns, targets: targets, shape: shape))
  }

  private func checkRanks(_ operation: RuleOperation, _ targets: [Int], at location: YAMLValue) throws(FormatError) {
    let ranks = targets.map { tensors[$0].shape.count }
    switch operation {
    case .transpose, .splitTransposed:
      guard Set(ranks) == [2] else { throw location.fail("only a matrix can be transposed") }
      guard Set(targets.map { tensors[$0].shape[1].text([:]) }).count == 1 else {
        throw location.fail("the targets differ in another axis than 0")
      }
    case .split(let axis), .concat(let axis), .splitHeads(let axis, _, _), .joinHeads(let axis, _, _):
      guard ranks.allSatisfy({ $0 == ranks[0] && axis < $0 }) else {
        throw location.fail("axis \(axis) is beyond a target's shape, or the targets' ranks differ")
      }
      for other in 0..<ranks[0] where other != axis {
        guard Set(targets.map { tensors[$0].shape[other].text([:]) }).count == 1 else {
          throw location.fail("the targets differ in another axis than \(axis)")
        }
      }
      if case .splitHeads = operation, Set(targets.map { tensors[$0].shape[axis].text([:]) }).count > 1 {
        throw location.fail("targets whose rows are ordered by head must be of one size")
      }
    case .zerosBefore, .zeros:
      guard Set(ranks) == [2] else { throw location.fail("only a matrix has rows") }
    case .rename, .reshape, .alias, .drop: break
    }
  }

  // MARK: The rules as a whole

  /// `made` are the tensors that the dialect makes without a rule.
  func check(at location: YAMLValue, root: String, made: [Int]) throws(FormatError) {
    for (index, tensor) in tensors.enumerated()
    where model.groups[tensor.group].canBeRequired && tensor.tiedTo == nil && !made.contains(index) {
      guard ruleOfTensor[index] != nil else {
        throw location.fail("no rule of the dialect '\(dialect)' makes the required '\(tensor.pattern.text)'")
      }
    }
    for rule in rules where rule.operation == .alias {
      switch ruleOfTensor[rule.targets[0]].map({ rules[$0].operation }) {
      case .rename, .transpose, .reshape: continue
      default:
        throw location.fail(
          "'\(rule.sources[0].text)' is an alias of a tensor that has no one name in the dialect '\(dialect)'")
      }
    }
    // A number that is written out must not also be taken for a layer's.
    for literal in literals.keys.sorted() {
      if let other = NamePattern.layered(literal).first(where: { patterns[$0.pattern] != nil }) {
        throw location.fail(
          "both '\(literal)' and '\(other.pattern)' take '\(literal)': the dialect '\(dialect)' is ambiguous")
      }
    }
    // Where the root is absent, a name means itself and the name with the root.
    guard !root.isEmpty else { return }
    for known in (literals.keys.sorted() + patterns.keys.sorted()) {
      guard literals[root + known] == nil, patterns[root + known] == nil else {
        throw location.fail(
          "'\(known)' and '\(root + known)' cannot be distinguished: the dialect '\(dialect)' is ambiguous")
      }
    }
  }
}
