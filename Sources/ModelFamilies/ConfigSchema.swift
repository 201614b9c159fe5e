import TensorIO

/// A setting of the computation that configs give under different keys.
///
/// The raw value is the key of most families, in the style of `transformers`.
public enum ConfigSetting: String, Sendable, CaseIterable {
  case vocabularySize = "vocab_size"
  case embeddingSize = "embedding_size"
  case hiddenSize = "hidden_size"
  /// The width inside a layer with bottlenecks.
  case innerSize = "intra_bottleneck_size"
  case layerCount = "num_hidden_layers"
  /// How many sets of weights the layers share.
  case groupCount = "num_hidden_groups"
  /// Blocks of attention and feed-forward in one layer.
  case blocksPerLayer = "inner_group_num"
  case headCount = "num_attention_heads"
  case intermediateSize = "intermediate_size"
  case feedForwardCount = "num_feedforward_networks"
  case activation = "hidden_act"
  case positionCount = "max_position_embeddings"
  case tokenTypeCount = "type_vocab_size"
  case taskTypeCount = "task_type_vocab_size"
  case usesTaskTypes = "use_task_id"
  case layerNormEpsilon = "layer_norm_eps"
  case paddingID = "pad_token_id"
  case relativeBucketCount = "relative_attention_num_buckets"
  /// Whether a token's embedding is made of its neighbors' too.
  case readsNeighbors = "trigram_input"
  case usesBottleneck = "use_bottleneck"
  case bottleneckFeedsAttention = "use_bottleneck_attention"
  case sharesBottleneck = "key_query_shared_bottleneck"
  /// `layer_norm` or `no_norm`.
  case normalization = "normalization_type"
  /// Whether the pooler has a dense layer.
  case poolerIsDense = "classifier_activation"
  /// Features between two layers of a recurrent stack.
  case recurrentSize = "n_hid"
}

/// A key that configs of every family may have, whatever the model computes.
///
/// The raw value is the key as `transformers` spells it.
public enum CommonConfigKey: String, Sendable {
  case modelType = "model_type"
  /// The classes of the model.
  case architectures
  /// The names of the classes of a classifier, by number.
  case labelNames = "id2label"
  /// The numbers of the classes of a classifier, by name.
  case labelNumbers = "label2id"
  case tiesWordEmbeddings = "tie_word_embeddings"
  case positionKind = "position_embedding_type"
  case isDecoder = "is_decoder"
  case hasCrossAttention = "add_cross_attention"
  case quantization = "quantization_config"
  case prunedHeads = "pruned_heads"
}

extension JSON {
  public subscript(_ key: CommonConfigKey) -> JSON? { self[key.rawValue] }
  public mutating func set(_ key: CommonConfigKey, _ value: JSON) { set(key.rawValue, value) }

  /// A setting under the first of the keys that configs of any family have for it.
  package func value(of setting: ConfigSetting) -> JSON? {
    ModelFamily.keys(of: setting).lazy.compactMap { self[$0] }.first
  }
}

/// A key of a family's config: how its value is found, and what it can be.
package struct ConfigKey: Sendable {
  package enum Inference: Sendable, Equatable {
    case nothing
    /// The dimension of this name; `padded`: the weights may have more of it than the config gives.
    case dimension(padded: Bool)
    case layers
    /// No shape shows it: `of` divided by `headSize` where that divides evenly.
    case heads(of: String, headSize: Int)
    /// How many of the groups of these names are present.
    case groups([String])
  }

  package let name: String
  /// Other names of the same key, in other tools' configs.
  package let otherNames: [String]
  /// What the key means for the computation; `nil` where it plays no part in inference.
  package var setting: ConfigSetting?
  package let inference: Inference
  /// What a conversion assumes where neither config nor checkpoint gives the value.
  package let defaultValue: JSON?
  /// What `transformers` takes where a config lacks the key, if that is not ``defaultValue``.
  package var absentValue: JSON?
  /// Whether an assumed value needs no note.
  package let isQuiet: Bool
  /// Whether only a config can give it: without one the model is refused.
  package let isRequired: Bool
  /// The words that are possible; any where there are none.
  package var words: [String] = []
  /// The least number that is possible, and the first that is too large.
  package var minimum: Double?
  package var upperBound: Double?

  package var isDimension: Bool { if case .dimension = inference { true } else { false } }
  package var countsHeads: Bool { if case .heads = inference { true } else { false } }

  /// What the value ought to be, where it is not that.
  package func limits(against value: JSON) -> String? {
    if !words.isEmpty, let word = value.stringValue, !words.contains(word) {
      // Where only one word is possible, another is another model's and no typing error.
      let advice = (words.count > 1 ? nearestName(to: word, among: words) : nil).map { ". Did you mean '\($0)'?" }
      return "one of \(words.joined(separator: ", "))" + (advice ?? "")
    }
    guard let number = value.doubleValue, number < minimum ?? -.infinity || number >= upperBound ?? .infinity else {
      return nil
    }
    let bounds = [
      minimum.map { "at least \(JSON.double($0).text())" }, upperBound.map { "below \(JSON.double($0).text())" },
    ]
    return bounds.compactMap(\.self).joined(separator: " and ")
  }
}

/// The names of the classes of a classifier.
package struct Labels: Sendable {
  /// The symbol of shapes that counts them.
  package let dimension: String
  /// The groups that have as many outputs as there are labels.
  package let groups: [Int]
  /// Architectures whose outputs are not classes.
  package let excludedArchitectures: [String]
}

/// A class of `transformers`, and the heads that it has.
package struct Architecture: Sendable {
  package let name: String
  package let groups: [Int]
  /// Architectures of the same tensors.
  package let others: [String]
  /// Groups that its outputs need besides the heads.
  package let reads: [Int]
}
