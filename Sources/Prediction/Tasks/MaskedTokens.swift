import Encoder
import TensorIO

/// Fill-mask: the likeliest tokens for each mask, from the window in which it is farthest from the nearer edge.
struct MaskedTokens: TaskRun {
  let maskID: Int32
  /// The mask as people write it.
  let maskToken: String
  let top: Int

  struct State: Sendable {
    /// By token of the text that is a mask.
    var candidates: [Int: [PredictionResult.Candidate]] = [:]
  }

  func begin(_ text: PreparedText) throws(FormatError) -> State {
    let hasMask = text.sequences.contains { sequence in
      sequence.windows.contains { window in tokens(of: sequence, in: window).contains { _ in true } }
    }
    guard hasMask else {
      let isCut = text.sequences.contains { $0.cutCount > 0 }
      throw FormatError(
        .input, isCut ? "no mask is in the part of a text that is read" : "a text has no mask",
        found: "no \(maskToken)", expected: "a text with \(maskToken) for the word to fill in")
    }
    return State()
  }

  /// The masks of the first and the second text that a window has, as the text's number and the token's.
  private func tokens(of sequence: PreparedSequence, in window: Window) -> [(Int, Int)] {
    var masks: [(Int, Int)] = []
    for range in window.first {
      for token in range where sequence.first.tokens[token].id == maskID { masks.append((0, token)) }
    }
    for range in window.second {
      for token in range where sequence.second?.tokens[token].id == maskID { masks.append((1, token)) }
    }
    return masks
  }

  func needs(_ window: WindowIndex, of text: PreparedText) -> Bool {
    let sequence = text.sequences[window.sequence]
    return tokens(of: sequence, in: sequence.windows[window.number]).contains { number, token in
      sequence.owns(window.number, token: token, of: number)
    }
  }

  /// A mask of a batch.
  private struct Place {
    let text: Int
    let key: Int
    let index: Int
  }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    var places: [Place] = []
    for (row, window) in batch.rows.enumerated() {
      let sequence = texts[window.text].sequences[window.sequence]
      for (column, source) in window.columns.enumerated() {
        guard let source, let encoding = source.text == 0 ? sequence.first : sequence.second,
          encoding.tokens[source.token].id == maskID,
          sequence.owns(window.number, token: source.token, of: source.text)
        else { continue }
        places.append(
          Place(text: window.text, key: Self.key(source), index: batch.index(row, column)))
      }
    }
    // A row of logits is as wide as the vocabulary: some at a time.
    let count = Self.rowsAtOnce(model)
    for start in stride(from: 0, to: places.count, by: count) {
      let part = places[start..<min(places.count, start + count)]
      var input = batch.input
      input.predictedTokens = part.map(\.index)
      let (shape, values) = try model.run(.prediction, input)
      let width = shape.last ?? 0
      for (row, place) in part.enumerated() {
        states[place.text].candidates[place.key] = model.candidates(
          values[(row * width)..<((row + 1) * width)], count: top)
      }
    }
  }

  /// Tokens whose logits are in memory at once: 64 MiB of them.
  static func rowsAtOnce(_ model: TaskModel) -> Int { max(1, (16 << 20) / model.encoder.config.vocabularySize) }

  /// One number for a token of the first or the second text.
  private static func key(_ column: WindowRow.Column) -> Int { column.token * 2 + column.text }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    zip(states, texts).map { state, text in
      guard let sequence = text.sequences.first else { return .masks([]) }
      var masks: [PredictionResult.Mask] = []
      var position = 0
      for piece in sequence.second == nil ? model.builder.single : model.builder.pair {
        guard case .text(let number, _) = piece else {
          position += 1
          continue
        }
        for (token, content) in ((number == 0 ? sequence.first : sequence.second)?.tokens ?? []).enumerated() {
          if let candidates = state.candidates[Self.key(WindowRow.Column(text: number, token: token))] {
            masks.append(
              PredictionResult.Mask(
                position: position, candidates: candidates, start: Int(content.start),
                end: Int(max(content.start, content.end))))
          }
          position += 1
        }
      }
      return .masks(masks)
    }
  }
}
