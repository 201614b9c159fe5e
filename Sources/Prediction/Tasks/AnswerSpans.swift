import Encoder
import TensorIO

/// Question answering: the spans of the context with the largest P(start) · P(end).
///
/// Both are softmaxes over the context and the first token of a window, whose share means that there is no answer. A span has
/// at most ``maxTokens`` tokens; the best over all windows count, one that several windows have once.
struct AnswerSpans: TaskRun {
  /// That of `transformers`' pipeline.
  static let maxTokens = 15
  let top: Int

  struct State: Sendable {
    /// The best first; of each span the largest score.
    var spans: [Span] = []
  }

  struct Span: Sendable, Equatable {
    /// Code points of the context.
    let start: Int
    let end: Int
    var score: Double
  }

  func begin(_ text: PreparedText) -> State { State() }

  func add(_ batch: WindowBatch, to states: inout [State], texts: [PreparedText], model: TaskModel) throws {
    let (starts, ends) = try model.encoder.answers(batch.input)
    for (row, window) in batch.rows.enumerated() {
      guard let context = texts[window.text].sequences[window.sequence].second else { continue }
      let base = batch.index(row, 0)
      let columns = window.columns.indices.filter { window.columns[$0]?.text == 1 }
      let tokens = columns.map { window.columns[$0]?.token ?? 0 }
      func probabilities(_ logits: [Float]) -> [Double] {
        // The first token counts in the sum alone.
        let counted = (columns.contains(0) ? [] : [logits[base]]) + columns.map { logits[base + $0] }
        let scale = Scores.softmaxScale(counted)
        return columns.map { scale.probability(logits[base + $0]) }
      }
      let (p, q) = (probabilities(starts), probabilities(ends))
      var found: [(score: Double, start: Int, end: Int)] = []
      for start in columns.indices {
        for end in start..<min(columns.count, start + Self.maxTokens) {
          // The first token of the window is no answer; nor is what was cut in between.
          guard columns[start] > 0, tokens[end] - tokens[start] == end - start else { break }
          let score = p[start] * q[end]
          if found.count == top, let last = found.last, score <= last.score { continue }
          let position = found.firstIndex { $0.score < score } ?? found.count
          found.insert((score, start, end), at: position)
          if found.count > top { found.removeLast() }
        }
      }
      for span in found {
        insert(
          Span(
            start: Int(context.tokens[tokens[span.start]].start), end: Int(context.tokens[tokens[span.end]].end),
            score: span.score),
          into: &states[window.text].spans)
      }
    }
  }

  private func insert(_ span: Span, into spans: inout [Span]) {
    if let index = spans.firstIndex(where: { $0.start == span.start && $0.end == span.end }) {
      guard spans[index].score < span.score else { return }
      spans.remove(at: index)
    }
    // Of equal ones the earlier in the text, whatever window came first.
    let position =
      spans.firstIndex { (span.score, $0.start, $0.end) > ($0.score, span.start, span.end) } ?? spans.count
    spans.insert(span, at: position)
    if spans.count > top { spans.removeLast() }
  }

  func finish(_ states: [State], texts: [PreparedText], model: TaskModel) -> [PredictionResult] {
    zip(states, texts).map { state, text in
      var slicer = TextSlicer(text.item.text)
      return .answers(
        state.spans.map {
          PredictionResult.Answer(
            text: slicer.text($0.start, $0.end), score: $0.score, start: $0.start, end: max($0.start, $0.end))
        })
    }
  }
}
