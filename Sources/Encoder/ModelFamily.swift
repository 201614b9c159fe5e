/// Where a family of models keeps its weights, and what its embeddings do: data for the one forward pass.
///
/// Every name is in `transformers`' form, without the prefix; `.weight` and `.bias` are appended to it.
package struct ModelFamily: Sendable {
  /// Which row of the position embeddings a token gets.
  package enum PositionRule: Sendable {
    /// The index of its column.
    case column
    /// The padding id plus its number among the ids that are not padding; padding itself gets the padding id.
    case countedFromPadding
  }

  package var name = "bert"
  /// Values of `model_type` in the config.
  package var modelTypes = ["bert"]
  /// What stands in front of the names of embeddings, layers and pooler; the first with word embeddings counts.
  package var prefixes = ["bert.", ""]

  package var wordEmbeddings = "embeddings.word_embeddings"
  package var positionEmbeddings = "embeddings.position_embeddings"
  /// `nil` for families without token types.
  package var tokenTypeEmbeddings: String? = "embeddings.token_type_embeddings"
  package var embeddingNorm = "embeddings.LayerNorm"
  /// From the embeddings' size to the hidden size, for families where the two differ.
  package var embeddingProjection: String? = nil
  package var positions = PositionRule.column

  /// `{layer}` is the number of the layer; without it all layers share their weights.
  package var layer = "encoder.layer.{layer}."
  package var query = "attention.self.query"
  package var key = "attention.self.key"
  package var value = "attention.self.value"
  package var attentionOutput = "attention.output.dense"
  package var attentionNorm = "attention.output.LayerNorm"
  package var intermediate = "intermediate.dense"
  package var output = "output.dense"
  package var outputNorm = "output.LayerNorm"

  package var pooler: String? = "pooler.dense"
  package var heads = HeadNames()

  /// The names of the heads, which have no prefix.
  package struct HeadNames: Sendable {
    package var predictionTransform = "cls.predictions.transform.dense"
    package var predictionNorm = "cls.predictions.transform.LayerNorm"
    package var predictionDecoder = "cls.predictions.decoder"
    /// Whole names: the bias has been kept under both.
    package var predictionBiases = ["cls.predictions.bias", "cls.predictions.decoder.bias"]
    package var nextSentence = "cls.seq_relationship"
    package var classifier = "classifier"
    package var questionAnswering = "qa_outputs"
    package init() {}
  }

  package init() {}

  package static let bert = ModelFamily()
  /// All that the encoder runs.
  package static let all = [bert]
}
