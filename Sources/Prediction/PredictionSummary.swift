import TensorIO

/// What became of the texts of a run.
public struct PredictionSummary: Sendable, Equatable {
  public internal(set) var texts = 0
  /// Tokens that went through the model, special ones included.
  public internal(set) var tokens = 0
  /// Texts that needed more than one window, and the windows of those.
  public internal(set) var windowedTexts = 0
  public internal(set) var windows = 0
  /// Texts of which tokens were left out, and how many.
  public internal(set) var cutTexts = 0
  public internal(set) var cutTokens = 0
  /// The most tokens of a window, special ones included.
  public internal(set) var maxLength = 0

  /// The texts in windows, as the JSON of the command has them.
  public var json: JSON { .object(["texts": .int(windowedTexts), "windows": .int(windows)]) }

  /// What was read in windows and what was cut, in sentences; empty where all texts were short.
  public var sentences: [String] {
    var sentences: [String] = []
    if windowedTexts > 0 {
      sentences.append(
        "\(counted(windowedTexts, "text")) longer than \(grouped(maxLength)) tokens: read in \(grouped(windows)) windows"
      )
    }
    if cutTexts > 0 {
      sentences.append(
        "\(counted(cutTexts, "text")) longer than \(grouped(maxLength)) tokens: cut, \(counted(cutTokens, "token")) left out"
      )
    }
    return sentences
  }
}
