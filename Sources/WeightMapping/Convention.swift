import ModelFamilies
import TensorIO

/// How a framework names and stores the parameters of a module, whatever the model: Flax, for example, has `/` for `.`, and a
/// transposed `kernel` for the weight of a dense layer.
///
/// A canonical name is a module's path and a parameter, as in `bert.pooler.dense` and `weight`.
struct Convention: Sendable {
  /// What a module is, as far as its parameters' names depend on it.
  enum ModuleKind: Sendable { case embeddings, norm, dense }

  let separator: String
  /// What precedes a number in place of the separator.
  let numberSeparator: String
  /// The names of the parameters; an empty one is left out with its separator, so that the module's path is the name.
  let embeddingsWeight: String
  let normWeight: String
  let normBias: String
  let denseWeight: String
  let denseBias: String
  /// Whether the weight of a dense layer is stored as `[in, out]`.
  let isTransposed: Bool
  /// Whether it has the tensors that are usually tied to others.
  let hasTiedTensors: Bool
  /// Parts of paths that it calls otherwise.
  let replacements: [Replacement]

  /// Consecutive segments of a canonical path, and the text that takes their place.
  struct Replacement: Sendable {
    let segments: [Substring]
    let text: String

    init(_ path: String, _ text: String) {
      segments = path.split(separator: ".", omittingEmptySubsequences: false)
      self.text = text
    }
  }

  /// The convention's path of a module. Of the `others`, which go first, and the convention's own replacements, the longest
  /// that matches counts; what was replaced is not looked at again.
  func path(_ module: Substring, _ others: [Replacement]) -> String {
    let segments = module.split(separator: ".", omittingEmptySubsequences: false)
    let replacements = others + replacements
    var result: [String] = []
    var index = 0
    while index < segments.count {
      let rest = segments[index...]
      var longest: Replacement?
      for candidate in replacements where rest.starts(with: candidate.segments) {
        if candidate.segments.count > longest?.segments.count ?? 0 { longest = candidate }
      }
      let text = longest?.text ?? String(segments[index])
      if longest == nil, index > segments.startIndex, Self.isNumber(text) {
        result[result.count - 1] += numberSeparator + text
      } else {
        result.append(text)
      }
      index += longest?.segments.count ?? 1
    }
    return result.joined(separator: separator)
  }

  private static func isNumber(_ segment: String) -> Bool {
    segment == NamePattern.placeholder || !segment.isEmpty && segment.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  /// The convention's name of a canonical tensor, and whether it is stored transposed.
  func source(of tensor: CanonicalTensor, in model: ModelFamily, _ others: [Replacement]) -> (
    name: String, isTransposed: Bool
  ) {
    let name = tensor.pattern.text
    let dot = name.lastIndex(of: ".") ?? name.startIndex
    let path = path(name[..<dot], others)
    let parameter = String(name[name.index(after: dot)...])
    let kind = ModuleKind(of: tensor)
    let ownName =
      switch (parameter, kind) {
      case ("weight", .embeddings): embeddingsWeight
      case ("weight", .norm): normWeight
      case ("weight", .dense): denseWeight
      case ("bias", .norm): normBias
      case ("bias", _): denseBias
      default: parameter
      }
    let isStoredAsHere = tensor.pattern.isPerLayer && model.computation.layerMatrices == .inputOutput
    return (
      ownName.isEmpty ? path : path + separator + ownName,
      isTransposed && parameter == "weight" && kind == .dense && !isStoredAsHere && tensor.shape.count == 2
    )
  }
}

extension Convention.ModuleKind {
  init(of tensor: CanonicalTensor) {
    switch tensor.role?.part {
    case .wordEmbeddings, .positionEmbeddings, .tokenTypeEmbeddings, .taskTypeEmbeddings, .relativeBias:
      self = .embeddings
    case .embeddingNorm, .attentionNorm, .feedForwardNorm, .inputBottleneckNorm, .sharedBottleneckNorm,
      .outputBottleneckNorm, .finalNorm, .predictionNorm:
      self = .norm
    // A tensor without a role is a matrix of a dense layer, or a vector of a layer normalization.
    case nil where tensor.shape.count == 1 && tensor.pattern.text.hasSuffix(".weight"): self = .norm
    default: self = .dense
    }
  }
}

// MARK: Reading

extension Convention {
  /// The conventions of `conventions.yaml` by name.
  static func builtIn() throws(FormatError) -> [String: Convention] { try parsed.get() }

  private static let parsed = Result { () throws(FormatError) in
    let root = try YAMLValue.parse(PackageResources.conventions_yaml, file: "conventions.yaml")
    var result: [String: Convention] = [:]
    for (name, value) in try root.fields("the file", ["conventions"])["conventions"]?.map("conventions") ?? [] {
      result[name] = try Convention(value)
    }
    return result
  }

  static func named(_ value: YAMLValue) throws(FormatError) -> Convention {
    let name = try value.string("the name of a convention")
    let known = try builtIn()
    guard let convention = known[name] else {
      let names = known.keys.sorted()
      throw value.fail(
        "unknown convention '\(name)'", expected: names.joined(separator: ", "),
        advice: nearestName(to: name, among: names).map { .didYouMean($0) })
    }
    return convention
  }

  private init(_ value: YAMLValue) throws(FormatError) {
    let fields = try value.fields(
      "a convention", ["separator", "numbers", "embeddings", "norm", "dense", "transposed", "tied", "replace"])
    let norm = try value.require("norm", in: fields).strings("norm")
    let dense = try value.require("dense", in: fields).strings("dense")
    guard norm.count == 2, dense.count == 2 else { throw value.fail("'norm' and 'dense' need a weight and a bias") }
    let embeddings = try value.require("embeddings", in: fields)
    let separator = try value.require("separator", in: fields).string("separator")
    self.init(
      separator: separator, numberSeparator: try fields["numbers"]?.string("numbers") ?? separator,
      embeddingsWeight: embeddings.isNull ? "" : try embeddings.string("embeddings"), normWeight: norm[0],
      normBias: norm[1], denseWeight: dense[0], denseBias: dense[1],
      isTransposed: try fields["transposed"]?.bool("transposed") ?? false,
      hasTiedTensors: try fields["tied"]?.bool("tied") ?? true,
      replacements: try fields["replace"].map(Convention.replacements) ?? [])
  }

  static func replacements(_ value: YAMLValue) throws(FormatError) -> [Replacement] {
    var result: [Replacement] = []
    for (path, text) in try value.map("replace") { result.append(Replacement(path, try text.string("a path"))) }
    return result
  }
}
