/// The answer to one item. Scores are probabilities where a model's head makes some of its logits.
public enum PredictionResult: Sendable, Equatable {
  /// The masks in the order of the text.
  case masks([Mask])
  /// The best first; `windows` are those that the text was read in.
  case labels([Label], windows: Int)
  case tokens([Token], entities: [Entity])
  /// The best first.
  case answers([Answer])
  /// The probability that the second text follows the first.
  case isNext(Double)
  /// The best first.
  case choices([Choice])
  /// [features]
  case embedding([Float])
  /// [tokens, width], special tokens included.
  case features([Float], width: Int)
  /// The best first, and the text that the likeliest tokens make, where a continuation was asked for.
  case nextTokens([Candidate], continuation: String?)

  /// A token of the vocabulary, how it is written in a text, and its probability.
  public struct Candidate: Sendable, Equatable {
    public var token: String
    public var text: String
    public var id: Int
    public var score: Double
  }

  public struct Mask: Sendable, Equatable {
    /// Index among the tokens of the text, special ones included.
    public var position: Int
    /// The best first.
    public var candidates: [Candidate]
    /// The code points of the text that the mask covers.
    public var start: Int
    public var end: Int
  }

  public struct Label: Sendable, Equatable {
    public var label: String
    public var score: Double
  }

  public struct Token: Sendable, Equatable {
    public var token: String
    public var label: String
    public var score: Double
    /// Code points of the text.
    public var start: Int
    public var end: Int
  }

  public struct Entity: Sendable, Equatable {
    public var label: String
    public var score: Double
    /// Code points of the text.
    public var start: Int
    public var end: Int
    public var text: String
  }

  public struct Answer: Sendable, Equatable {
    public var text: String
    public var score: Double
    /// Code points of the context.
    public var start: Int
    public var end: Int
  }

  public struct Choice: Sendable, Equatable {
    /// Index among the choices.
    public var choice: Int
    public var score: Double
  }
}
