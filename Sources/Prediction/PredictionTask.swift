/// What is asked of a model. The names are those of `transformers`' pipelines where there is one.
public enum PredictionTask: String, Sendable, CaseIterable {
  /// The words that a mask may stand for.
  case fillMask = "fill-mask"
  /// The labels of a text or a pair.
  case textClassification = "text-classification"
  /// A label for each token, and the entities that they make.
  case tokenClassification = "token-classification"
  /// The part of a context that answers a question.
  case questionAnswering = "question-answering"
  /// Whether the second text of a pair follows the first.
  case nextSentence = "next-sentence"
  /// The choice that goes best with a text.
  case multipleChoice = "multiple-choice"
  /// One vector for a text.
  case sentenceEmbedding = "sentence-embedding"
  /// The last hidden state of each token.
  case featureExtraction = "feature-extraction"
  /// The token that comes next.
  case nextToken = "next-token"
}
