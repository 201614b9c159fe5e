import CheckpointFormats
import TensorIO

/// The groups of formats that a conversion route may be restricted to.
public enum CheckpointKind: String, Sendable, CaseIterable {
  case tensorFlow, pyTorch, safetensors, keras, numPy, flax

  /// Usual names of a checkpoint of this kind in a folder, best first.
  var usualNames: [String] {
    switch self {
    // A whole file before the list of shards, as `transformers` looks for them (modeling_utils.py).
    case .safetensors: ["model.safetensors", "model.safetensors.index.json"]
    // The last is FARM's, next to a file for each of its heads.
    case .pyTorch: ["pytorch_model.bin", "pytorch_model.bin.index.json", FARMHeads.encoderName]
    case .flax: ["flax_model.msgpack", "flax_model.msgpack.index.json"]
    case .numPy: [NpyShardsSource.shapesName]
    case .tensorFlow, .keras: []
    }
  }

  /// Suffixes of the names of its files.
  var suffixes: [String] {
    switch self {
    case .tensorFlow: [BundleFiles.indexSuffix]
    case .safetensors: [".safetensors"]
    case .pyTorch: [".bin", ".pt", ".pth", ".ckpt", ".cp"]
    case .keras: [".h5", ".hdf5", ".keras"]
    case .numPy: [".npz", ".npy"]
    case .flax: [".msgpack"]
    }
  }

  /// The name that people use.
  var title: String {
    switch self {
    case .tensorFlow: "TensorFlow"
    case .pyTorch: "PyTorch"
    case .safetensors: "safetensors"
    case .keras: "Keras"
    case .numPy: "NumPy"
    case .flax: "Flax"
    }
  }

  private var formats: [FormatName] {
    switch self {
    case .tensorFlow: [.tensorFlowBundle, .tensorFlowV1, .tensorFlowGraph]
    case .pyTorch: [.pyTorchZip, .pyTorchLegacy, .pyTorchTar, .torchDistributed, .pickle, .joblib]
    case .safetensors: [.safetensors, .native]
    case .keras: [.kerasH5, .hdf5, .kerasZip]
    case .numPy: [.npz, .npyShards]
    case .flax: [.flaxMsgpack]
    }
  }

  /// `nil` for a format that no built-in reader has.
  public init?(_ format: FormatName) {
    guard let kind = Self.allCases.first(where: { $0.formats.contains(format) }) else { return nil }
    self = kind
  }
}

/// A checkpoint that was found and opened, with the files next to it.
public struct OpenedCheckpoint: Sendable {
  public let source: any TensorSource
  /// The file that was opened.
  public let path: String
  public let configPath: String?
  public let vocabularyPath: String?
  /// The folders that files which belong to it are searched in, the nearest first.
  package let folders: [String]
  /// The value for `SentenceModule.configKey` of the config, if the folder is one of sentence-transformers.
  public let sentenceModules: JSON?
  /// The keys of the config that heads in files of their own decide, if there are such.
  public let headSettings: JSON?
  /// Decisions made while opening, and the source's own warnings.
  public let warnings: [String]

  /// The same files with other tensors, made of its own.
  package func replacing(source: any TensorSource) -> OpenedCheckpoint {
    OpenedCheckpoint(
      source: source, path: path, configPath: configPath, vocabularyPath: vocabularyPath, folders: folders,
      sentenceModules: sentenceModules, headSettings: headSettings, warnings: warnings)
  }

  func adding(warnings others: [String]) -> OpenedCheckpoint {
    OpenedCheckpoint(
      source: source, path: path, configPath: configPath, vocabularyPath: vocabularyPath, folders: folders,
      sentenceModules: sentenceModules, headSettings: headSettings, warnings: warnings + others)
  }
}

/// Finds and opens checkpoints. A format is recognized by content, never by name.
public struct CheckpointOpener: Sendable {
  /// Every supported format, in the order in which they are tried.
  public static let builtIn: [any CheckpointFormat] = [
    TensorFlowFormat(),
    SafetensorsFormat(),
    ZipFormat(),
    NpyFormat(),
    HDF5Format(),
    TorchDistributedFormat(),
    TorchLegacyFormat(),
    CompressedPickleFormat(),
    FlaxFormat(),
    FrozenGraphFormat(),
  ]

  private let formats: [any CheckpointFormat]

  public init(formats: [any CheckpointFormat] = CheckpointOpener.builtIn) { self.formats = formats }

  /// Opens a file, a TensorFlow prefix or a folder. `kind` restricts what is looked for.
  ///
  /// For a folder of sentence-transformers the source contains the tensors of the modules too, as `SentenceModule` names
  /// them.
  public func open(_ path: String, kind: CheckpointKind? = nil) throws(FormatError) -> OpenedCheckpoint {
    if SentenceTransformersFolder.isOne(path) {
      if let folder = try SentenceTransformersFolder.staticEmbeddings(in: path) {
        return try openAlone(folder, kind: kind).adding(warnings: [
          "\(path)/modules.json lists static embeddings (as Model2Vec makes them): a vector for each token, without a transformer; "
            + "they are listed here, and not converted"
        ])
      }
      return try openSentenceTransformer(path, kind: kind)
    }
    let opened = try openAlone(path, kind: kind)
    let folder = FileSystem.folder(of: opened.path)
    guard opened.source.format != .native, SentenceTransformersFolder.isOne(folder),
      try SentenceTransformersFolder.staticEmbeddings(in: folder) == nil
    else { return opened }
    return opened.adding(warnings: [
      "this is the transformer alone: give the folder to include the modules that \(folder)/modules.json lists"
    ])
  }

  /// Opens a transformer with the modules after it.
  private func openSentenceTransformer(_ path: String, kind: CheckpointKind?) throws(FormatError) -> OpenedCheckpoint {
    let folder = try SentenceTransformersFolder(path)
    let transformer = try openAlone(folder.transformer, kind: kind)
    var parts: [(prefix: String, source: any TensorSource)] = [("", transformer.source)]
    if let own = transformer.source.tensors.first(where: { $0.name.hasPrefix(SentenceModule.tensorPrefix) }) {
      throw FormatError(
        .mismatch, "the transformer's file contains a tensor whose name is reserved for the modules after it",
        file: transformer.path,
        tensor: own.name, advice: "Give that file alone, or remove the tensor.")
    }
    for (name, path) in folder.weightFolders {
      parts.append((SentenceModule.tensorName(name, ""), try openAlone(path, kind: nil).source))
    }
    let source = CompositeSource(parts, metadata: [(SentenceModule.configKey, folder.config.text())])
    try Self.checkSize(source, folder.transformer)
    return OpenedCheckpoint(
      source: source, path: transformer.path, configPath: transformer.configPath,
      vocabularyPath: transformer.vocabularyPath,
      folders: transformer.folders + (transformer.folders.contains(path) ? [] : [path]),
      sentenceModules: folder.modules.isEmpty ? nil : folder.config, headSettings: transformer.headSettings,
      warnings: transformer.warnings + folder.warnings + parts.dropFirst().flatMap(\.source.warnings))
  }

  private func openAlone(_ path: String, kind: CheckpointKind?) throws(FormatError) -> OpenedCheckpoint {
    let resolved = try PathResolution(kind: kind).resolve(path)
    let source = try openFile(resolved.path)
    let found = CheckpointKind(source.format)
    if let kind, found != kind {
      throw FormatError(
        .unrecognized, "the checkpoint has another format than requested", file: resolved.path,
        found: source.format.rawValue, expected: "a format of \(kind.title)",
        advice: found.map { .openAs(kind: $0.rawValue, title: $0.title) })
    }
    let nearby = NearbyFiles(of: resolved.path, given: path)
    let heads = FARMHeads(near: resolved.path)
    let opened = OpenedCheckpoint(
      source: source, path: resolved.path, configPath: nearby.configPath, vocabularyPath: nearby.vocabularyPath,
      folders: nearby.folders, sentenceModules: nil, headSettings: nil, warnings: resolved.warnings + source.warnings)
    guard let heads else { return opened }
    guard heads.makeOneModel, FileSystem.isFolder(path) else {
      return opened.adding(warnings: [heads.warning + (heads.makeOneModel ? "; give the folder to include it" : "")])
    }
    return try including(heads, in: opened)
  }

  /// Adds the heads that FARM saved next to its encoder.
  private func including(_ heads: FARMHeads, in encoder: OpenedCheckpoint) throws(FormatError) -> OpenedCheckpoint {
    var parts: [(prefix: String, source: any TensorSource)] = [("", encoder.source)]
    for head in heads.heads { parts.append((head.prefix, try openFile(head.path))) }
    let source = CompositeSource(parts)
    try Self.checkSize(source, encoder.path)
    return OpenedCheckpoint(
      source: source, path: encoder.path, configPath: encoder.configPath, vocabularyPath: encoder.vocabularyPath,
      folders: encoder.folders, sentenceModules: nil, headSettings: heads.settings,
      warnings: encoder.warnings + parts.dropFirst().flatMap(\.source.warnings) + [heads.note])
  }

  /// Opens one file by its content.
  public func openFile(_ path: String) throws(FormatError) -> any TensorSource {
    let file = try MappedFile.open(path)
    if let pointer = gitLFSPointer(file) { throw pointer }
    if path.hasSuffix(".json") {
      if NpyShardsSource.recognizes(file) { return try NpyShardsSource(shapes: path) }
      if let error = UnknownFormat.error(forJSON: file, path: path) { throw error }
      let shards = try ShardedSource(index: path) { (shard) throws(FormatError) in try self.openFile(shard) }
      try Self.checkSize(shards, path)
      return shards
    }
    for format in formats where format.recognizes(file, path: path) {
      let source = try format.open(file, path: path)
      try Self.checkSize(source, path)
      try Self.checkNamesDiffer(source, path)
      return source
    }
    throw UnknownFormat.error(for: file, path: path)
  }

  /// Deflate makes a thousand bytes of one, a view with strides of zero any number, and a hundred names may refer to one
  /// dataset: without a limit a small file could take any amount of time and memory.
  private static func checkSize(_ source: any TensorSource, _ path: String) throws(FormatError) {
    try CheckpointLimits.check(source.tensors.count, file: path)
    // No two of its tensors share a byte, and its data files need not exist.
    if source.format == .tensorFlowBundle { return }
    let stored = source.files.reduce(0) { $0 + Int(clamping: $1.size) }
    var total = 0
    for tensor in source.tensors {
      let (sum, overflow) = total.addingReportingOverflow(tensor.byteCount)
      total = overflow ? .max : sum
    }
    guard CheckpointLimits.isBomb(total, in: stored) else { return }
    throw FormatError(
      .limit, "the tensors are far larger than the file", file: path,
      found: "\(humanBytes(UInt64(total))) in \(humanBytes(UInt64(stored)))",
      expected: "at most \(CheckpointLimits.unpackingRatio) times the file",
      advice: "It was made to use up memory, or contains almost only zeros. If you trust it, save it uncompressed.")
  }

  /// Swift's comparison of strings ignores how a letter is composed (é as one character, or as e and its accent), so one
  /// name could be taken for another.
  private static func checkNamesDiffer(_ source: any TensorSource, _ path: String) throws(FormatError) {
    guard source.tensors.contains(where: { $0.name.utf8.contains { $0 >= 0x80 } }) else { return }
    var names: Set<String> = []
    for tensor in source.tensors where !names.insert(tensor.name).inserted {
      throw FormatError(
        .unsupported, "two tensors have names that differ only in Unicode composition", file: path, tensor: tensor.name,
        found: hexadecimal(tensor.name.utf8), advice: "Save the checkpoint again with other names.")
    }
  }
}
