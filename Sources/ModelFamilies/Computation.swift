/// How a family computes: the choice of blocks that its tensors do not show.
///
/// What the tensors do show (whether there are token types, a pooler, a fused projection, bottlenecks, a recurrent stack)
/// is not repeated here: ask ``ModelFamily/has(_:)``.
public struct Computation: Sendable {
  /// Which row of the position embeddings a token gets.
  public enum PositionIDs: String, Sendable, CaseIterable {
    /// The index of its column.
    case column
    /// The padding id plus its number among the ids that are not padding; padding itself gets the padding id.
    case countedFromPadding = "counted_from_padding"
  }

  /// Where the blocks of a layer are normalized.
  public enum NormPlacement: String, Sendable, CaseIterable {
    /// Post-norm: the sum of a block and its residual is normalized (Vaswani et al., 2017).
    case afterSum = "after_sum"
    /// Pre-norm: a block reads its input normalized, and the sum stays as it is (Shoeybi et al., 2019).
    case beforeBlock = "before_block"
  }

  /// What a normalization divides by.
  public enum NormKind: String, Sendable, CaseIterable {
    /// The root of variance and epsilon (Ba et al., 2016).
    case variance
    /// The deviation of a sample, and epsilon added to it.
    case sampleDeviation = "sample_deviation"
  }

  /// How the matrices of the layers are stored.
  public enum MatrixLayout: String, Sendable, CaseIterable {
    /// [out, in], as of a linear layer.
    case outputInput = "output_input"
    /// [in, out], as of a convolution of width 1.
    case inputOutput = "input_output"
  }

  /// What token type ids select.
  public enum TokenTypeIDs: String, Sendable, CaseIterable {
    /// Rows of the token type embeddings.
    case types
    /// Rows of the word embeddings, as OpenAI's GPT takes them in `transformers`.
    case words
  }

  /// What the vector of a sequence is made of.
  public enum PoolerKind: String, Sendable, CaseIterable {
    /// tanh(dense(first token)), where there are weights for it.
    case dense
    /// The first token as it is.
    case firstToken = "first_token"
  }

  /// Which models of a family have a decoder whose weight is the word embeddings, even where the file holds none of it.
  public enum TiedPrediction: Sendable, Equatable {
    case never
    case always
    /// Those whose config names one of these architectures.
    case architectures([String])
  }

  public var positionIDs = PositionIDs.column
  public var pooler = PoolerKind.dense
  public var normPlacement = NormPlacement.afterSum
  public var normKind = NormKind.variance
  /// Whether a token attends to those before it and to itself alone.
  public var isCausal = false
  public var layerMatrices = MatrixLayout.outputInput
  public var tokenTypeIDs = TokenTypeIDs.types
  /// The token type of all tokens where no token type ids are given.
  public var defaultTokenType = 0
  /// Epsilons that the program of origin fixes, whatever the config gives.
  public var embeddingNormEpsilon: Double?
  public var feedForwardNormEpsilon: Double?
  /// What the words of the activation setting mean, where that is not what they mean everywhere.
  public var activationMeanings: [String: Activation] = [:]

  public var heads = Heads()

  /// What the heads do that their tensors do not show.
  public struct Heads: Sendable {
    /// Between the transform of the prediction head and its normalization; `nil` for the model's own activation.
    public var predictionActivation: Activation?
    public var tiedPrediction = TiedPrediction.never
    /// The output of the next sentence head, as `transformers` names it.
    public var nextSentenceOutput = "seq_relationship_logits"
    /// Whether the next sentence head reads the first token as it is, and no pooler.
    public var nextSentenceReadsFirstToken = false
    /// After the dense layer of ``ModelPart/sequenceClassifierTransform``.
    public var sequenceClassifierActivation = Activation.tanh
    /// After the dense layer of ``ModelPart/classifierTransform``.
    public var classifierTransformActivation = Activation.relu
    /// Whether the classifier of sequences reads the last token as it is.
    public var classifierReadsLastToken = false
    public init() {}
  }

  public init() {}
}
