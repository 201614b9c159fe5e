import TensorIO

/// The function between the two matrices of a feed-forward block.
public enum Activation: Sendable, Equatable {
  /// `x Φ(x)`, with the error function.
  case gelu
  /// The same with `tanh` in place of the error function.
  case geluTanh
  case relu
  /// Only of heads.
  case tanh

  /// `hidden_act` of `transformers`. Several of its names are one function.
  package static let names: KeyValuePairs<String, Activation> = [
    "gelu": .gelu, "gelu_python": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "gelu_fast": .geluTanh,
    "relu": .relu,
  ]
}

/// What an encoder has to know of its model beside the weights: `config.json` as `transformers` writes it, checked.
public struct EncoderConfig: Sendable {
  public let modelType: String
  /// The first of `architectures`, which tells what `logits` are.
  public let architecture: String?
  /// H
  public let hiddenSize: Int
  /// N: the width inside a layer, H in most families.
  public let innerSize: Int
  /// E: the size of the embeddings, H in most families.
  public let embeddingSize: Int
  /// L
  public let layerCount: Int
  /// How many sets of weights the layers share: L where they share none.
  public let groupCount: Int
  /// Blocks of attention and feed-forward in one layer: 1 in most families.
  public let blocksPerLayer: Int
  /// A
  public let headCount: Int
  /// I
  public let intermediateSize: Int
  /// V
  public let vocabularySize: Int
  /// Rows of the position embeddings.
  public let positionCount: Int
  /// Rows of the token type embeddings.
  public let tokenTypeCount: Int
  public let activation: Activation
  public let layerNormEpsilon: Float
  /// What the config says of a layer and no weight tells, each as its key and its value.
  package let layerSettings: [String]
  /// The same of embeddings and layers; `nil` where the family has none.
  package let epsilonSetting: String?
  /// The features between two layers of a recurrent stack; `nil` for other families.
  let recurrentSize: Int?
  /// Whether the normalisations of embeddings and layers take statistics, or only scale and shift.
  let takesStatistics: Bool
  /// Whether a token's embedding is made of those in the columns beside it too.
  let readsNeighbours: Bool
  /// What a layer reads through a bottleneck.
  let bottleneck: Bottleneck
  /// Feed-forward networks of a block, one after the other: 1 in most families.
  let feedForwardCount: Int
  /// Whether what the pooler gives is the first token as it is.
  let poolerIsPlain: Bool
  public let paddingID: Int
  /// Whether the config says that the masked LM head uses the word embeddings; `nil` where it says nothing.
  public let tiesWordEmbeddings: Bool?
  package let family: ModelFamily
  /// The modules of sentence-transformers behind the model; empty where there are none.
  let sentenceModules: [SentenceModule]

  /// N / A
  public var headSize: Int { innerSize / headCount }

  /// Whether the embeddings of words go through a matrix before those of positions and token types are added.
  var transformsWords: Bool {
    family.embeddingTransformation != nil && (readsNeighbours || embeddingSize != hiddenSize)
  }
  /// The features of a token that go into that matrix.
  var transformationInput: Int { readsNeighbours ? 3 * embeddingSize : embeddingSize }

  /// What a normalisation in embeddings or layers does, with an epsilon of its `own` where the family gives it one.
  func normalisation(_ own: Float? = nil) -> Normalisation {
    guard takesStatistics else { return .affine }
    let epsilon = own ?? layerNormEpsilon
    return switch family.normKind {
    case .variance: .variance(epsilon: epsilon)
    case .sampleDeviation: .sampleDeviation(epsilon: epsilon)
    }
  }

  /// The features of `hidden_states` number `index`: H, but for those inside a recurrent stack.
  package func width(ofHidden index: Int) -> Int {
    guard let recurrentSize, index > 0, index < layerCount else { return hiddenSize }
    return recurrentSize
  }

  /// The longest sequence that the position embeddings allow.
  public var maximumSequence: Int { positionCount - firstPosition }

  /// The position of the first token.
  var firstPosition: Int {
    switch family.positions {
    case .column: 0
    case .countedFromPadding: paddingID + 1
    }
  }

  /// The set of weights that a layer uses: consecutive layers share one.
  func group(ofLayer index: Int) -> Int { index * groupCount / layerCount }

  /// Reads and checks a config; `file` is where it comes from, for messages.
  public init(_ json: JSON, file: String? = nil) throws(FormatError) {
    try self.init(json, file: file, families: ModelFamily.all)
  }

  package init(_ json: JSON, file: String?, families: [ModelFamily]) throws(FormatError) {
    guard json.members != nil else { throw FormatError("the config is not a JSON object", file: file) }
    let reader = ConfigReader(json: json, file: file)

    modelType = try reader.text("model_type") ?? families.first?.modelTypes.first ?? "bert"
    let type = modelType
    guard let family = families.first(where: { $0.modelTypes.contains(type) }) else {
      throw FormatError(
        "the encoder does not run models of this family", file: file, found: "model_type '\(type)'",
        expected: families.flatMap(\.modelTypes).map { "'\($0)'" }.joined(separator: " or "))
    }
    self.family = family
    architecture = json["architectures"]?.elements?.first?.stringValue

    let keys = family.configKeys
    hiddenSize = try reader.size(keys.hiddenSize, limit: 1 << 16)
    embeddingSize =
      family.embeddingProjection == nil && family.embeddingTransformation == nil
      ? hiddenSize : try reader.size("embedding_size", limit: 1 << 16, default: hiddenSize)
    layerCount = try reader.size(keys.layerCount, limit: 1 << 10)
    if let key = keys.groupCount {
      groupCount = try reader.size(key, limit: layerCount, default: 1)
    } else {
      groupCount = layerCount
    }
    if let key = keys.blocksPerLayer {
      blocksPerLayer = try reader.size(key, limit: 64, default: 1)
    } else {
      blocksPerLayer = 1
    }
    if let names = family.recurrent {
      // Of a single layer no shape tells it, and nothing is of it.
      recurrentSize = try reader.size(names.size, limit: 1 << 16, default: layerCount == 1 ? hiddenSize : nil)
      headCount = 1
    } else {
      recurrentSize = nil
      headCount = try reader.size(keys.headCount, limit: 1 << 16)
    }
    if let key = keys.intermediateSize, family.recurrent == nil {
      intermediateSize = try reader.size(key, limit: 1 << 20)
    } else {
      intermediateSize = 4 * hiddenSize
    }
    vocabularySize = try reader.size(keys.vocabularySize, limit: 1 << 28)
    positionCount =
      family.positionEmbeddings == nil ? 1 << 20 : try reader.size(keys.positionCount, limit: 1 << 20)
    tokenTypeCount =
      family.typesAreWords
      ? vocabularySize
      : family.tokenTypeEmbeddings == nil ? 1 : try reader.size("type_vocab_size", limit: 1 << 16, default: 2)
    bottleneck = family.bottleneck == nil ? .none : try Bottleneck(reader)
    let innerKey = bottleneck == .none ? keys.hiddenSize : Bottleneck.sizeKey
    innerSize = bottleneck == .none ? hiddenSize : try reader.size(innerKey, limit: 1 << 16)
    guard innerSize % headCount == 0 else {
      throw FormatError(
        "the config's \(innerKey) is not a multiple of its \(keys.headCount)", file: file,
        found: "\(innerSize) and \(headCount)")
    }
    guard bottleneck != .residual || innerSize == hiddenSize else {
      // Queries and keys are of N features and read H: transformers fails at this too.
      throw FormatError(
        "the config's bottleneck leaves out attention, whose matrices do not fit the hidden size then", file: file,
        found: "\(keys.hiddenSize) \(hiddenSize) and \(innerKey) \(innerSize)",
        expected: "use_bottleneck_attention or key_query_shared_bottleneck true, or two equal sizes")
    }
    if let key = keys.feedForwardCount {
      feedForwardCount = try reader.size(key, limit: 64)
    } else {
      feedForwardCount = 1
    }
    readsNeighbours = if let key = keys.readsNeighbours { try reader.flag(key, default: true) } else { false }
    poolerIsPlain = if let key = keys.poolerActivation { try !reader.flag(key, default: true) } else { false }
    if let key = keys.normalization {
      switch try reader.text(key) ?? "no_norm" {
      case "no_norm": takesStatistics = false
      case "layer_norm": takesStatistics = true
      case let other:
        throw FormatError(
          "the config's \(key) is not a known one", file: file, found: "'\(other)'",
          expected: "'no_norm' or 'layer_norm'")
      }
    } else {
      takesStatistics = true
    }

    let name = try reader.text(keys.activation) ?? family.defaultActivation
    guard let activation = family.activations.first(where: { $0.key == name })?.value else {
      throw FormatError(
        "the config's \(keys.activation) is not a known activation", file: file, found: "'\(name)'",
        expected: family.activations.map(\.key).joined(separator: ", "))
    }
    self.activation = activation

    let epsilon = try reader.number(keys.layerNormEpsilon) ?? family.defaultEpsilon
    guard epsilon >= 0, epsilon < 1 else {
      throw FormatError(
        "the config's \(keys.layerNormEpsilon) is out of range", file: file, found: "\(epsilon)",
        expected: "a small number that is not negative, as 1e-12")
    }
    layerNormEpsilon = Float(epsilon)
    layerSettings =
      family.recurrent == nil ? ["\(keys.headCount) \(headCount)", "\(keys.activation) \(name)"] : []
    epsilonSetting = family.recurrent == nil && takesStatistics ? "\(keys.layerNormEpsilon) \(epsilon)" : nil

    paddingID = try reader.integer(keys.paddingID) ?? family.defaultPaddingID
    if case .countedFromPadding = family.positions {
      guard paddingID >= 0, paddingID < positionCount - 1 else {
        throw FormatError(
          "the config's pad_token_id leaves no positions", file: file, found: "\(paddingID)",
          expected: "0 to \(positionCount - 2)")
      }
    }
    sentenceModules = try Self.sentenceModules(json, file: file)
    tiesWordEmbeddings = json["tie_word_embeddings"]?.boolValue

    // Settings that change what is computed, and that the pass does not have.
    let kind = try reader.text("position_embedding_type") ?? "absolute"
    guard kind == "absolute" else {
      throw FormatError(
        "the encoder does not run models with this kind of position embeddings", file: file,
        found: "position_embedding_type '\(kind)'", expected: "'absolute'")
    }
    for key in ["is_decoder", "add_cross_attention"] where json[key]?.boolValue == true {
      throw FormatError("the encoder does not run decoders", file: file, found: "\(key) true", expected: "false")
    }
  }
}

/// Values of a config by key, with errors that name the key.
struct ConfigReader {
  let json: JSON
  let file: String?

  /// The value of `key`; a `null` is as good as no value.
  private func value(_ key: String) -> JSON? {
    guard let value = json[key], value != .null else { return nil }
    return value
  }

  private func wrong(_ key: String, _ value: JSON, _ expected: String) -> FormatError {
    FormatError("the config's \(key) is not usable", file: file, found: value.text(), expected: expected)
  }

  func text(_ key: String) throws(FormatError) -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.stringValue else { throw wrong(key, value, "a string") }
    return text
  }

  func flag(_ key: String, default fallback: Bool) throws(FormatError) -> Bool {
    guard let value = value(key) else { return fallback }
    guard let flag = value.boolValue else { throw wrong(key, value, "true or false") }
    return flag
  }

  func number(_ key: String) throws(FormatError) -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.doubleValue, number.isFinite else { throw wrong(key, value, "a number") }
    return number
  }

  func integer(_ key: String) throws(FormatError) -> Int? {
    guard let value = value(key) else { return nil }
    guard let integer = value.intValue else { throw wrong(key, value, "a whole number") }
    return integer
  }

  func size(_ key: String, limit: Int, default fallback: Int? = nil) throws(FormatError) -> Int {
    guard let size = try integer(key) ?? fallback else {
      throw FormatError("the config has no \(key)", file: file, expected: "a whole number")
    }
    guard size >= 1, size <= limit else {
      throw FormatError("the config's \(key) is out of range", file: file, found: "\(size)", expected: "1 to \(limit)")
    }
    return size
  }
}
