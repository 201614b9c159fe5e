import Prediction
import TensorIO

/// Answers as people read them.
struct PredictionText {
  private let task: PredictionTask
  /// Whether there is one text, which the user has just written.
  private let isSingle: Bool

  init(_ task: PredictionTask, isSingle: Bool) {
    self.task = task
    self.isSingle = isSingle
  }

  /// The lines of one answer, each ended by a newline.
  func text(_ item: PredictionItem, _ result: PredictionResult, isFirst: Bool) -> String {
    var lines: [String] = []
    switch result {
    case .masks(let masks): lines = Self.lines(of: masks, item, result)
    case .labels(let labels, let windows):
      lines = heading(item) + Self.scores(labels.map { ($0.label, $0.score) })
      if windows > 1 { lines.append(Style.faint("(\(windows) windows)")) }
    case .tokens(_, let entities): lines = [Self.marked(item.text, entities)] + Self.legend(entities)
    case .answers(let answers):
      if !isSingle || item.line != nil, let question = item.question { lines.append(Style.faint(printable(question))) }
      lines += answers.isEmpty ? ["no answer"] : answers.map { Self.passage(item.text, $0) }
    case .isNext(let score):
      lines = heading(item) + Self.scores([("is next", score), ("is not next", 1 - score)])
    case .choices(let choices):
      lines = heading(item) + Self.scores(choices.map { (Self.short(item.choices[$0.choice]), $0.score) })
    case .nextTokens(let candidates, let continuation):
      if let continuation { lines = [Style.strong(printable(continuation))] }
      lines += (continuation == nil ? heading(item) : []) + Self.scores(candidates.map { (Self.shown($0), $0.score) })
    case .embedding(let values): return Self.row(values[...]) + "\n"
    case .features(let values, let width):
      lines = heading(item)
      if width > 0 { lines += stride(from: 0, to: values.count, by: width).map { Self.row(values[$0..<($0 + width)]) } }
    }
    return (isFirst || lines.count < 2 ? "" : "\n") + lines.joined(separator: "\n") + "\n"
  }

  /// The text itself, where it is not the only one.
  private func heading(_ item: PredictionItem) -> [String] {
    isSingle ? [] : [Style.faint(Self.short(item.text) + (item.pair.map { " | " + Self.short($0) } ?? ""))]
  }

  private static func short(_ text: String) -> String {
    let scalars = text.unicodeScalars
    return printable(scalars.count > 100 ? String(String.UnicodeScalarView(scalars.prefix(99))) + "…" : text)
  }

  // MARK: Scores

  private static let barWidth = 20
  private static let eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

  /// A bar of a probability.
  private static func bar(_ score: Double) -> String {
    let parts = Int((min(1, max(0, score)) * Double(barWidth * 8)).rounded())
    return String(repeating: "█", count: parts / 8) + eighths[parts % 8]
  }

  /// A line for each: name, score, bar.
  private static func scores(_ entries: [(name: String, score: Double)]) -> [String] {
    let names = entries.map { printable($0.name) }
    let width = min(40, names.map(\.unicodeScalars.count).max() ?? 0)
    return zip(names, entries).map { name, entry in
      let padding = String(repeating: " ", count: max(0, width - name.unicodeScalars.count))
      return "\(name)\(padding)  \(fixed(entry.score, digits: 4))  \(Style.good(bar(entry.score)))"
    }
  }

  private static func shown(_ candidate: PredictionResult.Candidate) -> String {
    candidate.text.isEmpty ? candidate.token : candidate.text
  }

  // MARK: Masks

  private static func lines(
    of masks: [PredictionResult.Mask], _ item: PredictionItem, _ result: PredictionResult
  ) -> [String] {
    var lines = [Style.strong(printable(result.filled(item.text) ?? item.text))]
    for (number, mask) in masks.enumerated() {
      if masks.count > 1 { lines.append(Style.faint("mask \(number + 1)")) }
      lines += scores(mask.candidates.map { (shown($0), $0.score) })
    }
    return lines
  }

  // MARK: Passages

  /// The code points of a text from `start` up to `end`.
  private static func slice(_ scalars: [Unicode.Scalar], _ start: Int, _ end: Int) -> String {
    let range = max(0, start)..<max(max(0, start), min(end, scalars.count))
    guard range.lowerBound <= scalars.count else { return "" }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars[range])
    return printable(String(view))
  }

  /// The text with its entities in brackets.
  private static func marked(_ text: String, _ entities: [PredictionResult.Entity]) -> String {
    let scalars = Array(text.unicodeScalars)
    var result = ""
    var position = 0
    for entity in entities where entity.start >= position {
      result += slice(scalars, position, entity.start)
      result +=
        "[" + Style.strong(slice(scalars, entity.start, entity.end)) + " " + Style.notable(printable(entity.label))
        + "]"
      position = entity.end
    }
    return result + slice(scalars, position, scalars.count)
  }

  private static func legend(_ entities: [PredictionResult.Entity]) -> [String] {
    entities.map { "\(printable($0.label))  \(fixed($0.score, digits: 4))  \(short($0.text))" }
  }

  /// An answer, and what stands around it.
  private static func passage(_ text: String, _ answer: PredictionResult.Answer) -> String {
    let scalars = Array(text.unicodeScalars)
    let (from, to) = (max(0, answer.start - 60), min(scalars.count, answer.end + 60))
    return "\(fixed(answer.score, digits: 4))  \(from > 0 ? "…" : "")\(slice(scalars, from, answer.start))"
      + "\(Style.strong("[" + slice(scalars, answer.start, answer.end) + "]"))\(slice(scalars, answer.end, to))"
      + (to < scalars.count ? "…" : "")
  }

  // MARK: Vectors

  private static func row(_ values: ArraySlice<Float>) -> String {
    values.map { significant(Double($0)) }.joined(separator: " ")
  }

  /// The texts nearest to one.
  static func nearest(_ item: PredictionItem, _ matches: [NearestTexts.Match], showsQuery: Bool) -> String {
    let lines = matches.map { match in
      "\(fixed(match.score, digits: 4))  \(match.line.map { "\(grouped($0)): " } ?? "")\(short(match.text))"
    }
    return ((showsQuery ? [Style.faint(short(item.text))] : []) + lines).joined(separator: "\n")
  }
}
