import CheckpointFormats
import Encoder
import TensorIO

/// The embedding of a text: pooling over the tokens of all its windows, then the modules that follow it.
struct SentenceEmbedding: TaskRun {
  struct State: Sendable {
    /// What is pooled so far, the modes one after the other; not yet divided where that comes last.
    var pooled: [Float] = []
    /// The window that the pooled last token is of.
    var lastWindow = -1
    var weight: [Double] = []
  }

  func begin(_ text: PreparedText) -> State { State() }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    let (shape, values) = try model.run(.pooledSentence, batch.input)
    let width = shape.last ?? 0
    let modes = model.encoder.poolingModes
    for (row, window) in batch.rows.enumerated() {
      let pooled = values[(row * width)..<((row + 1) * width)]
      if texts[window.text].windowCount == 1 {
        states[window.text].pooled = Array(pooled)
      } else {
        Self.combine(pooled, window, modes, into: &states[window.text])
      }
    }
  }

  /// The weight with which a window's pooled vector counts, for the modes that are sums over tokens.
  private static func weight(_ mode: SentenceModule.PoolingMode, length: Int) -> Double? {
    let count = Double(length)
    return switch mode {
    case .mean: count
    // Divided by the root of the window's length, which becomes the root of the sum of all lengths.
    case .meanSqrtLength: count.squareRoot()
    case .weightedMean: count * (count + 1) / 2
    case .cls: 1
    case .max, .lastToken: nil
    }
  }

  private static func combine(
    _ pooled: ArraySlice<Float>, _ window: WindowRow, _ modes: [SentenceModule.PoolingMode], into state: inout State
  ) {
    let size = pooled.count / max(1, modes.count)
    let isFirst = state.pooled.isEmpty
    if isFirst {
      state.pooled = Array(repeating: 0, count: pooled.count)
      state.weight = Array(repeating: 0, count: modes.count)
    }
    let isLater = window.number > state.lastWindow
    for (index, mode) in modes.enumerated() {
      let range = (index * size)..<((index + 1) * size)
      if let weight = weight(mode, length: window.length) {
        for feature in range { state.pooled[feature] += Float(weight) * pooled[pooled.startIndex + feature] }
        state.weight[index] += mode == .meanSqrtLength ? Double(window.length) : weight
      } else if mode == .max {
        for feature in range {
          let value = pooled[pooled.startIndex + feature]
          state.pooled[feature] = isFirst ? value : max(state.pooled[feature], value)
        }
      } else if isLater {
        for feature in range { state.pooled[feature] = pooled[pooled.startIndex + feature] }
      }
    }
    if isLater { state.lastWindow = window.number }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    let modes = model.encoder.poolingModes
    var all: [Float] = []
    for state in states {
      guard !state.weight.isEmpty else {
        all += state.pooled
        continue
      }
      let size = state.pooled.count / max(1, modes.count)
      for (index, mode) in modes.enumerated() {
        let isSum = Self.weight(mode, length: 1) != nil
        let sum = mode == .meanSqrtLength ? state.weight[index].squareRoot() : state.weight[index]
        let divisor = isSum ? Float(sum) : 1
        all += state.pooled[(index * size)..<((index + 1) * size)].map { $0 / divisor }
      }
    }
    let (size, values) = model.encoder.finishSentences(all, rows: states.count)
    return states.indices.map { .embedding(Array(values[($0 * size)..<(($0 + 1) * size)])) }
  }
}
