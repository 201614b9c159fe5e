import ArgumentParser
import CheckpointReaders
import NativeFormat
import TensorIO
import WeightMapping

enum Route: String, ExpressibleByArgument, CaseIterable {
  case tensorFlow = "tf-to-native"
  case pyTorch = "pytorch-to-native"
  case safetensors = "safetensors-to-native"
  case numPy = "numpy-to-native"
  case automatic = "auto-to-native"

  var kind: CheckpointKind? {
    switch self {
    case .tensorFlow: .tensorFlow
    case .pyTorch: .pyTorch
    case .safetensors: .safetensors
    case .numPy: .numPy
    case .automatic: nil
    }
  }
}

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a checkpoint to one native file.",
    discussion: """
      SRC is a TensorFlow prefix, its .index or .data file, a folder, a SavedModel, or a file of another format; \
      bert_config.json or config.json and vocab.txt beside it are used. Every tensor is accounted for: one that no rule \
      knows stops the conversion unless --allow-unexpected names it. Every checksum that the source has is checked, and \
      nothing is left behind when something is wrong.
      """)

  @Argument(help: "What to convert: \(Route.allCases.map(\.rawValue).joined(separator: ", ")).")
  var route: Route
  @Argument(help: "The checkpoint: file, prefix or folder.")
  var source: String
  @Option(name: [.short, .long], help: "The file to write.")
  var output: String
  @Option(help: "The model's config, where it is not beside the checkpoint.")
  var config: String?
  @Option(help: "The vocabulary, where it is not beside the checkpoint.")
  var vocab: String?
  @Option(help: "A mapping table of your own, asked before those built in.")
  var table: [String] = []
  @Option(help: "Leave out unexpected tensors whose names match; may be given several times.")
  var allowUnexpected: [String] = []
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Flag(help: "Print the report as JSON.")
  var json = false

  func run() throws { try reportingErrors(convert) }

  private func convert() throws {
    let checkpoint = try CheckpointOpener().open(source, kind: route.kind)
    let configPath = config ?? checkpoint.configPath
    let vocabularyPath = vocab ?? checkpoint.vocabularyPath
    for file in checkpoint.source.files.map(\.path) + [configPath, vocabularyPath].compactMap(\.self)
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
    let plan = try makeMapper(tables: table).plan(
      for: checkpoint.source.tensors, file: checkpoint.path,
      config: try loadConfig(configPath) ?? SourceDescription.embeddedConfig(checkpoint.source), configFile: configPath,
      allowUnexpected: allowUnexpected
    ).resolvingTies(in: checkpoint.source)
    let vocabulary =
      try vocabularyPath.map { try FileSystem.text($0) } ?? SourceDescription.embeddedVocabulary(checkpoint.source)
    let vocabularyWarnings = vocabulary.map { Vocabulary.warnings($0, config: plan.config) } ?? []
    let description = try SourceDescription.make(checkpoint, plan: plan, tool: "bertconv \(Bertconv.version)")
    let writer = try NativeWriter(
      path: output, overwrites: force, config: plan.config, vocabulary: vocabulary, source: description)
    let total = plan.targets.reduce(0) { $0 + $1.info.byteCount }
    var bar = ProgressBar("converting", total: total)
    do {
      try Converter.write(plan, from: checkpoint.source, to: writer, progress: { bar.update($0) })
      try writer.finish(metadata: [])
    } catch {
      bar.finish()
      writer.cancel()
      throw error
    }
    bar.finish()
    let warnings = checkpoint.warnings + vocabularyWarnings
    if json {
      var result = plan.report.json()
      result.set("output", .string(output))
      result.set("format", .string(checkpoint.source.format.rawValue))
      result.set("family", .string(plan.family))
      result.set("dialect", .string(plan.dialect))
      result.set("bytes", .int(total))
      result.set("config", plan.config)
      result.set("notes", .strings(plan.notes))
      result.set("warnings", .strings(warnings))
      Console.result(result.text(pretty: true))
      return
    }
    Console.warn(warnings)
    for note in plan.notes { Console.error("note: \(printable(note))") }
    Console.error(plan.report.text())
    Console.result(
      "\(printable(output)): \(plan.family) from \(plan.dialect) (\(checkpoint.source.format.rawValue)), "
        + "\(plan.targets.count) tensors, \(humanBytes(UInt64(total)))")
  }
}

/// What a vocabulary says of itself beside a config.
enum Vocabulary {
  static func warnings(_ text: String, config: JSON) -> [String] {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
    if text.hasSuffix("\n") || text.isEmpty { lines -= 1 }
    guard let size = config["vocab_size"]?.intValue, lines != size else { return [] }
    if lines < size {
      return ["the vocabulary has \(grouped(lines)) tokens and the model \(grouped(size)) rows: the rest is padding"]
    }
    return [
      "the vocabulary has \(grouped(lines)) tokens but the model only \(grouped(size)) rows: it may belong to another model"
    ]
  }
}

/// `bertconv.source`: where the tensors come from, without a clock, a host or a folder.
enum SourceDescription {
  static func make(_ checkpoint: OpenedCheckpoint, plan: MappingPlan, tool: String) throws -> JSON {
    var files: [JSON] = []
    for file in checkpoint.source.files {
      files.append(
        .object([
          "name": .string(FileSystem.baseName(file.path)), "size": .int(file.size),
          "crc32c": .string(hexadecimal(try checksum(file.path), digits: 8)),
        ]))
    }
    return .object([
      "tool": .string(tool), "format": .string(checkpoint.source.format.rawValue), "family": .string(plan.family),
      "dialect": .string(plan.dialect), "files": .array(files),
      "dropped": plan.report.json()["dropped"] ?? .array([]), "notes": .strings(plan.notes),
    ])
  }

  /// The checksum of a whole file, a piece at a time so that its pages need not stay.
  private static func checksum(_ path: String) throws -> UInt32 {
    let bytes = try MappedFile.open(path)
    var crc = CRC32C()
    var offset = 0
    while offset < bytes.count, let piece = bytes.slice(offset, min(16 << 20, bytes.count - offset)) {
      piece.withSpan { crc.update($0) }
      try bytes.checkIntact()
      piece.releasePages()
      offset += piece.count
    }
    return crc.value
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
