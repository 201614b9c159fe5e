import ArgumentParser
import CheckpointReaders
import NativeFormat
import TensorIO
import Verification
import WeightMapping

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check that a converted model computes what it should.",
    discussion: """
      With --fixtures the model is run on reference inputs and compared with reference outputs; with --against every \
      tensor of the source is compared, bit for bit; the checksums of the file are checked in any case. \
      Scripts/make_fixture.py makes a fixture from a transformers model.
      """)

  @Argument(help: "The native file.")
  var model: String
  @Option(help: "Reference inputs and outputs, .npz or .safetensors.")
  var fixtures: String?
  @Option(help: "The checkpoint that the model was converted from.")
  var against: String?
  @Option(help: "The largest absolute difference allowed.")
  var tolerance: Double = 1e-4
  @Option(help: "The model's config, where the file has none.")
  var config: String?
  @Option(help: "A mapping table of your own, asked before those built in.")
  var table: [String] = []
  @Option(help: "Leave out unexpected tensors of the source whose names match.")
  var allowUnexpected: [String] = []
  @Option(help: "Threads to use.")
  var threads: Int?
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard tolerance >= 0, tolerance.isFinite else { throw ValidationError("--tolerance must not be negative.") }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
  }

  func run() throws { try reportingErrors(verify) }

  private func verify() throws {
    let native = try NativeModel.open(model)
    try native.verifyChecksums()
    var result = JSON.object([])
    var passed = true
    var text: [String] = []
    if native.isNative {
      let count = native.tensorNames.count
      text.append(
        "\(printable(model)): whole; the checksums of \(count) tensors, the layout and the metadata are right")
    } else {
      Console.warn(["\(model) is a plain safetensors file without the native profile: it has no checksums to check"])
      text.append("\(printable(model)): a plain safetensors file, \(native.tensorNames.count) tensors, no checksums")
    }
    if let fixtures {
      let fixture = try Fixture(try CheckpointOpener().openFile(fixtures))
      let report = try namingConfig(native, model, config) {
        try Verifier.verify(
          native, config: try modelConfig(native, model, config), fixture: fixture, tolerance: tolerance,
          threads: threads)
      }
      Console.warn(report.warnings)
      result = report.json()
      passed = report.passed
      text.append(report.text())
    }
    if let against {
      let differences = try compare(native, against)
      passed = passed && differences.isEmpty
      result.set(
        "differences",
        .array(differences.map { .object(["name": .string($0.name), "problem": .string($0.problem)]) }))
      for difference in differences.prefix(20) {
        text.append("differs: \(printable(difference.name)): \(printable(difference.problem))")
      }
      if differences.count > 20 { text.append("and \(differences.count - 20) more") }
      text.append(
        differences.isEmpty
          ? "every tensor is that of \(printable(against)), bit for bit"
          : "\(differences.count) tensors differ from \(printable(against))")
    }
    result.set("passed", .bool(passed))
    if result["outputs"] == nil { result.set("outputs", .array([])) }
    if result["first_divergence"] == nil { result.set("first_divergence", .null) }
    Console.result(json ? result.text(pretty: true) : text.joined(separator: "\n"))
    if !passed { throw ExitCode(1) }
  }

  private func compare(_ native: NativeModel, _ path: String) throws -> [TensorDifference] {
    let checkpoint = try CheckpointOpener().open(path)
    let configPath = config ?? checkpoint.configPath
    let plan = try makeMapper(tables: table).plan(
      for: checkpoint.source.tensors, file: checkpoint.path,
      config: try loadConfig(configPath) ?? SourceDescription.embeddedConfig(checkpoint.source), configFile: configPath,
      allowUnexpected: allowUnexpected
    ).resolvingTies(in: checkpoint.source)
    return try Converter.compare(plan, from: checkpoint.source, with: try CheckpointOpener().openFile(model))
  }
}

/// Names the config's file in an error about the config, which the encoder sees without its name.
func namingConfig<R>(_ native: NativeModel, _ path: String, _ given: String?, _ body: () throws -> R) throws -> R {
  do {
    return try body()
  } catch let error as FormatError {
    let beside = FileSystem.join(FileSystem.folder(of: path), "config.json")
    throw error.inFile(given ?? (native.config == nil ? beside : path))
  }
}

/// The config of a model: its own, the one given, or for a plain safetensors file the one beside it.
func modelConfig(_ model: NativeModel, _ path: String, _ given: String?) throws -> JSON? {
  if let given { return try loadConfig(given) }
  if let own = model.config { return own }
  let beside = FileSystem.join(FileSystem.folder(of: path), "config.json")
  guard FileSystem.isFile(beside) else {
    throw FormatError(
      "the file carries no config", file: path,
      advice: "Give the model's config with --config, or convert it with 'bertconv convert safetensors-to-native'.")
  }
  return try loadConfig(beside)
}
