import Encoder
import TensorIO
import Tokenizers

/// Next token: what a language model expects after the last token of a text, and the text that goes on with the likeliest
/// token each time.
struct NextTokens: TaskRun {
  let top: Int
  let continuation: Int
  let maxLength: Int

  struct State: Sendable {
    var candidates: [PredictionResult.Candidate] = []
    var continuation: [Int32] = []
  }

  func begin(_ text: PreparedText) throws(FormatError) -> State {
    guard let sequence = text.sequences.first, sequence.first.count > 0 else {
      throw FormatError(
        .input, "a text has no tokens, and so none comes next", expected: "at least one word")
    }
    return State()
  }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    var input = batch.input
    input.predictedTokens = batch.rows.enumerated().map { batch.index($0, $1.length - 1) }
    let (shape, values) = try model.run(.prediction, input)
    let width = shape.last ?? 0
    var ids = batch.rows.enumerated().map { row, window in
      Array(batch.input.inputIDs[batch.index(row, 0)..<batch.index(row, window.length)])
    }
    for (row, window) in batch.rows.enumerated() {
      let candidates = model.candidates(values[(row * width)..<((row + 1) * width)], count: max(top, 1))
      states[window.text].candidates = Array(candidates.prefix(top))
      guard continuation > 0, let next = candidates.first else { continue }
      states[window.text].continuation.append(Int32(clamping: next.id))
      ids[row].append(next.id)
    }
    guard continuation > 1 else { return }
    for _ in 1..<continuation { try appendTokens(&ids, batch, &states, model) }
  }

  /// The likeliest next token of each row.
  private func appendTokens(
    _ ids: inout [[Int]], _ batch: WindowBatch, _ states: inout [State], _ model: TaskModel
  ) throws {
    for row in ids.indices where ids[row].count > maxLength { ids[row].removeFirst(ids[row].count - maxLength) }
    var input = model.builder.input(ids, ids.map { Array(repeating: 0, count: $0.count) })
    input.predictedTokens = ids.indices.map { $0 * input.sequence + ids[$0].count - 1 }
    let (shape, values) = try model.run(.prediction, input)
    let width = shape.last ?? 0
    for row in ids.indices {
      let start = row * width
      guard let best = Scores.largest(values[start..<(start + width)], count: 1).first else { continue }
      ids[row].append(best - start)
      states[batch.rows[row].text].continuation.append(Int32(clamping: best - start))
    }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    zip(states, texts).map { state, text in
      var continuation: String?
      if self.continuation > 0 {
        // Decoded with what stands before it, so that a space between them is there.
        let before = text.sequences.first?.first.ids ?? []
        continuation = model.tokenizer.decode(before + state.continuation)
      }
      return .nextTokens(state.candidates, continuation: continuation)
    }
  }
}
