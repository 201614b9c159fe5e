import NativeFormat
import TensorIO

/// The weights of one layer.
struct LayerWeights: Sendable {
  let projection: ProjectionWeights  // [3H, H]
  let attentionOutput: DenseWeights  // [H, H]
  /// Before attention or after its sum, as the family says; and so that of the feed-forward.
  let attentionNorm: NormWeights
  let intermediate: DenseWeights  // [I, H]
  let output: DenseWeights  // [H, I]
  let outputNorm: NormWeights
}

/// A dense layer with what follows it.
struct TransformWeights: Sendable {
  let dense: DenseWeights
  let activation: Activation
}

/// The masked LM head.
struct PredictionWeights: Sendable {
  let transform: TransformWeights  // [E, H]
  let norm: NormWeights
  let decoder: DenseWeights  // [V, E]
}

/// All weights of a model; heads where the file has them.
struct EncoderWeights: Sendable {
  let wordEmbeddings: Weight  // [V, E]
  let positionEmbeddings: Weight  // [positions, E]
  let tokenTypeEmbeddings: Weight?  // [types, E]
  let embeddingNorm: NormWeights?
  let embeddingProjection: DenseWeights?  // [H, E]
  /// The blocks of each layer.
  let layers: [[LayerWeights]]
  /// What the last layer's result goes through.
  let finalNorm: NormWeights?
  let pooler: TransformWeights?  // [H, H]
  let prediction: PredictionWeights?
  let nextSentence: DenseWeights?  // [2, H]
  let classifier: DenseWeights?  // [labels, H]
  /// What the first token goes through before the classifier, in place of the pooler.
  let classifierTransform: TransformWeights?  // [H, H]
  let replacedToken: (transform: TransformWeights, output: DenseWeights)?  // [H, H], [1, H]
  let questionAnswering: DenseWeights?  // [2, H]
  let sentence: SentenceWeights?

  init(_ model: NativeModel, _ config: EncoderConfig) throws(FormatError) {
    let family = config.family
    let hidden = config.hiddenSize
    let size = config.embeddingSize
    var loader = WeightLoader(model)

    let word = family.wordEmbeddings + ".weight"
    guard let prefix = family.prefixes.first(where: { loader.has($0 + word) }) else {
      throw FormatError(
        "the file has no word embeddings of a \(family.name) model", file: model.path,
        expected: family.prefixes.map { "'\($0 + word)'" }.joined(separator: " or "),
        advice: "Convert the checkpoint with 'bertconv convert' first, which finds out how its tensors are named.")
    }
    wordEmbeddings = try loader.load(prefix + word, [config.vocabularySize, size])
    positionEmbeddings = try loader.load(
      prefix + family.positionEmbeddings + ".weight", [config.positionCount, size])
    if let name = family.tokenTypeEmbeddings {
      tokenTypeEmbeddings = try loader.load(prefix + name + ".weight", [config.tokenTypeCount, size])
    } else {
      tokenTypeEmbeddings = nil
    }
    embeddingNorm = if let name = family.embeddingNorm { try loader.norm(prefix + name, size) } else { nil }
    if let name = family.embeddingProjection, size != hidden || loader.has(prefix + name + ".weight") {
      embeddingProjection = try loader.dense(prefix + name, hidden, size)
    } else {
      embeddingProjection = nil
    }

    // Layers of one group have the same names, and so the same weights.
    var blocks: [String: LayerWeights] = [:]
    func block(_ name: String) throws(FormatError) -> LayerWeights {
      if let known = blocks[name] { return known }
      let block = LayerWeights(
        projection: try loader.projection([family.query, family.key, family.value].map { name + $0 }, hidden),
        attentionOutput: try loader.dense(name + family.attentionOutput, hidden, hidden),
        attentionNorm: try loader.norm(name + family.attentionNorm, hidden),
        intermediate: try loader.dense(name + family.intermediate, config.intermediateSize, hidden),
        output: try loader.dense(name + family.output, hidden, config.intermediateSize),
        outputNorm: try loader.norm(name + family.outputNorm, hidden))
      blocks[name] = block
      return block
    }
    var layers: [[LayerWeights]] = []
    for index in 0..<config.layerCount {
      var layer: [LayerWeights] = []
      for number in 0..<config.blocksPerLayer {
        layer.append(try block(prefix + family.blockName(group: config.group(ofLayer: index), block: number)))
      }
      layers.append(layer)
    }
    self.layers = layers
    finalNorm = if let name = family.finalNorm { try loader.norm(prefix + name, hidden) } else { nil }

    if let name = family.pooler, loader.has(prefix + name + ".weight") {
      pooler = TransformWeights(dense: try loader.dense(prefix + name, hidden, hidden), activation: .tanh)
    } else {
      pooler = nil
    }
    prediction = try Self.prediction(&loader, config, wordEmbeddings)
    let heads = family.heads
    nextSentence =
      loader.has(heads.nextSentence + ".weight") ? try loader.dense(heads.nextSentence, 2, hidden) : nil
    questionAnswering =
      loader.has(heads.questionAnswering + ".weight") ? try loader.dense(heads.questionAnswering, 2, hidden) : nil
    let first = heads.firstTokenHeads.first { loader.has($0.dense + ".weight") }
    classifierTransform =
      if let first {
        TransformWeights(dense: try loader.dense(first.dense, hidden, hidden), activation: first.activation)
      } else {
        nil
      }
    let name = first?.output ?? heads.classifier
    // The number of labels is nowhere but in the shape; a matrix of no labels or of one dimension is reported as wrong.
    let labels = model.tensor(name + ".weight")?.shape.first.map { max($0, 1) }
    classifier = if let labels { try loader.dense(name, labels, hidden) } else { nil }
    if let names = heads.replacedToken, loader.has(names.dense + ".weight") {
      let dense = try loader.dense(names.dense, hidden, hidden)
      replacedToken = (
        TransformWeights(dense: dense, activation: config.activation), try loader.dense(names.output, 1, hidden)
      )
    } else {
      replacedToken = nil
    }

    sentence = try SentenceWeights(&loader, config)

    // A config with fewer layers than the file would give another model's outputs without a word.
    let layerStart = prefix + (family.layer.split(separator: "{", maxSplits: 1).first.map(String.init) ?? family.layer)
    if let unused = loader.firstUnused(under: layerStart) {
      throw FormatError(
        "the file holds a layer that the config does not name", file: model.path, tensor: unused,
        expected: "\(config.layerCount) layers", advice: "Use the config that belongs to this model.")
    }
    guard loader.missing.isEmpty else {
      let names = loader.missing.prefix(8).joined(separator: ", ")
      let rest = loader.missing.count - 8
      throw FormatError(
        loader.missing.count == 1 ? "a weight is missing" : "\(loader.missing.count) weights are missing",
        file: model.path, expected: names + (rest > 0 ? " and \(rest) more" : ""),
        advice: "The file is not whole, or its config has more layers than it.")
    }
  }

  private static func prediction(
    _ loader: inout WeightLoader, _ config: EncoderConfig, _ wordEmbeddings: Weight
  ) throws(FormatError) -> PredictionWeights? {
    let names = config.family.heads
    guard loader.has(names.predictionTransform + ".weight") else { return nil }
    let decoder = names.predictionDecoder + ".weight"
    // transformers ties the decoder to the word embeddings unless told otherwise. A decoder of its own in the file is
    // the same matrix then, or it was not tied.
    let isTied = config.tiesWordEmbeddings ?? !loader.has(decoder)
    let bias = names.predictionBiases.first { loader.has($0) } ?? names.predictionBiases[0]
    return PredictionWeights(
      transform: TransformWeights(
        dense: try loader.dense(names.predictionTransform, config.embeddingSize, config.hiddenSize),
        activation: names.predictionActivation ?? config.activation),
      norm: try loader.norm(names.predictionNorm, config.embeddingSize),
      decoder: DenseWeights(
        weight: isTied ? wordEmbeddings : try loader.load(decoder, [config.vocabularySize, config.embeddingSize]),
        bias: try loader.load(bias, [config.vocabularySize])))
  }
}
