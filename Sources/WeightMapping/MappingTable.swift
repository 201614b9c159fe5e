import TensorIO

/// One family of models as a table: its canonical tensors, its config, and the names that its dialects give them.
///
/// A table is data. What it may say is specified in `docs/EXTENDING.md`; reading it checks that it is unambiguous.
public struct MappingTable: Sendable {
  public let family: String
  /// The family with its article, as in "a BERT".
  public let description: String
  public let modelType: String
  /// Other values of `model_type` that mean the same model.
  let moreModelTypes: [String]
  /// The names of the dialects, in the table's order.
  public var dialectNames: [String] { dialects.map(\.name) }

  let configKeys: [ConfigKey]
  let configLeavesOut: Set<String>
  /// Symbols of shapes that no key of the config gives, and what they can be: anything where nothing is said.
  let sizes: [(name: String, choices: [Dimension])]
  let labels: Labels?
  let architectures: [Architecture]
  let groups: [TensorGroup]
  /// In forward order; those with `{layer}` that stand together repeat together.
  let tensors: [TableTensor]
  let dialects: [Dialect]

  /// The tables that are built into the program. A new family is one line here and its file.
  public static func builtIn() throws -> [MappingTable] {
    try [
      ("bert.yaml", PackageResources.bert_yaml), ("distilbert.yaml", PackageResources.distilbert_yaml),
      ("roberta.yaml", PackageResources.roberta_yaml), ("electra.yaml", PackageResources.electra_yaml),
      ("albert.yaml", PackageResources.albert_yaml), ("megatron-bert.yaml", PackageResources.megatron_bert_yaml),
      ("mobilebert.yaml", PackageResources.mobilebert_yaml), ("openai-gpt.yaml", PackageResources.openai_gpt_yaml),
      ("bert-pytorch.yaml", PackageResources.bert_pytorch_yaml), ("ulmfit.yaml", PackageResources.ulmfit_yaml),
    ].map { try MappingTable(yaml: String(decoding: $1, as: UTF8.self), file: $0) }
  }

  /// Reads a table and checks it; `file` is for error messages.
  public init(yaml: String, file: String?) throws(FormatError) {
    var parser = TableParser(root: try YAMLValue.parse(yaml, file: file))
    self = try parser.parse()
  }

  init(
    family: String, description: String, modelType: String, moreModelTypes: [String], configKeys: [ConfigKey],
    configLeavesOut: Set<String>, sizes: [(name: String, choices: [Dimension])], labels: Labels?,
    architectures: [Architecture], groups: [TensorGroup],
    tensors: [TableTensor], dialects: [Dialect]
  ) {
    self.family = family
    self.description = description
    self.modelType = modelType
    self.moreModelTypes = moreModelTypes
    self.configKeys = configKeys
    self.configLeavesOut = configLeavesOut
    self.sizes = sizes
    self.labels = labels
    self.architectures = architectures
    self.groups = groups
    self.tensors = tensors
    self.dialects = dialects
  }

  /// The names under which a config can give the sizes of such a model.
  var sizeKeys: Set<String> {
    Set(configKeys.filter { $0.inference != .nothing }.flatMap { [$0.name] + $0.otherNames })
  }

  func isOf(modelType type: String?) -> Bool {
    guard let type else { return false }
    return type == modelType || moreModelTypes.contains(type)
  }

  /// Every tensor of a model of these layers, in forward order.
  func expanded(layers: [Int]) -> [TargetKey] {
    var result: [TargetKey] = []
    var index = 0
    while index < tensors.count {
      guard tensors[index].pattern.isPerLayer else {
        result.append(TargetKey(tensor: index, layer: nil))
        index += 1
        continue
      }
      let end = tensors[index...].firstIndex { !$0.pattern.isPerLayer } ?? tensors.count
      for layer in layers {
        for tensor in index..<end { result.append(TargetKey(tensor: tensor, layer: layer)) }
      }
      index = end
    }
    return result
  }

  func name(_ key: TargetKey) -> String { tensors[key.tensor].pattern.name(layer: key.layer) }

  /// The shape of a tensor in a model of these layers.
  func shape(_ key: TargetKey, layers: [Int]) -> [Dimension] {
    let tensor = tensors[key.tensor]
    guard let layer = key.layer, tensor.firstShape ?? tensor.lastShape != nil else { return tensor.shape }
    var shape = tensor.shape
    for special in [layer == 0 ? tensor.firstShape : nil, layer == layers.last ? tensor.lastShape : nil] {
      guard let special else { continue }
      for index in shape.indices where special[index] != tensor.shape[index] { shape[index] = special[index] }
    }
    return shape
  }
}

/// A canonical tensor, of a certain layer where the table has `{layer}`.
struct TargetKey: Hashable, Sendable {
  let tensor: Int
  let layer: Int?
}

/// One dimension of a shape in a table: `2`, `hidden_size`, `3*hidden_size` or `hidden_size/num_attention_heads`.
enum Dimension: Sendable, Equatable {
  case number(Int)
  case symbol(String, times: Int)
  case quotient(String, by: String)

  func value(_ symbols: [String: Int]) -> Int? {
    switch self {
    case .number(let value): return value
    case .symbol(let name, let times):
      guard let value = symbols[name] else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: times)
      return overflow ? nil : product
    case .quotient(let name, let divisor):
      guard let value = symbols[name], let parts = symbols[divisor], parts > 0, value % parts == 0 else { return nil }
      return value / parts
    }
  }

  /// The number where it is known, else the symbol.
  func text(_ symbols: [String: Int]) -> String {
    if let value = value(symbols) { return String(value) }
    switch self {
    case .number(let value): return String(value)
    case .symbol(let name, let times): return times == 1 ? name : "\(times)*\(name)"
    case .quotient(let name, let divisor): return "\(name)/\(divisor)"
    }
  }
}

struct TensorGroup: Sendable {
  let name: String
  let isRequired: Bool
  /// Two dimensions between which the group stands: it is required where they differ.
  var requiredWhereDiffer: [String] = []
  /// Keys of the canonical config with values: it is there where the config has all of them, and nowhere else.
  var settings: [(key: String, value: JSON)] = []

  var canBeRequired: Bool { isRequired || !requiredWhereDiffer.isEmpty || !settings.isEmpty }

  /// The first of ``settings`` that `config` does not have.
  func settingAgainst(_ config: JSON) -> (key: String, value: JSON)? { settings.first { config[$0.key] != $0.value } }

  /// Whether a model of these sizes needs it; a size that nothing tells makes no demand.
  func isRequired(_ dimensions: [String: Int], _ config: JSON) -> Bool {
    if !settings.isEmpty { return settingAgainst(config) == nil }
    guard !isRequired, requiredWhereDiffer.count == 2 else { return isRequired }
    guard let a = dimensions[requiredWhereDiffer[0]], let b = dimensions[requiredWhereDiffer[1]] else { return false }
    return a != b
  }
}

struct TableTensor: Sendable {
  let pattern: NamePattern
  let shape: [Dimension]
  /// The shape in the first layer and in the last, where they differ in some dimension.
  var firstShape: [Dimension]?
  var lastShape: [Dimension]?
  let group: Int
  /// The tensor that this one is a copy of, unless its bytes differ.
  var tiedTo: Int?
}

struct ConfigKey: Sendable {
  enum Inference: Sendable, Equatable {
    case nothing
    /// The dimension of this name; `padded`: the weights may have more of it than the config says.
    case dimension(padded: Bool)
    case layers
    /// Not told by any shape: `of` divided by `headSize` where that goes.
    case heads(of: String, headSize: Int)
    /// How many of the groups of these names are there.
    case groups([String])
  }

  let name: String
  /// Other names of the same key, of other tools' configs.
  let otherNames: [String]
  let inference: Inference
  let defaultValue: JSON?
  /// Whether an assumed value needs no note.
  let isQuiet: Bool
  /// Whether only a config can give it: without one the model is refused.
  let isRequired: Bool
  /// The words that are possible; any where there are none.
  var words: [String] = []
  /// The least number that is possible, and the first that is too large.
  var least: Double?
  var below: Double?

  /// What the value ought to be, where it is not that.
  func limits(against value: JSON) -> String? {
    if !words.isEmpty, let word = value.stringValue, !words.contains(word) {
      let advice = nearestName(to: word, among: words).map { ". Did you mean '\($0)'?" }
      return "one of \(words.joined(separator: ", "))" + (advice ?? "")
    }
    guard let number = value.doubleValue, number < least ?? -.infinity || number >= below ?? .infinity else {
      return nil
    }
    let bounds = [least.map { "at least \(JSON.double($0).text())" }, below.map { "below \(JSON.double($0).text())" }]
    return bounds.compactMap(\.self).joined(separator: " and ")
  }

  var isDimension: Bool { if case .dimension = inference { true } else { false } }
  var countsHeads: Bool { if case .heads = inference { true } else { false } }
}

struct Labels: Sendable {
  let dimension: String
  /// The groups that have as many outputs as there are labels.
  let groups: [Int]
  let notFor: [String]
}

struct Architecture: Sendable {
  let name: String
  let groups: [Int]
  /// Architectures of the same tensors.
  let others: [String]
  /// Groups that its outputs need beside the heads.
  let reads: [Int]
}

/// One way of naming and laying out the tensors of a family.
struct Dialect: Sendable {
  let name: String
  let root: String
  let anchors: [String]
  let rules: [Rule]
  let drops: [DropRule]
  /// Where a source name leads, by name and by pattern; kept apart, so that a name cannot pass as a pattern.
  let literals: [String: RuleSource]
  let patterns: [String: RuleSource]
  /// The rule that gives a tensor its own name in the dialect.
  let ruleOfTensor: [Int: Int]
  /// The dialect that it stands for where a config names one of the architectures.
  let variant: (of: String, architectures: [String])?
  /// Values beside the tensors without which a source is not of the dialect.
  var conditions: [Condition] = []
  /// Config keys that the checkpoint itself tells, and the values that do.
  var configValues: [String: String] = [:]
  /// Parts of names that some programs write otherwise, and how the rules have them.
  var spellings: [(other: String, ours: String)] = []
  /// What is assumed of keys in place of the table's own defaults: what the dialect's program computes.
  var defaults: [String: JSON] = [:]
  /// Words of a config that mean another in this program, by key.
  var meanings: [String: [String: String]] = [:]
  /// What the user is to know of every source of the dialect.
  var note: String?
  /// Keys of the canonical config with values: only models that have all of them are called so.
  let exportSettings: [(key: String, value: JSON)]
  /// The number that the first layer has in the dialect's names.
  var firstLayer = 0
  /// Whether a name has the number of its layer more than once.
  var repeatsLayer = false

  /// Whether the dialect may be taken for a source whose config names `architectures`.
  func isOpen(to architectures: [String]) -> Bool {
    variant.map { !Set($0.architectures).isDisjoint(with: architectures) } ?? true
  }

  func find(_ name: String) -> Hit? {
    if let hit = findAsWritten(name) { return hit }
    var spelled = name
    for spelling in spellings {
      if let place = spelled[...].firstRange(ofBytes: spelling.other) {
        spelled.replaceSubrange(place, with: spelling.ours)
      }
    }
    return spelled == name ? nil : findAsWritten(spelled)
  }

  private func findAsWritten(_ name: String) -> Hit? {
    if let source = literals[name] { return Hit(source: source, layer: nil) }
    for (pattern, number) in NamePattern.layered(name, repeated: repeatsLayer) where number >= firstLayer {
      if let source = patterns[pattern] { return Hit(source: source, layer: number - firstLayer) }
    }
    return nil
  }
}

struct Rule: Sendable {
  let operation: RuleOperation
  let sources: [NamePattern]
  /// Indices into the table's tensors.
  let targets: [Int]
  /// The shape of the source, where it is another than the operation would lead to: the elements lie alike.
  let shape: [Dimension]?

  var isPerLayer: Bool { sources[0].isPerLayer }
}

/// A place among the sources of a rule.
struct RuleSource: Sendable, Hashable {
  let rule: Int
  let position: Int
}

/// What a name was found to be.
struct Hit: Sendable, Hashable {
  let source: RuleSource
  let layer: Int?
}
