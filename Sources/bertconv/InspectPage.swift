import CheckpointReaders
import Conversion
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
    let vocabulary = summary.vocabulary.map { file in
      let tokens = file.tokens.map { "\(grouped($0)) tokens" }
      return CheckpointPage.Companion([file.place, tokens].compactMap(\.self).joined(separator: ", "), note: tokens)
    }
    return CheckpointPage(
      tool: ConversionTool.name, path: checkpoint.path, source: source,
      warnings: summary.warnings + summary.outline.notes.map(\.text),
      recognition: summary.outline.recognition,
      mapping: summary.outline.report, model: summary.model, config: summary.config, configFile: configFile,
      vocabulary: vocabulary,
      filter: selection.description,
      tensors: shown.map { index in
        .init(
          source.tensors[index], looks[index]?.statistics, looks[index]?.histogram,
          part: summary.outline.parts?[index])
      }
    ).bytes()
  }
}
