import ArgumentParser
import Comparison
import Conversion
import TensorIO
import WeightMapping

struct Diff: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare the tensors of two checkpoints of any formats.",
    discussion: """
      Where a mapping table knows both, tensors are matched and turned as it says; otherwise by their own names. \
      A tensor is added, removed, renamed (the same bytes under another name), retyped, reshaped, changed or equal. \
      Of what changed you are told how many values differ, the change relative to the norm of A, its root mean square, \
      the largest difference and the cosine; of a model also which layers moved, and how far. \
      Exit status: 0 they are equal, 1 they differ, 2 one cannot be used.
      """)

  @Argument(help: "A checkpoint: file, prefix or folder.", completion: .file())
  var a: String
  @Argument(help: "The checkpoint to compare it with.", completion: .file())
  var b: String
  @Option(help: "The largest absolute difference of two values that counts as none; without it every bit counts.")
  var tolerance: Double = 0
  @OptionGroup var tables: TableOptions
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard tolerance >= 0, tolerance.isFinite else { throw ValidationError("--tolerance must not be negative.") }
  }

  func run() throws {
    Console.ignoreBrokenPipes()
    try reportingErrors(compare)
  }

  private func compare() throws {
    let inputs = try [a, b].map { path in
      let model = try SourceModel(path, dangerousContent: .tolerated)
      Console.warn(model.checkpoint.warnings)
      return ModelDifference.Input(model.tensors, name: path, config: model.config)
    }
    let result = try ProgressBar.during("comparing") {
      try ModelDifference(
        inputs[0], inputs[1], mapper: Mapper(tablesAt: tables.table), tolerance: tolerance, progress: $0)
    }
    if !json { for note in result.notes { Console.error("note: \(printable(note))") } }
    Console.result(json ? result.json().text(pretty: true) : DiffReport(result).text)
    if !result.isEqual { throw ExitCode(1) }
  }
}
