import CheckpointFormats
import TensorIO

/// Finds the file to open for the path that the user gave.
///
/// A TensorFlow prefix, `.index`, `.data-*` or `.meta` file leads to the index; `params_N.npy` to the list of shapes in the same folder;
/// a folder to the checkpoint that its `checkpoint` state file names, else to its only checkpoint; a SavedModel to its variables.
struct PathResolution {
  /// If given, only this kind is looked for.
  let kind: CheckpointKind?

  struct Result {
    var path: String
    var warnings: [String] = []
  }

  func resolve(_ path: String) throws(FormatError) -> Result {
    switch FileSystem.kind(of: path) {
    case .file:
      if let index = try index(forDataFile: path) { return Result(path: index) }
      if let checkpoint = try checkpoint(ofStateFile: path) { return Result(path: checkpoint) }
      if path.hasSuffix(TorchDistributedFormat.suffix) {
        return Result(path: try TorchDistributedFormat.metadata(ofChunks: path))
      }
      return Result(path: shapes(forShard: path) ?? variables(ofSavedModel: path) ?? path)
    case .folder: return try resolveFolder(path)
    case .other:
      throw FormatError(
        .unreadable, "neither a file nor a folder", file: path, advice: "Give a checkpoint's file, prefix or folder.")
    case nil:
      if FileSystem.isFile(path + BundleFiles.indexSuffix) { return Result(path: path + BundleFiles.indexSuffix) }
      if let part = firstV1Part(path) { return Result(path: part) }
      let data = BundleFiles.shard(path, 0, of: 1)
      if FileSystem.isFile(data) { throw missingIndex(path, data: data) }
      throw notFound(path)
    }
  }

  // MARK: Files

  /// `PREFIX.index` for a data file, and for the graph that TensorFlow 1 writes next to it (`PREFIX.meta`), which contains
  /// no weights; `nil` for other names.
  private func index(forDataFile path: String) throws(FormatError) -> String? {
    let name = FileSystem.baseName(path)
    let graph = name.hasSuffix(".meta") ? String(name.dropLast(5)) : nil
    guard let plain = BundleFiles.prefix(ofShard: name) ?? graph else { return nil }
    let prefix = FileSystem.join(FileSystem.folder(of: path), plain)
    let index =
      (path.hasPrefix("./") ? "./" + prefix.drop(while: { $0 == "." || $0 == "/" }) : prefix) + BundleFiles.indexSuffix
    if FileSystem.isFile(index) { return index }
    // A graph next to a checkpoint of version 1, or something else with that name.
    if graph != nil { return FileSystem.isFile(prefix) ? prefix : nil }
    throw missingIndex(prefix, data: path)
  }

  /// `params_shapes.json` in the folder of `params_N.npy`; `nil` for other names.
  private func shapes(forShard path: String) -> String? {
    guard NpyShardsSource.shardNumber(FileSystem.baseName(path)) != nil else { return nil }
    let shapes = FileSystem.join(FileSystem.folder(of: path), NpyShardsSource.shapesName)
    return FileSystem.isFile(shapes) ? shapes : nil
  }

  /// The checkpoint that the state file `checkpoint` names; `nil` for other files.
  private func checkpoint(ofStateFile path: String) throws(FormatError) -> String? {
    guard FileSystem.baseName(path) == Self.stateFile, (FileSystem.size(of: path) ?? 0) < 1 << 20,
      let name = try? stateFileChoice(path)
    else { return nil }
    let prefix = FileSystem.join(FileSystem.folder(of: path), name)
    guard let file = checkpoint(ofPrefix: prefix) else {
      throw FormatError(
        .unreadable, "the state file names a checkpoint that is not in its folder", file: path, found: name,
        advice: "Put the checkpoint's .index and .data files next to it, or give another checkpoint.")
    }
    return file
  }

  /// The file to open for a TensorFlow prefix.
  private func checkpoint(ofPrefix prefix: String) -> String? {
    if FileSystem.isFile(prefix + BundleFiles.indexSuffix) { return prefix + BundleFiles.indexSuffix }
    return FileSystem.isFile(prefix) ? prefix : firstV1Part(prefix)
  }

  /// The variables of a SavedModel, given its graph; `nil` for other files, and for a graph without variables.
  private func variables(ofSavedModel path: String) -> String? {
    guard FileSystem.baseName(path) == Self.savedModel else { return nil }
    let variables = FileSystem.join(FileSystem.folder(of: path), Self.variables)
    return FileSystem.isFile(variables) ? variables : nil
  }

  private func missingIndex(_ prefix: String, data: String) -> FormatError {
    FormatError(
      .unreadable, "the index of the checkpoint is missing", file: prefix + BundleFiles.indexSuffix,
      found: "only \(FileSystem.baseName(data))",
      advice: "A checkpoint consists of the .index file and all .data files: put them into one folder.")
  }

  /// The first file of a V1 checkpoint saved in several, given its prefix.
  private func firstV1Part(_ prefix: String) -> String? {
    let start = FileSystem.baseName(prefix) + "-00000-of-"
    let folder = FileSystem.folder(of: prefix)
    let names = ((try? FileSystem.names(inFolder: folder)) ?? []).filter { $0.hasPrefix(start) }
    return names.count == 1 ? FileSystem.join(folder, names[0]) : nil
  }

  private func notFound(_ path: String) -> FormatError {
    let folder = FileSystem.folder(of: path)
    let there = checkpoints(in: (try? FileSystem.names(inFolder: folder)) ?? [])
    return FormatError(
      .unreadable, "no such file, folder or checkpoint prefix", file: path,
      advice: there.isEmpty ? "Check the path." : "\(folder) contains: \(there.prefix(8).joined(separator: ", ")).")
  }

  // MARK: Folders

  private func accepts(_ other: CheckpointKind) -> Bool { kind == nil || kind == other }

  private static let stateFile = "checkpoint", savedModel = "saved_model.pb"
  private static let variables = "variables/variables.index"
  /// Of DeepSpeed: the name of the folder of the last step.
  private static let latestStep = "latest"
  /// Of Megatron-LM: the number of the last iteration, or `release`.
  private static let latestIteration = "latest_checkpointed_iteration.txt"
  /// Of DeepSpeed: the name of the first of the files of its parts, none of which has the weights.
  private static let zeroPart = "zero_pp_rank_0_"

  /// Names of pickles, and of what torch.save wrote for those who name it a tar. Next to a checkpoint they are label encoders
  /// and the like.
  private static let pickleSuffixes = [".pkl", ".pickle", ".joblib", ".pth.tar", ".pt.tar"]

  private func resolveFolder(_ folder: String) throws(FormatError) -> Result {
    let names = try FileSystem.names(inFolder: folder)
    var warnings: [String] = []
    if accepts(.tensorFlow) {
      if let path = tensorFlowCheckpoint(in: folder, names) { return Result(path: path) }
      if names.contains(Self.stateFile) {
        let state = FileSystem.join(folder, Self.stateFile)
        if let name = try stateFileChoice(state) {
          if let path = checkpoint(ofPrefix: FileSystem.join(folder, name)) { return Result(path: path) }
          warnings.append("the state file \(state) names '\(name)', which does not exist")
        }
      }
    }
    for candidate in [CheckpointKind.safetensors, .pyTorch, .flax] where accepts(candidate) {
      let usual = candidate.usualNames.filter(names.contains)
      guard let name = usual.first else { continue }
      if usual.contains(where: { $0 == name + ".index.json" }) {
        warnings.append("\(folder) contains \(name) and a list of shards as well: \(name) is read")
      }
      return Result(path: FileSystem.join(folder, name), warnings: warnings)
    }
    let weights = names.filter { !TrainingFiles.isTrainingState($0) }
    // Arrays come last: next to a checkpoint they are inputs, embeddings or reference outputs.
    for candidate in [CheckpointKind.tensorFlow, .safetensors, .pyTorch, .flax, .keras, .numPy]
    where accepts(candidate) {
      if candidate == .numPy, let name = candidate.usualNames.first(where: names.contains) {
        return Result(path: FileSystem.join(folder, name), warnings: warnings)
      }
      let found = weights.filter { name in candidate.suffixes.contains { name.hasSuffix($0) } }
      if found.count == 1 { return Result(path: FileSystem.join(folder, found[0]), warnings: warnings) }
      if found.count > 1, let part = found.first(where: { $0.hasPrefix(Self.zeroPart) }) {
        return Result(path: FileSystem.join(folder, part), warnings: warnings)
      }
      if found.count > 1 { throw severalCheckpoints(found, candidate, in: folder) }
    }
    if accepts(.pyTorch) {
      if names.contains(Self.latestStep), let step = try deepSpeedStep(of: folder) { return try resolveFolder(step) }
      if names.contains(Self.latestIteration), let model = try megatronModel(of: folder) { return Result(path: model) }
      if let path = TorchDistributedFormat.metadata(inFolder: folder, names) {
        return Result(path: path, warnings: warnings)
      }
      if let chunks = names.first(where: { $0.hasSuffix(TorchDistributedFormat.suffix) }) {
        return Result(path: try TorchDistributedFormat.metadata(ofChunks: FileSystem.join(folder, chunks)))
      }
      let found = weights.filter { name in Self.pickleSuffixes.contains { name.hasSuffix($0) } }
      if found.count == 1 { return Result(path: FileSystem.join(folder, found[0]), warnings: warnings) }
      if found.count > 1 { throw severalCheckpoints(found, .pyTorch, in: folder) }
    }
    if accepts(.tensorFlow), let data = names.first(where: { BundleFiles.prefix(ofShard: $0) != nil }) {
      throw missingIndex(FileSystem.join(folder, BundleFiles.prefix(ofShard: data) ?? ""), data: data)
    }
    if accepts(.tensorFlow), let frozen = frozenGraph(names) {
      return Result(path: FileSystem.join(folder, frozen), warnings: warnings)
    }
    if accepts(.tensorFlow), names.contains(NearbyFiles.savedModelFolder) {
      let inner = FileSystem.join(folder, NearbyFiles.savedModelFolder)
      if let names = try? FileSystem.names(inFolder: inner), let path = tensorFlowCheckpoint(in: inner, names) {
        return Result(path: path, warnings: warnings)
      }
    }
    if !names.contains(where: TrainingFiles.isTrainingState), let error = UnknownFormat.error(forFolder: folder, names)
    {
      throw error
    }
    throw noCheckpoint(in: folder, names, warnings)
  }

  /// The only graph that is not part of a SavedModel.
  private func frozenGraph(_ names: [String]) -> String? {
    let ofSavedModels = [Self.savedModel, "keras_metadata.pb", "fingerprint.pb"]
    let graphs = names.filter { $0.hasSuffix(".pb") && !ofSavedModels.contains($0) }
    return graphs.count == 1 ? graphs[0] : nil
  }

  /// The folder of the step that DeepSpeed's file `latest` names; `nil` where there is none.
  private func deepSpeedStep(of folder: String) throws(FormatError) -> String? {
    let text = try FileSystem.text(FileSystem.join(folder, Self.latestStep), limit: 1 << 12)
    let name = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    let step = FileSystem.join(folder, name)
    return FileSystem.isPlainName(name) && FileSystem.isFolder(step) ? step : nil
  }

  /// The model in the folder of the iteration that Megatron-LM wrote last (megatron/training/checkpointing.py):
  /// `iter_0001000/mp_rank_00/model_optim_rng.pt`; `nil` where there is none.
  private func megatronModel(of folder: String) throws(FormatError) -> String? {
    let text = try FileSystem.text(FileSystem.join(folder, Self.latestIteration), limit: 1 << 12)
    let last = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    let digits = Int(last).map { String($0) } ?? ""
    let name = last == "release" ? last : "iter_" + String(repeating: "0", count: max(0, 7 - digits.count)) + digits
    let iteration = FileSystem.join(folder, name)
    guard FileSystem.isFolder(iteration) else { return nil }
    let ranks = try FileSystem.names(inFolder: iteration).filter { $0.hasPrefix("mp_rank_") }
    guard let rank = ranks.first else { return nil }
    guard ranks.count == 1 else { throw shardError(ranks, of: iteration) }
    let model = FileSystem.join(FileSystem.join(iteration, rank), "model_optim_rng.pt")
    return FileSystem.isFile(model) ? model : nil
  }

  /// Words before the number of a process in the names of files that have a shard of a model each: of Megatron-LM, of
  /// PyTorch's tensor parallelism, of fairseq's and of NeMo.
  private static let shardWords = [".tp", "_tp", "tp_rank_", "mp_rank_", "-model_part-", "_rank_", "-rank"]

  /// Whether all of the names are equal except for the number of a process.
  private static func areShards(_ names: [String]) -> Bool {
    shardWords.contains { word in
      let alike = Set(
        names.map { name -> String in
          guard let range = name.firstRange(of: word), name[range.upperBound...].first?.isNumber == true
          else { return "" }
          return String(name[..<range.upperBound] + name[range.upperBound...].drop { $0.isNumber })
        })
      return names.count > 1 && alike.count == 1 && alike != [""]
    }
  }

  private func shardError(_ names: [String], of folder: String) -> FormatError {
    FormatError(
      .unsupported, "the model is split for tensor parallelism: no file has the whole of it", file: folder,
      found: names.prefix(12).joined(separator: ", "),
      advice: "Join the shards first, with the program that wrote them.")
  }

  /// The variables of a SavedModel: of the folder itself, or of its only version.
  private func tensorFlowCheckpoint(in folder: String, _ names: [String]) -> String? {
    let versions = names.filter(NearbyFiles.isVersion).map { FileSystem.join(folder, $0) }.filter {
      FileSystem.isFile(FileSystem.join($0, Self.savedModel))
    }
    for model in [folder] + (versions.count == 1 ? versions : []) {
      let variables = FileSystem.join(model, Self.variables)
      if FileSystem.isFile(variables) { return variables }
    }
    return nil
  }

  private func severalCheckpoints(_ found: [String], _ candidate: CheckpointKind, in folder: String) -> FormatError {
    if candidate == .pyTorch || candidate == .safetensors, Self.areShards(found) {
      return shardError(found, of: folder)
    }
    let shown = found.prefix(12).map {
      candidate == .tensorFlow ? String($0.dropLast(BundleFiles.indexSuffix.count)) : $0
    }
    return FormatError(
      .unreadable, "the folder contains several checkpoints", file: folder, found: shown.joined(separator: ", "),
      advice: "Give one of them instead of the folder.")
  }

  private func noCheckpoint(in folder: String, _ names: [String], _ warnings: [String]) -> FormatError {
    let route = kind.map { " for this route (\($0.title))" } ?? ""
    let training = names.filter(TrainingFiles.isTrainingState)
    guard training.isEmpty || !warnings.isEmpty else {
      return FormatError(
        .unrecognized, "there are no weights in the folder\(route), only training state", file: folder,
        found: training.prefix(12).joined(separator: ", "),
        expected: "model.safetensors, pytorch_model.bin or another checkpoint",
        advice: "Training state cannot be converted: copy the file with the weights into the folder as well.")
    }
    return FormatError(
      .unrecognized, "the folder contains no checkpoint" + route, file: folder,
      found: names.isEmpty ? "an empty folder" : names.prefix(12).joined(separator: ", "),
      advice: warnings.isEmpty ? "Give the checkpoint's file or prefix." : .sentence(warnings.joined(separator: "; ")))
  }

  private func checkpoints(in names: [String]) -> [String] {
    names.filter { name in
      CheckpointKind.allCases.contains { accepts($0) && $0.suffixes.contains { name.hasSuffix($0) } }
    }
  }

  /// The checkpoint that a state file (`CheckpointState` as text) names. The path there is often that of another machine
  /// and must not leave the folder, so only its last component counts.
  private func stateFileChoice(_ path: String) throws(FormatError) -> String? {
    let text = try FileSystem.text(path, limit: 16 << 20)
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, parts[0].trimmingSpaces == "model_checkpoint_path" else { continue }
      let value = parts[1].trimmingSpaces
      guard value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") else { return nil }
      let name = FileSystem.baseName(String(value.dropFirst().dropLast()))
      return FileSystem.isPlainName(name) ? name : nil
    }
    return nil
  }
}

/// The files that training programs write next to the weights: settings, optimizers, schedules and random numbers.
enum TrainingFiles {
  private static let names: Set = [
    "training_args.bin", "optimizer.pt", "optimizer.bin", "optimizer.pth", "optimizer.safetensors", "scheduler.pt",
    "scheduler.bin", "scaler.pt", "trainer_state.pt", "rng_state.pth", "rng_state.pt", "loss_scaler.pt",
  ]
  private static let beginnings = ["rng_state_", "random_states_", "optimizer_", "scheduler_"]
  private static let endings = ["_optim_states.pt", "_optimizer.pt", "_optimizer.bin", "training_args.bin"]

  static func isTrainingState(_ name: String) -> Bool {
    names.contains(name) || beginnings.contains(where: name.hasPrefix) || endings.contains(where: name.hasSuffix)
  }
}

extension Substring {
  var trimmingSpaces: Substring {
    var result = self
    while let first = result.first, first.isWhitespace { result = result.dropFirst() }
    while let last = result.last, last.isWhitespace { result = result.dropLast() }
    return result
  }
}
