import TensorIO

/// Reads a table from YAML and refuses what is ambiguous, misspelt or undefined in it, with the line.
struct TableParser {
  let root: YAMLValue
  private var groups: [TensorGroup] = []
  private var tensors: [TableTensor] = []
  private var tensorIndex: [String: Int] = [:]
  private var symbols: Set<String> = []

  init(root: YAMLValue) { self.root = root }

  mutating func parse() throws(FormatError) -> MappingTable {
    let fields = try root.fields(
      "the table",
      [
        "family", "description", "model_type", "more_model_types", "config", "config_leaves_out", "sizes",
        "labels", "architectures", "tensors", "dialects",
      ])
    let family = try require(fields, "family").string("family")
    let keys = try parseConfig(try require(fields, "config"))
    symbols = Set(keys.filter(\.isDimension).map(\.name))
    // The labels' dimension is a symbol of the shapes, so it must be known before they are read.
    if let labels = fields["labels"] {
      let labelFields = try labels.fields("labels", ["dimension", "heads", "not_for"])
      symbols.insert(try require(labelFields, "dimension", of: labels).string("dimension"))
    }
    let sizes = try parseSizes(fields["sizes"])
    try parseTensors(try require(fields, "tensors"), keys)
    try checkDimensions(keys)
    let architectures = try fields["architectures"].map(parseArchitectures) ?? []
    let labels = try fields["labels"].map(parseLabels)
    var dialects: [Dialect] = []
    for (name, value) in try require(fields, "dialects").map("dialects") {
      var parser = DialectParser(
        name: name, tensors: tensors, groups: groups, tensorIndex: tensorIndex, configKeys: keys, symbols: symbols)
      dialects.append(try parser.parse(value))
    }
    guard !dialects.isEmpty else { throw root.fail("the table has no dialect") }
    for dialect in dialects {
      if let variant = dialect.variant, !dialects.contains(where: { $0.name == variant.of && $0.variant == nil }) {
        throw root.fail("'\(dialect.name)' is a variant of '\(variant.of)', which is no dialect of its own")
      }
    }
    return MappingTable(
      family: family, description: try fields["description"]?.string("description") ?? "a \(family)",
      modelType: try fields["model_type"]?.string("model_type") ?? family,
      moreModelTypes: try fields["more_model_types"]?.strings("more_model_types") ?? [], configKeys: keys,
      configLeavesOut: Set(try fields["config_leaves_out"]?.strings("config_leaves_out") ?? []), sizes: sizes,
      labels: labels, architectures: architectures, groups: groups, tensors: tensors, dialects: dialects)
  }

  private func require(
    _ fields: [String: YAMLValue], _ key: String, of value: YAMLValue? = nil
  ) throws(FormatError) -> YAMLValue {
    guard let found = fields[key] else { throw (value ?? root).fail("'\(key)' is missing") }
    return found
  }

  // MARK: Config

  private func parseConfig(_ value: YAMLValue) throws(FormatError) -> [ConfigKey] {
    var keys: [ConfigKey] = []
    var names: Set<String> = []
    for (name, entry) in try value.map("config") {
      let fields = try entry.fields(
        "config key '\(name)'",
        [
          "infer", "padded", "of", "head_size", "names", "default", "quiet", "required", "values", "least", "below",
        ])
      let others = try fields["names"]?.strings("names") ?? []
      for known in [name] + others where !names.insert(known).inserted {
        throw entry.fail("the config key '\(known)' is there twice")
      }
      let inference: ConfigKey.Inference
      switch try fields["infer"]?.string("infer") {
      case nil: inference = .nothing
      case "dimension": inference = .dimension(padded: try fields["padded"]?.bool("padded") ?? false)
      case "layers": inference = .layers
      case "heads":
        inference = .heads(
          of: try require(fields, "of", of: entry).string("of"),
          headSize: max(1, try require(fields, "head_size", of: entry).int("head_size")))
      case "groups": inference = .groups(try require(fields, "of", of: entry).strings("of"))
      case let other?:
        throw entry.fail("unknown inference '\(other)'", expected: "dimension, layers, heads or groups")
      }
      var key = ConfigKey(
        name: name, otherNames: others, inference: inference, defaultValue: try fields["default"]?.json("default"),
        isQuiet: try fields["quiet"]?.bool("quiet") ?? false,
        isRequired: try fields["required"]?.bool("required") ?? false)
      try addLimits(&key, fields, entry)
      keys.append(key)
    }
    for key in keys {
      if case .heads(let size, _) = key.inference, !keys.contains(where: { $0.name == size && $0.isDimension }) {
        throw value.fail("'\(key.name)' is inferred from '\(size)', which is no dimension")
      }
    }
    return keys
  }

  /// What the values of a key with a default may be.
  private func addLimits(
    _ key: inout ConfigKey, _ fields: [String: YAMLValue], _ entry: YAMLValue
  ) throws(FormatError) {
    key.words = try fields["values"]?.strings("values") ?? []
    key.least = try fields["least"]?.number("least")
    key.below = try fields["below"]?.number("below")
    if fields["values"] != nil, key.defaultValue?.stringValue == nil {
      throw entry.fail("'values' are for a key whose default is a word")
    }
    if key.least ?? key.below != nil, key.defaultValue?.doubleValue == nil {
      throw entry.fail("'least' and 'below' are for a key whose default is a number")
    }
    if let value = key.defaultValue, let limits = key.limits(against: value) {
      throw entry.fail("the default of '\(key.name)' is \(value.text()), not \(limits)")
    }
  }

  private func parseArchitectures(_ value: YAMLValue) throws(FormatError) -> [Architecture] {
    var result: [Architecture] = []
    for item in try value.list("architectures") {
      let fields = try item.fields("an architecture", ["name", "heads", "or", "reads"])
      var indices: [Int] = []
      for head in try fields["heads"]?.strings("heads") ?? [] { indices.append(try group(head, item)) }
      var reads: [Int] = []
      for group in try fields["reads"]?.strings("reads") ?? [] { reads.append(try self.group(group, item)) }
      result.append(
        Architecture(
          name: try require(fields, "name", of: item).string("name"), groups: indices,
          others: try fields["or"]?.strings("or") ?? [], reads: reads))
    }
    return result
  }

  private func parseLabels(_ value: YAMLValue) throws(FormatError) -> Labels {
    let fields = try value.fields("labels", ["dimension", "heads", "not_for"])
    var groups: [Int] = []
    for head in try require(fields, "heads", of: value).strings("heads") { groups.append(try group(head, value)) }
    return Labels(
      dimension: try require(fields, "dimension", of: value).string("dimension"),
      groups: groups,
      notFor: try fields["not_for"]?.strings("not_for") ?? [])
  }

  private func group(_ name: String, _ place: YAMLValue) throws(FormatError) -> Int {
    guard let index = groups.firstIndex(where: { $0.name == name }) else {
      throw place.fail("unknown group '\(name)'", expected: groups.map(\.name).joined(separator: ", "))
    }
    return index
  }

  // MARK: Tensors

  /// Further symbols, each with the dimensions that it can be.
  private mutating func parseSizes(_ value: YAMLValue?) throws(FormatError) -> [(name: String, choices: [Dimension])] {
    let entries = try value?.map("sizes") ?? []
    var result: [(name: String, choices: [Dimension])] = []
    for (name, entry) in entries {
      guard !symbols.contains(name) else { throw entry.fail("the dimension '\(name)' is there twice") }
      result.append((name, try parseShape(entry)))
    }
    symbols.formUnion(result.map(\.name))
    return result
  }

  private mutating func parseTensors(_ value: YAMLValue, _ keys: [ConfigKey]) throws(FormatError) {
    var ties: [(tensor: Int, base: String, place: YAMLValue)] = []
    var shapes: [TableTensor] = []
    for item in try value.list("tensors") {
      let fields = try item.fields(
        "a group of tensors", ["group", "required", "required_where_differ", "where", "tensors"])
      let name = try require(fields, "group", of: item).string("group")
      guard !groups.contains(where: { $0.name == name }) else { throw item.fail("the group '\(name)' is there twice") }
      groups.append(
        TensorGroup(
          name: name, isRequired: try fields["required"]?.bool("required") ?? false,
          requiredWhereDiffer: try fields["required_where_differ"].map(parseCondition) ?? [],
          settings: try fields["where"]?.settings("where", keys: keys.map(\.name)) ?? []))
      for (tensor, entry) in try require(fields, "tensors", of: item).map("tensors") {
        let pattern = NamePattern(tensor)
        guard !pattern.repeatsLayer else { throw entry.fail("'\(tensor)' has {layer} twice") }
        guard tensorIndex[tensor] == nil else { throw entry.fail("the tensor '\(tensor)' is there twice") }
        tensorIndex[tensor] = shapes.count
        if case .map = entry.content {
          let parts = try entry.fields("the tensor '\(tensor)'", ["shape", "tied", "first", "last"])
          if let tied = parts["tied"] { ties.append((shapes.count, try tied.string("tied"), tied)) }
          let known = TableTensor(
            pattern: pattern, shape: try parseShape(try require(parts, "shape", of: entry)),
            firstShape: try parts["first"].map(parseShape), lastShape: try parts["last"].map(parseShape),
            group: groups.count - 1, tiedTo: nil)
          guard known.firstShape?.count ?? known.shape.count == known.shape.count,
            known.lastShape?.count ?? known.shape.count == known.shape.count
          else { throw entry.fail("'first' and 'last' must have as many dimensions as 'shape'") }
          guard pattern.isPerLayer || known.firstShape ?? known.lastShape == nil else {
            throw entry.fail("'first' and 'last' are for tensors with {layer}")
          }
          shapes.append(known)
        } else {
          shapes.append(
            TableTensor(pattern: pattern, shape: try parseShape(entry), group: groups.count - 1, tiedTo: nil))
        }
      }
    }
    guard !shapes.isEmpty else { throw value.fail("the table has no tensor") }
    var bases: [Int: Int] = [:]
    for tie in ties {
      guard let base = tensorIndex[tie.base], base != tie.tensor else {
        throw tie.place.fail("tied to an unknown tensor '\(tie.base)'", advice: nearest(tie.base))
      }
      guard shapes[base].shape == shapes[tie.tensor].shape, !ties.contains(where: { $0.tensor == base }),
        shapes[base].pattern.isPerLayer == shapes[tie.tensor].pattern.isPerLayer
      else { throw tie.place.fail("'\(tie.base)' cannot be tied to: it must be of the same shape and not tied itself") }
      bases[tie.tensor] = base
    }
    for (index, base) in bases { shapes[index].tiedTo = base }
    tensors = shapes
  }

  /// Two different dimensions.
  private func parseCondition(_ value: YAMLValue) throws(FormatError) -> [String] {
    let names = try value.strings("required_where_differ")
    guard names.count == 2, names[0] != names[1] else {
      throw value.fail("'required_where_differ' needs two dimensions", found: names.joined(separator: ", "))
    }
    for item in try value.list("required_where_differ") { _ = try Dimension(item, symbols) }
    guard names.allSatisfy(symbols.contains) else {
      throw value.fail("'required_where_differ' needs the names of dimensions", found: names.joined(separator: ", "))
    }
    return names
  }

  private func nearest(_ name: String) -> FormatError.Advice? {
    nearestName(to: name, among: tensorIndex.keys.sorted()).map { FormatError.Advice.didYouMean($0) }
  }

  private func parseShape(_ value: YAMLValue) throws(FormatError) -> [Dimension] {
    var shape: [Dimension] = []
    for item in try value.list("a shape") { shape.append(try Dimension(item, symbols)) }
    return shape
  }

  /// A dimension that no shape has could never be inferred.
  private func checkDimensions(_ keys: [ConfigKey]) throws(FormatError) {
    var used: Set<String> = []
    for tensor in tensors {
      let shapes = [tensor.shape, tensor.firstShape ?? [], tensor.lastShape ?? []]
      for case .symbol(let name, _) in shapes.joined() { used.insert(name) }
    }
    if let unused = symbols.sorted().first(where: { !used.contains($0) }) {
      throw root.fail("no shape uses the dimension '\(unused)'")
    }
    for key in keys {
      if case .groups(let names) = key.inference {
        for name in names { _ = try group(name, root) }
      }
    }
    let hasLayers = tensors.contains { $0.pattern.isPerLayer }
    if !hasLayers, let key = keys.first(where: { $0.inference == .layers }) {
      throw root.fail("'\(key.name)' counts layers, but no tensor has {layer}")
    }
  }
}

extension Dimension {
  /// A number, a symbol, NUMBER*SYMBOL or SYMBOL/SYMBOL, of the `symbols` that are known.
  init(_ value: YAMLValue, _ symbols: Set<String>) throws(FormatError) {
    let text = try value.string("a dimension")
    if let number = Int(text) {
      guard number >= 0 else { throw value.fail("a negative dimension", found: text) }
      self = .number(number)
      return
    }
    func symbol(_ name: Substring) throws(FormatError) -> String {
      guard !symbols.contains(String(name)) else { return String(name) }
      let known = symbols.sorted()
      let advice = nearestName(to: String(name), among: known).map { FormatError.Advice.didYouMean($0) }
      throw value.fail("unknown dimension '\(name)'", expected: known.joined(separator: ", "), advice: advice)
    }
    if let slash = text.firstIndex(of: "/") {
      self = .quotient(try symbol(text[..<slash]), by: try symbol(text[text.index(after: slash)...]))
    } else if let star = text.firstIndex(of: "*") {
      guard let factor = Int(text[..<star]), factor > 0 else {
        throw value.fail("a dimension that is no number, symbol or NUMBER*SYMBOL", found: text)
      }
      self = .symbol(try symbol(text[text.index(after: star)...]), times: factor)
    } else {
      self = .symbol(try symbol(text[...]), times: 1)
    }
  }
}
