import CheckpointReaders
import ModelFamilies
import TensorIO

/// A LoRA adapter (Hu et al. 2021) as PEFT saves it:
///
///     adapter_config.json        {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_rslora": false, "modules_to_save": […], …}
///     adapter_model.safetensors  or .bin
///       base_model.model.MODULE.lora_A.weight [r, in]      MODULE.weight becomes W + scale · B·A
///       base_model.model.MODULE.lora_B.weight [out, r]
///       base_model.model.MODULE.lora_embedding_A [r, rows], lora_embedding_B [columns, r]      W + scale · (B·A)ᵀ
///       base_model.model.MODULE.lora_magnitude_vector [out]      of DoRA (Liu et al. 2024): each row gets this length
///       base_model.model.MODULE.weight      of modules_to_save: replaces the base's
///       base_model.model.MODULE.base_layer.bias      of an adapter that trains biases
///
/// scale is lora_alpha / r, or lora_alpha / √r with use_rslora. Source: PEFT 0.21, tuners/lora and utils/save_and_load.py.
struct LoRAAdapter {
  /// The change of one weight.
  struct Update {
    /// Indices of the two factors among the adapter's tensors.
    var a: Int?
    var b: Int?
    /// Index of DoRA's lengths.
    var magnitude: Int?
    /// Whether the weight is `[in, out]`, the product the other way round.
    var isTransposed = false
  }

  let source: any TensorSource
  let file: String
  /// What the config names as its base model.
  let baseName: String?
  /// By the name of the weight in the base model.
  private(set) var updates: [String: Update] = [:]
  /// Tensors that replace the base's or are added to them, by name.
  private(set) var replacements: [String: Int] = [:]
  /// Those of them that are of modules_to_save.
  private var savedModules: Set<String> = []
  private let config: JSON
  private let configFile: String

  static let configName = "adapter_config.json"
  static let weightNames = ["adapter_model.safetensors", "adapter_model.bin"]
  static let mergeWithPEFT: FormatError.Advice =
    "Merge it with PEFT (merge_and_unload), save the model, and convert that."

  init(_ folder: String) throws(FormatError) {
    guard FileSystem.isFolder(folder) else {
      throw FormatError(
        .unreadable, "an adapter is a folder", file: folder, expected: "a folder with adapter_config.json",
        advice: "Give the folder that PEFT saved.")
    }
    configFile = FileSystem.join(folder, Self.configName)
    config = try JSON.parse(try FileSystem.text(configFile, limit: 16 << 20), file: configFile)
    // A base model may lie in the same folder.
    let own = Self.weightNames.map { FileSystem.join(folder, $0) }.first(where: FileSystem.isFile)
    let checkpoint = try CheckpointOpener().open(own ?? folder)
    try checkpoint.refuseDangerousContent()
    source = checkpoint.source
    file = checkpoint.path
    baseName = config["base_model_name_or_path"]?.stringValue
    try checkConfig()
    for (index, tensor) in source.tensors.enumerated() { try add(tensor, index) }
    for (name, update) in updates where update.a == nil || update.b == nil {
      throw FormatError(
        .damaged, "the adapter has only one of the two factors of a weight", file: file, tensor: name,
        expected: "lora_A and lora_B")
    }
    guard !updates.isEmpty || !replacements.isEmpty else {
      throw FormatError(.unrecognized, "the adapter changes nothing: it has no tensors", file: file)
    }
  }

  // MARK: The config

  /// Settings that change what the factors mean, in a way that is not merged.
  private static let unsupported = [
    "use_qalora", "use_bdlora", "layer_replication", "alora_invocation_tokens", "target_parameters", "megatron_config",
    "arrow_config", "trainable_token_indices", "lora_bias",
  ]
  /// Ways to begin that change the base model's weights too.
  private static let changingBeginnings = ["pissa", "olora", "corda", "loftq", "eva"]

  private func checkConfig() throws(FormatError) {
    func refuse(_ setting: String) -> FormatError {
      FormatError(
        .unsupported, "the adapter is of a kind that is not merged", file: configFile, found: setting,
        expected: "a LoRA, rank-stabilized LoRA or DoRA adapter",
        advice: Self.mergeWithPEFT)
    }
    guard let type = config["peft_type"]?.stringValue, type == "LORA" else {
      throw refuse("peft_type \(config["peft_type"]?.text() ?? "not given")")
    }
    for key in Self.unsupported {
      switch config[key] {
      case nil, .null, .bool(false): continue
      case .array(let items) where items.isEmpty: continue
      case .object(let members) where members.isEmpty: continue
      case .some(let value): throw refuse("\(key) \(value.text())")
      }
    }
    if let beginning = config["init_lora_weights"]?.stringValue,
      Self.changingBeginnings.contains(where: { beginning.hasPrefix($0) })
    {
      throw refuse("init_lora_weights \(beginning), which changes the base model too")
    }
  }

  private func number(_ key: String) throws(FormatError) -> Double {
    guard let value = config[key]?.doubleValue, value.isFinite else {
      throw FormatError(
        .config, "the adapter's config has no number for \(key)", file: configFile, found: config[key]?.text())
    }
    return value
  }

  /// What the product of the factors of a module is multiplied by. `rank` is that of its own factors.
  func scale(of module: String, rank: Int) throws(FormatError) -> Double {
    var alpha = try number("lora_alpha")
    for member in config["alpha_pattern"]?.members ?? [] where try applies(member.key, to: module) {
      guard let value = member.value.doubleValue else {
        throw FormatError(.config, "alpha_pattern has a value that is no number", file: configFile, found: member.key)
      }
      alpha = value
      break
    }
    return config["use_rslora"]?.boolValue == true ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
  }

  /// Whether a key of a pattern is the module, or ends its path. PEFT takes the keys as regular expressions.
  private func applies(_ key: String, to module: String) throws(FormatError) -> Bool {
    guard !key.unicodeScalars.contains(where: { "*+?[](){}|\\$".unicodeScalars.contains($0) }) else {
      throw FormatError(
        .unsupported, "alpha_pattern of the adapter has a regular expression, which is not read", file: configFile,
        found: key, advice: Self.mergeWithPEFT)
    }
    return key.hasPrefix("^") ? module == key.dropFirst() : module == key || module.hasSuffix("." + key)
  }

  /// The base model's config, with the class of the task that the adapter was trained for.
  func adjusting(_ config: JSON) -> JSON {
    let tasks = [
      "SEQ_CLS": "ForSequenceClassification", "TOKEN_CLS": "ForTokenClassification",
      "QUESTION_ANS": "ForQuestionAnswering", "CAUSAL_LM": "ForCausalLM",
    ]
    guard let task = self.config["task_type"]?.stringValue.flatMap({ tasks[$0] }),
      let name = config[.architectures]?.elements?.first?.stringValue, !name.hasSuffix(task),
      let beginning = FamilyIdentity.beginning(ofClass: name)
    else { return config }
    var adjusted = config
    adjusted.set(.architectures, .array([.string(beginning + task)]))
    return adjusted
  }

  // MARK: The tensors

  private mutating func add(_ tensor: TensorInfo, _ index: Int) throws(FormatError) {
    let prefix = "base_model.model."
    var name = tensor.name.hasPrefix(prefix) ? String(tensor.name.dropFirst(prefix.count)) : tensor.name
    guard tensor.elementType.isFloatingPoint else {
      throw FormatError(
        .unsupported, "a tensor of the adapter has a type that is not merged", file: file, tensor: tensor.name,
        found: tensor.elementType.rawValue, expected: "floating-point numbers")
    }
    for (part, isEmbedding) in [
      ("lora_A", false), ("lora_B", false), ("lora_embedding_A", true), ("lora_embedding_B", true),
    ] {
      // The name of the adapter, mostly `default`, may follow.
      guard let range = name[...].firstRange(ofBytes: ".\(part)") else { continue }
      let rest = name[range.upperBound...].split(separator: ".")
      guard rest.isEmpty || rest.last == "weight" || isEmbedding, rest.count <= 2 else { continue }
      let weight = String(name[..<range.lowerBound]) + ".weight"
      var update = updates[weight] ?? Update()
      let isA = part.hasSuffix("A")
      guard (isA ? update.a : update.b) == nil else { throw twice(tensor) }
      if isA { update.a = index } else { update.b = index }
      update.isTransposed = isEmbedding || config["fan_in_fan_out"]?.boolValue == true
      updates[weight] = update
      return
    }
    if let range = name[...].firstRange(ofBytes: ".lora_magnitude_vector") {
      let weight = String(name[..<range.lowerBound]) + ".weight"
      var update = updates[weight] ?? Update()
      update.magnitude = index
      updates[weight] = update
      return
    }
    guard !name.split(separator: ".").contains(where: { $0.hasPrefix("lora_") || $0 == "token_adapter" }) else {
      throw FormatError(
        .unsupported, "the adapter has a tensor that is not merged", file: file, tensor: tensor.name,
        advice: Self.mergeWithPEFT)
    }
    // Written by older versions as MODULE.modules_to_save.default.weight, next to the original.
    if name[...].firstRange(ofBytes: ".original_module.") != nil { return }
    if let range = name[...].firstRange(ofBytes: ".modules_to_save.") {
      let rest = name[range.upperBound...].split(separator: ".")
      name = String(name[..<range.lowerBound]) + "." + (rest.last.map(String.init) ?? "")
      guard savedModules.insert(name).inserted else { throw twice(tensor) }
      // With trained biases the file has the base's as well, which PEFT does not load.
      replacements[name] = index
      return
    }
    if let range = name[...].firstRange(ofBytes: ".base_layer.") {
      guard name.hasSuffix(".base_layer.bias") else {
        throw FormatError(
          .unsupported, "the adapter's file has the base model's weights too", file: file, tensor: tensor.name,
          advice: Self.mergeWithPEFT)
      }
      name = name[..<range.lowerBound] + ".bias"
    }
    if savedModules.contains(name) { return }
    guard replacements.updateValue(index, forKey: name) == nil else { throw twice(tensor) }
  }

  private func twice(_ tensor: TensorInfo) -> FormatError {
    FormatError(
      .unsupported, "the file has several adapters for one weight", file: file, tensor: tensor.name,
      advice: "Save the one that is to be merged by itself.")
  }
}

extension OpenedCheckpoint {
  /// The note where an adapter is in the same folder as its base model: `transformers` would load both.
  var noteOfAdapter: String? {
    let folder = FileSystem.folder(of: path)
    guard FileSystem.isFile(FileSystem.join(folder, LoRAAdapter.configName)),
      let name = LoRAAdapter.weightNames.first(where: { FileSystem.isFile(FileSystem.join(folder, $0)) })
    else { return nil }
    return "\(FileSystem.join(folder, name)) is an adapter (PEFT), which is not merged: this is the base model alone"
  }

  /// Throws where the checkpoint is an adapter without its base model.
  func refuseAdapterAlone() throws(FormatError) {
    let config = FileSystem.join(FileSystem.folder(of: path), LoRAAdapter.configName)
    guard source.tensors.contains(where: { $0.name[...].firstRange(ofBytes: ".lora_") != nil }),
      FileSystem.isFile(config)
    else { return }
    let json = try? JSON.parse(FileSystem.text(config, limit: 16 << 20), file: config)
    throw FormatError(
      .unsupported, "this is a LoRA adapter (PEFT), which changes a base model and is not a model itself", file: path,
      found: json?["base_model_name_or_path"]?.stringValue.map { "the base model '\($0)'" }, advice: .giveBaseModel)
  }
}
