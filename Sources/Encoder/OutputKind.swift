import TensorIO

/// What can be computed. Several names can mean one kind: `logits` are what the model's architecture says.
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
  /// What the modules of sentence-transformers make of a sequence.
  case sentence
  /// Scores of the first (0) or last (1) token of an answer.
  case answer(Int)

  /// What computes it, for people.
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
    case .sentence: "the modules of sentence-transformers"
    case .answer: "the question answering head"
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
    case .pooled, .nextSentence, .sequenceClassification, .multipleChoice: true
    default: false
    }
  }
}

extension EncoderWeights {
  /// Every name that this model can compute, in the order of the pass.
  func outputs(_ config: EncoderConfig) -> [(name: String, kind: OutputKind)] {
    var outputs: [(name: String, kind: OutputKind)] = []
    for index in 0...config.layerCount { outputs.append(("hidden_states.\(index)", .hidden(index))) }
    outputs.append(("last_hidden_state", .hidden(config.layerCount)))
    if pooler != nil { outputs.append(("pooler_output", .pooled)) }
    if prediction != nil { outputs.append(("prediction_logits", .prediction)) }
    if nextSentencePooler != nil, nextSentence != nil {
      outputs.append((config.family.heads.nextSentenceOutput, .nextSentence))
    }
    if let kind = logits(config) { outputs.append(("logits", kind)) }
    if questionAnswering != nil {
      outputs.append(("start_logits", .answer(0)))
      outputs.append(("end_logits", .answer(1)))
    }
    if sentence != nil { outputs.append(("sentence_embedding", .sentence)) }
    return outputs
  }

  /// What `logits` are: of the architecture that the config names, otherwise of the one head that is there.
  private func logits(_ config: EncoderConfig) -> OutputKind? {
    let architecture = config.architecture ?? ""
    let hasPooler = pooler != nil
    if architecture.hasSuffix("ForMaskedLM"), prediction != nil { return .prediction }
    let tellsNextSentence = nextSentencePooler != nil && nextSentence != nil
    if architecture.hasSuffix("ForNextSentencePrediction"), tellsNextSentence { return .nextSentence }
    if let classifier {
      let readsFirstToken = hasPooler || classifierTransform != nil
      if architecture.hasSuffix("ForTokenClassification"), classifierTransform == nil { return .tokenClassification }
      if architecture.hasSuffix("ForMultipleChoice"), readsFirstToken, classifier.weight.rows == 1 {
        return .multipleChoice
      }
      return readsFirstToken ? .sequenceClassification : .tokenClassification
    }
    if replacedToken != nil, prediction == nil { return .replacedToken }
    if prediction != nil { return tellsNextSentence ? nil : .prediction }
    return tellsNextSentence ? .nextSentence : nil
  }
}
