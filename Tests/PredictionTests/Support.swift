import Conversion
import Prediction
import TensorIO
import TestSupport

/// A small model with the answers that transformers gives with it.
struct Answered {
  let folder: String
  let answers: JSON
  private let ready: ReadyModel
  private let found: ModelTokenizer

  init(_ name: String) throws {
    folder = fixture("predictions/\(name)")
    answers = try JSON.parse(try FileSystem.text(FileSystem.join(folder, "answers.json")))
    ready = try ReadyModel(folder)
    found = try ModelTokenizer(for: folder)
  }

  func predictor(_ change: (inout PredictionOptions) -> Void = { _ in }) throws -> Predictor {
    var options = PredictionOptions()
    change(&options)
    return try Predictor(ready.model, tokenizer: try found.tokenizer(), options: options, threads: 1)
  }
}

/// Whether two numbers are equal but for the order of sums.
func isNear(_ a: Double?, _ b: Double?, within tolerance: Double = 1e-5) -> Bool {
  guard let a, let b else { return false }
  return abs(a - b) <= tolerance
}
