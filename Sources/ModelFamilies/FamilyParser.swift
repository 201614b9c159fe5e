import TensorIO

/// Reads a family from YAML and refuses what is ambiguous, misspelled or undefined in it, with the line.
package struct FamilyParser {
  /// The keys of a family's file.
  package static let keys = [
    "family", "description", "model_type", "more_model_types", "base", "config", "config_leaves_out", "sizes",
    "labels", "architectures", "computation", "heads", "lists", "tensors", "signatures", "possible_signatures",
  ]

  let root: YAMLValue
  let shared: SharedDefinitions
  let fields: [String: YAMLValue]
  var groups: [TensorGroup] = []
  var tensors: [CanonicalTensor] = []
  var tensorIndex: [String: Int] = [:]
  /// The dimensions that shapes must have.
  var symbols: Set<String> = []
  /// The keys that count heads, which shapes may have.
  var headKeys: Set<String> = []
  var basePrefix = ""
  var lists: [String: YAMLValue] = [:]

  /// Reads the family in `root`; `otherKeys` are keys of the same mapping that somebody else reads.
  package static func parse(
    _ root: YAMLValue, shared: SharedDefinitions? = nil, otherKeys: [String] = []
  ) throws(FormatError) -> ModelFamily {
    let fields = try root.fields("the table", keys + otherKeys)
    let shared = if let shared { shared } else { try SharedDefinitions.builtIn() }
    var parser = FamilyParser(root: root, shared: shared, fields: fields)
    return try parser.family()
  }

  private init(root: YAMLValue, shared: SharedDefinitions, fields: [String: YAMLValue]) {
    self.root = root
    self.shared = shared
    self.fields = fields
  }

  private mutating func family() throws(FormatError) -> ModelFamily {
    let name = try root.require("family", in: fields).string("family")
    let keys = try parseConfig(try root.require("config", in: fields))
    symbols = Set(keys.filter(\.isDimension).map(\.name))
    headKeys = Set(keys.filter(\.countsHeads).map(\.name))
    // The labels' dimension is a symbol of the shapes, so it must be known before they are read.
    if let labels = fields["labels"] {
      let labelFields = try labels.fields("labels", ["dimension", "heads", "not_for"])
      symbols.insert(try labels.require("dimension", in: labelFields).string("dimension"))
    }
    basePrefix = try fields["base"]?.string("base") ?? ""
    lists = shared.tensorLists
    for (list, value) in try fields["lists"]?.map("lists") ?? [] { lists[list] = value }
    let sizes = try parseSizes(fields["sizes"])
    try parseTensors(try root.require("tensors", in: fields), keys)
    try checkDimensions(keys)
    let modelType = try fields["model_type"]?.string("model_type") ?? name
    return ModelFamily(
      name: name, description: try fields["description"]?.string("description") ?? "a \(name)",
      modelTypes: [modelType] + (try fields["more_model_types"]?.strings("more_model_types") ?? []),
      basePrefix: basePrefix, computation: try parseComputation(fields["computation"], heads: fields["heads"]),
      configKeys: keys, configKeysLeftOut: try parseLeftOutKeys(fields["config_leaves_out"]), sizes: sizes,
      labels: try fields["labels"].map(parseLabels),
      architectures: try fields["architectures"].map(parseArchitectures) ?? [], groups: groups, tensors: tensors,
      signatures: try fields["signatures"].map(FamilySignature.parseAll) ?? [],
      possibleSignatures: try fields["possible_signatures"].map(FamilySignature.parseAll) ?? [])
  }

  // MARK: Heads and computation

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
          name: try item.require("name", in: fields).string("name"), groups: indices,
          others: try fields["or"]?.strings("or") ?? [], reads: reads))
    }
    return result
  }

  private func parseLabels(_ value: YAMLValue) throws(FormatError) -> Labels {
    let fields = try value.fields("labels", ["dimension", "heads", "not_for"])
    var groups: [Int] = []
    for head in try value.require("heads", in: fields).strings("heads") { groups.append(try group(head, value)) }
    return Labels(
      dimension: try value.require("dimension", in: fields).string("dimension"), groups: groups,
      excludedArchitectures: try fields["not_for"]?.strings("not_for") ?? [])
  }

  private func parseComputation(_ value: YAMLValue?, heads: YAMLValue?) throws(FormatError) -> Computation {
    var result = Computation()
    let fields = try value?.fields(
      "computation",
      [
        "positions", "norm", "norm_kind", "pooler", "causal", "layer_matrices", "token_type_ids", "default_token_type",
        "embedding_norm_epsilon", "feed_forward_norm_epsilon", "activations",
      ])
    if let value = fields?["positions"] { result.positionIDs = try value.choice("positions") }
    if let value = fields?["norm"] { result.normPlacement = try value.choice("norm") }
    if let value = fields?["norm_kind"] { result.normKind = try value.choice("norm_kind") }
    if let value = fields?["pooler"] { result.pooler = try value.choice("pooler") }
    if let value = fields?["causal"] { result.isCausal = try value.bool("causal") }
    if let value = fields?["layer_matrices"] { result.layerMatrices = try value.choice("layer_matrices") }
    if let value = fields?["token_type_ids"] { result.tokenTypeIDs = try value.choice("token_type_ids") }
    if let value = fields?["default_token_type"] { result.defaultTokenType = try value.int("default_token_type") }
    result.embeddingNormEpsilon = try fields?["embedding_norm_epsilon"]?.number("embedding_norm_epsilon")
    result.feedForwardNormEpsilon = try fields?["feed_forward_norm_epsilon"]?.number("feed_forward_norm_epsilon")
    for (word, function) in try fields?["activations"]?.map("activations") ?? [] {
      result.activationMeanings[word] = try function.activation("the function of '\(word)'")
    }
    if let heads { result.heads = try parseHeads(heads) }
    return result
  }

  private func parseHeads(_ value: YAMLValue) throws(FormatError) -> Computation.Heads {
    var result = Computation.Heads()
    let fields = try value.fields(
      "heads", ["prediction", "next_sentence", "sequence_classifier", "classifier_transform", "classifier"])
    let prediction = try fields["prediction"]?.fields("prediction", ["activation", "tied"])
    result.predictionActivation = try prediction?["activation"]?.activation("activation")
    if let tied = prediction?["tied"] {
      if case .list = tied.content {
        result.tiedPrediction = .architectures(try tied.strings("tied"))
      } else {
        result.tiedPrediction = try tied.bool("tied") ? .always : .never
      }
    }
    let nextSentence = try fields["next_sentence"]?.fields("next_sentence", ["output", "reads"])
    if let output = nextSentence?["output"] { result.nextSentenceOutput = try output.string("output") }
    if let reads = nextSentence?["reads"] {
      result.nextSentenceReadsFirstToken = try reads.oneOf(["pooler", "first_token"], "reads") == "first_token"
    }
    let sequence = try fields["sequence_classifier"]?.fields("sequence_classifier", ["activation"])
    if let value = sequence?["activation"] { result.sequenceClassifierActivation = try value.activation("activation") }
    let transform = try fields["classifier_transform"]?.fields("classifier_transform", ["activation"])
    if let value = transform?["activation"] {
      result.classifierTransformActivation = try value.activation("activation")
    }
    if let reads = try fields["classifier"]?.fields("classifier", ["reads"])["reads"] {
      result.classifierReadsLastToken = try reads.oneOf(["pooler", "last_token"], "reads") == "last_token"
    }
    return result
  }

  func group(_ name: String, _ value: YAMLValue) throws(FormatError) -> Int {
    guard let index = groups.firstIndex(where: { $0.name == name }) else {
      throw value.fail("unknown group '\(name)'", expected: groups.map(\.name).joined(separator: ", "))
    }
    return index
  }
}

extension YAMLValue {
  /// The value of a key that must be there.
  package func require(_ key: String, in fields: [String: YAMLValue]) throws(FormatError) -> YAMLValue {
    guard let found = fields[key] else { throw fail("'\(key)' is missing") }
    return found
  }

  /// One of these words.
  func oneOf(_ words: [String], _ what: String) throws(FormatError) -> String {
    let word = try string(what)
    guard words.contains(word) else {
      throw fail("unknown \(what) '\(word)'", expected: words.joined(separator: " or "))
    }
    return word
  }
}
