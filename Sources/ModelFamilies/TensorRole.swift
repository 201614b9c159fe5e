/// A part of a model that has weights of its own.
///
/// Families call the same part by different names; encoder, exporters and summaries use the part. The raw value is
/// how a family's YAML file writes it.
public enum ModelPart: String, Sendable, CaseIterable {
  case wordEmbeddings = "embeddings.word"
  case positionEmbeddings = "embeddings.position"
  case tokenTypeEmbeddings = "embeddings.token_type"
  case taskTypeEmbeddings = "embeddings.task_type"
  case embeddingNorm = "embeddings.norm"
  /// From the embedding size to the hidden size, after the embeddings are summed and normalized.
  case embeddingProjection = "embeddings.projection"
  /// From the embedding size to the hidden size, before positions and token types are added.
  case embeddingTransformation = "embeddings.transformation"

  /// One table of biases by relative position and head for all layers.
  case relativeBias = "attention.relative_bias"

  case query = "layer.attention.query"
  case key = "layer.attention.key"
  case value = "layer.attention.value"
  /// Query, key and value in one matrix, one after the other.
  case queryKeyValue = "layer.attention.query_key_value"
  case attentionOutput = "layer.attention.output"
  /// Before attention or after its sum with the residual, by the computation.
  case attentionNorm = "layer.attention.norm"
  case feedForwardInput = "layer.feed_forward.input"
  case feedForwardOutput = "layer.feed_forward.output"
  case feedForwardNorm = "layer.feed_forward.norm"
  case inputBottleneck = "layer.bottleneck.input"
  case inputBottleneckNorm = "layer.bottleneck.input_norm"
  /// What queries and keys read in place of the hidden state.
  case sharedBottleneck = "layer.bottleneck.shared"
  case sharedBottleneckNorm = "layer.bottleneck.shared_norm"
  case outputBottleneck = "layer.bottleneck.output"
  case outputBottleneckNorm = "layer.bottleneck.output_norm"
  /// A layer of a recurrent stack.
  case recurrent = "layer.recurrent"

  /// After the last layer.
  case finalNorm = "encoder.norm"
  case pooler = "pooler"

  case predictionTransform = "prediction.transform"
  case predictionNorm = "prediction.norm"
  case predictionDecoder = "prediction.decoder"
  /// What the decoder adds for the features that the hidden size has beyond the embedding size.
  case predictionRest = "prediction.rest"
  case nextSentence = "next_sentence"
  case classifier = "classifier"
  /// What the first token goes through before ``classifier``, in place of the pooler.
  case classifierTransform = "classifier.transform"
  /// A classifier of sequences that has a dense layer of its own, and names of its own.
  case sequenceClassifierTransform = "sequence_classifier.transform"
  case sequenceClassifierOutput = "sequence_classifier.output"
  case replacedTokenTransform = "replaced_token.transform"
  case replacedTokenOutput = "replaced_token.output"
  case questionAnswering = "question_answering"
  /// Whether a passage has the answer.
  case relevance = "relevance"
  case multipleChoice = "multiple_choice"

  /// Whether each layer has it.
  public var isPerLayer: Bool { rawValue.hasPrefix("layer.") }
}

/// What a tensor is in the computation: a parameter of a part of the model.
public struct TensorRole: Hashable, Sendable, CustomStringConvertible {
  public enum Parameter: String, Sendable, CaseIterable {
    case weight, bias
    /// The four parameters of an LSTM (`torch.nn.LSTM`: weight_ih, weight_hh, bias_ih, bias_hh).
    case inputWeight = "input_weight"
    case hiddenWeight = "hidden_weight"
    case inputBias = "input_bias"
    case hiddenBias = "hidden_bias"
  }

  public let part: ModelPart
  public let parameter: Parameter
  /// Which one it is where a layer has several of the part; 0 for the one that every layer has.
  public let index: Int
  /// Which block of a layer it is in, for layers that consist of several; 0 elsewhere.
  public let block: Int

  public init(_ part: ModelPart, _ parameter: Parameter = .weight, index: Int = 0, block: Int = 0) {
    self.part = part
    self.parameter = parameter
    self.index = index
    self.block = block
  }

  /// Reads `part.parameter`, with `[index]` or `{block}` between the two: `layer.feed_forward.input[1].weight`.
  ///
  /// `nil` where it is not a role.
  public init?(_ text: String) {
    guard let dot = text.lastIndex(of: "."),
      let parameter = Parameter(rawValue: String(text[text.index(after: dot)...]))
    else { return nil }
    var name = text[..<dot]
    var (index, block) = (0, 0)
    if name.last == "]", let open = name.lastIndex(of: "[") {
      guard let number = Int(name[name.index(after: open)...].dropLast()), number >= 0 else { return nil }
      index = number
      name = name[..<open]
    }
    if name.last == "}", let open = name.lastIndex(of: "{") {
      guard let number = Int(name[name.index(after: open)...].dropLast()), number >= 0 else { return nil }
      block = number
      name = name[..<open]
    }
    guard let part = ModelPart(rawValue: String(name)) else { return nil }
    self.init(part, parameter, index: index, block: block)
  }

  public var description: String {
    part.rawValue + (block == 0 ? "" : "{\(block)}") + (index == 0 ? "" : "[\(index)]") + "." + parameter.rawValue
  }
}
