import ModelFamilies
import TensorIO

/// One family of models as a table: its canonical tensors, its config, and the names that its dialects give them.
///
/// A table is data. Its form is specified in `docs/EXTENDING.md`; reading it checks that it is unambiguous.
public struct MappingTable: Sendable {
  /// What the family is: config, tensors, heads.
  public let model: ModelFamily
  let dialects: [Dialect]

  public var family: String { model.name }
  /// The family with its article, as in "a BERT".
  public var description: String { model.description }
  /// The names of the dialects, in the table's order.
  public var dialectNames: [String] { dialects.map(\.name) }

  var tensors: [CanonicalTensor] { model.tensors }
  var groups: [TensorGroup] { model.groups }

  /// The tables that are built into the program: each family with the dialects that the files in `Tables` have for it.
  public static func builtIn() throws -> [MappingTable] {
    let families = try ModelFamily.builtIn()
    var dialects: [String: [Dialect]] = [:]
    for (file, content) in dialectFiles {
      let root = try YAMLValue.parse(String(decoding: content, as: UTF8.self), file: file)
      for entry in try TableParser(root: root, families: families).parseDialects() {
        dialects[entry.family, default: []] += entry.dialects
      }
    }
    return families.compactMap { family in dialects[family.name].map { MappingTable(model: family, dialects: $0) } }
  }

  /// A new dialect is its file and one line here. Of dialects that know equally many names the earlier one wins.
  static let dialectFiles: [(name: String, content: [UInt8])] = [
    ("bert.google-tf1.yaml", PackageResources.bert_google_tf1_yaml),
    ("bert.tf-garden.yaml", PackageResources.bert_tf_garden_yaml),
    ("albert.tf-garden.yaml", PackageResources.albert_tf_garden_yaml),
    ("bert.keras-bert.yaml", PackageResources.bert_keras_bert_yaml),
    ("bert.bert-for-tf2.yaml", PackageResources.bert_bert_for_tf2_yaml),
    ("bert.BERT-keras.yaml", PackageResources.bert_BERT_keras_yaml),
    ("bert.keras-hub.yaml", PackageResources.bert_keras_hub_yaml),
    ("albert.keras-hub.yaml", PackageResources.albert_keras_hub_yaml),
    ("electra.keras-hub.yaml", PackageResources.electra_keras_hub_yaml),
    ("distilbert.keras-hub.yaml", PackageResources.distilbert_keras_hub_yaml),
    ("roberta.keras-hub.yaml", PackageResources.roberta_keras_hub_yaml),
    ("bert.bert4keras.yaml", PackageResources.bert_bert4keras_yaml),
    ("electra.google-tf1.yaml", PackageResources.electra_google_tf1_yaml),
    ("albert.google-tf1.yaml", PackageResources.albert_google_tf1_yaml),
    ("mobilebert.google-tf1.yaml", PackageResources.mobilebert_google_tf1_yaml),
    ("bert.transformers.yaml", PackageResources.bert_transformers_yaml),
    ("transformers.yaml", PackageResources.transformers_yaml),
    ("flax.yaml", PackageResources.flax_yaml),
    ("transformers-tf.yaml", PackageResources.transformers_tf_yaml),
    ("mobilebert.transformers-tf.yaml", PackageResources.mobilebert_transformers_tf_yaml),
    ("albert.transformers-tf.yaml", PackageResources.albert_transformers_tf_yaml),
    ("roberta.fairseq.yaml", PackageResources.roberta_fairseq_yaml),
    ("megatron-bert.megatron-lm.yaml", PackageResources.megatron_bert_megatron_lm_yaml),
    ("gpt.openai.yaml", PackageResources.gpt_openai_yaml),
    ("codertimo.bert-pytorch.yaml", PackageResources.codertimo_bert_pytorch_yaml),
    ("uer.uer-py.yaml", PackageResources.uer_uer_py_yaml),
    ("ulmfit.fastai.yaml", PackageResources.ulmfit_fastai_yaml),
  ]

  /// Reads a table and checks it; `file` is for error messages.
  ///
  /// A table describes its family, or names one that is built in.
  public init(yaml: String, file: String?) throws(FormatError) {
    self = try TableParser(root: try YAMLValue.parse(yaml, file: file), families: nil).parse()
  }

  init(model: ModelFamily, dialects: [Dialect]) {
    self.model = model
    self.dialects = dialects
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

/// One way of naming and laying out the tensors of a family.
struct Dialect: Sendable {
  let name: String
  let root: String
  let anchors: [String]
  let rules: [Rule]
  let drops: [DropRule]
  /// The built-in lists that it names under `drop`.
  let dropLists: [String]
  /// Where a source name leads, by name and by pattern; kept apart, so that a name cannot pass as a pattern.
  let literals: [String: RuleSource]
  let patterns: [String: RuleSource]
  /// The rule that gives a tensor its own name in the dialect.
  let ruleOfTensor: [Int: Int]
  /// The dialect that it stands for where a config names one of the architectures.
  let variant: (of: String, architectures: [String])?
  /// Values next to the tensors without which a source is not of the dialect.
  var conditions: [Condition] = []
  /// Config keys that the checkpoint itself gives, and the names of their values.
  var configValues: [String: String] = [:]
  /// Parts of names that some programs write otherwise, and how the rules have them.
  var spellings: [(other: String, ours: String)] = []
  /// What is assumed of keys in place of the table's own defaults: what the dialect's program computes.
  var defaults: [String: JSON] = [:]
  /// Words of a config that mean another in this program, by key.
  var meanings: [String: [String: String]] = [:]
  /// Words of a config that have had two meanings in this program, by key: what they are, and which is taken.
  var variations: [String: [String: String]] = [:]
  /// A note for every source of the dialect.
  var note: String?
  /// Keys of the canonical config with values: only models that have all of them have these names.
  let exportSettings: [(key: String, value: JSON)]
  /// The number that the first layer has in the dialect's names.
  var firstLayer = 0
  /// Whether a name has the number of its layer more than once.
  var repeatsLayer = false
  /// Words of names whose numbers count anew within what precedes them.
  var renumbered: [String] = []
  /// Config keys whose value the dialect's program fixes, and which it does not read from a config.
  var fixed: [String: JSON] = [:]
  /// Tensors that the dialect's program lacks and that are rows of zeros.
  var zeros: [(tensor: Int, rows: Int)] = []

  /// Whether the dialect may be taken for a source whose config names `architectures`.
  func isOpen(to architectures: [String]) -> Bool {
    variant.map { !Set($0.architectures).isDisjoint(with: architectures) } ?? true
  }

  func find(_ name: String) -> RuleMatch? {
    if let match = findAsWritten(name) { return match }
    let spelled = spelled(name)
    return spelled == name ? nil : findAsWritten(spelled)
  }

  /// The name with the parts that some programs write otherwise as the rules have them.
  func spelled(_ name: String) -> String {
    var spelled = name
    for spelling in spellings {
      if let range = Self.range(of: spelling.other, in: spelled) {
        spelled.replaceSubrange(range, with: spelling.ours)
      }
    }
    return spelled
  }

  /// Where a spelling is in a name; `*` in it is one component of the name.
  private static func range(of spelling: String, in name: String) -> Range<String.Index>? {
    guard let star = spelling[...].firstRange(ofBytes: "*") else { return name[...].firstRange(ofBytes: spelling) }
    let (start, end) = (String(spelling[..<star.lowerBound]), String(spelling[star.upperBound...]))
    guard let first = name[...].firstRange(ofBytes: start),
      let last = name[first.upperBound...].firstRange(ofBytes: end),
      !name[first.upperBound..<last.lowerBound].contains(where: { $0 == "." || $0 == "/" }),
      first.upperBound < last.lowerBound
    else { return nil }
    return first.lowerBound..<last.upperBound
  }

  private func findAsWritten(_ name: String) -> RuleMatch? {
    if let source = literals[name] { return RuleMatch(source: source, layer: nil) }
    for (pattern, number) in NamePattern.layered(name, repeated: repeatsLayer) where number >= firstLayer {
      if let source = patterns[pattern] { return RuleMatch(source: source, layer: number - firstLayer) }
    }
    return nil
  }
}

struct Rule: Sendable {
  let operation: RuleOperation
  let sources: [NamePattern]
  /// Indices into the table's tensors.
  let targets: [Int]
  /// The shape of the source, where it is not the one that follows from the operation; the elements are in the same order.
  let shape: [Dimension]?

  var isPerLayer: Bool { sources[0].isPerLayer }
}

/// One of the sources of a rule.
struct RuleSource: Sendable, Hashable {
  let rule: Int
  let position: Int
}

/// The source of a rule that a name matches, and the number of its layer.
struct RuleMatch: Sendable, Hashable {
  let source: RuleSource
  let layer: Int?
}
