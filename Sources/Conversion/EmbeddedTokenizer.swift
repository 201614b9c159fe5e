import CheckpointReaders
import TensorIO
import Tokenizers

/// The tokenizer that a conversion puts into the native file, and what there is to say of it. A model converts without one:
/// what is refused or damaged is reported and left out.
struct EmbeddedTokenizer {
  /// `nil` where there is none.
  let text: String?
  let kind: TokenizerDefinition.Kind?
  let notes: [String]
  let warnings: [String]

  /// - Parameters:
  ///   - config: the canonical config of the model
  ///   - vocabulary: path of a vocabulary given for those next to the checkpoint
  ///   - findings: what is said of the vocabulary anyway
  init(for model: SourceModel, config: JSON, vocabulary: String?, findings: [VocabularyFinding]) {
    let modelType = model.config?["model_type"]?.stringValue ?? config["model_type"]?.stringValue
    do {
      guard let found = try ModelTokenizer(of: model.checkpoint, vocabulary: vocabulary, modelType: modelType) else {
        self.init(notes: [
          "no tokenizer: there are no files of one next to the checkpoint, so the model takes ids and no text"
        ])
        return
      }
      // What cannot be computed is found now, not when the file is used.
      let summary = TokenizerSummary(try found.tokenizer())
      self.init(
        text: found.storedText(in: model.checkpoint) ?? found.embeddedText, kind: found.definition.kind,
        notes: ["tokenizer: \(summary.text), from \(found.origin.path)"] + found.notes,
        warnings: summary.findings(config: config).filter { $0.isWarning && !$0.repeats(findings) }.map(\.text))
    } catch {
      var error = error
      error.advice = nil
      if error.kind == .unsupported {
        self.init(notes: ["no tokenizer: \(error)"])
      } else {
        self.init(warnings: ["no tokenizer is stored: \(error)"])
      }
    }
  }

  private init(
    text: String? = nil, kind: TokenizerDefinition.Kind? = nil, notes: [String] = [], warnings: [String] = []
  ) {
    self.text = text
    self.kind = kind
    self.notes = notes
    self.warnings = warnings
  }
}

extension ModelTokenizer {
  /// The text that a native file had already.
  fileprivate func storedText(in checkpoint: OpenedCheckpoint) -> String? {
    if case .native = origin { Self.embedded(in: checkpoint.source) } else { nil }
  }
}
