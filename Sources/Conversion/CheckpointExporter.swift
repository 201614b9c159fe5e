import CheckpointFormats
import CheckpointReaders
import CheckpointWriters
import NativeFormat
import TensorIO
import WeightMapping

extension CheckpointConverter {
  /// Converts a native file, or a safetensors file with a config, into a checkpoint of another program.
  ///
  /// A TensorFlow bundle is written to the prefix `output`, with `bert_config.json` and `vocab.txt` in its folder: all files
  /// appear, or none. The model is checked as one to be converted: its tensors, their shapes and types, its config.
  ///
  /// - Throws: `FormatError` of kind `damaged` for a checksum that is wrong, `mismatch` for tensors that do not make the
  ///   model of the config, `config` where there is none, `unrecognized` or `unsupported` where the model has no form in
  ///   the output
  public static func export(
    _ source: String, to output: String, as format: ExportFormat, options: ConversionOptions = ConversionOptions(),
    progress: ConversionProgress? = nil
  ) throws -> ConversionResult {
    guard options.storageType != .int8 else {
      throw FormatError(
        .unsupported, "checkpoints of other programs cannot store 8-bit weights",
        advice: .chooseStorageType(["f32", "f16", "bf16"]))
    }
    let model = try SourceModel(source, kind: .safetensors, config: options.config, options: options.source)
    let checkpoint = model.checkpoint
    if checkpoint.source.format == .native { try NativeModel.open(checkpoint.path).verifyChecksums() }
    var plan = try exportPlan(model, as: format)
    if let note = model.quantizationNote(storedAs: options.storageType) { plan.note(note) }
    let outputs = try ExportOutputs(format, output, model, config: plan.config, vocabulary: options.vocabulary)
    try model.refuseReplacement(by: outputs.all, others: [options.vocabulary])
    if !options.overwrites, let other = outputs.all.first(where: { FileSystem.kind(of: $0) != nil }) {
      throw exists(other)
    }
    let writer = try format.writer(output, texts: outputs.texts, overwrites: options.overwrites)
    let reducing = options.storageType.map { ReducingSink(writer, type: $0) }
    let counter = NonFiniteCounter(reducing ?? writer)
    try write(plan, from: model, to: counter, progress: progress) {}
    return ConversionResult(
      format: checkpoint.source.format, family: plan.family, dialect: plan.dialect, report: plan.report,
      config: plan.config, assumed: plan.assumed, outputs: outputs.all, tensorCount: plan.targets.count,
      byteCount: plan.byteCount,
      storageType: options.storageType, tokenizer: nil, notes: plan.notes.map { .mapping($0) },
      warnings: checkpoint.warnings.map { .source($0) } + (reducing?.warnings ?? []) + counter.warnings)
  }

  private static func exportPlan(
    _ model: SourceModel, as format: ExportFormat
  ) throws -> MappingPlan {
    let mapper = try model.options.mapper()
    let file = model.checkpoint.path
    guard let family = mapper.recognize(model.tensors.tensors).family else {
      throw FormatError(.unrecognized, "no table matches these tensors", file: file, advice: .giveTable)
    }
    guard let config = model.config else {
      throw FormatError(.config, "the model has no config", file: file, advice: .giveConfig)
    }
    // What would not be converted is not exported either.
    _ = try model.unresolvedPlan()
    return try mapper.exportPlan(
      for: model.tensors.tensors, file: file, config: config, family: family, dialect: format.dialect
    ).resolvingTies(in: model.tensors)
  }
}

extension ExportFormat {
  fileprivate func writer(
    _ output: String, texts: [(path: String, content: String)], overwrites: Bool
  ) throws -> any TensorSink {
    switch self {
    case .tensorFlow: try TensorFlowBundleWriter(prefix: output, overwrites: overwrites, texts: texts)
    case .pyTorch: try TorchZipWriter(path: output, overwrites: overwrites)
    }
  }
}

/// The files that an export writes.
private struct ExportOutputs {
  /// Of the checkpoint itself.
  let checkpoint: [String]
  /// In the same folder.
  let texts: [(path: String, content: String)]

  var all: [String] { checkpoint + texts.map(\.path) }

  /// `vocabulary` is the path of the one to write; without it the model's own is written.
  init(
    _ format: ExportFormat, _ output: String, _ model: SourceModel, config: JSON, vocabulary: String?
  ) throws {
    switch format {
    case .pyTorch:
      checkpoint = [output]
      texts = []
    case .tensorFlow:
      checkpoint = [output + BundleFiles.indexSuffix, BundleFiles.shard(output, 0, of: 1)]
      let folder = FileSystem.folder(of: output)
      let tokens = try vocabulary.map { try FileSystem.text($0) } ?? Vocabulary.embedded(in: model.checkpoint.source)
      texts =
        [(FileSystem.join(folder, "bert_config.json"), config.text(pretty: true) + "\n")]
        + (tokens.map { [(FileSystem.join(folder, "vocab.txt"), $0)] } ?? [])
    }
  }
}
