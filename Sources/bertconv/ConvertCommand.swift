import ArgumentParser
import CheckpointReaders
import CheckpointWriters
import Conversion
import Encoder
import NativeFormat
import TensorIO
import WeightMapping

enum Route: String, ExpressibleByArgument, CaseIterable {
  case tensorFlow = "tf-to-native"
  case pyTorch = "pytorch-to-native"
  case safetensors = "safetensors-to-native"
  case keras = "keras-to-native"
  case numPy = "numpy-to-native"
  case flax = "flax-to-native"
  case automatic = "auto-to-native"
  case toTensorFlow = "native-to-tf"
  case toPyTorch = "native-to-pytorch"

  var kind: CheckpointKind? {
    switch self {
    case .tensorFlow: .tensorFlow
    case .pyTorch: .pyTorch
    case .safetensors, .toTensorFlow, .toPyTorch: .safetensors
    case .keras: .keras
    case .numPy: .numPy
    case .flax: .flax
    case .automatic: nil
    }
  }

  private var meaning: String {
    switch self {
    case .tensorFlow: "a bundle, a file of version 1 or a SavedModel"
    case .pyTorch: "a zip, an older stream or a tar, of tensors or whole modules"
    case .safetensors: "one file or shards"
    case .keras: "HDF5 or a .keras archive"
    case .numPy: "an .npz, an .npy or OpenAI's shards"
    case .flax: "msgpack, one file or shards"
    case .automatic: "whichever of these it is"
    case .toTensorFlow: "a bundle in the names of google-research"
    case .toPyTorch: "a zip in the names of transformers"
    }
  }

  /// One line each, for the help.
  static let meanings = allCases.map { "\($0.rawValue): \($0.meaning)" }.joined(separator: "\n")
}

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a checkpoint to one native file, or a native file back.",
    discussion: """
      The source is a TensorFlow prefix, its .index or .data file, a folder, a SavedModel, or a file of another format; \
      bert_config.json or config.json and vocab.txt beside it are used. Every tensor is accounted for: one that no rule \
      knows stops the conversion unless --allow-unexpected names it. Every checksum that the source has is checked, and \
      nothing is left behind when something is wrong. native-to-tf writes to a prefix, with bert_config.json and \
      vocab.txt beside it.
      """)

  @Argument(help: ArgumentHelp("From what to what.", discussion: Route.meanings))
  var route: Route
  @Argument(help: "The checkpoint: file, prefix or folder.", completion: .file())
  var source: String
  @Option(name: [.short, .long], help: "The file to write.", completion: .file())
  var output: String
  @Option(help: "The model's config, where it is not beside the checkpoint.", completion: .configs)
  var config: String?
  @Option(help: "The vocabulary, where it is not beside the checkpoint.", completion: .file())
  var vocab: String?
  @Option(help: "A mapping table of your own, asked before those built in.", completion: .tables)
  var table: [String] = []
  @Option(help: "Leave out unexpected tensors whose names match; may be given several times.")
  var allowUnexpected: [String] = []
  @Option(
    help: """
      Store the weights so; without it they stay as they are. On the way back not int8: 8-bit weights become f32.
      """)
  var dtype: StorageType?
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Flag(help: "Print the report as JSON.")
  var json = false

  func validate() throws {
    if dtype == .int8, route == .toTensorFlow || route == .toPyTorch {
      throw ValidationError("Other programs' checkpoints have no form of 8-bit weights: --dtype f32, f16 or bf16.")
    }
  }

  func run() throws {
    switch route {
    case .toTensorFlow, .toPyTorch: try reportingErrors(export)
    default: try reportingErrors(convert)
    }
  }

  private func convert() throws {
    let checkpoint = try CheckpointOpener().open(source, kind: route.kind)
    let modelConfig = try SourceConfig(checkpoint, given: config)
    let vocabularyPath = vocab ?? checkpoint.vocabularyPath
    for file in checkpoint.source.files.map(\.path) + [modelConfig.path, vocabularyPath].compactMap(\.self)
    where FileSystem.isSameFile(file, output) {
      throw FormatError("the output is a file of the source", file: output, advice: "Give another name with -o.")
    }
    if !force, FileSystem.kind(of: output) == .file {
      throw FormatError("the output exists already", file: output, advice: "Use --force to replace it.")
    }
    if let dangerous = checkpoint.source.imports.first(where: { $0.verdict == .dangerous }) {
      throw FormatError(
        "the checkpoint asks for code to be run; it is refused", file: checkpoint.path, found: dangerous.name,
        advice: "Nothing was run. Do not load this file with torch; 'bertconv inspect' lists what it asks for.")
    }
    let dequantized = DequantizedSource(checkpoint.source)
    let model = dequantized ?? checkpoint.source
    var plan = try makeMapper(tables: table).plan(
      for: model.tensors, metadata: model.metadata, file: checkpoint.path,
      config: modelConfig.json, configFile: modelConfig.path, allowUnexpected: allowUnexpected
    ).resolvingTies(in: model)
    if let dequantized { plan.note(dequantized.note(dtype)) }
    let vocabulary =
      try vocabularyPath.map { try FileSystem.text($0) } ?? SourceDescription.embeddedVocabulary(checkpoint.source)
    let vocabularyWarnings = vocabulary.map { Vocabulary.warnings($0, config: plan.config) } ?? []
    let casing = vocabulary.map { Vocabulary.Casing($0, path: vocabularyPath) }
    let notes = plan.notes.map(\.text) + (casing?.note.map { [$0] } ?? [])
    let native = try NativeWriter(
      path: output, overwrites: force, config: plan.config, vocabulary: vocabulary,
      source: SourceDescription.make(checkpoint, plan: plan, checksum: { _ in 0 }))
    let reducing = dtype.map { ReducingSink(native, type: $0) }
    let writer: any TensorSink = reducing ?? native
    let total = plan.byteCount
    var bar = ProgressBar("converting", total: total)
    do {
      try Converter.write(plan, from: model, to: writer, progress: { bar.update($0) })
      // While the disk is still busy with the data.
      try native.setSource(SourceDescription.make(checkpoint, plan: plan) { try CRC32C.checksum(ofFile: $0) })
      try writer.finish()
    } catch {
      bar.finish()
      writer.cancel()
      throw error
    }
    bar.finish()
    let overflowWarnings = (reducing?.overflows ?? []).map {
      "\($0.name): \(grouped($0.count)) values are too large for the type and became infinite"
    }
    let warnings =
      checkpoint.warnings + vocabularyWarnings + (casing?.warnings ?? []) + overflowWarnings
      + Self.runWarnings(plan.config)
    let written = FileSystem.size(of: output) ?? 0
    if json {
      var result = plan.report.json(ruleText: \.commandRule)
      result.set("output", .string(output))
      result.set("format", .string(checkpoint.source.format.rawValue))
      result.set("family", .string(plan.family))
      result.set("dialect", .string(plan.dialect))
      result.set("bytes", .int(total))
      result.set("file_bytes", .int(written))
      if let dtype { result.set("dtype", .string(dtype.rawValue)) }
      result.set("config", plan.config)
      result.set("notes", .strings(notes))
      result.set("warnings", .strings(warnings))
      Console.result(result.text(pretty: true))
      return
    }
    Console.warn(warnings)
    for note in notes { Console.error("note: \(printable(note))") }
    Console.error(plan.report.text(ruleText: \.commandRule))
    Console.result(
      "\(printable(output)): \(plan.family) from \(plan.dialect) (\(checkpoint.source.format.rawValue)), "
        + "\(plan.targets.count) tensors, \(humanBytes(dtype == nil ? UInt64(total) : written))"
        + (dtype.map { " as \($0.rawValue)" } ?? ""))
  }

  /// What `verify` and `run` will have against a config: the conversion is sound without them.
  private static func runWarnings(_ config: JSON) -> [String] {
    do {
      _ = try EncoderConfig(config)
      return []
    } catch {
      return ["'bertconv run' cannot compute this model: \(error)"]
    }
  }

  /// The way back.
  private func export() throws {
    let checkpoint = try CheckpointOpener().open(source, kind: route.kind)
    try NativeModel.open(checkpoint.path).verifyChecksums()
    let dequantized = DequantizedSource(checkpoint.source)
    let model = dequantized ?? checkpoint.source
    let mapper = try makeMapper(tables: table)
    guard let family = mapper.recognise(model.tensors).family else {
      throw FormatError("no table knows these tensors", file: checkpoint.path, advice: "Give a table with --table.")
    }
    guard let config = try SourceConfig(checkpoint, given: config).json else {
      throw FormatError("the model carries no config", file: checkpoint.path, advice: "Give it with --config.")
    }
    let isBundle = route == .toTensorFlow
    let plan = try mapper.exportPlan(
      for: model.tensors, file: checkpoint.path, config: config, family: family,
      dialect: isBundle ? "google-tf1" : "transformers"
    ).resolvingTies(in: model)
    var notes = plan.notes.map(\.text)
    if let dequantized { notes.append(dequantized.note(dtype)) }
    var texts: [(path: String, content: String)] = []
    if isBundle {
      let folder = FileSystem.folder(of: output)
      texts.append((FileSystem.join(folder, "bert_config.json"), config.text(pretty: true) + "\n"))
      let vocabulary =
        try vocab.map { try FileSystem.text($0) } ?? SourceDescription.embeddedVocabulary(checkpoint.source)
      if let vocabulary { texts.append((FileSystem.join(folder, "vocab.txt"), vocabulary)) }
    }
    let outputs = isBundle ? [output + ".index", output + ".data-00000-of-00001"] : [output]
    for path in outputs + texts.map(\.path) {
      for file in checkpoint.source.files where FileSystem.isSameFile(file.path, path) {
        throw FormatError("the output is a file of the source", file: path, advice: "Give another name with -o.")
      }
      if !force, FileSystem.kind(of: path) != nil {
        throw FormatError("the output exists already", file: path, advice: "Use --force to replace it.")
      }
    }
    let written: any TensorSink =
      isBundle
      ? try TensorFlowBundleWriter(prefix: output, overwrites: force)
      : try TorchZipWriter(path: output, overwrites: force)
    let reducing = dtype.map { ReducingSink(written, type: $0) }
    let sink = reducing ?? written
    var bar = ProgressBar("writing", total: plan.byteCount)
    do {
      try Converter.write(plan, from: model, to: sink, progress: { bar.update($0) })
      // Before the checkpoint itself, so that it is never there without them.
      for text in texts { try AtomicFile.write(Array(text.content.utf8), to: text.path, overwrites: force) }
      try sink.finish()
    } catch {
      bar.finish()
      sink.cancel()
      throw error
    }
    bar.finish()
    let warnings = checkpoint.warnings + (reducing?.overflowWarnings ?? [])
    if json {
      var result = plan.report.json(ruleText: \.commandRule)
      result.set("output", .strings(outputs + texts.map(\.path)))
      result.set("family", .string(plan.family))
      result.set("dialect", .string(plan.dialect))
      result.set("bytes", .int(plan.byteCount))
      if let dtype { result.set("dtype", .string(dtype.rawValue)) }
      result.set("notes", .strings(notes))
      result.set("warnings", .strings(warnings))
      Console.result(result.text(pretty: true))
      return
    }
    Console.warn(warnings)
    for note in notes { Console.error("note: \(printable(note))") }
    Console.error(plan.report.text(ruleText: \.commandRule))
    Console.result(
      "\(printable(output)): \(plan.family) as \(plan.dialect), \(plan.targets.count) tensors, "
        + "\(humanBytes(UInt64(plan.byteCount)))" + (dtype.map { " stored as \($0.rawValue)" } ?? ""))
  }
}

extension StorageType: ExpressibleByArgument {
  public static var allValueDescriptions: [String: String] {
    [
      f32.rawValue: "floats of 32 bits", f16.rawValue: "floats of 16 bits (IEEE)", bf16.rawValue: "bfloat16",
      int8.rawValue: "integers of 8 bits with a scale a row",
    ]
  }
}

extension DequantizedSource {
  /// What becomes of the weights of 8 bits, stored as `type` or as they are read.
  fileprivate func note(_ type: StorageType?) -> String {
    let form = type == .int8 ? "taken as" : "written as"
    let kind = type == nil || type == .f32 ? "in F32, " : ""
    return "\(grouped(count)) tensors are stored in 8 bits: \(form) the numbers that they stand for, \(kind)"
      + "which are not those that the model was made from"
  }
}

extension ReducingSink {
  fileprivate var overflowWarnings: [String] {
    overflows.map { "\($0.name): \(grouped($0.count)) values are too large for the type and became infinite" }
  }
}

/// `bertconv.source`: where the tensors come from, without a clock, a host or a folder.
enum SourceDescription {
  /// `checksum` gives the CRC32C of a whole file.
  static func make(
    _ checkpoint: OpenedCheckpoint, plan: MappingPlan, checksum: (String) throws -> UInt32
  ) rethrows -> JSON {
    var files: [JSON] = []
    for file in checkpoint.source.files {
      files.append(
        .object([
          "name": .string(FileSystem.baseName(file.path)), "size": .int(file.size),
          "crc32c": .string(hexadecimal(try checksum(file.path), digits: 8)),
        ]))
    }
    return .object([
      "tool": .string("bertconv \(Bertconv.version)"), "format": .string(checkpoint.source.format.rawValue),
      "family": .string(plan.family), "dialect": .string(plan.dialect), "files": .array(files),
      "dropped": plan.report.json(ruleText: \.commandRule)["dropped"] ?? .array([]),
      "notes": .strings(plan.notes.map(\.text)),
    ])
  }

  /// The config that a native file carries.
  static func embeddedConfig(_ source: any TensorSource) throws -> JSON? {
    guard let text = source.metadata.first(where: { $0.key == NativeProfile.configKey })?.value else { return nil }
    return try JSON.parse(text, file: source.files.first?.path)
  }

  static func embeddedVocabulary(_ source: any TensorSource) -> String? {
    source.metadata.first { $0.key == NativeProfile.vocabularyKey }?.value
  }
}
