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

  /// Where the blocks of a layer are normalised.
  package enum NormPlacement: Sendable {
    /// Post-norm: the sum of a block and its residual is normalised (Vaswani et al., 2017).
    case afterSum
    /// Pre-norm: a block reads its input normalised, and the sum stays as it is (Shoeybi et al., 2019).
    case beforeBlock
  }

  /// What a normalisation divides by.
  package enum NormKind: Sendable {
    /// The root of variance and epsilon (Ba et al., 2016).
    case variance
    /// The deviation of a sample, and epsilon added to it.
    case sampleDeviation
  }

  package var name = "bert"
  /// Values of `model_type` in the config.
  package var modelTypes = ["bert"]
  /// What stands in front of the names of embeddings, layers and pooler; the first with word embeddings counts.
  package var prefixes = ["bert.", ""]

  package var wordEmbeddings = "embeddings.word_embeddings"
  /// `nil` for families in which the order of the tokens comes in otherwise.
  package var positionEmbeddings: String? = "embeddings.position_embeddings"
  /// Whether that is the whole name of a tensor [1, positions, E], and no layer's.
  package var positionsAreBuffer = false
  /// `nil` for families without token types.
  package var tokenTypeEmbeddings: String? = "embeddings.token_type_embeddings"
  /// Whether token types that are given are ids of words, as OpenAI's GPT takes them in `transformers`.
  package var typesAreWords = false
  /// What a token is of where no types are given.
  package var defaultTokenType = 0
  /// `nil` for families whose first layer takes the plain sum of the embeddings.
  package var embeddingNorm: String? = "embeddings.LayerNorm"
  /// From the embeddings' size to the hidden size, for families where the two differ.
  package var embeddingProjection: String? = nil
  /// From the embeddings' size to the hidden size before positions and token types are added, which are of the hidden
  /// size then; for families that make a token's embedding of its neighbours' too.
  package var embeddingTransformation: String? = nil
  package var positions = PositionRule.column

  package var configKeys = ConfigKeys()
  /// What `transformers` assumes where a config says nothing.
  package var defaultActivation = "gelu"
  package var defaultEpsilon = 1e-12
  package var defaultPaddingID = 0
  /// What the names of activations mean.
  package var activations = Activation.names

  /// `{layer}` is the number of the layer, or of the group of layers that share their weights; `{block}` that of the block
  /// in it. Without `{layer}` all layers share their weights.
  package var layer = "encoder.layer.{layer}."
  /// Query, key and value in one; where it is there, the three have no names.
  package var fusedProjection: String? = nil
  package var query = "attention.self.query"
  package var key = "attention.self.key"
  package var value = "attention.self.value"
  package var attentionOutput = "attention.output.dense"
  package var attentionNorm = "attention.output.LayerNorm"
  package var intermediate = "intermediate.dense"
  package var output = "output.dense"
  package var outputNorm = "output.LayerNorm"
  /// Whether ``attentionNorm`` and ``outputNorm`` stand before attention and feed-forward or after their sums.
  package var normPlacement = NormPlacement.afterSum
  package var normKind = NormKind.variance
  /// What is appended to the name of a normalisation.
  package var normNames = (gamma: ".weight", beta: ".bias")
  /// Whether the matrices of layers are [in, out], as those of a convolution of width 1.
  package var layersAreTurned = false
  /// Whether a token attends to those before it and to itself alone.
  package var isCausal = false
  /// For families whose layers are LSTMs.
  package var recurrent: RecurrentNames? = nil
  /// A normalisation after the last layer, for pre-norm families.
  package var finalNorm: String? = nil
  /// Where these norms have an epsilon of their own, whatever the config says.
  package var embeddingNormEpsilon: Float? = nil
  package var outputNormEpsilon: Float? = nil
  /// For families whose layers may be narrower inside.
  package var bottleneck: BottleneckNames? = nil
  /// What stands in front of the feed-forward networks before a block's last; `{number}` counts them from 0. Their names
  /// are those of the last.
  package var earlierFeedForward: String? = nil

  package var pooler: String? = "pooler.dense"
  package var heads = HeadNames()

  /// The keys of the sizes in the config.
  package struct ConfigKeys: Sendable {
    package var hiddenSize = "hidden_size"
    package var layerCount = "num_hidden_layers"
    package var headCount = "num_attention_heads"
    /// `nil` where it is four times the hidden size.
    package var intermediateSize: String? = "intermediate_size"
    package var activation = "hidden_act"
    package var vocabularySize = "vocab_size"
    package var positionCount = "max_position_embeddings"
    package var layerNormEpsilon = "layer_norm_eps"
    package var paddingID = "pad_token_id"
    /// For families whose layers share weights in groups.
    package var groupCount: String? = nil
    package var blocksPerLayer: String? = nil
    /// Feed-forward networks in a block.
    package var feedForwardCount: String? = nil
    /// Whether a token's embedding is made of its neighbours' too.
    package var readsNeighbours: String? = nil
    /// What the normalisations are.
    package var normalization: String? = nil
    /// Whether the pooler has a dense layer.
    package var poolerActivation: String? = nil
    package init() {}
  }

  /// The names of the bottlenecks, and of dense layer and normalisation in each.
  package struct BottleneckNames: Sendable {
    package var input: String
    package var queriesAndKeys: String
    package var output: String
    package var dense: String
    package var norm: String
  }

  /// LSTMs one above the other: what stands in front of the names of a layer's four tensors, as torch.nn.LSTM names them,
  /// and the key of the size between two layers. The last layer gives as many features as an embedding has.
  package struct RecurrentNames: Sendable {
    package var layer: String
    package var size: String
  }

  /// A head that reads the first token past the pooler: `output(activation(dense(first token)))`.
  package struct FirstTokenHead: Sendable {
    package var dense: String
    package var activation: Activation
    package var output: String
  }

  /// Which models of a family have a head whose only weights are the word embeddings.
  package enum TiedPrediction: Sendable {
    case none
    case all
    /// Those whose config names this architecture.
    case ofArchitecture(String)

    func isThere(_ architecture: String?) -> Bool {
      switch self {
      case .none: false
      case .all: true
      case .ofArchitecture(let name): architecture == name
      }
    }
  }

  /// The names of the heads, which have no prefix.
  package struct HeadNames: Sendable {
    /// `nil` where the decoder reads the hidden states as they are.
    package var predictionTransform: String? = "cls.predictions.transform.dense"
    package var predictionNorm = "cls.predictions.transform.LayerNorm"
    package var predictionDecoder = "cls.predictions.decoder"
    /// The rows of the decoder for what the hidden size has beyond the embeddings', [H - E, V]; where a family has it,
    /// the transform keeps the hidden size.
    package var predictionRest: String? = nil
    /// Whole names: the bias has been kept under both. Of a decoder without a transform it may be absent.
    package var predictionBiases = ["cls.predictions.bias", "cls.predictions.decoder.bias"]
    /// Which models have the head even where the file has no weight of it, since its decoder is the word embeddings.
    package var tiedPrediction = TiedPrediction.none
    /// Between the transform and its normalisation, where that is not the model's.
    package var predictionActivation: Activation? = nil
    package var nextSentence = "cls.seq_relationship"
    package var nextSentenceOutput = "seq_relationship_logits"
    /// Whether that head reads the first token as it is, and no pooler.
    package var nextSentenceReadsToken = false
    package var classifier = "classifier"
    /// Whether that has no bias and reads the last token as it is.
    package var classifierReadsLastToken = false
    /// In place of pooler and classifier for whole sequences; the first that is there counts.
    package var firstTokenHeads: [FirstTokenHead] = []
    /// What tells tokens that were replaced: a dense layer, and a second one to a single score.
    package var replacedToken: (dense: String, output: String)? = nil
    package var questionAnswering = "qa_outputs"
    package init() {}
  }

  package init() {}

  /// What stands in front of the names of a feed-forward network's weights, after the block's name.
  func earlierFeedForwardName(_ number: Int) -> String {
    (earlierFeedForward ?? "").split(separator: "{number}", omittingEmptySubsequences: false).joined(
      separator: "\(number)")
  }

  /// What stands in front of the names of that block's weights, after the prefix.
  func blockName(group: Int, block: Int) -> String {
    let name = (recurrent?.layer ?? layer).split(separator: "{layer}", omittingEmptySubsequences: false).joined(
      separator: "\(group)")
    return name.split(separator: "{block}", omittingEmptySubsequences: false).joined(separator: "\(block)")
  }

  package static let bert = ModelFamily()
  package static let distilBERT: ModelFamily = {
    var family = ModelFamily()
    family.name = "distilbert"
    family.modelTypes = ["distilbert"]
    family.prefixes = ["distilbert.", ""]
    family.tokenTypeEmbeddings = nil
    family.configKeys.hiddenSize = "dim"
    family.configKeys.layerCount = "n_layers"
    family.configKeys.headCount = "n_heads"
    family.configKeys.intermediateSize = "hidden_dim"
    family.configKeys.activation = "activation"
    family.layer = "transformer.layer.{layer}."
    family.query = "attention.q_lin"
    family.key = "attention.k_lin"
    family.value = "attention.v_lin"
    family.attentionOutput = "attention.out_lin"
    family.attentionNorm = "sa_layer_norm"
    family.intermediate = "ffn.lin1"
    family.output = "ffn.lin2"
    family.outputNorm = "output_layer_norm"
    family.pooler = nil
    family.heads.predictionTransform = "vocab_transform"
    family.heads.predictionNorm = "vocab_layer_norm"
    family.heads.predictionDecoder = "vocab_projector"
    family.heads.predictionBiases = ["vocab_projector.bias"]
    family.heads.firstTokenHeads = [.init(dense: "pre_classifier", activation: .relu, output: "classifier")]
    return family
  }()

  /// XLM-RoBERTa and CamemBERT are the same model.
  package static let roBERTa: ModelFamily = {
    var family = ModelFamily()
    family.name = "roberta"
    family.modelTypes = ["roberta", "xlm-roberta", "camembert"]
    family.prefixes = ["roberta.", ""]
    family.positions = .countedFromPadding
    family.defaultPaddingID = 1
    family.heads.predictionTransform = "lm_head.dense"
    family.heads.predictionActivation = .gelu
    family.heads.predictionNorm = "lm_head.layer_norm"
    family.heads.predictionDecoder = "lm_head.decoder"
    family.heads.predictionBiases = ["lm_head.bias", "lm_head.decoder.bias"]
    family.heads.firstTokenHeads = [
      .init(dense: "classifier.dense", activation: .tanh, output: "classifier.out_proj")
    ]
    return family
  }()

  package static let electra: ModelFamily = {
    var family = ModelFamily()
    family.name = "electra"
    family.modelTypes = ["electra"]
    family.prefixes = ["electra.", ""]
    family.embeddingProjection = "embeddings_project"
    family.pooler = nil
    family.heads.predictionTransform = "generator_predictions.dense"
    family.heads.predictionActivation = .gelu
    family.heads.predictionNorm = "generator_predictions.LayerNorm"
    family.heads.predictionDecoder = "generator_lm_head"
    family.heads.predictionBiases = ["generator_lm_head.bias"]
    family.heads.firstTokenHeads = [
      .init(dense: "classifier.dense", activation: .gelu, output: "classifier.out_proj"),
      .init(dense: "sequence_summary.summary", activation: .gelu, output: "classifier"),
    ]
    family.heads.replacedToken = ("discriminator_predictions.dense", "discriminator_predictions.dense_prediction")
    return family
  }()

  package static let albert: ModelFamily = {
    var family = ModelFamily()
    family.name = "albert"
    family.modelTypes = ["albert"]
    family.prefixes = ["albert.", ""]
    family.embeddingProjection = "encoder.embedding_hidden_mapping_in"
    family.configKeys.groupCount = "num_hidden_groups"
    family.configKeys.blocksPerLayer = "inner_group_num"
    family.defaultActivation = "gelu_new"
    family.layer = "encoder.albert_layer_groups.{layer}.albert_layers.{block}."
    family.query = "attention.query"
    family.key = "attention.key"
    family.value = "attention.value"
    family.attentionOutput = "attention.dense"
    family.attentionNorm = "attention.LayerNorm"
    family.intermediate = "ffn"
    family.output = "ffn_output"
    family.outputNorm = "full_layer_layer_norm"
    family.pooler = "pooler"
    family.heads.predictionTransform = "predictions.dense"
    family.heads.predictionNorm = "predictions.LayerNorm"
    family.heads.predictionDecoder = "predictions.decoder"
    family.heads.predictionBiases = ["predictions.bias", "predictions.decoder.bias"]
    family.heads.nextSentence = "sop_classifier.classifier"
    family.heads.nextSentenceOutput = "sop_logits"
    return family
  }()

  package static let megatronBERT: ModelFamily = {
    var family = ModelFamily()
    family.name = "megatron-bert"
    family.modelTypes = ["megatron-bert"]
    family.embeddingNorm = nil
    family.attentionNorm = "attention.ln"
    family.outputNorm = "ln"
    family.normPlacement = .beforeBlock
    family.finalNorm = "encoder.ln"
    return family
  }()

  package static let mobileBERT: ModelFamily = {
    var family = ModelFamily()
    family.name = "mobilebert"
    family.modelTypes = ["mobilebert"]
    family.prefixes = ["mobilebert.", ""]
    family.embeddingTransformation = "embeddings.embedding_transformation"
    family.configKeys.feedForwardCount = "num_feedforward_networks"
    family.configKeys.readsNeighbours = "trigram_input"
    family.configKeys.normalization = "normalization_type"
    family.configKeys.poolerActivation = "classifier_activation"
    family.defaultActivation = "relu"
    // transformers gives these two no epsilon, so that they have torch's.
    family.embeddingNormEpsilon = 1e-5
    family.outputNormEpsilon = 1e-5
    family.bottleneck = BottleneckNames(
      input: "bottleneck.input", queriesAndKeys: "bottleneck.attention", output: "output.bottleneck", dense: "dense",
      norm: "LayerNorm")
    family.earlierFeedForward = "ffn.{number}."
    family.heads.predictionRest = "cls.predictions.dense"
    return family
  }()

  /// OpenAI's GPT of 2018 (Radford et al.), as `transformers` has it.
  package static let openAIGPT: ModelFamily = {
    var family = ModelFamily()
    family.name = "OpenAI GPT"
    family.modelTypes = ["openai-gpt"]
    family.prefixes = ["transformer.", ""]
    family.wordEmbeddings = "tokens_embed"
    family.positionEmbeddings = "positions_embed"
    family.tokenTypeEmbeddings = nil
    family.typesAreWords = true
    family.embeddingNorm = nil
    family.configKeys.hiddenSize = "n_embd"
    family.configKeys.layerCount = "n_layer"
    family.configKeys.headCount = "n_head"
    family.configKeys.intermediateSize = nil
    family.configKeys.activation = "afn"
    family.configKeys.positionCount = "n_positions"
    family.configKeys.layerNormEpsilon = "layer_norm_epsilon"
    family.defaultEpsilon = 1e-5
    family.activations = ["gelu": .geluTanh, "relu": .relu]
    family.layer = "h.{layer}."
    family.fusedProjection = "attn.c_attn"
    family.attentionOutput = "attn.c_proj"
    family.attentionNorm = "ln_1"
    family.intermediate = "mlp.c_fc"
    family.output = "mlp.c_proj"
    family.outputNorm = "ln_2"
    family.layersAreTurned = true
    family.isCausal = true
    family.pooler = nil
    family.heads.predictionTransform = nil
    family.heads.predictionDecoder = "lm_head"
    family.heads.predictionBiases = []
    family.heads.tiedPrediction = .all
    family.heads.classifier = "score"
    family.heads.classifierReadsLastToken = true
    return family
  }()

  /// BERT-pytorch of codertimo, with the names of its modules.
  package static let bertPyTorch: ModelFamily = {
    var family = ModelFamily()
    family.name = "BERT-pytorch"
    family.modelTypes = ["bert-pytorch"]
    family.wordEmbeddings = "embedding.token"
    family.positionEmbeddings = "embedding.position.pe"
    family.positionsAreBuffer = true
    family.tokenTypeEmbeddings = "embedding.segment"
    // Padding is of segment 0, a first sentence of segment 1.
    family.defaultTokenType = 1
    family.embeddingNorm = nil
    family.defaultActivation = "gelu_new"
    family.defaultEpsilon = 1e-6
    family.layer = "transformer_blocks.{layer}."
    family.query = "attention.linear_layers.0"
    family.key = "attention.linear_layers.1"
    family.value = "attention.linear_layers.2"
    family.attentionOutput = "attention.output_linear"
    family.attentionNorm = "input_sublayer.norm"
    family.intermediate = "feed_forward.w_1"
    family.output = "feed_forward.w_2"
    family.outputNorm = "output_sublayer.norm"
    family.normPlacement = .beforeBlock
    family.normKind = .sampleDeviation
    family.normNames = (".a_2", ".b_2")
    family.pooler = nil
    family.heads.predictionTransform = nil
    family.heads.predictionDecoder = "mask_lm.linear"
    family.heads.predictionBiases = ["mask_lm.linear.bias"]
    family.heads.nextSentence = "next_sentence.linear"
    family.heads.nextSentenceReadsToken = true
    return family
  }()

  /// The language model of ULMFiT (Howard and Ruder, 2018): an AWD-LSTM, with fastai's names.
  package static let ulmFiT: ModelFamily = {
    var family = ModelFamily()
    family.name = "AWD-LSTM"
    family.modelTypes = ["awd-lstm"]
    family.prefixes = ["0."]
    family.wordEmbeddings = "encoder"
    family.positionEmbeddings = nil
    family.tokenTypeEmbeddings = nil
    family.embeddingNorm = nil
    family.configKeys.hiddenSize = "emb_sz"
    family.configKeys.layerCount = "n_layers"
    family.configKeys.vocabularySize = "vocab_sz"
    family.configKeys.paddingID = "pad_token"
    family.defaultPaddingID = 1
    family.layer = "rnns.{layer}."
    family.recurrent = RecurrentNames(layer: "rnns.{layer}.module.", size: "n_hid")
    family.pooler = nil
    family.heads.predictionTransform = nil
    family.heads.predictionDecoder = "1.decoder"
    family.heads.predictionBiases = ["1.decoder.bias"]
    family.heads.tiedPrediction = .ofArchitecture("SequentialRNN")
    return family
  }()

  /// All that the encoder runs.
  package static let all = [
    bert, distilBERT, roBERTa, electra, albert, megatronBERT, mobileBERT, openAIGPT, bertPyTorch, ulmFiT,
  ]
}
