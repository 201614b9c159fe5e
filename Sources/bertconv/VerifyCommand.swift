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
    commandName: "verify",
    abstract: "Check that a converted model computes the same as its original.",
    discussion: """
      With --fixtures the model runs on reference inputs, and its outputs are compared with reference outputs. With \
      --against every tensor is compared with the source, bit for bit; one stored in a smaller type must be exactly the \
      source rounded to that type. The checksums of the file are always checked. Scripts/make_fixture.py makes a fixture \
      from a transformers model.
      """)

  @Argument(help: "The native file.", completion: .models)
  var model: String
  @Option(help: "Reference inputs and outputs, .npz or .safetensors.", completion: .arrays)
  var fixtures: String?
  @Option(help: "The checkpoint that the model was converted from.", completion: .file())
  var against: String?
  @Option(
    help: """
      Largest absolute difference allowed. Default: 1e-4 for outputs, 0 for tensors (--against without --fixtures).
      """)
  var tolerance: Double?
  @Option(help: "The model's config, if the file has none.", completion: .configs)
  var config: String?
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var leavingOut: LeavingOutOptions
  @Option(help: "Precision of matrix products; the resulting error is reported.")
  var precision = Precision.f32
  @Option(help: "Threads to use (default: one per core).")
  var threads: Int?
  @Option(help: "Write an HTML report of --fixtures too: by output, layer and position.")
  var html: String?
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if html != nil, fixtures == nil {
      throw ValidationError("--html reports on --fixtures: give a fixture with --fixtures.")
    }
    if let tolerance, !(tolerance >= 0 && tolerance.isFinite) {
      throw ValidationError("--tolerance must not be negative.")
    }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
  }

  func run() throws { try reportingErrors(verify) }

  private func verify() throws {
    let native = try NativeModel.open(model)
    let page = try html.map { try PageFile($0, inputs: [model, fixtures, config] + reading.inputs) }
    var outputs: VerificationReport?
    try native.verifyChecksumsWithProgress()
    var result = JSON.object([])
    var passed = true
    var text: [String] = []
    // Those of the lines that are not the report on the outputs.
    var checks: [String] = []
    if native.isNative {
      let count = native.tensorNames.count
      text.append(
        "\(printable(model)): intact: layout, metadata and \(grouped(count)) checksums verified")
    } else {
      Console.warn(["\(model) is a plain safetensors file, not a native file: it has no checksums to verify"])
      text.append("\(printable(model)): a plain safetensors file, \(native.tensorNames.count) tensors, no checksums")
    }
    let tokenizer = try ModelTokenizer(of: native)?.tokenizer()
    if let tokenizer {
      text.append("\(printable(model)): its tokenizer can be used: \(TokenizerSummary(tokenizer).text)")
    }
    checks = text
    let assumed = (native.source?["assumed"]?.members ?? []).map { (key: $0.key, value: $0.value) }
    if let fixtures {
      let fixture = try Fixture(try CheckpointOpener().openFile(fixtures))
      let report = try ConfigFile(for: native, given: config).use(for: model) { config in
        try ProgressBar.during("running", unit: .tokens) {
          try Verifier.verify(
            native, config: config, fixture: fixture, tolerance: tolerance ?? 1e-4, threads: threads,
            precision: precision, tokenizer: tokenizer, progress: $0)
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
      checks += comparison.text(source: against)
    }
    result.set("passed", .bool(passed))
    result.set("assumed", assumed.json)
    if result["outputs"] == nil { result.set("outputs", .array([])) }
    if result["first_divergence"] == nil { result.set("first_divergence", .null) }
    if let page, let outputs { try page.write(pageBytes(outputs, checks: checks, passed: passed)) }
    if !assumed.isEmpty { text.append("\(printable(model)): \(assumed.assumptionText)") }
    Console.result(json ? result.text(pretty: true) : text.joined(separator: "\n"))
    if !passed { throw ExitCode(1) }
  }

  /// `checks` are those of the checksums and the tokenizer, and of the comparison with a source.
  private func pageBytes(_ report: VerificationReport, checks: [String], passed: Bool) -> [UInt8] {
    VerificationPage(
      tool: ConversionTool.name, model: model, fixture: fixtures ?? "", precision: precision.rawValue,
      report: report, checks: checks + [report.texts?.text].compactMap(\.self), passed: passed
    ).bytes()
  }

  private func compare(_ native: NativeModel, _ path: String) throws -> ModelComparison {
    var options = reading.source
    options.allowUnexpected = leavingOut.allowUnexpected
    let source = try SourceModel(path, config: config, options: options.completed(by: native))
    if let html { try PageFile.refuse(html, toReplace: source.checkpoint.source.files.map(\.path)) }
    // With fixtures the tolerance is for what the model computes: its tensors stay exact.
    return try ProgressBar.during("comparing") {
      try ModelComparison.compare(
        modelAt: model, with: source, tolerance: fixtures == nil ? tolerance : nil, progress: $0)
    }
  }
}

extension ModelComparison {
  /// The lines of a report; `source` is the checkpoint that the model was compared with.
  func text(source: String) -> [String] {
    let source = printable(source)
    var lines = differences.prefix(20).map { "differs: \(printable($0.name)): \(printable($0.problem))" }
    if differences.count > 20 { lines.append("and \(grouped(differences.count - 20)) more") }
    for entry in reductions {
      lines.append(
        "\(counted(entry.count, "tensor")) stored as \(entry.stored.rawValue), \(entry.source.rawValue) in the source: "
          + "exactly the rounded source; largest error \(significant(entry.largest))"
          + (entry.tensor.map { " (\(printable($0)))" } ?? ""))
    }
    if toleratedCount > 0 {
      lines.append(
        "\(counted(toleratedCount, "tensor")) within the tolerance, largest difference \(significant(largestTolerated))"
      )
    }
    if !differences.isEmpty {
      lines.append(
        "\(counted(differences.count, "tensor")) \(differences.count == 1 ? "differs" : "differ") from \(source)")
    } else if toleratedCount > 0 {
      lines.append("all tensors match \(source) within the tolerance")
    } else if !reductions.isEmpty {
      lines.append("all tensors match \(source) exactly, after rounding to the stored type")
    } else {
      lines.append("all tensors match \(source), bit for bit")
    }
    return lines
  }
}

extension NativeModel {
  /// Verifies the checksums with a progress bar, and warns of values that are not finite.
  func verifyChecksumsWithProgress() throws {
    let values = try ProgressBar.during("checksums") { try verifyChecksums(progress: $0) }
    Console.warn([NonFiniteValues.text(values)].compactMap(\.self))
  }
}

extension ConfigFile {
  /// Runs `body` with the config; an error that names no file is one of the config, whose name the encoder does not know.
  func use<R>(for model: String, _ body: (JSON?) throws -> R) throws -> R {
    do {
      return try body(json)
    } catch let error as FormatError {
      throw error.inFile(path ?? model)
    }
  }
}
