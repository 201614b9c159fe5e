import CheckpointReaders
import CheckpointWriters
import NativeFormat
import TensorIO
import WeightMapping

/// Converts checkpoints of any format into native files, and native files back.
///
/// ```swift
/// let result = try CheckpointConverter.convert("bert/bert_model.ckpt", to: "model.safetensors")
/// for warning in result.warnings { print(warning.text) }
/// ```
///
/// Every tensor is accounted for, every checksum of the source is checked, a checkpoint that contains code is refused, and
/// an output appears whole or not at all. Errors are `FormatError`.
public enum CheckpointConverter {
  /// Converts the checkpoint at `source` into a native file at `output`.
  ///
  /// - Parameters:
  ///   - source: a file, a TensorFlow prefix or a folder
  ///   - output: path of the file to write
  ///   - options: config, vocabulary, tables, storage type and what may be left out
  ///   - progress: called on this thread
  /// - Throws: `FormatError` of kind `dangerous` for a pickle that could run code, `mismatch` and `unrecognized` for tensors
  ///   that do not make a model, `output` where the file cannot be written, and what a reader finds
  public static func convert(
    _ source: String, to output: String, options: ConversionOptions = ConversionOptions(),
    progress: ConversionProgress? = nil
  ) throws -> ConversionResult {
    let model = try SourceModel(source, kind: options.kind, config: options.config, options: options.source)
    let checkpoint = model.checkpoint
    try model.refuseReplacement(by: [output], others: [options.vocabulary ?? checkpoint.vocabularyPath])
    if !options.overwrites, FileSystem.kind(of: output) == .file { throw Self.exists(output) }
    var plan = try model.plan()
    if let note = model.quantizationNote(storedAs: options.storageType) { plan.note(note) }
    let vocabulary = try Vocabulary(for: checkpoint, given: options.vocabulary)
    let findings = (vocabulary?.findings(config: plan.config) ?? []) + (vocabulary?.tokenizerFindings ?? [])
    let tokenizer = EmbeddedTokenizer(
      for: model, config: plan.config, vocabulary: options.vocabulary, findings: findings)
    let native = try NativeWriter(
      path: output, overwrites: options.overwrites, config: plan.config, vocabulary: vocabulary?.text,
      tokenizer: tokenizer.text, source: Provenance.placeholder(model, plan: plan))
    let reducing = options.storageType.map { ReducingSink(native, type: $0) }
    let counter = NonFiniteCounter(reducing ?? native)
    try write(plan, from: model, to: counter, progress: progress) {
      // While the disk is still busy with the data.
      try native.setSource(try Provenance.make(model, plan: plan))
    }
    return ConversionResult(
      format: checkpoint.source.format, family: plan.family, dialect: plan.dialect, report: plan.report,
      config: plan.config, assumed: plan.assumed, outputs: [output], tensorCount: plan.targets.count,
      byteCount: plan.byteCount,
      storageType: options.storageType, tokenizer: tokenizer.kind,
      notes: plan.notes.map { .mapping($0) } + findings.filter { !$0.isWarning }.map { .vocabulary($0) }
        + tokenizer.notes.map { .tokenizer($0) },
      warnings: checkpoint.warnings.map { .source($0) } + findings.filter(\.isWarning).map { .vocabulary($0) }
        + tokenizer.warnings.map { .tokenizer($0) } + (reducing?.warnings ?? []) + counter.warnings)
  }

  /// Streams the plan's tensors to `sink` and completes it after `last`; removes all traces of it on any error.
  static func write(
    _ plan: MappingPlan, from model: SourceModel, to sink: any TensorSink, progress: ConversionProgress?,
    last: () throws -> Void
  ) throws {
    let total = plan.byteCount
    do {
      try Converter.write(
        plan, from: model.tensors, to: sink, progress: progress.map { report in { report($0, total) } })
      try last()
      try sink.finish()
    } catch {
      sink.cancel()
      throw error
    }
  }

  static func exists(_ output: String) -> FormatError {
    FormatError(.output, "the output already exists", file: output, advice: .allowReplacing)
  }
}
