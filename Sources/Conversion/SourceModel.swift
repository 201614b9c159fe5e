import CheckpointFormats
import CheckpointReaders
import NativeFormat
import TensorIO
import WeightMapping

/// A checkpoint that is opened and judged, its tensors as a model has them, and the config that belongs to them.
public struct SourceModel: Sendable {
  public let checkpoint: OpenedCheckpoint
  /// The checkpoint's tensors; 8-bit weights and their scales are one tensor of the numbers that they represent.
  public let tensors: any TensorSource
  /// The number of tensors that are stored in 8 bits.
  public let quantizedCount: Int
  public let config: JSON?
  /// `nil` for a config that the checkpoint itself carries, and where there is none.
  public let configPath: String?
  /// How the tensors are read.
  public let options: SourceOptions
  /// What the options changed, in sentences.
  package let optionNotes: [String]
  private let adapted: AdaptedSource?

  /// What to do with a pickle that imports something dangerous. Nothing of it is run in any case.
  public enum DangerousContent: Sendable {
    case refused
    /// For looking at a checkpoint, which makes nothing of it.
    case tolerated
  }

  /// Opens the checkpoint at `path`: a file, a TensorFlow prefix or a folder.
  ///
  /// - Parameters:
  ///   - path: the checkpoint
  ///   - kind: the only kind of format that is accepted; `nil` accepts all
  ///   - config: path of the config; `nil` takes the one in the checkpoint or in its folder
  ///   - options: what changes the tensors or their meaning
  ///   - dangerousContent: what to do with a pickle that imports something dangerous
  /// - Throws: `FormatError`, of kind `dangerous` where the checkpoint contains code and that is refused
  public init(
    _ path: String, kind: CheckpointKind? = nil, config: String? = nil, options: SourceOptions = SourceOptions(),
    dangerousContent: DangerousContent = .refused
  ) throws {
    let opened = try CheckpointOpener().open(path, kind: kind)
    if dangerousContent == .refused {
      try opened.refuseDangerousContent()
      if options.adapter == nil { try opened.refuseAdapterAlone() }
    }
    let applied = try opened.applying(options)
    checkpoint = applied.checkpoint
    let found = try ConfigFile(for: checkpoint, given: config)
    let dequantized = DequantizedSource(checkpoint.source)
    tensors = dequantized ?? checkpoint.source
    quantizedCount = dequantized?.count ?? 0
    self.config = applied.adjusted(found.json)
    configPath = found.path
    self.options = options
    optionNotes = applied.notes + [applied.adapter == nil ? opened.noteOfAdapter : nil].compactMap(\.self)
    adapted = applied.adapted
  }

  /// The plan that makes a native model of this checkpoint as its options ask, with tied tensors compared.
  public func plan() throws -> MappingPlan {
    var plan = try unresolvedPlan().resolvingTies(in: tensors)
    if let adapted { try plan.checkTies(of: adapted, file: checkpoint.path) }
    return plan
  }

  /// The same plan before tied tensors are compared: nothing but names, shapes and the config is looked at.
  func unresolvedPlan() throws -> MappingPlan {
    do {
      var plan = try options.mapper().plan(
        for: tensors.tensors, metadata: tensors.metadata, observed: checkpoint.observedSettings, file: checkpoint.path,
        config: config, configFile: configPath, allowUnexpected: options.allowUnexpected,
        takesAverages: options.takesAverages)
      for note in optionNotes { plan.note(note) }
      return plan
    } catch let error as FormatError where tensors.format == .tensorFlowGraph {
      throw error.ofFrozenGraph
    }
  }
}

extension FormatError {
  /// The same error with what it means for a frozen graph: TensorFlow 2 names the constants after the operations that read
  /// them, and no longer after the variables that they were.
  fileprivate var ofFrozenGraph: FormatError {
    let sentence: Advice =
      "These are the constants of a frozen graph. Where freezing has renamed them, convert the checkpoint or the SavedModel that was frozen."
    var copy = self
    copy.advice = .all([advice, sentence].compactMap(\.self))
    return copy
  }
}

extension OpenedCheckpoint {
  /// Throws where a pickle in the checkpoint imports something that could run code.
  package func refuseDangerousContent() throws(FormatError) {
    guard let dangerous = source.imports.first(where: { $0.verdict == .dangerous }) else { return }
    throw FormatError(
      .dangerous, "the checkpoint contains code; refused", file: path, found: dangerous.name,
      advice: .all([
        "Nothing was run. Do not load this file with torch.", .listImports,
      ]))
  }
}

extension SourceModel {
  /// The files that are read for the model: none of them may be replaced.
  private var inputs: [String] {
    let folders = [options.adapter].compactMap(\.self) + (checkpoint.sentenceModules == nil ? [] : moduleFolders)
    let settings = ["modules.json", "config.json", "sentence_bert_config.json", "adapter_config.json"]
    let nearby = folders.flatMap { folder in settings.map { FileSystem.join(folder, $0) } }
    return checkpoint.source.files.map(\.path) + [configPath].compactMap(\.self) + options.tables + nearby
  }

  /// The folder of a sentence-transformers model and those in it; the transformer lies in the one or in one of the others.
  private var moduleFolders: [String] {
    let own = FileSystem.folder(of: checkpoint.path)
    let folders = [own, FileSystem.folder(of: own)].filter { FileSystem.isFile(FileSystem.join($0, "modules.json")) }
    return folders
      + folders.flatMap { folder in
        ((try? FileSystem.names(inFolder: folder)) ?? []).map { FileSystem.join(folder, $0) }.filter(
          FileSystem.isFolder)
      }
  }

  /// Throws where one of `outputs` is a file that is read for the model, or one of `others`.
  package func refuseReplacement(by outputs: [String], others: [String?] = []) throws(FormatError) {
    let inputs = inputs + others.compactMap(\.self)
    for output in outputs where inputs.contains(where: { FileSystem.isSameFile($0, output) }) {
      throw FormatError(
        .output, "the output is one of the files that are read", file: output, advice: .chooseOtherOutput)
    }
  }
}

/// A config, and the file that contains it.
package struct ConfigFile {
  /// `nil` where there is none.
  package let json: JSON?
  /// `nil` for one that the checkpoint itself carries.
  package let path: String?

  /// The config given, else the one in a native file, else the one in the checkpoint's folder, else the one that a pickle
  /// contains. The modules of a sentence-transformers folder are part of it in any case.
  package init(for checkpoint: OpenedCheckpoint, given: String?) throws {
    var config: JSON?
    if given == nil, let own = try Self.embedded(in: checkpoint.source) {
      config = own
      path = nil
    } else {
      path = given ?? checkpoint.configPath
      config = try path.map(Self.read) ?? checkpoint.source.config
    }
    if given == nil, let settings = checkpoint.headSettings?.members {
      config = config ?? .object([])
      for setting in settings { config?.set(setting.key, setting.value) }
    }
    if let modules = checkpoint.sentenceModules {
      config = config ?? .object([])
      config?.set(SentenceModule.configKey, modules)
    }
    json = config
  }

  /// The config that a model is run with: the one given, else its own, else the one near the file, as for any checkpoint.
  package init(for model: NativeModel, given: String?) throws {
    let path = given ?? (model.config == nil ? NearbyFiles(of: model.path).configPath : nil)
    guard let json = try path.map(Self.read) ?? model.config else {
      throw FormatError(
        .config, "the file has no config", file: model.path, advice: .all([.giveConfig, .convertFirst]))
    }
    self.init(json: json, path: path)
  }

  private init(json: JSON?, path: String?) {
    self.json = json
    self.path = path
  }

  /// The same file with another content.
  package func replacing(_ change: (JSON?) -> JSON?) -> ConfigFile { ConfigFile(json: change(json), path: path) }

  /// A file that contains one JSON object.
  package static func read(_ path: String) throws -> JSON {
    let config = try JSON.parse(try FileSystem.text(path, limit: 16 << 20), file: path)
    guard config.members != nil else { throw FormatError(.config, "the config is not a JSON object", file: path) }
    return config
  }

  /// The config that a native file carries.
  private static func embedded(in source: any TensorSource) throws -> JSON? {
    guard let text = source.metadata.first(where: { $0.key == NativeKey.config })?.value else { return nil }
    return try JSON.parse(text, file: source.files.first?.path)
  }
}

extension Mapper {
  /// The built-in tables, and before them those in the files at `paths`.
  public init(tablesAt paths: [String]) throws {
    let own = try paths.map { try MappingTable(yaml: try FileSystem.text($0, limit: 16 << 20), file: $0) }
    self.init(tables: own + (try MappingTable.builtIn()))
  }
}
