import ModelFamilies
import TensorIO

/// The settings that the attributes of a pickled module show: those of attention, of layer normalization and of the
/// functions between two matrices, as the modules of `transformers` and of its ancestors keep them.
///
/// An attribute counts only where all modules that have it agree, and a function only where its name is known.
struct ModuleSettings {
  private let values: [(path: [Substring], value: String)]

  init(_ metadata: [(key: String, value: String)]) {
    values = metadata.compactMap { key, value in
      let path = key.split(separator: ".")
      return path.count > 1 ? (path, value) : nil
    }
  }

  private static let origin = "the attributes of the pickled module"
  private static let headNames: Set<Substring> = ["num_attention_heads", "n_heads", "num_heads"]
  private static let epsilonNames: Set<Substring> = ["layer_norm_eps", "eps", "variance_epsilon"]
  /// Of the function inside a layer; the pooler's and the heads' are others.
  private static let activationNames: Set<Substring> = ["intermediate_act_fn", "hidden_act"]

  var observed: [ObservedSetting] {
    var result: [ObservedSetting] = []
    if let heads = agreed(values.filter { $0.path.last.map(Self.headNames.contains) == true }.map(\.value)),
      let count = Int(heads), count > 0
    {
      let size = agreed(values.filter { $0.path.last == "all_head_size" }.map(\.value)).flatMap { Int($0) }
      result.append(ObservedSetting(.headCount, .int(count), size: size, origin: Self.origin))
    }
    if let epsilon = agreed(values.filter { isEpsilon($0.path) }.map(\.value)), let number = try? JSON.parse(epsilon),
      let value = number.doubleValue, value > 0, value < 1
    {
      result.append(ObservedSetting(.layerNormEpsilon, number, origin: Self.origin))
    }
    if let word = activation { result.append(ObservedSetting(.activation, .string(word), origin: Self.origin)) }
    return result
  }

  private func agreed(_ values: [String]) -> String? {
    guard let first = values.first, values.allSatisfy({ SourceValues.isSame($0, first) }) else { return nil }
    return first
  }

  /// `layer_norm_eps` of a config, or the epsilon of a module that its name shows to be a layer normalization.
  private func isEpsilon(_ path: [Substring]) -> Bool {
    guard let name = path.last, Self.epsilonNames.contains(name) else { return false }
    guard name != "layer_norm_eps", path.count > 1 else { return true }
    let module = path[path.count - 2].lowercased()
    return module.contains("norm") && !module.contains("batch")
  }

  private var activation: String? {
    let words = values.filter { $0.path.last.map(Self.activationNames.contains) == true }.map {
      word(of: $0.value, $0.path)
    }
    guard let first = words.first, let word = first, words.allSatisfy({ $0 == word }) else { return nil }
    return word
  }

  /// The word of `transformers` for a function by its name, `nil` for one that is not known.
  private func word(of name: String, _ path: [Substring]) -> String? {
    guard name.contains(".") else {
      return SharedDefinitions.activations.contains { $0.word == name } ? name : nil
    }
    if name == "torch.nn.modules.activation.GELU" {
      let form = values.first { $0.path == path + ["approximate"] }?.value
      return ["none": "gelu", "tanh": "gelu_pytorch_tanh"][form ?? "none"]
    }
    return Self.functions[name]
  }

  /// By module and name (transformers activations.py, its modeling files before version 3, pytorch_transformers and
  /// pytorch_pretrained_bert modeling.py; torch/nn/functional.py). All gelus here are by the error function but those that
  /// say otherwise.
  private static let functions: [String: String] = {
    var result = [
      "torch._C._nn.gelu": "gelu", "torch.nn.functional.gelu": "gelu", "torch.nn.functional.relu": "relu",
      "torch.relu": "relu", "torch.nn.modules.activation.ReLU": "relu", "torch.nn.modules.activation.SiLU": "silu",
      "torch.nn.modules.activation.Tanh": "tanh", "torch.nn.functional.silu": "silu",
    ]
    let classes = [
      "GELUActivation": "gelu", "NewGELUActivation": "gelu_new", "FastGELUActivation": "gelu_fast",
      "PytorchGELUTanh": "gelu_pytorch_tanh", "GELUTanh": "gelu_pytorch_tanh", "QuickGELUActivation": "quick_gelu",
      "ReLUSquaredActivation": "relu2", "SiLUActivation": "silu", "MishActivation": "mish",
      "AccurateGELUActivation": "gelu_accurate", "LaplaceActivation": "laplace", "LinearActivation": "linear",
      "gelu_new": "gelu_new", "gelu_fast": "gelu_fast", "quick_gelu": "quick_gelu", "gelu_python": "gelu",
      "_gelu_python": "gelu", "swish": "swish", "mish": "mish",
    ]
    for (name, word) in classes { result["transformers.activations.\(name)"] = word }
    for module in [
      "pytorch_pretrained_bert.modeling", "pytorch_transformers.modeling_bert", "transformers.modeling_bert",
      "pytorch_transformers.modeling_utils", "transformers.activations",
    ] {
      result["\(module).gelu"] = "gelu"
      result["\(module).gelu_new"] = "gelu_new"
      result["\(module).swish"] = "swish"
    }
    return result
  }()
}
