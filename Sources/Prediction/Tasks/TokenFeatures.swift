import Encoder
import TensorIO

/// Feature extraction: the last hidden state of each token, special ones included, from the window in which it is farthest
/// from the nearer edge. Special tokens in front come from the first window, those behind from the last.
struct TokenFeatures: TaskRun {
  struct State: Sendable {
    /// By row of the result.
    var rows: [Int: [Float]] = [:]
  }

  func begin(_ text: PreparedText) -> State { State() }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    let kind = OutputKind.hidden(model.encoder.config.layerCount)
    let (shape, values) = try model.run(kind, batch.input)
    let width = shape.last ?? 0
    for (row, window) in batch.rows.enumerated() {
      let sequence = texts[window.text].sequences[window.sequence]
      let targets = Self.targets(window, sequence, model)
      for (column, target) in targets.enumerated() {
        guard let target else { continue }
        let start = batch.index(row, column) * width
        states[window.text].rows[target] = Array(values[start..<(start + width)])
      }
    }
  }

  /// The row of the result that each column of a window gives; `nil` for one that another window gives.
  private static func targets(_ window: WindowRow, _ sequence: PreparedSequence, _ model: TaskModel) -> [Int?] {
    // The row where each text begins if nothing is cut, and the texts' tokens before each special token.
    var starts = [0, 0]
    var specials: [(row: Int, isBehind: Bool)] = []
    var position = 0
    var passedSliding = false
    for piece in sequence.second == nil ? model.builder.single : model.builder.pair {
      switch piece {
      case .special:
        specials.append((position, passedSliding))
        position += 1
      case .text(let number, _):
        starts[number] = position
        position += (number == 0 ? sequence.first : sequence.second)?.count ?? 0
        if (number == 1) == sequence.slidesSecond { passedSliding = true }
      }
    }
    var special = 0
    return window.columns.map { column in
      if let column {
        return sequence.owns(window.number, token: column.token, of: column.text)
          ? starts[column.text] + column.token : nil
      }
      let (row, isBehind) = specials[special]
      special += 1
      return window.number == (isBehind ? sequence.windows.count - 1 : 0) ? row : nil
    }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    states.map { state in
      let values = state.rows.keys.sorted().flatMap { state.rows[$0] ?? [] }
      return .features(values, width: model.encoder.config.hiddenSize)
    }
  }
}
