import Encoder
import TensorIO

/// Token classification: each token's label, from the window in which the token is farthest from the nearer edge, and the
/// entities that aggregation `simple` of `transformers` makes of them (`pipelines/token_classification.py`).
struct TokenLabels: TaskRun {
  struct State: Sendable {
    /// By token of the text; −1 for one that was cut off.
    var labels: [Int32]
    var scores: [Double]
  }

  func begin(_ text: PreparedText) -> State {
    let count = text.sequences.first?.first.count ?? 0
    return State(labels: Array(repeating: -1, count: count), scores: Array(repeating: 0, count: count))
  }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    let (shape, values) = try model.run(.tokenClassification, batch.input)
    let width = shape.last ?? 0
    for (row, window) in batch.rows.enumerated() {
      let sequence = texts[window.text].sequences[window.sequence]
      for (index, column) in window.columns.enumerated() {
        guard let column, column.text == 0, sequence.owns(window.number, token: column.token, of: 0) else { continue }
        let start = batch.index(row, index) * width
        let logits = values[start..<(start + width)]
        guard let best = Scores.largest(logits, count: 1).first else { continue }
        states[window.text].labels[column.token] = Int32(best - start)
        states[window.text].scores[column.token] = Scores.softmaxScale(logits).probability(logits[best])
      }
    }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    zip(states, texts).map { state, text in
      guard let encoding = text.sequences.first?.first else { return .tokens([], entities: []) }
      var tokens: [PredictionResult.Token] = []
      for (index, token) in encoding.tokens.enumerated() where state.labels[index] >= 0 {
        tokens.append(
          PredictionResult.Token(
            token: model.tokenizer.token(of: token.id) ?? "", label: model.label(Int(state.labels[index])),
            score: state.scores[index], start: Int(token.start), end: Int(max(token.start, token.end))))
      }
      return .tokens(tokens, entities: Self.entities(tokens, in: text.item.text))
    }
  }

  /// A label without the `B-` or `I-` in front of it, and whether it begins an entity.
  static func tag(_ label: String) -> (beginsEntity: Bool, name: Substring) {
    if label.hasPrefix("B-") { return (true, label.dropFirst(2)) }
    if label.hasPrefix("I-") { return (false, label.dropFirst(2)) }
    return (false, label[...])
  }

  /// Consecutive tokens of one tag, those of `O` left out.
  static func entities(_ tokens: [PredictionResult.Token], in text: String) -> [PredictionResult.Entity] {
    var groups: [[PredictionResult.Token]] = []
    for token in tokens {
      let (beginsEntity, name) = tag(token.label)
      if !beginsEntity, let last = groups.last?.last, tag(last.label).name == name {
        groups[groups.count - 1].append(token)
      } else {
        groups.append([token])
      }
    }
    var slicer = TextSlicer(text)
    return groups.compactMap { group in
      guard let first = group.first, let last = group.last else { return nil }
      let name = first.label.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).last ?? ""
      guard name != "O" else { return nil }
      return PredictionResult.Entity(
        label: String(name), score: group.reduce(0) { $0 + $1.score } / Double(group.count), start: first.start,
        end: last.end, text: slicer.text(first.start, last.end))
    }
  }
}
