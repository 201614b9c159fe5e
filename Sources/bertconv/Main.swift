import ArgumentParser

@main
struct Bertconv: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bertconv",
    abstract: "Bring BERT checkpoints into one memory-mapped file, and prove that they still compute the same.",
    discussion: """
      Nothing in a checkpoint is ever run. Results go to standard output, everything else to standard error.
      Exit status: 0 done and good; 1 a check said no; 2 the input cannot be used; 64 wrong usage.
      """,
    subcommands: [Convert.self, Inspect.self, Verify.self, Diff.self, Run.self])

  @Flag(help: "Show the version, what the program is built with, and the libraries that it finds.")
  var version = false

  // Not by the configuration's version: that is made at every start, and this loads libraries.
  func validate() throws {
    if version { throw CleanExit.message(BuildDescription.text) }
  }
}
