import NativeFormat
import TensorIO

/// The weights of one layer.
struct LayerWeights: Sendable {
  let projection: ProjectionWeights  // [3N, N], of the value [N, H] where it reads past a bottleneck
  let attentionOutput: DenseWeights  // [N, N]
  /// Before attention or after its sum, as the family says; and so those of the feed-forward.
  let attentionNorm: NormWeights
  /// Those before the last.
  let earlierFeedForwards: [FeedForwardWeights]
  let feedForward: FeedForwardWeights
  let bottleneck: BottleneckWeights?
}

/// One feed-forward network.
struct FeedForwardWeights: Sendable {
  let intermediate: DenseWeights  // [I, N]
  let output: DenseWeights  // [N, I]
  let norm: NormWeights
}

/// A dense layer with what follows it.
struct TransformWeights: Sendable {
  let dense: DenseWeights
  let activation: Activation
}

/// What the first token goes through before a head.
enum PoolerWeights: Sendable {
  case dense(TransformWeights)
  /// Nothing.
  case plain
  /// Nothing, and the last token is taken.
  case lastToken
}

/// The masked LM head, or that of a language model.
struct PredictionWeights: Sendable {
  /// `nil` where the decoder reads the hidden states as they are.
  let transform: (dense: TransformWeights, norm: NormWeights)?  // [E, H], or [H, H] where there is a rest
  let decoder: DenseWeights  // [V, E]
  /// What features beyond the first E add.
  let rest: Weight?  // [H - E, V]
}

/// All weights of a model; heads where the file has them.
struct EncoderWeights: Sendable {
  let wordEmbeddings: Weight  // [V, E]
  /// Before the sum with the other two, which are of H features then.
  let embeddingTransformation: DenseWeights?  // [H, E or 3E]
  let positionEmbeddings: Weight?  // [positions, E or H]
  let tokenTypeEmbeddings: Weight?  // [types, E or H]
  let embeddingNorm: NormWeights?
  let embeddingProjection: DenseWeights?  // [H, E]
  /// The blocks of each layer.
  let layers: [[LayerWeights]]
  /// In place of them where the layers are LSTMs.
  let recurrent: [RecurrentWeights]
  /// What the last layer's result goes through.
  let finalNorm: NormWeights?
  let pooler: PoolerWeights?  // [H, H]
  let prediction: PredictionWeights?
  let nextSentence: DenseWeights?  // [2, H]
  /// What the first token goes through before that.
  let nextSentencePooler: PoolerWeights?
  let classifier: DenseWeights?  // [labels, H]
  /// What the first token goes through before the classifier, in place of the pooler.
  let classifierTransform: PoolerWeights?  // [H, H]
  let replacedToken: (transform: TransformWeights, output: DenseWeights)?  // [H, H], [1, H]
  let questionAnswering: DenseWeights?  // [2, H]
  let sentence: SentenceWeights?

  /// - Parameter packing: the precision that the layers' matrices are packed in; `nil` to use them as they lie there
  init(_ model: NativeModel, _ config: EncoderConfig, packing: Precision?) throws(FormatError) {
    let family = config.family
    let hidden = config.hiddenSize
    let size = config.embeddingSize
    var loader = WeightLoader(model, family, packing: packing)

    let word = family.wordEmbeddings + ".weight"
    guard let prefix = family.prefixes.first(where: { loader.has($0 + word) }) else {
      throw FormatError(
        "the file has no word embeddings of a \(family.name) model", file: model.path,
        expected: family.prefixes.map { "'\($0 + word)'" }.joined(separator: " or "),
        advice: "Convert the checkpoint with 'bertconv convert' first, which finds out how its tensors are named.")
    }
    wordEmbeddings = try loader.load(prefix + word, [config.vocabularySize, size])
    if let name = family.embeddingTransformation, config.transformsWords {
      embeddingTransformation = try loader.dense(prefix + name, hidden, config.transformationInput)
    } else {
      embeddingTransformation = nil
    }
    let sum = config.transformsWords ? hidden : size
    if let name = family.positionEmbeddings {
      positionEmbeddings =
        family.positionsAreBuffer
        ? try loader.load(prefix + name, [1, config.positionCount, sum])
        : try loader.load(prefix + name + ".weight", [config.positionCount, sum])
    } else {
      positionEmbeddings = nil
    }
    if family.typesAreWords {
      tokenTypeEmbeddings = wordEmbeddings
    } else if let name = family.tokenTypeEmbeddings {
      tokenTypeEmbeddings = try loader.load(prefix + name + ".weight", [config.tokenTypeCount, sum])
    } else {
      tokenTypeEmbeddings = nil
    }
    if let name = family.embeddingNorm {
      embeddingNorm = try loader.norm(prefix + name, sum, config.normalisation(family.embeddingNormEpsilon))
    } else {
      embeddingNorm = nil
    }
    if let name = family.embeddingProjection, size != hidden || loader.has(prefix + name + ".weight") {
      embeddingProjection = try loader.dense(prefix + name, hidden, size)
    } else {
      embeddingProjection = nil
    }

    // Layers of one group have the same names, and so the same weights.
    var blocks: [String: LayerWeights] = [:]
    func block(_ name: String) throws(FormatError) -> LayerWeights {
      if let known = blocks[name] { return known }
      let block = try LayerWeights(&loader, name, config)
      blocks[name] = block
      return block
    }
    var layers: [[LayerWeights]] = []
    var recurrent: [RecurrentWeights] = []
    for index in 0..<config.layerCount {
      if family.recurrent != nil {
        let name = prefix + family.blockName(group: index, block: 0)
        recurrent.append(try RecurrentWeights(&loader, name, config, layer: index))
        layers.append([])
        continue
      }
      var layer: [LayerWeights] = []
      for number in 0..<config.blocksPerLayer {
        layer.append(try block(prefix + family.blockName(group: config.group(ofLayer: index), block: number)))
      }
      layers.append(layer)
    }
    self.layers = layers
    self.recurrent = recurrent
    if let name = family.finalNorm {
      finalNorm = try loader.norm(prefix + name, hidden, config.normalisation())
    } else {
      finalNorm = nil
    }

    if config.poolerIsPlain {
      // Weights that are there all the same, as in the released MobileBERT, are not read in transformers either.
      pooler = .plain
    } else if let name = family.pooler, loader.has(prefix + name + ".weight") {
      pooler = .dense(TransformWeights(dense: try loader.dense(prefix + name, hidden, hidden), activation: .tanh))
    } else {
      pooler = nil
    }
    prediction = try Self.prediction(&loader, config, wordEmbeddings)
    let heads = family.heads
    nextSentence =
      loader.has(heads.nextSentence + ".weight") ? try loader.dense(heads.nextSentence, 2, hidden) : nil
    nextSentencePooler = heads.nextSentenceReadsToken ? .plain : pooler
    questionAnswering =
      loader.has(heads.questionAnswering + ".weight") ? try loader.dense(heads.questionAnswering, 2, hidden) : nil
    let first = heads.firstTokenHeads.first { loader.has($0.dense + ".weight") }
    classifierTransform =
      if let first {
        .dense(TransformWeights(dense: try loader.dense(first.dense, hidden, hidden), activation: first.activation))
      } else {
        heads.classifierReadsLastToken ? .lastToken : nil
      }
    let name = first?.output ?? heads.classifier
    // The number of labels is nowhere but in the shape; a matrix of no labels or of one dimension is reported as wrong.
    let labels = model.tensor(name + ".weight")?.shape.first.map { max($0, 1) }
    if let labels {
      classifier =
        heads.classifierReadsLastToken
        ? DenseWeights(weight: try loader.load(name + ".weight", [labels, hidden]), bias: .zeros(labels))
        : try loader.dense(name, labels, hidden)
    } else {
      classifier = nil
    }
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
        "the file holds a weight of a layer that the config does not name", file: model.path, tensor: unused,
        expected: "\(config.layerCount) layers as the config has them",
        advice: "Use the config that belongs to this model.")
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
    let decoder = names.predictionDecoder + ".weight"
    let sign = names.predictionTransform.map { $0 + ".weight" } ?? decoder
    guard names.tiedPrediction.isThere(config.architecture) || loader.has(sign) else { return nil }
    // transformers ties the decoder to the word embeddings unless told otherwise. A decoder of its own in the file is
    // the same matrix then, or it was not tied.
    let isTied = config.tiesWordEmbeddings ?? !loader.has(decoder)
    let size = config.embeddingSize
    let weight = isTied ? wordEmbeddings : try loader.load(decoder, [config.vocabularySize, size])
    let found = names.predictionBiases.first { loader.has($0) }
    guard let transform = names.predictionTransform else {
      let bias =
        if let found { try loader.load(found, [config.vocabularySize]) } else { Weight.zeros(config.vocabularySize) }
      return PredictionWeights(transform: nil, decoder: DenseWeights(weight: weight, bias: bias), rest: nil)
    }
    let bias = found ?? names.predictionBiases[0]
    var width = size
    var rest: Weight?
    if let name = names.predictionRest {
      width = config.hiddenSize
      guard width >= size else {
        throw FormatError(
          "the masked LM head does not fit embeddings that are wider than the layers", file: loader.model.path,
          found: "embeddings of \(size), layers of \(width)", expected: "embeddings of at most \(width)")
      }
      // Where nothing is left over, an empty matrix is in the file.
      if width > size { rest = try loader.load(name + ".weight", [width - size, config.vocabularySize]) }
    }
    return PredictionWeights(
      transform: (
        dense: TransformWeights(
          dense: try loader.dense(transform, width, config.hiddenSize),
          activation: names.predictionActivation ?? config.activation),
        norm: try loader.norm(names.predictionNorm, width, .variance(epsilon: config.layerNormEpsilon))
      ),
      decoder: DenseWeights(weight: weight, bias: try loader.load(bias, [config.vocabularySize])),
      rest: rest)
  }
}

extension LayerWeights {
  /// Those whose names begin with `name`.
  fileprivate init(_ loader: inout WeightLoader, _ name: String, _ config: EncoderConfig) throws(FormatError) {
    let family = config.family
    let inner = config.innerSize
    bottleneck = try BottleneckWeights(&loader, name, config)
    if let fused = family.fusedProjection {
      projection = try loader.projection(fused: name + fused, inner, columns: inner)
    } else {
      projection = try loader.projection(
        [family.query, family.key, family.value].map { name + $0 }, inner, columns: inner,
        valueColumns: config.bottleneck == .queriesAndKeys ? config.hiddenSize : inner,
        sharesInput: config.bottleneck != .queriesAndKeys)
    }
    attentionOutput = try loader.layerDense(name + family.attentionOutput, inner, inner)
    attentionNorm = try loader.norm(name + family.attentionNorm, inner, config.normalisation())
    func feedForward(_ name: String, _ kind: Normalisation) throws(FormatError) -> FeedForwardWeights {
      FeedForwardWeights(
        intermediate: try loader.layerDense(name + family.intermediate, config.intermediateSize, inner),
        output: try loader.layerDense(name + family.output, inner, config.intermediateSize),
        norm: try loader.norm(name + family.outputNorm, inner, kind))
    }
    var earlier: [FeedForwardWeights] = []
    for number in 0..<(config.feedForwardCount - 1) {
      earlier.append(try feedForward(name + family.earlierFeedForwardName(number), config.normalisation()))
    }
    earlierFeedForwards = earlier
    self.feedForward = try feedForward(name, config.normalisation(family.outputNormEpsilon))
  }
}
