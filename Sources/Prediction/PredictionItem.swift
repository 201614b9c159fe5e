import TensorIO

/// What one answer is for: a text, a pair, a question with its context, or a text with choices.
public struct PredictionItem: Sendable {
  /// The text; for question answering the context.
  public var text: String
  /// The second text of a pair.
  public var pair: String?
  public var question: String?
  /// For multiple choice; empty elsewhere.
  public var choices: [String]
  /// The line of the input where it begins, from 1; `nil` where it comes from no file.
  public var line: Int?
  /// The file that it comes from, for messages.
  public var file: String?

  public init(
    _ text: String, pair: String? = nil, question: String? = nil, choices: [String] = [], line: Int? = nil,
    file: String? = nil
  ) {
    self.text = text
    self.pair = pair
    self.question = question
    self.choices = choices
    self.line = line
    self.file = file
  }

  /// Bytes of its texts.
  var byteCount: Int {
    text.utf8.count + (pair?.utf8.count ?? 0) + (question?.utf8.count ?? 0)
      + choices.reduce(0) { $0 + $1.utf8.count }
  }
}

extension PredictionItem {
  /// The texts that are tokenized for a task, one or two for each sequence.
  ///
  /// - Throws: `FormatError` where the task needs something that is not there, or takes less
  func sequences(for task: PredictionTask) throws(FormatError) -> [(first: String, second: String?)] {
    func missing(_ what: String, _ advice: FormatError.Advice) -> FormatError {
      FormatError(.input, "\(task.rawValue) needs \(what)", advice: advice)
    }
    func refuse(_ isThere: Bool, _ what: String) throws(FormatError) {
      guard isThere else { return }
      throw FormatError(.input, "\(task.rawValue) takes no \(what)", advice: "Leave it out, or choose another task.")
    }
    if task != .questionAnswering { try refuse(question != nil, "question") }
    if task != .multipleChoice { try refuse(!choices.isEmpty, "choices") }
    switch task {
    case .questionAnswering:
      try refuse(pair != nil, "second text")
      guard let question else {
        throw missing("a question", "Give one: 'question' next to 'context' in .jsonl.")
      }
      return [(question, text)]
    case .multipleChoice:
      guard !choices.isEmpty else { throw missing("choices", "Give a list 'choices' next to 'text' in .jsonl.") }
      return choices.map { (text, $0) }
    case .nextSentence:
      guard let pair else { throw missing("a pair of texts", "Give 'text_pair' next to 'text' in .jsonl.") }
      return [(text, pair)]
    case .textClassification, .fillMask, .featureExtraction: return [(text, pair)]
    case .tokenClassification, .sentenceEmbedding, .nextToken:
      try refuse(pair != nil, "second text")
      return [(text, nil)]
    }
  }

  /// The same error with the place of this item.
  func located(_ error: FormatError) -> FormatError {
    var error = error
    if error.file == nil { error.file = file }
    if let line, error.offset == nil { error.problem = "line \(line): \(error.problem)" }
    return error
  }
}
