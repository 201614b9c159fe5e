import Encoder
import TensorIO

/// Tasks whose head gives some logits for a whole sequence: labels of a text, whether a text follows, which choice is best.
///
/// The logits of several windows become one by ``WindowCombination``, before the function that makes scores of them.
struct SequenceScores: TaskRun {
  enum Purpose: Sendable { case labels, nextSentence, choices }

  /// What makes scores of the logits of labels.
  enum Function: Sendable { case softmax, sigmoid, identity }

  let purpose: Purpose
  let kind: OutputKind
  let combination: WindowCombination
  var function = Function.softmax
  /// `nil` for all.
  var top: Int?

  struct State: Sendable {
    /// Of each sequence.
    var logits: [[Double]]
  }

  func begin(_ text: PreparedText) -> State { State(logits: text.sequences.map { _ in [] }) }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    let (_, values) = try model.run(kind, batch.input)
    let width = values.count / max(1, batch.rows.count)
    for (row, window) in batch.rows.enumerated() {
      let logits = values[(row * width)..<((row + 1) * width)].map(Double.init)
      let sum = states[window.text].logits[window.sequence]
      states[window.text].logits[window.sequence] =
        sum.isEmpty
        ? logits : zip(sum, logits).map { combination == .mean ? $0 + $1 : max($0, $1) }
    }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    zip(states, texts).map { state, text in
      let logits = zip(state.logits, text.sequences).map { sum, sequence in
        combination == .mean ? sum.map { $0 / Double(sequence.windows.count) } : sum
      }
      switch purpose {
      case .labels: return labels(logits.first ?? [], windows: text.windowCount, model)
      case .nextSentence: return .isNext(Scores.softmax(logits.first ?? []).first ?? 0)
      case .choices:
        let scores = Scores.softmax(logits.map { $0.first ?? 0 })
        let best = Scores.order(scores).prefix(top ?? scores.count)
        return .choices(best.map { PredictionResult.Choice(choice: $0, score: scores[$0]) })
      }
    }
  }

  private func labels(_ logits: [Double], windows: Int, _ model: TaskModel) -> PredictionResult {
    let scores: [Double] =
      switch function {
      case .softmax: Scores.softmax(logits)
      case .sigmoid: logits.map(Scores.sigmoid)
      case .identity: logits
      }
    let best = Scores.order(scores).prefix(top ?? scores.count)
    return .labels(
      best.map { PredictionResult.Label(label: model.label($0), score: scores[$0]) }, windows: windows)
  }
}
