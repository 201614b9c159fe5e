import ArgumentParser
import CheckpointReaders
import Comparison
import Conversion
import Encoder
import NativeFormat
import Reports
import TensorIO
import Verification
import WeightMapping

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check that a converted model computes what it should.",
    discussion: """
      With --fixtures the model is run on reference inputs and compared with reference outputs; with --against every \
      tensor of the source is compared, bit for bit (stored in a smaller type, it must be exactly the source rounded to \
      that type); the checksums of the file are checked in any case. \
      Scripts/make_fixture.py makes a fixture from a transformers model.
      """)

  @Argument(help: "The native file.", completion: .models)
  var model: String
  @Option(help: "Reference inputs and outputs, .npz or .safetensors.", completion: .arrays)
  var fixtures: String?
  @Option(help: "The checkpoint that the model was converted from.", completion: .file())
  var against: String?
  @Option(
    help: """
      The largest absolute difference allowed: of outputs 1e-4 where none is given; of tensors, with --against alone, none.
      """)
  var tolerance: Double?
  @Option(help: "The model's config, where the file has none.", completion: .configs)
  var config: String?
  @OptionGroup var tables: TableOptions
  @Option(help: "Leave out unexpected tensors of the source whose names match.")
  var allowUnexpected: [String] = []
  @Option(help: "Compute matrix products so; what that costs is shown.")
  var precision = Precision.f32
  @Option(help: "Threads to use; without it, one a core.")
  var threads: Int?
  @Option(help: "Write a page for the browser too: what --fixtures found, by output, layer and position.")
  var html: String?
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if html != nil, fixtures == nil {
      throw ValidationError("--html shows what --fixtures finds: give a fixture with --fixtures.")
    }
    if let tolerance, !(tolerance >= 0 && tolerance.isFinite) {
      throw ValidationError("--tolerance must not be negative.")
    }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
  }

  func run() throws { try reportingErrors(verify) }

  private func verify() throws {
    let native = try NativeModel.open(model)
    let page = try html.map { try PageFile($0, inputs: [model, fixtures, config] + tables.table) }
    var outputs: VerificationReport?
    try ProgressBar.during("checksums") { try native.verifyChecksums(progress: $0) }
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
      let report = try ModelConfig(native, model, given: config).use { config in
        try ProgressBar.during("running", unit: .tokens) {
          try Verifier.verify(
            native, config: config, fixture: fixture, tolerance: tolerance ?? 1e-4, threads: threads,
            precision: precision, progress: $0)
        }
      }
      Console.warn(report.warnings)
      result = report.json()
      passed = report.passed
      text.append(report.text())
      outputs = report
    }
    if let against {
      let comparison = try compare(native, against)
      passed = passed && comparison.differences.isEmpty
      for member in comparison.json() { result.set(member.key, member.value) }
      text += comparison.text(source: against)
    }
    result.set("passed", .bool(passed))
    if result["outputs"] == nil { result.set("outputs", .array([])) }
    if result["first_divergence"] == nil { result.set("first_divergence", .null) }
    if let page, let outputs { try page.write(pageBytes(outputs, told: text, passed: passed)) }
    Console.result(json ? result.text(pretty: true) : text.joined(separator: "\n"))
    if !passed { throw ExitCode(1) }
  }

  /// `told` are the checksums' verdict, the report, and what was found against a source.
  private func pageBytes(_ report: VerificationReport, told: [String], passed: Bool) -> [UInt8] {
    VerificationPage(
      tool: ConversionTool.name, model: model, fixture: fixtures ?? "", precision: precision.rawValue,
      report: report, checks: [told[0]] + told.dropFirst(2), passed: passed
    ).bytes()
  }

  private func compare(_ native: NativeModel, _ path: String) throws -> ModelComparison {
    let source = try SourceModel(path, config: config)
    if let html { try PageFile.refuse(html, toReplace: source.checkpoint.source.files.map(\.path)) }
    let plan = try source.plan(mapper: try Mapper(tablesAt: tables.table), allowUnexpected: allowUnexpected)
    // A tolerance beside fixtures is for what the model computes: its tensors stay exact.
    return try ProgressBar.during("comparing") {
      try Converter.compare(
        plan, from: source.tensors, with: try CheckpointOpener().openFile(model),
        tolerance: fixtures == nil ? tolerance : nil,
        progress: $0)
    }
  }
}

/// The config that a model is run with, and the file that it is in.
struct ModelConfig {
  private let path: String
  private let json: JSON?

  /// The config given, else the model's own, or for a plain safetensors file the one beside it.
  init(_ model: NativeModel, _ modelPath: String, given: String?) throws {
    if let given {
      path = given
      json = try ConfigFile.read(given)
    } else if let own = model.config {
      path = modelPath
      json = own
    } else {
      path = FileSystem.join(FileSystem.folder(of: modelPath), "config.json")
      guard FileSystem.isFile(path) else {
        throw FormatError(
          .config, "the file has no config", file: modelPath, advice: .all([.giveConfig, .convertFirst]))
      }
      json = try ConfigFile.read(path)
    }
  }

  /// Runs `body` with the config; an error that names no file is one of the config, whose name the encoder does not know.
  func use<R>(_ body: (JSON?) throws -> R) throws -> R {
    do {
      return try body(json)
    } catch let error as FormatError {
      throw error.inFile(path)
    }
  }
}
