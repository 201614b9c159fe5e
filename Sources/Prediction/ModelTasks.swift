import CheckpointFormats
import Encoder
import ModelFamilies
import TensorIO

/// Which tasks a model is for.
struct ModelTasks: Sendable {
  /// All that it can do, in the order of ``PredictionTask``.
  let available: [PredictionTask]
  /// The one for which nothing has to be said.
  let preferred: PredictionTask

  /// - Parameter hasModules: whether the model came with modules of sentence-transformers
  init(_ encoder: Encoder, hasModules: Bool) {
    let family = encoder.config.family
    let isCausal = family.computation.isCausal || family.has(.recurrent)
    let languageTask = isCausal ? PredictionTask.nextToken : .fillMask
    func has(_ task: PredictionTask) -> Bool {
      switch task {
      case .fillMask, .nextToken: task == languageTask && encoder.has(.prediction)
      case .textClassification: encoder.has(.sequenceClassification)
      case .tokenClassification: encoder.has(.tokenClassification)
      case .questionAnswering: encoder.has(.answer(0))
      case .nextSentence: encoder.has(.nextSentence)
      case .multipleChoice: encoder.has(.multipleChoice)
      case .sentenceEmbedding, .featureExtraction: true
      }
    }
    available = PredictionTask.allCases.filter(has)
    // `logits` are of the head that the architecture names.
    let named: PredictionTask? =
      switch encoder.kind(of: "logits") {
      case .prediction?: languageTask
      case .nextSentence?: .nextSentence
      case .sequenceClassification?: .textClassification
      case .tokenClassification?: .tokenClassification
      case .multipleChoice?: .multipleChoice
      default: nil
      }
    let others: [PredictionTask] = [.questionAnswering, languageTask, .nextSentence].filter(available.contains)
    preferred = hasModules ? .sentenceEmbedding : named ?? others.first ?? .sentenceEmbedding
  }

  /// The task that is asked for, if the model can do it.
  func task(_ asked: PredictionTask?, file: String) throws(FormatError) -> PredictionTask {
    guard let asked else { return preferred }
    guard available.contains(asked) else {
      throw FormatError(
        .input, "the model has no head for the task", file: file, found: asked.rawValue,
        expected: available.map(\.rawValue).joined(separator: ", "))
    }
    return asked
  }
}
