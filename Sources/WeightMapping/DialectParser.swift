import ModelFamilies
import TensorIO

/// Reads one dialect of a table.
struct DialectParser {
  let name: String
  private let model: ModelFamily
  private let tensorIndex: [String: Int]
  /// What the shapes of sources may name: the dimensions, and the keys that count heads.
  private let symbols: Set<String>
  private var firstLayer = 0

  private var rules: [Rule] = []
  private var literals: [String: RuleSource] = [:]
  private var patterns: [String: RuleSource] = [:]
  private var ruleOfTensor: [Int: Int] = [:]

  init(name: String, model: ModelFamily) {
    self.name = name
    self.model = model
    tensorIndex = Dictionary(
      model.tensors.enumerated().map { ($1.pattern.text, $0) }, uniquingKeysWith: { first, _ in first })
    let dimensions = model.configKeys.filter { $0.isDimension || $0.countsHeads }.map(\.name)
    symbols = Set(dimensions).union(model.sizes.map(\.name)).union([model.labels?.dimension].compactMap(\.self))
  }

  private var tensors: [CanonicalTensor] { model.tensors }
  private var groups: [TensorGroup] { model.groups }
  private var configKeys: [ConfigKey] { model.configKeys }

  mutating func parse(_ value: YAMLValue) throws(FormatError) -> Dialect {
    let fields = try value.fields(
      "the dialect '\(name)'",
      [
        "root", "anchors", "identity", "rename", "transpose", "reshape", "split", "concat", "alias", "drop",
        "variant_of", "for", "when", "config", "spellings", "note", "export_where", "first_layer",
        "defaults", "means",
      ])
    firstLayer = try fields["first_layer"]?.int("first_layer") ?? 0
    guard (0...1000).contains(firstLayer) else { throw value.fail("'first_layer' is no number that layers begin with") }
    let root = try fields["root"]?.string("root") ?? ""
    if try fields["identity"]?.bool("identity") == true {
      for (index, tensor) in tensors.enumerated() {
        try add(.rename, [tensor.pattern.text], [index], at: value)
      }
    }
    for operation in [RuleOperation.rename, .transpose, .reshape] {
      for (source, entry) in try fields[operation.name]?.map(operation.name) ?? [] {
        guard operation != .rename, case .map = entry.content else {
          try add(operation, [source], [try tensor(entry)], at: entry)
          continue
        }
        let parts = try entry.fields(operation.name, ["to", "shape"])
        guard let target = parts["to"], let shape = parts["shape"] else {
          throw entry.fail("'to' and 'shape' need each other")
        }
        try add(operation, [source], [try tensor(target)], shape: try parseShape(shape), at: entry)
      }
    }
    for (source, entry) in try fields["split"]?.map("split") ?? [] {
      let parts = try entry.fields("split", ["axis", "into", "heads", "order", "transposed", "shape"])
      var targets: [Int] = []
      for target in try list(parts, "into", entry) { targets.append(try tensor(target)) }
      try add(
        try split(parts, entry), [source], targets, shape: try parts["shape"].map(parseShape), at: entry)
    }
    for (target, entry) in try fields["concat"]?.map("concat") ?? [] {
      let parts = try entry.fields("concat", ["axis", "from"])
      var sources: [String] = []
      for source in try list(parts, "from", entry) { sources.append(try source.string("a source")) }
      let index = try tensor(target, at: entry)
      try add(.concat(axis: try parts["axis"]?.int("axis") ?? 0), sources, [index], at: entry)
    }
    for (source, target) in try fields["alias"]?.map("alias") ?? [] {
      try add(.alias, [source], [try tensor(target)], at: target)
    }
    let drops = try fields["drop"].map(DropLists.rules) ?? (rules: [], lists: [])
    try checkWhole(value, root: root)
    let anchors = try fields["anchors"]?.strings("anchors") ?? []
    for anchor in anchors where DialectParser.resolves(anchor, literals, patterns) == nil {
      throw value.fail("the anchor '\(anchor)' is the name of no rule", advice: "An anchor is a whole source name.")
    }
    guard !anchors.isEmpty else { throw value.fail("the dialect '\(name)' has no anchors") }
    var variant: (of: String, architectures: [String])?
    if let base = try fields["variant_of"]?.string("variant_of"), let names = try fields["for"]?.strings("for") {
      variant = (base, names)
    } else if fields["variant_of"] != nil || fields["for"] != nil {
      throw value.fail("'variant_of' and 'for' need each other")
    }
    return Dialect(
      name: name, root: root, anchors: anchors, rules: rules, drops: drops.rules, dropLists: drops.lists,
      literals: literals, patterns: patterns,
      ruleOfTensor: ruleOfTensor, variant: variant, conditions: try fields["when"].map(parseConditions) ?? [],
      configValues: try fields["config"].map(parseConfigValues) ?? [:],
      spellings: try fields["spellings"].map(parseSpellings) ?? [],
      defaults: try fields["defaults"].map(parseDefaults) ?? [:],
      meanings: try fields["means"].map(parseMeanings) ?? [:], note: try fields["note"]?.string("note"),
      exportSettings: try fields["export_where"]?.settings("export_where", keys: configKeys.map(\.name)) ?? [],
      firstLayer: firstLayer, repeatsLayer: rules.contains { $0.sources.contains(where: \.repeatsLayer) })
  }

  private func parseShape(_ value: YAMLValue) throws(FormatError) -> [Dimension] {
    var shape: [Dimension] = []
    for item in try value.list("a shape") { shape.append(try Dimension(item, symbols)) }
    return shape
  }

  /// Along an axis in one piece after the other, or by head.
  private func split(_ fields: [String: YAMLValue], _ place: YAMLValue) throws(FormatError) -> RuleOperation {
    let axis = try fields["axis"]?.int("axis") ?? 0
    if try fields["transposed"]?.bool("transposed") == true {
      guard axis == 0, fields["heads"] == nil, fields["order"] == nil else {
        throw place.fail("a transposed matrix is split along axis 0 of its targets, one after the other")
      }
      return .splitTransposed
    }
    guard fields["shape"] == nil else { throw place.fail("'shape' is for what is transposed") }
    guard let heads = fields["heads"], let order = fields["order"] else {
      guard fields["heads"] == nil, fields["order"] == nil else {
        throw place.fail("'heads' and 'order' need each other")
      }
      return .split(axis: axis)
    }
    let key = try heads.string("heads")
    let known = configKeys.filter(\.countsHeads).map(\.name)
    guard known.contains(key) else {
      throw heads.fail("'\(key)' counts no heads", expected: "a config key with 'infer: heads'")
    }
    let names = try order.strings("order")
    guard let order = HeadOrder(names) else {
      throw place.fail(
        "an order that does not have each axis once", found: names.joined(separator: ", "),
        expected: "\(HeadOrder.names.joined(separator: ", ")), the outermost first")
    }
    return .splitHeads(axis: axis, heads: key, order: order)
  }

  // MARK: What is asked for beside the names

  private func parseConditions(_ value: YAMLValue) throws(FormatError) -> [Condition] {
    var result: [Condition] = []
    for (key, entry) in try value.map("when") {
      var values: [String] = []
      var allowsAbsence = false
      for item in try entry.list("the values of '\(key)'") {
        if item.isNull { allowsAbsence = true } else { values.append(try item.string("a value of '\(key)'")) }
      }
      guard allowsAbsence || !values.isEmpty else { throw entry.fail("'\(key)' has no value that would do") }
      result.append(Condition(key: key, values: values, allowsAbsence: allowsAbsence))
    }
    return result
  }

  private func parseConfigValues(_ value: YAMLValue) throws(FormatError) -> [String: String] {
    var result: [String: String] = [:]
    for (key, entry) in try value.map("config") {
      guard configKeys.contains(where: { $0.name == key }) else {
        let advice = nearestName(to: key, among: configKeys.map(\.name)).map { FormatError.Advice.didYouMean($0) }
        throw entry.fail("'\(key)' is no key of the table's config", advice: advice)
      }
      result[key] = try entry.string("the name of a value")
    }
    return result
  }

  private func parseDefaults(_ value: YAMLValue) throws(FormatError) -> [String: JSON] {
    var result: [String: JSON] = [:]
    for (key, assumed) in try value.settings("defaults", keys: configKeys.map(\.name)) {
      guard let known = configKeys.first(where: { $0.name == key }), known.defaultValue != nil else {
        throw value.fail("'\(key)' has no default that a dialect could change")
      }
      if let limits = known.limits(against: assumed) {
        throw value.fail("the default of '\(key)' is \(assumed.text()), not \(limits)")
      }
      result[key] = assumed
    }
    return result
  }

  private func parseMeanings(_ value: YAMLValue) throws(FormatError) -> [String: [String: String]] {
    var result: [String: [String: String]] = [:]
    for (key, entry) in try value.map("means") {
      guard let known = configKeys.first(where: { $0.name == key }), !known.words.isEmpty else {
        throw entry.fail("'means' names '\(key)', which is no key of the config that lists its words")
      }
      for (word, other) in try entry.map("the words of '\(key)'") {
        let meaning = try other.string("a word")
        guard known.words.contains(word), known.words.contains(meaning) else {
          throw other.fail("'\(word)' or '\(meaning)' is no word of '\(key)'")
        }
        result[key, default: [:]][word] = meaning
      }
    }
    return result
  }

  private func parseSpellings(_ value: YAMLValue) throws(FormatError) -> [(other: String, ours: String)] {
    var result: [(other: String, ours: String)] = []
    for (other, ours) in try value.map("spellings") {
      guard !other.isEmpty else { throw ours.fail("a spelling of nothing") }
      // A name of the rules that was respelled would lead to another rule, or to none.
      let taken = (Array(literals.keys) + patterns.keys).filter { $0[...].firstRange(ofBytes: other) != nil }
      if let known = taken.min() {
        throw ours.fail("'\(other)' is a part of '\(known)', which a rule takes as it is")
      }
      result.append((other, try ours.string("a spelling")))
    }
    return result
  }

  private func list(
    _ fields: [String: YAMLValue], _ key: String, _ place: YAMLValue
  ) throws(FormatError) -> [YAMLValue] {
    guard let value = fields[key] else { throw place.fail("'\(key)' is missing") }
    let items = try value.list(key)
    guard items.count >= 2 else { throw value.fail("'\(key)' must name at least two") }
    return items
  }

  private func tensor(_ value: YAMLValue) throws(FormatError) -> Int {
    try tensor(try value.string("a target"), at: value)
  }

  private func tensor(_ name: String, at place: YAMLValue) throws(FormatError) -> Int {
    guard let index = tensorIndex[name] else {
      let advice = nearestName(to: name, among: tensorIndex.keys.sorted()).map { FormatError.Advice.didYouMean($0) }
      throw place.fail("unknown target '\(name)'", expected: "a name listed under 'tensors'", advice: advice)
    }
    return index
  }

  private static func resolves(
    _ name: String, _ literals: [String: RuleSource], _ patterns: [String: RuleSource]
  ) -> RuleSource? {
    literals[name] ?? NamePattern.layered(name).lazy.compactMap { patterns[$0.pattern] }.first
  }

  // MARK: Rules

  private mutating func add(
    _ operation: RuleOperation, _ sources: [String], _ targets: [Int], shape: [Dimension]? = nil, at place: YAMLValue
  ) throws(FormatError) {
    var sourcePatterns: [NamePattern] = []
    for (position, source) in sources.enumerated() {
      let pattern = NamePattern(source, firstLayer: firstLayer)
      guard targets.allSatisfy({ tensors[$0].pattern.isPerLayer == pattern.isPerLayer }) else {
        throw place.fail("{layer} must be in both the source '\(source)' and its target, or in neither")
      }
      let entry = RuleSource(rule: rules.count, position: position)
      let previous =
        pattern.isPerLayer
        ? patterns.updateValue(entry, forKey: source) : literals.updateValue(entry, forKey: source)
      guard previous == nil else { throw place.fail("two rules take '\(source)': the dialect '\(name)' is ambiguous") }
      sourcePatterns.append(pattern)
    }
    if operation != .alias {
      for target in targets {
        guard ruleOfTensor.updateValue(rules.count, forKey: target) == nil else {
          throw place.fail(
            "two rules make '\(tensors[target].pattern.text)': the dialect '\(name)' is ambiguous",
            advice: "A second name of the same tensor is an alias.")
        }
      }
    }
    try checkRanks(operation, targets, at: place)
    rules.append(Rule(operation: operation, sources: sourcePatterns, targets: targets, shape: shape))
  }

  private func checkRanks(_ operation: RuleOperation, _ targets: [Int], at place: YAMLValue) throws(FormatError) {
    let ranks = targets.map { tensors[$0].shape.count }
    switch operation {
    case .transpose, .splitTransposed:
      guard Set(ranks) == [2] else { throw place.fail("only a matrix can be transposed") }
      guard Set(targets.map { tensors[$0].shape[1].text([:]) }).count == 1 else {
        throw place.fail("the targets differ in another axis than 0")
      }
    case .split(let axis), .concat(let axis), .splitHeads(let axis, _, _), .joinHeads(let axis, _, _):
      guard ranks.allSatisfy({ $0 == ranks[0] && axis < $0 }) else {
        throw place.fail("axis \(axis) is beyond a target's shape, or the targets' ranks differ")
      }
      for other in 0..<ranks[0] where other != axis {
        guard Set(targets.map { tensors[$0].shape[other].text([:]) }).count == 1 else {
          throw place.fail("the targets differ in another axis than \(axis)")
        }
      }
      if case .splitHeads = operation, Set(targets.map { tensors[$0].shape[axis].text([:]) }).count > 1 {
        throw place.fail("targets whose rows lie by head must be of one size")
      }
    case .rename, .reshape, .alias, .drop: break
    }
  }

  // MARK: The dialect as a whole

  private func checkWhole(_ place: YAMLValue, root: String) throws(FormatError) {
    for (index, tensor) in tensors.enumerated()
    where groups[tensor.group].canBeRequired && tensor.tiedTo == nil {
      guard ruleOfTensor[index] != nil else {
        throw place.fail("no rule of the dialect '\(name)' makes the required '\(tensor.pattern.text)'")
      }
    }
    for rule in rules where rule.operation == .alias {
      switch ruleOfTensor[rule.targets[0]].map({ rules[$0].operation }) {
      case .rename, .transpose, .reshape: continue
      default:
        throw place.fail(
          "'\(rule.sources[0].text)' is an alias of a tensor that has no one name in the dialect '\(name)'")
      }
    }
    // A number that is written out must not also be taken for a layer's.
    for literal in literals.keys.sorted() {
      if let other = NamePattern.layered(literal).first(where: { patterns[$0.pattern] != nil }) {
        throw place.fail(
          "both '\(literal)' and '\(other.pattern)' take '\(literal)': the dialect '\(name)' is ambiguous")
      }
    }
    // Where the root is absent, a name stands for itself and for the name with the root.
    guard !root.isEmpty else { return }
    for known in (literals.keys.sorted() + patterns.keys.sorted()) {
      guard literals[root + known] == nil, patterns[root + known] == nil else {
        throw place.fail("'\(known)' and '\(root + known)' cannot be told apart: the dialect '\(name)' is ambiguous")
      }
    }
  }
}
