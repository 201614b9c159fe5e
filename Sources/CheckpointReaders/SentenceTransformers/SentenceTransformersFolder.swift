import CheckpointFormats
import TensorIO

/// A folder as sentence-transformers saves it: a transformer, and modules that make a sentence embedding of its hidden states.
///
///     modules.json              [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, …]
///     config.json, weights      of the transformer, where its path is "" (older: in 0_Transformer/ or 0_BERT/)
///     1_Pooling/config.json     {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": true, …}
///     2_Dense/config.json       {"in_features": 384, "out_features": 256, "bias": true, "activation_function": "torch.nn…Tanh"}
///     2_Dense/model.safetensors or pytorch_model.bin: linear.weight, linear.bias
///
/// Source: sentence-transformers 5.7, base/model.py and the modules' files; models saved since 2019 have this form.
struct SentenceTransformersFolder {
  /// The folder of the transformer.
  private(set) var transformer: String
  /// What follows the transformer, in order.
  private(set) var modules: [SentenceModule] = []
  /// The folders of modules that may hold weights, and the modules' names.
  private(set) var weightFolders: [(name: String, folder: String)] = []
  private(set) var warnings: [String] = []
  /// The maximum number of tokens for the transformer.
  private(set) var maximumSequence: Int?

  static let listName = "modules.json"

  static func isOne(_ folder: String) -> Bool { FileSystem.isFile(FileSystem.join(folder, listName)) }

  /// The folder with the table of a model whose first module looks vectors up, without a transformer; `nil` for others.
  static func staticEmbeddings(in folder: String) throws(FormatError) -> String? {
    let list = FileSystem.join(folder, listName)
    let json = try JSON.parse(try FileSystem.text(list, limit: 1 << 20), file: list)
    guard let first = json.elements?.first, className(first) == "StaticEmbedding" else { return nil }
    return try path(first, in: folder, list: list)
  }

  init(_ folder: String) throws(FormatError) {
    let list = FileSystem.join(folder, Self.listName)
    let json = try JSON.parse(try FileSystem.text(list, limit: 1 << 20), file: list)
    guard let entries = json.elements, let first = entries.first, entries.count <= SentenceModule.maxModules else {
      throw FormatError(
        .damaged, "not a list of modules", file: list,
        expected: "a JSON array of 1 to \(SentenceModule.maxModules) modules",
        advice: "Give the transformer's own file to convert it alone.")
    }
    transformer = try Self.path(first, in: folder, list: list)
    var hasHead = Self.className(first) == Self.maskedLMClass
    guard Self.transformerClasses.contains(Self.className(first)) else {
      throw FormatError(
        .unsupported, "the first module is not a transformer", file: list, found: first["type"]?.stringValue,
        expected: "sentence_transformers.models.Transformer",
        advice: "Only sentence-transformers models that begin with a transformer are supported.")
    }
    let settings = FileSystem.join(transformer, "sentence_bert_config.json")
    if FileSystem.isFile(settings) {
      let json = try JSON.parse(try FileSystem.text(settings, limit: 1 << 20), file: settings)
      maximumSequence = json["max_seq_length"]?.intValue
      hasHead = hasHead || Self.tasksOfHeads.contains(json["transformer_task"]?.stringValue ?? "")
      if !hasHead, let problem = Self.otherOutput(json) { modules.append(.unsupported(problem)) }
    }
    var rest = entries.enumerated().dropFirst()
    // A model that computes logits is whole: what follows it has no weights.
    if hasHead, let next = rest.first, Self.className(next.element) == "SpladePooling" {
      rest = rest.dropFirst()
      warnings.append(
        "\(list) names SpladePooling, which is not converted: the model gives the logits of each token; the sparse embedding is the largest log(1 + relu(logit)) over the tokens"
      )
    }
    for (index, entry) in rest { try add(entry, index, in: folder, list: list) }
    if modules.isEmpty, !hasHead {
      warnings.append("\(list) lists no module after the transformer: there is no sentence embedding")
    }
  }

  /// The value for the config of the model.
  var config: JSON {
    var value = JSON.object([])
    if let maximumSequence { value.set("max_seq_length", .int(maximumSequence)) }
    value.set("modules", .array(modules.map(\.json)))
    return value
  }

  // MARK: Modules

  /// `Transformer`, and the names of it before 2020.
  private static let transformerClasses: Set = [
    "Transformer", "BERT", "RoBERTa", "DistilBERT", "ALBERT", "XLMRoBERTa", "CamemBERT", maskedLMClass,
  ]
  /// The transformer of a SPLADE model, with its masked LM head.
  private static let maskedLMClass = "MLMTransformer"
  /// Tasks of cross-encoders and of SPLADE models: the transformer's head is part of the model.
  private static let tasksOfHeads: Set = ["sequence-classification", "fill-mask"]

  /// The last word of the library's own classes; empty for those of others, whatever they are called.
  private static func className(_ entry: JSON) -> String {
    guard let type = entry["type"]?.stringValue, type.hasPrefix("sentence_transformers.") else { return "" }
    return type.split(separator: ".").last.map(String.init) ?? ""
  }

  /// What is wrong where the transformer is to give something other than the last hidden state.
  private static func otherOutput(_ settings: JSON) -> String? {
    let asked = [
      ("transformer_task", settings["transformer_task"], "feature-extraction"),
      ("module_output_name", settings["module_output_name"], "token_embeddings"),
      ("method_output_name", settings["modality_config"]?["text"]?["method_output_name"], "last_hidden_state"),
    ]
    for (key, value, usual) in asked {
      guard let value, value != .null, value.stringValue != usual else { continue }
      return "a transformer with \(key) \(value.text())"
    }
    return nil
  }

  /// The folder of a module, which must lie in the model's.
  private static func path(_ entry: JSON, in folder: String, list: String) throws(FormatError) -> String {
    guard let path = entry["path"]?.stringValue else {
      throw FormatError(.damaged, "a module has no path", file: list, found: entry.text())
    }
    // "1_Pooling/" and "./1_Pooling" are as good as "1_Pooling", and "." as the empty path.
    let parts = path.split(separator: "/").map(String.init).filter { $0 != "." }
    if parts.isEmpty, !path.hasPrefix("/") { return folder }
    guard parts.allSatisfy(FileSystem.isPlainName), !path.hasPrefix("/"), !path.contains("\\") else {
      throw FormatError(
        .dangerous, "a module's path is outside the model's folder", file: list, found: path,
        expected: "a folder in it, as 1_Pooling",
        advice: "A list that points elsewhere is not followed.")
    }
    return FileSystem.join(folder, parts.joined(separator: "/"))
  }

  private mutating func add(_ entry: JSON, _ index: Int, in folder: String, list: String) throws(FormatError) {
    let path = try Self.path(entry, in: folder, list: list)
    // The name in the state dict of the whole model; a number unless the user chose another.
    let name = entry["name"]?.stringValue ?? "\(index)"
    guard !weightFolders.contains(where: { $0.name == name }) else {
      throw FormatError(.damaged, "two modules have the same name", file: list, found: name)
    }
    guard !weightFolders.contains(where: { $0.folder == path }) else {
      throw FormatError(.damaged, "two modules have the same folder", file: list, found: path)
    }
    func config() throws(FormatError) -> JSON {
      let file = FileSystem.join(path, "config.json")
      return try JSON.parse(try FileSystem.text(file, limit: 1 << 20), file: file)
    }
    switch Self.className(entry) {
    case "Pooling": modules.append(Self.pooling(try config()))
    case "Dense":
      modules.append(Self.dense(try config(), name))
      weightFolders.append((name, path))
    case "LayerNorm":
      modules.append(.layerNorm(name: name))
      weightFolders.append((name, path))
    case "Normalize": modules.append(.normalize)
    // Does nothing but in training.
    case "Dropout": break
    default:
      modules.append(.unsupported(entry["type"]?.stringValue ?? entry.text()))
      // What weights it has are listed, though nothing can be made of them.
      if path != folder, (try? PathResolution(kind: nil).resolve(path)) != nil { weightFolders.append((name, path)) }
    }
  }

  /// Flags used before version 5, in the order in which their results are concatenated.
  private static let flags: KeyValuePairs<String, SentenceModule.PoolingMode> = [
    "pooling_mode_cls_token": .cls, "pooling_mode_max_tokens": .max, "pooling_mode_mean_tokens": .mean,
    "pooling_mode_mean_sqrt_len_tokens": .meanSqrtLength, "pooling_mode_weightedmean_tokens": .weightedMean,
    "pooling_mode_lasttoken": .lastToken,
  ]

  private static func pooling(_ config: JSON) -> SentenceModule {
    // The inputs do not show which tokens belong to a prompt.
    if config["include_prompt"]?.boolValue == false { return .unsupported("pooling with include_prompt false") }
    guard let size = (config["embedding_dimension"] ?? config["word_embedding_dimension"])?.intValue, size > 0 else {
      return .unsupported("pooling without an embedding_dimension")
    }
    let modes: [SentenceModule.PoolingMode?]
    switch config["pooling_mode"] {
    case .string(let mode)?: modes = [.init(rawValue: mode)]
    case .array(let list)?: modes = list.map { $0.stringValue.flatMap(SentenceModule.PoolingMode.init) }
    case nil:
      var set: [SentenceModule.PoolingMode] = []
      for member in config.members ?? [] where member.key.hasPrefix("pooling_mode_") {
        guard let isOn = member.value.boolValue ?? member.value.intValue.map({ $0 != 0 }),
          flags.contains(where: { $0.key == member.key }) || !isOn
        else { return .unsupported("pooling with \(member.key) \(member.value.text())") }
      }
      for (key, mode) in flags {
        if let value = config[key], value.boolValue ?? (value.intValue != 0) { set.append(mode) }
      }
      modes = set.isEmpty ? [.mean] : set
    default: modes = []
    }
    let known = modes.compactMap(\.self)
    guard !known.isEmpty, known.count == modes.count, known.count <= SentenceModule.maxModes else {
      return .unsupported("pooling_mode \(config["pooling_mode"]?.text() ?? "")")
    }
    return .pooling(known)
  }

  /// The classes of torch by the ends of their names; an absent one is the library's default.
  private static let activations: KeyValuePairs<String, SentenceModule.Activation> = [
    "Tanh": .tanh, "Identity": .identity, "ReLU": .relu, "GELU": .gelu,
  ]

  private static func dense(_ config: JSON, _ name: String) -> SentenceModule {
    for key in ["module_input_name", "module_output_name"] {
      if let name = config[key]?.stringValue, name != "sentence_embedding" {
        return .unsupported("a dense module with \(key) '\(name)'")
      }
    }
    let hasBias = config["bias"]?.boolValue ?? true
    guard let function = config["activation_function"], function != .null else {
      return .dense(name: name, activation: .tanh, hasBias: hasBias)
    }
    let last = function.stringValue.flatMap {
      $0.hasPrefix("torch.") ? $0.split(separator: ".").last.map(String.init) : nil
    }
    guard let known = activations.first(where: { $0.key == last })?.value else {
      return .unsupported("a dense module with activation_function \(function.text())")
    }
    return .dense(name: name, activation: known, hasBias: hasBias)
  }
}
