import CheckpointFormats

/// How texts that are too long for a model are read.
public enum LongTexts: String, Sendable, CaseIterable {
  /// All of the text, in windows that overlap.
  case windows
  /// The first tokens.
  case head
  /// The first quarter and the last tokens (Sun et al., "How to Fine-Tune BERT for Text Classification?", 2019: 128 and 382
  /// of 512).
  case headTail = "head-tail"
  /// Not at all: such a text is an error.
  case refuse
}

/// How the logits of the windows of a text become one.
public enum WindowCombination: String, Sendable, CaseIterable {
  /// The mean of each logit.
  case mean
  /// The largest of each logit.
  case max
}

/// How tokens become the embedding of a text, for a model that does not say it.
public enum PoolingChoice: String, Sendable, CaseIterable {
  case mean, cls, max

  var mode: SentenceModule.PoolingMode {
    switch self {
    case .mean: .mean
    case .cls: .cls
    case .max: .max
    }
  }
}

/// What is asked, and how long texts are read. The defaults are those of the command.
public struct PredictionOptions: Sendable {
  /// `nil`: what the model's modules or its head are for.
  public var task: PredictionTask?
  /// How many candidates, labels or answers of each text; `nil`: 5 candidates, all labels, 1 answer.
  public var top: Int?
  public var longTexts = LongTexts.windows
  /// Tokens that a window shares with the one before; `nil`: a quarter of the maximum length.
  public var overlap: Int?
  public var combination = WindowCombination.mean
  /// The most tokens of a window, special ones included; `nil`: what the sentence modules say, else the model's positions.
  public var maxLength: Int?
  /// Tokens that a language model appends to a text, each the likeliest.
  public var continuation = 0
  /// For a model without sentence modules; `nil`: the mean.
  public var pooling: PoolingChoice?
  /// L2 normalization of the embeddings of a model without sentence modules.
  public var normalizes = false

  public init() {}
}
