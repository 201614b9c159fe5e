import TensorIO

/// One step from the last hidden state of a model to the embedding of a sentence: a module of sentence-transformers
/// (`modules.json` and the folders that it names), as readers, mapping and encoder share it.
///
/// A config carries the modules in order as `"sentence_transformers": {"modules": [{"type": "pooling", "modes": ["mean"]},
/// {"type": "dense", "name": "2", "activation": "tanh", "bias": true}, {"type": "normalize"}]}`; the tensors of module `2` are called
/// `sentence_transformer.2.linear.weight` and `.bias`: their names in sentence-transformers after a prefix that no model
/// uses.
public enum SentenceModule: Sendable, Equatable {
  /// How the tokens of a sentence become one vector; the results of several modes are concatenated.
  public enum PoolingMode: String, Sendable, CaseIterable {
    /// The first token.
    case cls
    /// The largest value of each feature.
    case max
    /// The sum over the tokens divided by their number.
    case mean
    /// The sum over the tokens divided by the square root of their number.
    case meanSqrtLength = "mean_sqrt_len_tokens"
    /// The mean with the number of the token's column, from 1, as its weight.
    case weightedMean = "weightedmean"
    /// The last token.
    case lastToken = "lasttoken"
  }

  /// The functions that may follow a dense module.
  public enum Activation: String, Sendable, CaseIterable { case identity, tanh, relu, gelu }

  case pooling([PoolingMode])
  /// `activation(x · weightᵀ + bias)`: `linear.weight` [out, in], `linear.bias` [out] or none.
  case dense(name: String, activation: Activation, hasBias: Bool)
  /// `norm.weight` and `norm.bias`, with torch's epsilon of 1e-5.
  case layerNorm(name: String)
  /// L2 normalization: divides by the Euclidean length.
  case normalize
  /// An unknown or invalid module: its class, or what is wrong with it.
  case unsupported(String)

  /// Limits: a model has few modules and few pooling modes; more would only cost memory.
  public static let maxModules = 64
  public static let maxModes = 16

  /// The key of a config that holds the modules.
  public static let configKey = "sentence_transformers"
  /// The prefix of the names of the modules' tensors.
  public static let tensorPrefix = "sentence_transformer."

  /// The name of the tensor `tensor` of the module `name`.
  public static func tensorName(_ name: String, _ tensor: String) -> String { "\(tensorPrefix)\(name).\(tensor)" }
}

extension SentenceModule {
  public var json: JSON {
    switch self {
    case .pooling(let modes): .object(["type": .string("pooling"), "modes": .strings(modes.map(\.rawValue))])
    case .dense(let name, let activation, let hasBias):
      .object([
        "type": .string("dense"), "name": .string(name), "activation": .string(activation.rawValue),
        "bias": .bool(hasBias),
      ])
    case .layerNorm(let name): .object(["type": .string("layer_norm"), "name": .string(name)])
    case .normalize: .object(["type": .string("normalize")])
    case .unsupported(let what): .object(["type": .string("unsupported"), "what": .string(what)])
    }
  }

  /// A module of a config; one that is not valid is `unsupported`.
  public init(json: JSON) {
    let name = json["name"]?.stringValue
    switch json["type"]?.stringValue {
    case "pooling":
      let modes = json["modes"]?.elements?.map { $0.stringValue.flatMap(PoolingMode.init) } ?? []
      let known = modes.compactMap(\.self)
      let isUsable = !known.isEmpty && known.count == modes.count && known.count <= Self.maxModes
      self = isUsable ? .pooling(known) : .unsupported(json.text())
    case "dense":
      if let name, let activation = json["activation"]?.stringValue.flatMap(Activation.init) {
        self = .dense(name: name, activation: activation, hasBias: json["bias"]?.boolValue ?? true)
      } else {
        self = .unsupported(json.text())
      }
    case "layer_norm": self = name.map { .layerNorm(name: $0) } ?? .unsupported(json.text())
    case "normalize": self = .normalize
    case "unsupported": self = .unsupported(json["what"]?.stringValue ?? json.text())
    default: self = .unsupported(json.text())
    }
  }

  /// The modules that a config carries; `nil` where it has none.
  public static func all(inConfig config: JSON?) -> [SentenceModule]? {
    guard let value = config?[configKey], value != .null else { return nil }
    guard let modules = value["modules"]?.elements, modules.count <= maxModules else {
      return [.unsupported("a list")]
    }
    return modules.map { SentenceModule(json: $0) }
  }

  /// A few words for people.
  public var description: String {
    switch self {
    case .pooling(let modes): modes.map(\.rawValue).joined(separator: " and ") + " pooling"
    case .dense(_, .identity, _): "a dense layer"
    case .dense(_, let activation, _): "a dense layer with \(activation.rawValue)"
    case .layerNorm: "layer normalization"
    case .normalize: "L2 normalization"
    case .unsupported(let what): "an unsupported module (\(what))"
    }
  }
}
