import CheckpointFormats
import ModelFamilies
import TensorIO

/// What an encoder needs to know of its model besides the weights: `config.json` as `transformers` writes it, checked, and the
/// family that it is of.
public struct EncoderConfig: Sendable {
  public let modelType: String
  /// The first of `architectures`, which decides what `logits` are.
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
  /// Rows of the task type embeddings; 0 for models without.
  public let taskTypeCount: Int
  public let activation: Activation
  public let layerNormEpsilon: Float
  public let paddingID: Int
  /// Whether the masked LM head uses the word embeddings; `nil` where the config does not set it.
  public let tiesWordEmbeddings: Bool?
  package let family: ModelFamily

  /// Settings of a layer that no weight shows, each as its key and its value: `num_attention_heads (12)`.
  package let layerSettings: [String]
  /// The same of embeddings and layers; `nil` where the family has none.
  package let epsilonSetting: String?
  /// The features between two layers of a recurrent stack; `nil` for other families.
  let recurrentSize: Int?
  /// Rows of the table of relative positions; `nil` for families without.
  let relativeBucketCount: Int?
  /// Whether the normalizations of embeddings and layers take statistics, or only scale and shift.
  let takesStatistics: Bool
  /// Whether a token's embedding is made of those in the neighboring columns too.
  let readsNeighbors: Bool
  /// What a layer reads through a bottleneck.
  let bottleneck: Bottleneck
  /// Feed-forward networks of a block, one after the other: 1 in most families.
  let feedForwardCount: Int
  /// Whether the pooler has a dense layer; without one its output is the first token as it is.
  let poolerIsDense: Bool
  /// The modules of sentence-transformers after the model; empty where there are none.
  let sentenceModules: [SentenceModule]

  /// Reads and checks a config; `file` is its origin, for messages.
  public init(_ json: JSON, file: String? = nil) throws(FormatError) {
    try self.init(json, file: file, families: FamilyCatalog.builtIn())
  }

  package init(_ json: JSON, file: String?, families: FamilyCatalog) throws(FormatError) {
    guard json.members != nil else { throw FormatError(.config, "the config is not a JSON object", file: file) }
    let (family, modelType) = try Self.family(of: json, file: file, among: families)
    let settings = SettingReader(json: json, family: family, file: file)
    try Self.refuseOtherModels(json, file: file)
    self.modelType = modelType
    self.family = family
    architecture = json[.architectures]?.elements?.first?.stringValue
    tiesWordEmbeddings = json[.tiesWordEmbeddings]?.boolValue

    hiddenSize = try settings.size(.hiddenSize, limit: 1 << 16)
    embeddingSize = try settings.size(.embeddingSize, limit: 1 << 16, otherwise: hiddenSize, absent: hiddenSize)
    layerCount = try settings.size(.layerCount, limit: 1 << 10)
    groupCount = try settings.size(.groupCount, limit: layerCount, otherwise: layerCount, absent: 1)
    guard layerCount <= Self.maxLayersPerGroup * groupCount else {
      // The weights of a small file would be computed with any number of times. Of published models 24 layers share a set.
      throw FormatError(
        .limit, "more layers share a set of weights than the encoder computes", file: file,
        found: "\(layerCount) layers, \(groupCount) sets", expected: "at most \(Self.maxLayersPerGroup) layers for each"
      )
    }
    blocksPerLayer = try settings.size(
      .blocksPerLayer, limit: family.count(of: .query) { $0.block }, otherwise: 1, absent: 1)
    recurrentSize = try Self.recurrentSize(settings, layers: layerCount, hidden: hiddenSize)
    headCount = try settings.size(.headCount, limit: 1 << 16, otherwise: 1)
    intermediateSize = try settings.size(.intermediateSize, limit: 1 << 20, otherwise: 4 * hiddenSize)
    vocabularySize = try settings.size(.vocabularySize, limit: 1 << 28)
    positionCount = try settings.size(.positionCount, limit: 1 << 20, otherwise: 1 << 20)
    tokenTypeCount = try Self.tokenTypeCount(settings, vocabulary: vocabularySize)
    taskTypeCount =
      try settings.flag(.usesTaskTypes, otherwise: false)
      ? try settings.size(.taskTypeCount, limit: 1 << 16, otherwise: 0) : 0
    relativeBucketCount = try Self.relativeBucketCount(settings)
    bottleneck = try Bottleneck(settings)
    innerSize = try Self.innerSize(settings, bottleneck, hidden: hiddenSize, heads: headCount)
    feedForwardCount = try settings.size(
      .feedForwardCount, limit: family.count(of: .feedForwardInput) { $0.index }, otherwise: 1)
    readsNeighbors = try settings.flag(.readsNeighbors, otherwise: false)
    poolerIsDense = try settings.flag(.poolerIsDense, otherwise: family.computation.pooler == .dense)
    takesStatistics = try Self.takesStatistics(settings)

    let (activation, word) = try Self.activation(settings)
    let epsilon = try Self.epsilon(settings)
    self.activation = activation
    layerNormEpsilon = Float(epsilon)
    layerSettings = [(ConfigSetting.headCount, "\(headCount)"), (.activation, word)].compactMap { setting, value in
      settings.key(setting).map { "\($0) (\(value))" }
    }
    epsilonSetting = takesStatistics ? settings.key(.layerNormEpsilon).map { "\($0) (\(epsilon))" } : nil
    paddingID = try Self.paddingID(settings, positions: positionCount)
    sentenceModules = try Self.sentenceModules(json, file: file)
  }
}

// MARK: Sizes that follow

extension EncoderConfig {
  private static let maxLayersPerGroup = 64

  /// N / A
  public var headSize: Int { innerSize / headCount }

  /// Whether the embeddings of words go through a matrix before those of positions and token types are added.
  var transformsWords: Bool { family.has(.embeddingTransformation) && (readsNeighbors || embeddingSize != hiddenSize) }
  /// The features of a token that go into that matrix.
  var transformationInput: Int { readsNeighbors ? 3 * embeddingSize : embeddingSize }

  /// The features of `hidden_states` number `index`: H, except for those inside a recurrent stack.
  package func width(ofHidden index: Int) -> Int {
    guard let recurrentSize, index > 0, index < layerCount else { return hiddenSize }
    return recurrentSize
  }

  /// The longest sequence that the position embeddings allow.
  public var maximumSequence: Int { positionCount - firstPosition }

  /// The position of the first token.
  var firstPosition: Int {
    switch family.computation.positionIDs {
    case .column: 0
    case .countedFromPadding: paddingID + 1
    }
  }

  /// The set of weights that a layer uses: consecutive layers share one.
  func group(ofLayer index: Int) -> Int { index * groupCount / layerCount }
}

extension ModelFamily {
  /// How many of a part a layer can have, by one of the numbers of its role.
  fileprivate func count(of part: ModelPart, by number: (TensorRole) -> Int) -> Int {
    1 + (tensors.lazy.compactMap(\.role).filter { $0.part == part }.map(number).max() ?? 0)
  }
}

// MARK: Reading

extension EncoderConfig {
  /// The family that `model_type` names, and that name; the first where it is absent.
  private static func family(
    of json: JSON, file: String?, among families: FamilyCatalog
  ) throws(FormatError) -> (ModelFamily, String) {
    let given = json[.modelType].flatMap { $0 == .null ? nil : $0 }
    if let given, given.stringValue == nil {
      throw FormatError(
        .config, "the config's model_type is not usable", file: file, found: given.text(), expected: "a string")
    }
    let type = given?.stringValue ?? families.entries.first?.identity.modelType ?? ""
    guard let entry = families.entries.first(where: { $0.identity.isOf(modelType: type) }) else {
      throw FormatError(
        .unsupported, "the encoder does not run models of this family", file: file, found: "model_type '\(type)'",
        expected: families.entries.flatMap(\.identity.modelTypes).map { "'\($0)'" }.joined(separator: " or "))
    }
    return (entry.family, type)
  }

  /// Settings that change what is computed, and that no block computes.
  private static func refuseOtherModels(_ json: JSON, file: String?) throws(FormatError) {
    if let kind = json[.positionKind], kind != .null, kind.stringValue != "absolute" {
      throw FormatError(
        .unsupported, "the encoder does not run models with this kind of position embeddings", file: file,
        found: "\(CommonConfigKey.positionKind.rawValue) \(kind.stringValue.map { "'\($0)'" } ?? kind.text())",
        expected: "'absolute'")
    }
    for key in [CommonConfigKey.isDecoder, .hasCrossAttention] where json[key]?.boolValue == true {
      throw FormatError(
        .unsupported, "the encoder does not run decoders", file: file, found: "\(key.rawValue) true", expected: "false")
    }
  }

  /// Of a single layer no shape shows it, and nothing is of it.
  private static func recurrentSize(
    _ settings: SettingReader, layers: Int, hidden: Int
  ) throws(FormatError) -> Int? {
    guard settings.family.has(.recurrent) else { return nil }
    return try settings.size(.recurrentSize, limit: 1 << 16, absent: layers == 1 ? hidden : nil)
  }

  private static func tokenTypeCount(_ settings: SettingReader, vocabulary: Int) throws(FormatError) -> Int {
    if settings.family.computation.tokenTypeIDs == .words { return vocabulary }
    guard settings.family.has(.tokenTypeEmbeddings) else { return 1 }
    // What every config class of transformers that has the key takes.
    return try settings.size(.tokenTypeCount, limit: 1 << 16, absent: 2)
  }

  private static func relativeBucketCount(_ settings: SettingReader) throws(FormatError) -> Int? {
    guard settings.family.has(.relativeBias) else { return nil }
    let count = try settings.size(.relativeBucketCount, limit: 1 << 16)
    guard count >= DistanceBias.bucketCount else {
      throw FormatError(
        .unsupported, "the config's \(settings.key(.relativeBucketCount) ?? "number of buckets") is too small",
        file: settings.file, found: "\(count)", expected: "\(DistanceBias.bucketCount) or more")
    }
    return count
  }

  private static func innerSize(
    _ settings: SettingReader, _ bottleneck: Bottleneck, hidden: Int, heads: Int
  ) throws(FormatError) -> Int {
    let setting = bottleneck == .none ? ConfigSetting.hiddenSize : .innerSize
    let size = try settings.size(setting, limit: 1 << 16)
    let (key, hiddenKey) = (settings.key(setting) ?? "", settings.key(.hiddenSize) ?? "")
    guard size % heads == 0 else {
      throw FormatError(
        .config, "the config's \(key) is not a multiple of its \(settings.key(.headCount) ?? "heads")",
        file: settings.file, found: "\(size) and \(heads)")
    }
    guard bottleneck != .residual || size == hidden else {
      // Queries and keys are of N features and read H: transformers fails at this too.
      let keys = [ConfigSetting.bottleneckFeedsAttention, .sharesBottleneck].compactMap { settings.key($0) }
      throw FormatError(
        .config, "the config's bottleneck leaves out attention, whose matrices do not fit the hidden size then",
        file: settings.file, found: "\(hiddenKey) \(hidden) and \(key) \(size)",
        expected: "\(keys.joined(separator: " or ")) true, or two equal sizes")
    }
    return size
  }

  private static func takesStatistics(_ settings: SettingReader) throws(FormatError) -> Bool {
    switch try settings.text(.normalization) {
    case nil, "layer_norm": return true
    case "no_norm": return false
    case let other?:
      throw FormatError(
        .config, "the config's \(settings.key(.normalization) ?? "normalization") is not a known one",
        file: settings.file, found: "'\(other)'", expected: "'no_norm' or 'layer_norm'")
    }
  }

  /// The function between the two matrices of a feed-forward network, and the config's word for it; families without
  /// feed-forward networks have none, and take any.
  private static func activation(_ settings: SettingReader) throws(FormatError) -> (Activation, word: String) {
    guard let word = try settings.text(.activation) else { return (.gelu, Activation.gelu.rawValue) }
    guard let activation = settings.family.activation(named: word) else {
      throw FormatError(
        .unsupported, "the config's \(settings.key(.activation) ?? "activation") is not a known activation",
        file: settings.file, found: "'\(word)'", expected: settings.family.computedActivations.joined(separator: ", "))
    }
    return (activation, word)
  }

  /// Families without normalizations have none, and take any.
  private static func epsilon(_ settings: SettingReader) throws(FormatError) -> Double {
    guard let epsilon = try settings.number(.layerNormEpsilon) else { return 0 }
    guard epsilon >= 0, epsilon < 1 else {
      throw FormatError(
        .config, "the config's \(settings.key(.layerNormEpsilon) ?? "epsilon") is out of range", file: settings.file,
        found: "\(epsilon)", expected: "a small number, 0 or above, e.g. 1e-12")
    }
    return epsilon
  }

  private static func paddingID(_ settings: SettingReader, positions: Int) throws(FormatError) -> Int {
    let id = try settings.integer(.paddingID) ?? 0
    if settings.family.computation.positionIDs == .countedFromPadding {
      guard id >= 0, id < positions - 1 else {
        throw FormatError(
          .config, "the config's \(settings.key(.paddingID) ?? "padding id") leaves no positions",
          file: settings.file, found: "\(id)", expected: "0 to \(positions - 2)")
      }
    }
    return id
  }
}
