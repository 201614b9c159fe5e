import ArgumentParser
import Encoder
import TensorIO

@main
struct Bertconv: ParsableCommand {
  // Each command gives its name: the library would look for the name of its type at every start.
  static let configuration = CommandConfiguration(
    commandName: "bertconv",
    abstract: "Convert BERT checkpoints into one memory-mapped file, and verify that they still compute the same.",
    discussion: """
      Nothing in a checkpoint is ever run. Results go to standard output, everything else to standard error.
      Exit status: 0 success; 1 a check failed; 2 the input cannot be used; 64 wrong usage.
      """,
    subcommands: [Convert.self, Inspect.self, Verify.self, Diff.self, Run.self, Tokenize.self, Predict.self])

  static func main() {
    Console.ignoreBrokenPipes()
    main(Processes.arguments)
  }

  @Flag(help: "Show the version, the toolchain, and the libraries found.")
  var version = false

  // Not by the configuration's version: that is made at every start, and this loads libraries.
  func validate() throws {
    guard version else { return }
    try reportingErrors { try ProcessorLevel.checkEnvironment() }
    throw CleanExit.message(BuildDescription.text)
  }
}
