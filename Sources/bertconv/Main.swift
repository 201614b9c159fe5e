import ArgumentParser

@main
struct Bertconv: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "bertconv",
    abstract: "Bring BERT checkpoints into one memory-mapped file, and prove that they still compute the same.",
    discussion: """
      Nothing in a checkpoint is ever run. Results go to standard output, everything else to standard error.
      Exit status: 0 done and good; 1 a check said no; 2 the input cannot be used; 64 wrong usage.
      """,
    version: version,
    subcommands: [Convert.self, Inspect.self, Verify.self, Diff.self, Run.self])
}
