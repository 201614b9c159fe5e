import TensorIO

extension FamilyParser {
  /// Further symbols, each with the dimensions that it can be.
  mutating func parseSizes(_ value: YAMLValue?) throws(FormatError) -> [(name: String, choices: [Dimension])] {
    var result: [(name: String, choices: [Dimension])] = []
    for (name, entry) in try value?.map("sizes") ?? [] {
      guard !symbols.contains(name) else { throw entry.fail("the dimension '\(name)' is there twice") }
      result.append((name, try parseShape(entry)))
    }
    symbols.formUnion(result.map(\.name))
    return result
  }

  /// How a group takes the tensors of a list.
  private struct ListUse {
    var sizes: [String: String] = [:]
    var texts: [String: String] = [:]
    var index = 0
    var block = 0
  }

  private struct Tie {
    let tensor: Int
    let base: String
    let value: YAMLValue
  }

  mutating func parseTensors(_ value: YAMLValue, _ keys: [ConfigKey]) throws(FormatError) {
    var ties: [Tie] = []
    for item in try value.list("tensors") {
      let fields = try item.fields(
        "a group of tensors",
        ["group", "required", "required_where_differ", "where", "take", "sizes", "with", "index", "block", "tensors"])
      let name = try item.require("group", in: fields).string("group")
      guard !groups.contains(where: { $0.name == name }) else { throw item.fail("the group '\(name)' is there twice") }
      groups.append(
        TensorGroup(
          name: name, isRequired: try fields["required"]?.bool("required") ?? false,
          requiredWhereDiffer: try fields["required_where_differ"].map(parseCondition) ?? [],
          settings: try fields["where"]?.settings("where", keys: keys.map(\.name)) ?? []))
      let use = try parseUse(fields)
      for (tensor, entry) in try takenTensors(fields["take"]) { try add(tensor, entry, use, &ties) }
      if let own = fields["tensors"] {
        for (tensor, entry) in try own.map("tensors") { try add(tensor, entry, ListUse(), &ties) }
      } else if fields["take"] == nil {
        throw item.fail("'tensors' is missing")
      }
    }
    guard !tensors.isEmpty else { throw value.fail("the table has no tensor") }
    try tie(ties)
  }

  private func parseUse(_ fields: [String: YAMLValue]) throws(FormatError) -> ListUse {
    var use = ListUse()
    for (symbol, other) in try fields["sizes"]?.map("sizes") ?? [] { use.sizes[symbol] = try other.string("a size") }
    for (key, text) in try fields["with"]?.map("with") ?? [] {
      guard case .scalar(let text, _) = text.content else { throw text.fail("a part of a name must be a text") }
      use.texts[key] = text
    }
    use.index = try fields["index"]?.int("index") ?? 0
    use.block = try fields["block"]?.int("block") ?? 0
    use.texts["block"] = String(use.block)
    return use
  }

  /// The tensors of the list of that name, or of several.
  private func takenTensors(_ value: YAMLValue?) throws(FormatError) -> [(key: String, value: YAMLValue)] {
    guard let value else { return [] }
    let names: [String]
    if case .scalar = value.content { names = [try value.string("take")] } else { names = try value.strings("take") }
    var result: [(key: String, value: YAMLValue)] = []
    for name in names {
      guard let list = lists[name] else {
        let advice = nearestName(to: name, among: lists.keys.sorted()).map { FormatError.Advice.didYouMean($0) }
        throw value.fail("unknown list of tensors '\(name)'", advice: advice)
      }
      result += try list.map("the list '\(name)'")
    }
    return result
  }

  /// The canonical name: `.name` is below the base model's prefix, and `{key}` stands for a text that the group gives.
  private func canonicalName(_ name: String, _ use: ListUse) -> String {
    var result = name.hasPrefix(".") ? basePrefix + name.dropFirst() : name
    for (key, text) in use.texts {
      while let range = result[...].firstRange(ofBytes: "{\(key)}") { result.replaceSubrange(range, with: text) }
    }
    return result
  }

  private mutating func add(
    _ written: String, _ entry: YAMLValue, _ use: ListUse, _ ties: inout [Tie]
  ) throws(FormatError) {
    let name = canonicalName(written, use)
    let pattern = NamePattern(name)
    guard !pattern.repeatsLayer else { throw entry.fail("'\(name)' has {layer} twice") }
    guard tensorIndex[name] == nil else { throw entry.fail("the tensor '\(name)' is there twice") }
    tensorIndex[name] = tensors.count
    guard case .map = entry.content else {
      let shape = try parseShape(entry, renamed: use.sizes)
      tensors.append(CanonicalTensor(pattern: pattern, role: nil, shape: shape, group: groups.count - 1))
      return
    }
    let parts = try entry.fields("the tensor '\(name)'", ["role", "shape", "tied", "first", "last"])
    if let tied = parts["tied"] {
      ties.append(Tie(tensor: tensors.count, base: canonicalName(try tied.string("tied"), use), value: tied))
    }
    func shape(_ key: String) throws(FormatError) -> [Dimension]? {
      guard let value = parts[key] else { return nil }
      return try parseShape(value, renamed: use.sizes)
    }
    guard let main = try shape("shape") else { throw entry.fail("'shape' is missing") }
    let (first, last) = (try shape("first"), try shape("last"))
    guard first?.count ?? main.count == main.count, last?.count ?? main.count == main.count else {
      throw entry.fail("'first' and 'last' must have as many dimensions as 'shape'")
    }
    guard pattern.isPerLayer || first ?? last == nil else {
      throw entry.fail("'first' and 'last' are for tensors with {layer}")
    }
    tensors.append(
      CanonicalTensor(
        pattern: pattern, role: try parts["role"].map { value throws(FormatError) in try role(value, pattern, use) },
        shape: main, firstShape: first, lastShape: last, group: groups.count - 1))
  }

  private func role(_ value: YAMLValue, _ pattern: NamePattern, _ use: ListUse) throws(FormatError) -> TensorRole {
    let text = try value.string("role")
    guard let role = TensorRole(text) else {
      let known = ModelPart.allCases.flatMap { part in
        TensorRole.Parameter.allCases.map { TensorRole(part, $0).description }
      }
      let advice = nearestName(to: text, among: known).map { FormatError.Advice.didYouMean($0) }
      throw value.fail(
        "unknown role '\(text)'", expected: "PART.PARAMETER, as in embeddings.word.weight", advice: advice)
    }
    guard role.part.isPerLayer == pattern.isPerLayer else {
      throw value.fail("the role '\(text)' does not fit '\(pattern.text)': one of the two is of a layer")
    }
    return TensorRole(role.part, role.parameter, index: role.index + use.index, block: role.block + use.block)
  }

  private mutating func tie(_ ties: [Tie]) throws(FormatError) {
    var bases: [Int: Int] = [:]
    for tie in ties {
      guard let base = tensorIndex[tie.base], base != tie.tensor else {
        let advice = nearestName(to: tie.base, among: tensorIndex.keys.sorted())
          .map { FormatError.Advice.didYouMean($0) }
        throw tie.value.fail("tied to an unknown tensor '\(tie.base)'", advice: advice)
      }
      guard tensors[base].shape == tensors[tie.tensor].shape, !ties.contains(where: { $0.tensor == base }),
        tensors[base].pattern.isPerLayer == tensors[tie.tensor].pattern.isPerLayer
      else { throw tie.value.fail("'\(tie.base)' cannot be tied to: it must be of the same shape and not tied itself") }
      bases[tie.tensor] = base
    }
    for (index, base) in bases { tensors[index].tiedTo = base }
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

  private func parseShape(_ value: YAMLValue, renamed: [String: String] = [:]) throws(FormatError) -> [Dimension] {
    var shape: [Dimension] = []
    for item in try value.list("a shape") {
      shape.append(try Dimension(item, symbols.union(headKeys), renamed: renamed))
    }
    return shape
  }

  /// A dimension that no shape has could never be inferred.
  func checkDimensions(_ keys: [ConfigKey]) throws(FormatError) {
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
  private static let maxFactor = 1 << 20

  /// A number, a symbol, NUMBER*SYMBOL or SYMBOL/SYMBOL, of the `symbols` that are known, some of them `renamed` first.
  package init(
    _ value: YAMLValue, _ symbols: Set<String>, renamed: [String: String] = [:]
  ) throws(FormatError) {
    let text = try value.string("a dimension")
    if let number = Int(text) {
      guard (0...largestElementCount).contains(number) else {
        throw value.fail("an impossible dimension", found: text, expected: "0 to \(largestElementCount)")
      }
      self = .number(number)
      return
    }
    func symbol(_ written: Substring) throws(FormatError) -> String {
      let name = renamed[String(written)] ?? String(written)
      guard !symbols.contains(name) else { return name }
      let known = symbols.sorted()
      let advice = nearestName(to: name, among: known).map { FormatError.Advice.didYouMean($0) }
      throw value.fail("unknown dimension '\(name)'", expected: known.joined(separator: ", "), advice: advice)
    }
    if let slash = text.firstIndex(of: "/") {
      self = .quotient(try symbol(text[..<slash]), by: try symbol(text[text.index(after: slash)...]))
    } else if let star = text.firstIndex(of: "*") {
      guard let factor = Int(text[..<star]), (1...Self.maxFactor).contains(factor) else {
        throw value.fail("a dimension that is no number, symbol or NUMBER*SYMBOL", found: text)
      }
      self = .symbol(try symbol(text[text.index(after: star)...]), times: factor)
    } else {
      self = .symbol(try symbol(text[...]), times: 1)
    }
  }
}
