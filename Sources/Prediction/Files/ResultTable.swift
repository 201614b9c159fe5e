import TensorIO

/// Answers as rows of a table: one for each item, so that a file can be gone on with.
enum ResultTable {
  /// The names of the columns of a task.
  static func columns(_ task: PredictionTask) -> [String] {
    switch task {
    case .fillMask: ["text", "filled", "score"]
    case .textClassification: ["text", "label", "score"]
    case .tokenClassification: ["text", "entities"]
    case .questionAnswering: ["question", "answer", "score", "start", "end"]
    case .nextSentence: ["text", "text_pair", "is_next"]
    case .multipleChoice: ["text", "choice", "score"]
    case .nextToken: ["text", "token", "score", "continuation"]
    case .sentenceEmbedding, .featureExtraction: []
    }
  }

  static func header(_ task: PredictionTask) -> [UInt8] { record(columns(task)) }

  /// What is best of an answer.
  static func row(_ item: PredictionItem, _ result: PredictionResult) -> [UInt8] {
    switch result {
    case .masks(let masks):
      let score = masks.reduce(1) { $0 * ($1.candidates.first?.score ?? 0) }
      return record([item.text, result.filled(item.text) ?? "", "\(score)"])
    case .labels(let labels, _):
      return record([item.text, labels.first?.label ?? "", labels.first.map { "\($0.score)" } ?? ""])
    case .tokens:
      return record([item.text, result.json["entities"]?.text() ?? "[]"])
    case .answers(let answers):
      let best = answers.first
      return record(
        [item.question ?? "", best?.text ?? ""]
          + (best.map { ["\($0.score)", "\($0.start)", "\($0.end)"] } ?? ["", "", ""]))
    case .isNext(let score): return record([item.text, item.pair ?? "", "\(score)"])
    case .choices(let choices):
      return record([item.text] + (choices.first.map { ["\($0.choice)", "\($0.score)"] } ?? ["", ""]))
    case .nextTokens(let candidates, let continuation):
      return record([
        item.text, candidates.first?.token ?? "", candidates.first.map { "\($0.score)" } ?? "", continuation ?? "",
      ])
    case .embedding, .features: return []
    }
  }

  /// Fields with what separates them in quotes (RFC 4180).
  private static func record(_ fields: [String]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (index, field) in fields.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      let needsQuotes = field.utf8.contains { $0 == 0x0A || $0 == 0x0D || $0 == 0x22 || $0 == 0x2C }
      guard needsQuotes else {
        bytes += field.utf8
        continue
      }
      bytes.append(0x22)
      for byte in field.utf8 {
        if byte == 0x22 { bytes.append(0x22) }
        bytes.append(byte)
      }
      bytes.append(0x22)
    }
    return bytes + [0x0A]
  }
}

extension PredictionResult {
  /// A text with the best candidate in place of each mask; `nil` for another answer.
  public func filled(_ text: String) -> String? {
    guard case .masks(let masks) = self else { return nil }
    var slicer = TextSlicer(text)
    var result = ""
    var position = 0
    for mask in masks where mask.start >= position {
      result += slicer.text(position, mask.start)
      // A mask may take in the space before it.
      let covered = slicer.text(mask.start, mask.end)
      let space = covered.unicodeScalars.first == " " ? " " : ""
      result += space + Self.word(mask.candidates.first?.text ?? "")
      position = mask.end
    }
    return result + slicer.text(position, .max)
  }

  /// A candidate without the space in front of it, or the sign that it goes on a word.
  static func word(_ text: String) -> String {
    let trimmed = text.drop { $0 == " " }
    return String(trimmed.hasPrefix("##") ? trimmed.dropFirst(2) : trimmed)
  }
}
