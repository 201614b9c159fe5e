import CheckpointReaders
import Reports
import TensorIO
import WeightMapping

extension Inspect {
  /// The page that --html asks for, of the tensors `shown`, with what was found of those that have values.
  func makePage(_ summary: Summary, _ shown: [Int], _ looks: [Int: TensorLook]) -> [UInt8] {
    let checkpoint = summary.checkpoint
    let source = checkpoint.source
    let configFile: CheckpointPage.Companion? =
      summary.isNative
      ? .init("in the file")
      : checkpoint.configPath.map {
        .init($0, note: summary.config == nil ? "The config is there but cannot be used: \($0)." : nil)
      }
    let vocabulary = vocabulary(summary)
    return CheckpointPage(
      tool: "bertconv \(Bertconv.version)", path: checkpoint.path, source: source,
      warnings: checkpoint.warnings + vocabulary.warnings + summary.outline.notes,
      recognition: summary.outline.recognition,
      mapping: summary.outline.report, model: summary.model, config: summary.config, configFile: configFile,
      vocabulary: vocabulary.file,
      filter: selection.description,
      tensors: shown.map { index in
        .init(
          source.tensors[index], looks[index]?.statistics, looks[index]?.histogram,
          part: summary.outline.parts?[index])
      }
    ).bytes()
  }

  private func vocabulary(_ summary: Summary) -> (file: CheckpointPage.Companion?, warnings: [String]) {
    guard let vocabulary = summary.vocabulary else { return (nil, []) }
    guard let text = vocabulary.contents else {
      return (.init(vocabulary.place), ["the vocabulary cannot be read: \(vocabulary.place)"])
    }
    let tokens = "\(grouped(Vocabulary.tokenCount(text))) tokens"
    return (
      .init("\(vocabulary.place), \(tokens)", note: tokens),
      (summary.config.map { Vocabulary.warnings(text, config: $0) } ?? []) + (vocabulary.casing?.warnings ?? [])
    )
  }
}
