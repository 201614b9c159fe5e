import ModelFamilies
import TensorIO

/// Why a tensor is left out of a model. A program switches on the cause; the reason next to it in a report is for people.
public enum DropCause: Sendable, Equatable {
  /// Moments, accumulators and step counts of an optimizer.
  case optimizer
  /// How many training steps were made.
  case stepCount
  /// The loss scale of mixed-precision training, and its counters.
  case lossScale
  /// The moving average of a weight that is itself present.
  case movingAverage
  /// Any other record of the training: schedules, scores, states of random number generators, the program's own index.
  case training
  /// Values that the program recomputes: positions, masks.
  case buffer
  /// A second form of values that are kept.
  case derived
  /// A weight of another model in the same checkpoint.
  case otherModel
  /// A weight that the family has no tensor for.
  case noTensor
  /// The rule gives no cause.
  case unstated

  /// The same values as the tensor of this name, to which it is tied.
  case tied(to: String)
  /// An alias of the tensor of this name, with the same values.
  case alias(of: String)
  /// A module of sentence-transformers, in an output that holds the model alone.
  case sentenceModule
  /// The user allowed names that match this glob to be left out.
  case allowed(glob: String)
}

extension DropCause {
  /// The causes that a rule of a table can give, by their words.
  private static let words: [(word: String, cause: DropCause)] = [
    ("optimizer", .optimizer), ("step_count", .stepCount), ("loss_scale", .lossScale),
    ("moving_average", .movingAverage), ("training", .training), ("buffer", .buffer), ("derived", .derived),
    ("other_model", .otherModel), ("no_tensor", .noTensor),
  ]

  /// The word for it in a table; `nil` for a cause that no rule gives.
  var word: String? { Self.words.first { $0.cause == self }?.word }

  /// `nil` for a word that is not a cause.
  init?(word: String) {
    guard let entry = Self.words.first(where: { $0.word == word }) else { return nil }
    self = entry.cause
  }

  /// The cause for the word of a table.
  init(_ word: String, at value: YAMLValue) throws(FormatError) {
    guard let cause = DropCause(word: word) else {
      throw value.fail("unknown cause '\(word)'", expected: Self.words.map(\.word).joined(separator: ", "))
    }
    self = cause
  }

  /// Whether the tensor is the user's choice to leave out, and not a rule's.
  public var isAllowed: Bool { if case .allowed = self { true } else { false } }

  /// Whether another tensor that is kept holds the same values.
  public var isCopy: Bool {
    switch self {
    case .tied, .alias: true
    default: false
    }
  }
}
