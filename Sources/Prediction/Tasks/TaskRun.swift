import Encoder
import TensorIO
import Tokenizers

/// What a task makes of windows: a state for each text, which windows add to in any order, and the answer from it.
protocol TaskRun: Sendable {
  associatedtype State

  /// The state of a text before any window.
  func begin(_ text: PreparedText) throws(FormatError) -> State

  /// Whether a window has to be computed at all.
  func needs(_ window: WindowIndex, of text: PreparedText) -> Bool

  /// Runs the model on a batch and adds what it gives to the texts' states.
  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws

  /// The answers, one for each text.
  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) throws -> [PredictionResult]
}

extension TaskRun {
  func needs(_ window: WindowIndex, of text: PreparedText) -> Bool { true }
}

/// What every task needs of the model.
struct TaskModel: Sendable {
  let encoder: Encoder
  let tokenizer: Tokenizer
  let builder: BatchBuilder
  /// Names of the labels, by index.
  let labels: [String]

  func label(_ index: Int) -> String { index < labels.count ? labels[index] : "LABEL_\(index)" }

  /// The values of an output, row-major.
  func run(_ kind: OutputKind, _ input: EncoderInput) throws -> (shape: [Int], values: [Float]) {
    guard let output = try encoder.values(of: kind, input) else {
      throw FormatError(.input, "the model has no such output", found: kind.part)
    }
    return output
  }

  /// A token with its probability.
  func candidate(_ id: Int, score: Double) -> PredictionResult.Candidate {
    let number = Int32(clamping: id)
    let text = tokenizer.decode([number], skipSpecialTokens: false)
    return PredictionResult.Candidate(token: tokenizer.token(of: number) ?? "", text: text, id: id, score: score)
  }

  /// The `count` largest of some logits with their softmax, the best first.
  func candidates(_ logits: ArraySlice<Float>, count: Int) -> [PredictionResult.Candidate] {
    // A model may have more rows than tokens: those never stand for a word.
    let base = logits.startIndex
    let scale = Scores.softmaxScale(logits)
    return Scores.largest(logits, count: count).map {
      candidate($0 - base, score: scale.probability(logits[$0]))
    }
  }
}
