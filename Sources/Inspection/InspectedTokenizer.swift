import CheckpointReaders
import Conversion
import TensorIO
import Tokenizers

/// The tokenizer that was found with a checkpoint.
public struct InspectedTokenizer: Sendable {
  /// What was found.
  public enum State: Sendable {
    /// One that can be used.
    case usable(TokenizerSummary, Tokenizer, ModelTokenizer.Origin)
    /// One of a kind that is refused, with the reason.
    case refused(String)
    /// One that cannot be read, with the reason.
    case unreadable(String)
  }

  public let state: State

  /// `nil` where there is none.
  init?(_ checkpoint: OpenedCheckpoint, modelType: String?) {
    do {
      guard let found = try ModelTokenizer(of: checkpoint, modelType: modelType) else { return nil }
      let tokenizer = try found.tokenizer()
      state = .usable(TokenizerSummary(tokenizer), tokenizer, found.origin)
    } catch {
      var error = error
      error.advice = nil
      state = error.kind == .unsupported ? .refused("\(error)") : .unreadable("\(error)")
    }
  }

  /// Facts on a usable one.
  public var summary: TokenizerSummary? { if case .usable(let summary, _, _) = state { summary } else { nil } }

  /// Each token by its id, those without one empty; empty where the tokenizer cannot be used.
  package var tokens: [String] {
    guard case .usable(_, let tokenizer, _) = state else { return [] }
    return (0..<tokenizer.vocabularySize).map { tokenizer.token(of: Int32(truncatingIfNeeded: $0)) ?? "" }
  }

  /// In a line: kind, size, casing, special tokens, where it is.
  public var text: String {
    switch state {
    case .usable(let summary, _, let origin):
      let place = if case .native = origin { "in the file" } else { origin.path }
      let shown = summary.specialTokens.prefix(8).map { "\($0.content) \($0.id)" }
      let more = summary.specialTokens.count - shown.count
      let special = shown.isEmpty ? "" : "; " + shown.joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
      return "\(summary.text)\(special); \(place)"
    case .refused(let reason): return "not supported: \(reason)"
    case .unreadable: return "cannot be read"
    }
  }

  /// `findings` are those of the vocabulary's file, which are not repeated.
  func warnings(config: JSON?, findings: [VocabularyFinding]) -> [CheckpointInspection.Warning] {
    switch state {
    case .usable(let summary, _, _):
      (config.map { summary.findings(config: $0) } ?? []).filter { $0.isWarning && !$0.repeats(findings) }
        .map { .tokenizer($0.text) }
    case .refused: []
    case .unreadable(let reason): [.tokenizer("the tokenizer cannot be read: \(reason)")]
    }
  }

  var json: JSON {
    switch state {
    case .usable(let summary, _, let origin):
      var json = summary.json
      if case .native = origin { json.set("path", .null) } else { json.set("path", .string(origin.path)) }
      return json
    case .refused(let reason), .unreadable(let reason): return .object(["kind": .null, "problem": .string(reason)])
    }
  }
}
