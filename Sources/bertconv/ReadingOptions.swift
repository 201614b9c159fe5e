import ArgumentParser
import Conversion
import TensorIO

/// How the tensors of a checkpoint are read: options that several commands have.
struct ReadingOptions: ParsableArguments {
  @Option(
    help: "A mapping table of your own; takes precedence over built-in tables. Repeat to give more.",
    completion: .tables)
  var table: [String] = []
  @Option(help: "The family of the model, e.g. roberta; overrides its config and its names.")
  var family: String?
  @Option(
    help: ArgumentHelp(
      "Replace a part of the tensors' names, in whole components, before anything else; an empty NEW removes it. Repeat for more.",
      valueName: "old=new"))
  var rename: [Renaming] = []
  @Flag(help: "Take the moving averages of the weights where the checkpoint has both.")
  var averages = false
  @Option(help: "Folder of a LoRA adapter (PEFT) to merge into the weights.", completion: .directory)
  var adapter: [String] = []

  func validate() throws {
    guard adapter.count < 2 else {
      throw ValidationError("One adapter is merged at a time: --adapter is given \(adapter.count) times.")
    }
  }

  var source: SourceOptions {
    var options = SourceOptions()
    options.tables = table
    options.family = family
    options.renamings = rename
    options.adapter = adapter.first
    options.takesAverages = averages
    return options
  }

  /// The files that are read in addition to the checkpoint.
  var inputs: [String] { table }
}

/// What may be left out of a conversion.
struct LeavingOutOptions: ParsableArguments {
  @Option(help: "Leave out unexpected tensors whose names match; repeat to allow more.")
  var allowUnexpected: [String] = []
}

extension Renaming: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension [(key: String, value: JSON)] {
  var json: JSON { .object(map { JSON.Member($0.key, $0.value) }) }

  /// A sentence on config keys whose values were assumed.
  var assumptionText: String {
    "rests on \(count == 1 ? "an assumption" : "assumptions"): "
      + map { printable("\($0.key) \($0.value.stringValue ?? $0.value.text())") }.joined(separator: ", ")
      + "; confirm \(count == 1 ? "it" : "them") with a config"
  }
}
