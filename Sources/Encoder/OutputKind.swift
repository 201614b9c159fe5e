import ModelFamilies
import TensorIO

/// What can be computed. Several names can mean one kind: `logits` are of the head that the model's architecture names.
package enum OutputKind: Hashable, Sendable {
  /// What goes into layer N; that of number L comes out of the last.
  case hidden(Int)
  case pooled
  case prediction
  case nextSentence
  case sequenceClassification
  case tokenClassification
  case multipleChoice
  /// How much a token looks replaced.
  case replacedToken
  /// The embedding of a sequence by the modules of sentence-transformers.
  case sentence
  /// What the modules of sentence-transformers pool of a sequence, before what follows.
  case pooledSentence
  /// Scores of the first (0) or last (1) token of an answer.
  case answer(Int)
  /// How likely a sequence is to have the answer.
  case relevance

  /// The part that computes it, for people.
  package var part: String {
    switch self {
    case .hidden(0): "the embeddings"
    case .hidden(let index): "layer \(index - 1)"
    case .pooled: "the pooler"
    case .prediction: "the LM head"
    case .nextSentence: "the next sentence head"
    case .sequenceClassification: "the sequence classification head"
    case .tokenClassification: "the token classification head"
    case .multipleChoice: "the multiple choice head"
    case .replacedToken: "the discriminator's head"
    case .sentence, .pooledSentence: "the modules of sentence-transformers"
    case .answer, .relevance: "the question answering head"
    }
  }

  /// Whether it is one number for each token.
  package var isScoreOfToken: Bool {
    switch self {
    case .replacedToken, .answer: true
    default: false
    }
  }

  /// Whether it is computed from the first token.
  package var isPooled: Bool {
    switch self {
    case .pooled, .nextSentence, .sequenceClassification, .multipleChoice, .relevance: true
    default: false
    }
  }
}

extension EncoderModel {
  /// Every name that this model can compute, in the order of the pass.
  func outputs(_ config: EncoderConfig) -> [(name: String, kind: OutputKind)] {
    var outputs: [(name: String, kind: OutputKind)] = []
    for index in 0...config.layerCount { outputs.append(("hidden_states.\(index)", .hidden(index))) }
    outputs.append(("last_hidden_state", .hidden(config.layerCount)))
    if heads.pooler != nil { outputs.append(("pooler_output", .pooled)) }
    if heads.prediction != nil { outputs.append(("prediction_logits", .prediction)) }
    if heads.nextSentence != nil {
      outputs.append((config.family.computation.heads.nextSentenceOutput, .nextSentence))
    }
    if let kind = heads.logits(architecture: config.architecture ?? "") { outputs.append(("logits", kind)) }
    if heads.questionAnswering != nil {
      outputs.append(("start_logits", .answer(0)))
      outputs.append(("end_logits", .answer(1)))
    }
    if heads.relevance != nil { outputs.append(("relevance_logits", .relevance)) }
    if sentence != nil { outputs.append(("sentence_embedding", .sentence)) }
    return outputs
  }

  /// The padded shape of an output.
  func shape(of kind: OutputKind, _ config: EncoderConfig, _ input: EncoderInput) -> [Int] {
    let (batch, sequence) = (input.batch, input.sequence)
    let choices = input.choices ?? 1
    return switch kind {
    case .hidden(let index): [batch, sequence, config.width(ofHidden: index)]
    case .pooled: [batch, config.hiddenSize]
    case .prediction:
      if let predicted = input.predictedTokens {
        [predicted.count, config.vocabularySize]
      } else {
        [batch, sequence, config.vocabularySize]
      }
    case .nextSentence: [batch, 2]
    case .sentence: [batch, sentence?.size ?? 0]
    case .pooledSentence: [batch, config.hiddenSize * (sentence?.modes.count ?? 0)]
    case .sequenceClassification: [batch, heads.labelCount]
    case .tokenClassification: [batch, sequence, heads.labelCount]
    case .multipleChoice: [batch / choices, choices]
    case .relevance: [batch]
    case .replacedToken, .answer: [batch, sequence]
    }
  }
}

extension Heads {
  /// Outputs of the classifier.
  fileprivate var labelCount: Int { (sequenceClassifier?.output ?? tokenClassifier)?.weight.rows ?? 0 }

  /// What `logits` are: of the architecture that the config names, otherwise of the one head present.
  fileprivate func logits(architecture: String) -> OutputKind? {
    if architecture.hasSuffix("ForMaskedLM"), prediction != nil { return .prediction }
    if architecture.hasSuffix("ForNextSentencePrediction"), nextSentence != nil { return .nextSentence }
    if architecture.hasSuffix("ForTokenClassification"), tokenClassifier != nil { return .tokenClassification }
    if architecture.hasSuffix("ForMultipleChoice"), sequenceClassifier?.output.weight.rows == 1 {
      return .multipleChoice
    }
    if sequenceClassifier != nil { return .sequenceClassification }
    if tokenClassifier != nil { return .tokenClassification }
    if replacedToken != nil, prediction == nil { return .replacedToken }
    if prediction != nil { return nextSentence == nil ? .prediction : nil }
    return nextSentence == nil ? nil : .nextSentence
  }
}
