import ModelFamilies
import TensorIO

/// Reads one dialect of a table.
struct DialectParser {
  let name: String
  let model: ModelFamily
  private let dropLists: [String: [DropRule]]
  private let tensorIndex: [String: Int]
  /// What the shapes of sources may name: the dimensions, and the keys that count heads.
  let symbols: Set<String>
  var rules: DialectRules

  /// `dropLists` are the lists that a dialect may name.
  init(name: String, model: ModelFamily, dropLists: [String: [DropRule]]) {
    self.name = name
    self.model = model
    self.dropLists = dropLists
    rules = DialectRules(dialect: name, model: model, firstLayer: 0)
    tensorIndex = Dictionary(
      model.tensors.enumerated().map { ($1.pattern.text, $0) }, uniquingKeysWith: { first, _ in first })
    let dimensions = model.configKeys.filter { $0.isDimension || $0.countsHeads }.map(\.name)
    symbols = Set(dimensions).union(model.sizes.map(\.name)).union([model.labels?.dimension].compactMap(\.self))
  }

  private var tensors: [CanonicalTensor] { model.tensors }
  var configKeys: [ConfigKey] { model.configKeys }

  mutating func parse(_ value: YAMLValue) throws(FormatError) -> Dialect {
    let fields = try value.fields("the dialect '\(name)'", Self.keys)
    let firstLayer = try fields["first_layer"]?.int("first_layer") ?? 0
    guard (0...1000).contains(firstLayer) else { throw value.fail("'first_layer' is no number that layers begin with") }
    rules = DialectRules(dialect: name, model: model, firstLayer: firstLayer)
    let zeros = try fields["zeros"].map(parseZeros) ?? []
    try addRules(fields)
    try addConventionalRules(fields, at: value, except: zeros.map(\.tensor))
    try addAliases(fields)
    let root = try parseRoot(fields["root"])
    try rules.check(at: value, root: root, made: zeros.map(\.tensor))
    let drops =
      if let drop = fields["drop"] { try DropLists.rules(of: drop, lists: dropLists) } else {
        (rules: [DropRule](), lists: [String]())
      }
    let names = DialectNames(
      name: name, root: root, anchors: try parseAnchors(fields["anchors"], at: value), drops: DropRules(drops.rules),
      rules: .parsed(.init(literals: rules.literals, patterns: rules.patterns)),
      variant: try parseVariant(fields, at: value), conditions: try fields["when"].map(parseConditions) ?? [],
      spellings: try fields["spellings"].map(parseSpellings) ?? [], firstLayer: firstLayer,
      repeatsLayer: rules.rules.contains { $0.sources.contains(where: \.repeatsLayer) },
      renumbered: try fields["renumber"]?.strings("renumber") ?? [],
      isContained: try fields["contained"]?.bool("contained") ?? false)
    let meanings = try fields["means"].map(parseMeanings) ?? [:]
    let content = DialectContent(
      rules: rules.rules, ruleOfTensor: rules.ruleOfTensor, dropLists: drops.lists,
      configValues: try fields["config"].map(parseConfigValues) ?? [:],
      defaults: try fields["defaults"].map(parseDefaults) ?? [:],
      meanings: meanings,
      variations: try fields["varies"].map(parseVariations) ?? [:],
      writtenWords: try parseWrittenWords(fields["writes"], meanings: meanings),
      note: try fields["note"]?.string("note"),
      exportSettings: try fields["export_where"]?.settings("export_where", keys: configKeys.map(\.name)) ?? [],
      fixed: try fields["fixed"].map(parseFixed) ?? [:], zeros: zeros)
    return Dialect(names: names, content: .made(content))
  }

  private static let keys = [
    "root", "anchors", "identity", "convention", "replace", "groups", "below", "separate_heads", "rename", "transpose",
    "reshape",
    "split", "concat", "alias", "also", "drop", "variant_of", "for", "when", "config", "spellings", "note",
    "export_where", "first_layer", "defaults", "means", "varies", "writes", "renumber", "fixed", "contained",
    "zeros", "zeros_before",
  ]

  // MARK: Where the names are found

  /// `base` is the prefix of the family's base model, in the dialect's words.
  private func parseRoot(_ value: YAMLValue?) throws(FormatError) -> String {
    let root = try value?.string("root") ?? ""
    guard root == "base" else { return root }
    let names = TensorRole(.wordEmbeddings)
    guard let canonical = model.names(names).first, let own = rules.name(of: names),
      canonical.hasPrefix(model.basePrefix)
    else { return "" }
    let depth = model.basePrefix.split(separator: ".").count
    let separators: Set<Character> = [".", "/"]
    let parts = own.split(maxSplits: depth, whereSeparator: separators.contains)
    return parts.count > depth ? String(own.dropLast(parts[depth].count)) : ""
  }

  /// Names that show the dialect: those of the embeddings and of the first layer's attention, where none are given.
  private func parseAnchors(_ value: YAMLValue?, at location: YAMLValue) throws(FormatError) -> [String] {
    let given = try value?.strings("anchors")
    for anchor in given ?? [] where !rules.takes(anchor) {
      throw location.fail("no rule takes the anchor '\(anchor)'", advice: "An anchor is a whole source name.")
    }
    let parts: [ModelPart] = [.wordEmbeddings, .positionEmbeddings, .query, .queryKeyValue]
    let anchors = given ?? parts.compactMap { rules.name(of: TensorRole($0)) }
    guard !anchors.isEmpty else { throw location.fail("the dialect '\(name)' has no anchors") }
    return anchors
  }

  private func parseVariant(
    _ fields: [String: YAMLValue], at location: YAMLValue
  ) throws(FormatError) -> (of: String, architectures: [String])? {
    guard let base = fields["variant_of"], let names = fields["for"] else {
      guard fields["variant_of"] == nil, fields["for"] == nil else {
        throw location.fail("'variant_of' and 'for' need each other")
      }
      return nil
    }
    return (try base.string("variant_of"), try names.strings("for"))
  }

  // MARK: Rules that are written out

  private mutating func addRules(_ fields: [String: YAMLValue]) throws(FormatError) {
    for operation in [RuleOperation.rename, .transpose, .reshape] {
      for (source, entry) in try fields[operation.name]?.map(operation.name) ?? [] {
        guard operation != .rename, case .map = entry.content else {
          try rules.add(operation, [source], [try tensor(entry)], at: entry)
          continue
        }
        let parts = try entry.fields(operation.name, ["to", "shape"])
        guard let target = parts["to"], let shape = parts["shape"] else {
          throw entry.fail("'to' and 'shape' need each other")
        }
        try rules.add(operation, [source], [try tensor(target)], shape: try parseShape(shape), at: entry)
      }
    }
    for (source, entry) in try fields["zeros_before"]?.map("zeros_before") ?? [] {
      let parts = try entry.fields("zeros_before", ["to", "rows"])
      let rows = try Self.rows(try entry.require("rows", in: parts))
      try rules.add(
        .zerosBefore(rows: rows), [source], [try tensor(try entry.require("to", in: parts))], at: entry)
    }
    for (source, entry) in try fields["split"]?.map("split") ?? [] {
      let parts = try entry.fields("split", ["axis", "into", "heads", "order", "transposed", "shape"])
      var targets: [Int] = []
      for target in try list(parts, "into", entry) { targets.append(try tensor(target)) }
      try rules.add(
        try split(parts, entry), [source], targets, shape: try parts["shape"].map(parseShape), at: entry)
    }
    for (target, entry) in try fields["concat"]?.map("concat") ?? [] {
      let parts = try entry.fields("concat", ["axis", "from"])
      var sources: [String] = []
      for source in try list(parts, "from", entry) { sources.append(try source.string("a source")) }
      let index = try tensor(target, at: entry)
      try rules.add(.concat(axis: try parts["axis"]?.int("axis") ?? 0), sources, [index], at: entry)
    }
  }

  /// Tensors that are zeros, with the numbers of their rows.
  private func parseZeros(_ value: YAMLValue) throws(FormatError) -> [(tensor: Int, rows: Int)] {
    var result: [(tensor: Int, rows: Int)] = []
    for (name, rows) in try value.map("zeros") {
      let index = try tensor(name, at: rows)
      guard tensors[index].shape.count == 2, !tensors[index].pattern.isPerLayer else {
        throw rows.fail("'\(name)' is no table of rows")
      }
      result.append((index, try Self.rows(rows)))
    }
    return result
  }

  private static func rows(_ value: YAMLValue) throws(FormatError) -> Int {
    let rows = try value.int("a number of rows")
    guard (1...100).contains(rows) else { throw value.fail("no number of rows", expected: "1 to 100") }
    return rows
  }

  private mutating func addAliases(_ fields: [String: YAMLValue]) throws(FormatError) {
    for (source, target) in try fields["alias"]?.map("alias") ?? [] {
      try rules.add(.alias, [source], [try tensor(target)], at: target)
    }
    // A part of names that some programs write otherwise.
    for (part, entry) in try fields["also"]?.map("also") ?? [] {
      let others = if case .list = entry.content { try entry.strings("also") } else { [try entry.string("also")] }
      for rule in rules.rules where [.rename, .transpose, .reshape].contains(rule.operation) {
        let source = rule.sources[0].text
        guard let range = source[...].firstRange(ofBytes: part) else { continue }
        for other in others {
          let alias = source[..<range.lowerBound] + other + source[range.upperBound...]
          try rules.add(.alias, [String(alias)], rule.targets, at: entry)
        }
      }
    }
  }

  private func parseShape(_ value: YAMLValue) throws(FormatError) -> [Dimension] {
    var shape: [Dimension] = []
    for item in try value.list("a shape") { shape.append(try Dimension(item, symbols)) }
    return shape
  }

  /// Along an axis, one part after the other, or by head.
  private func split(_ fields: [String: YAMLValue], _ location: YAMLValue) throws(FormatError) -> RuleOperation {
    let axis = try fields["axis"]?.int("axis") ?? 0
    if try fields["transposed"]?.bool("transposed") == true {
      guard axis == 0, fields["heads"] == nil, fields["order"] == nil else {
        throw location.fail("a transposed matrix is split along axis 0 of its targets, one after the other")
      }
      return .splitTransposed
    }
    guard fields["shape"] == nil else { throw location.fail("'shape' is for what is transposed") }
    guard let heads = fields["heads"], let order = fields["order"] else {
      guard fields["heads"] == nil, fields["order"] == nil else {
        throw location.fail("'heads' and 'order' need each other")
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
      throw location.fail(
        "an order that does not have each axis once", found: names.joined(separator: ", "),
        expected: "\(HeadOrder.names.joined(separator: ", ")), the outermost first")
    }
    return .splitHeads(axis: axis, heads: key, order: order)
  }

  private func list(
    _ fields: [String: YAMLValue], _ key: String, _ location: YAMLValue
  ) throws(FormatError) -> [YAMLValue] {
    guard let value = fields[key] else { throw location.fail("'\(key)' is missing") }
    let items = try value.list(key)
    guard items.count >= 2 else { throw value.fail("'\(key)' must name at least two") }
    return items
  }

  private func tensor(_ value: YAMLValue) throws(FormatError) -> Int {
    try tensor(try value.string("a target"), at: value)
  }

  private func tensor(_ name: String, at location: YAMLValue) throws(FormatError) -> Int {
    guard let index = tensorIndex[name] else {
      let advice = nearestName(to: name, among: tensorIndex.keys.sorted()).map { FormatError.Advice.didYouMean($0) }
      throw location.fail("unknown target '\(name)'", expected: "a name listed under 'tensors'", advice: advice)
    }
    return index
  }
}
