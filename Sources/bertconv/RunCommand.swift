import ArgumentParser
import CheckpointReaders
import CheckpointWriters
import Conversion
import Encoder
import NativeFormat
import TensorIO
import Verification

extension Precision: ExpressibleByArgument {
  public static var allValueDescriptions: [String: String] {
    [
      f32.rawValue: "32-bit floats", bf16.rawValue: "bfloat16, summed in f32",
      int8.rawValue: "8-bit integers, summed in 32 bits",
    ]
  }
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a model on inputs and write its outputs.",
    discussion: """
      Inputs are an .npz or .safetensors file with input_ids, and attention_mask and token_type_ids if the model uses \
      them (also as input_mask and segment_ids, google-research's names). Each output has the inputs' padded shape and zeros where the mask is 0.
      """)

  @Argument(help: "The native file.", completion: .models)
  var model: String
  @Option(help: "The inputs, .npz or .safetensors.", completion: .arrays)
  var inputs: String
  @Option(name: [.short, .long], help: "The file to write, .npz or .safetensors.", completion: .arrays)
  var output: String
  @Option(
    parsing: .singleValue,
    help: "An output to write; repeat for more (default: all outputs of the model's heads).",
    completion: .list([
      "last_hidden_state", "hidden_states.0", "pooler_output", "prediction_logits", "seq_relationship_logits", "logits",
      "start_logits", "end_logits", "sentence_embedding",
    ]))
  var outputs: [String] = []
  @Option(help: "The model's config, if the file has none.", completion: .configs)
  var config: String?
  @Option(help: "Precision of matrix products, whatever the file stores.")
  var precision = Precision.f32
  @Option(help: "Threads to use (default: one per core).")
  var threads: Int?
  @Option(name: [.customLong("repeat")], help: "Run this many times and report the median.")
  var repeats = 1
  @Flag(help: "Do not verify the file's checksums first.")
  var skipChecksums = false
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard repeats >= 1 else { throw ValidationError("--repeat must be at least 1.") }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
    guard output.hasSuffix(".npz") || output.hasSuffix(".safetensors") else {
      throw ValidationError("the output's name must end in .npz or .safetensors.")
    }
  }

  func run() throws { try reportingErrors(runModel) }

  private func runModel() throws {
    let began = Clock.now
    let encoder = try loadEncoder()
    let loaded = Clock.now - began
    let fixture = try Fixture(try CheckpointOpener().openFile(inputs))
    Console.warn(fixture.warnings)
    let input = fixture.input
    let wanted = try wantedOutputs(of: encoder)
    if [inputs, model, config].compactMap(\.self).contains(where: { FileSystem.isSameFile(output, $0) }) {
      throw FormatError(.output, "the output is one of the inputs", file: output, advice: .chooseOtherOutput)
    }
    let writer: any TensorSink =
      output.hasSuffix(".npz")
      ? try NpzWriter(path: output, overwrites: force) : try SafetensorsWriter(path: output, overwrites: force)
    var times: [Double] = []
    do {
      var results: [EncoderOutput] = []
      for _ in 0..<repeats {
        let start = Clock.now
        results = try ProgressBar.during("running", unit: .tokens) {
          try encoder.run(input, outputs: Set(wanted), progress: $0)
        }
        times.append(Clock.now - start)
      }
      try write(
        results.sorted { (wanted.firstIndex(of: $0.name) ?? 0) < (wanted.firstIndex(of: $1.name) ?? 0) }, to: writer)
    } catch {
      writer.cancel()
      throw error
    }
    report(times.sorted(), loaded: loaded, wanted, input, encoder)
  }

  private func loadEncoder() throws -> Encoder {
    let native = try NativeModel.open(model)
    if !skipChecksums { try native.verifyChecksumsWithProgress() }
    return try ConfigFile(for: native, given: config).use(for: model) {
      try Encoder(native, config: $0, threads: threads, precision: precision)
    }
  }

  /// The requested ones, or those of the model without the hidden states of every layer, which are many.
  private func wantedOutputs(of encoder: Encoder) throws -> [String] {
    let available = encoder.availableOutputs
    for name in outputs where !available.contains(name) {
      throw FormatError(
        .input, "the model has no such output", file: model, found: name, expected: available.joined(separator: ", "))
    }
    return outputs.isEmpty ? encoder.defaultOutputs : outputs
  }

  private func write(_ results: [EncoderOutput], to writer: any TensorSink) throws {
    try writer.begin(
      try results.map { result in
        guard let info = TensorInfo(name: result.name, elementType: .f32, shape: result.shape) else {
          throw FormatError(.limit, "the output is too large", tensor: result.name, found: shapeText(result.shape))
        }
        return info
      })
    for (index, result) in results.enumerated() {
      // Memory safety: floats have no padding.
      try writer.append(unsafe result.values.span.bytes, toTensorAt: index)
    }
    try writer.finish()
  }

  /// `times` in seconds, the shortest first.
  private func report(_ times: [Double], loaded: Double, _ wanted: [String], _ input: EncoderInput, _ encoder: Encoder)
  {
    let median =
      times.count % 2 == 1 ? times[times.count / 2] : (times[times.count / 2 - 1] + times[times.count / 2]) / 2
    let tokens = input.tokenCount
    if json {
      Console.result(
        JSON.object([
          "sequences": .int(input.batch), "tokens": .int(tokens), "median_s": .double(median),
          "best_s": .double(times[0]), "load_s": .double(loaded), "precision": .string(precision.rawValue),
          "library": .string(encoder.library.description), "level": .string(encoder.library.level),
          "threads": .int(encoder.threads), "outputs": .strings(wanted), "output": .string(output),
        ]).text(pretty: true))
      return
    }
    Console.result(
      "\(printable(output)): \(wanted.joined(separator: ", ")) of \(input.batch) sequences, \(grouped(tokens)) tokens; "
        + "\(fixed(median * 1000, digits: 1)) ms, \(grouped(Int(Double(tokens) / max(median, 1e-9)))) tokens/s "
        + "on \(encoder.threads) threads with \(encoder.library.description), \(encoder.library.level); loaded in \(fixed(loaded * 1000, digits: 1)) ms"
    )
  }
}
