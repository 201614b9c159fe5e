import ArgumentParser
import Comparison
import Conversion
import TensorIO
import WeightMapping

struct Diff: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare the tensors of two checkpoints of any formats.",
    discussion: """
      Where a mapping table matches both, tensors are compared in the names and layouts of the family; otherwise by their \
      own names. A tensor is added, removed, renamed (the same bytes under another name), retyped, reshaped, changed or \
      equal. For a changed tensor the report gives the number of values that differ, the change relative to the norm of A, \
      the root mean square, the largest difference and the cosine; for a model it also reports which layers changed, and \
      how much. Exit status: 0 equal, 1 different, 2 a checkpoint cannot be used.
      """)

  @Argument(help: "A checkpoint: file, prefix or folder.", completion: .file())
  var a: String
  @Argument(help: "The checkpoint to compare it with.", completion: .file())
  var b: String
  @Option(help: "Largest absolute difference of two values that counts as equal (default: 0, every bit counts).")
  var tolerance: Double = 0
  @OptionGroup var reading: ReadingOptions
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard tolerance >= 0, tolerance.isFinite else { throw ValidationError("--tolerance must not be negative.") }
  }

  func run() throws {
    try reportingErrors(compare)
  }

  private func compare() throws {
    var options = reading.source
    options.sparesNativeFiles = true
    let inputs = try [a, b].map { path in
      let model = try SourceModel(path, options: options, dangerousContent: .tolerated)
      Console.warn(model.checkpoint.warnings)
      return ModelDifference.Input(model, name: path)
    }
    let result = try ProgressBar.during("comparing") {
      try ModelDifference.between(
        inputs[0], inputs[1], mapper: options.mapper(), tolerance: tolerance, progress: $0)
    }
    if !json { for note in result.notes { Console.error("note: \(printable(note.text))") } }
    Console.result(json ? result.json().text(pretty: true) : DifferenceText(result).text)
    if !result.isEqual { throw ExitCode(1) }
  }
}
