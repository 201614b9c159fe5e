import ArgumentParser
import CheckpointReaders
import Conversion
import Encoder
import TensorIO
import WeightMapping

enum Route: String, ExpressibleByArgument, CaseIterable {
  case tensorFlow = "tf-to-native"
  case pyTorch = "pytorch-to-native"
  case safetensors = "safetensors-to-native"
  case keras = "keras-to-native"
  case numPy = "numpy-to-native"
  case flax = "flax-to-native"
  case automatic = "auto-to-native"
  case toTensorFlow = "native-to-tf"
  case toPyTorch = "native-to-pytorch"

  /// The kind of checkpoint that is read; `nil` for any.
  var kind: CheckpointKind? {
    switch self {
    case .tensorFlow: .tensorFlow
    case .pyTorch: .pyTorch
    case .safetensors, .toTensorFlow, .toPyTorch: .safetensors
    case .keras: .keras
    case .numPy: .numPy
    case .flax: .flax
    case .automatic: nil
    }
  }

  /// What is written on the way back; `nil` for a native file.
  var exportFormat: ExportFormat? {
    switch self {
    case .toTensorFlow: .tensorFlow
    case .toPyTorch: .pyTorch
    default: nil
    }
  }

  private var meaning: String {
    switch self {
    case .tensorFlow: "a bundle, a version 1 file or a SavedModel"
    case .pyTorch: "a zip, an older stream or a tar, of tensors or whole modules"
    case .safetensors: "one file or shards"
    case .keras: "HDF5 or a .keras archive"
    case .numPy: "an .npz, an .npy or OpenAI's shards"
    case .flax: "msgpack, one file or shards"
    case .automatic: "any of these"
    case .toTensorFlow: "to a bundle with the names of google-research"
    case .toPyTorch: "to a zip with the names of transformers"
    }
  }

  /// One line each, for the help.
  static let meanings = allCases.map { "\($0.rawValue): \($0.meaning)" }.joined(separator: "\n")
}

struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a checkpoint to one native file, or a native file back.",
    discussion: """
      The source is a TensorFlow prefix, its .index or .data file, a folder, a SavedModel, or a file of another format. \
      bert_config.json or config.json and vocab.txt are picked up from the same folder. Every tensor is accounted for: a \
      tensor that no rule matches stops the conversion unless --allow-unexpected names it. Every checksum of the source is \
      checked, and a conversion that fails leaves no files. native-to-tf writes to a prefix, with bert_config.json and \
      vocab.txt in the same folder.
      """)

  @Argument(help: ArgumentHelp("Conversion to perform.", discussion: Route.meanings))
  var route: Route
  @Argument(help: "The checkpoint: file, prefix or folder.", completion: .file())
  var source: String
  @Option(name: [.short, .long], help: "The file to write.", completion: .file())
  var output: String
  @Option(help: "The model's config, if it is not in the same folder as the checkpoint.", completion: .configs)
  var config: String?
  @Option(help: "The vocabulary, if it is not in the same folder as the checkpoint.", completion: .file())
  var vocab: String?
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var leavingOut: LeavingOutOptions
  @Option(help: "Storage type of the weights (default: unchanged). int8 is not available for native-to-….")
  var dtype: StorageType?
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Flag(help: "Print the report as JSON.")
  var json = false

  func validate() throws {
    if dtype == .int8, route.exportFormat != nil {
      throw ValidationError("Checkpoints of other programs cannot store 8-bit weights: use --dtype f32, f16 or bf16.")
    }
  }

  func run() throws { try reportingErrors(convert) }

  private var options: ConversionOptions {
    var options = ConversionOptions()
    options.kind = route.kind
    options.config = config
    options.vocabulary = vocab
    options.source = reading.source
    options.source.allowUnexpected = leavingOut.allowUnexpected
    options.storageType = dtype
    options.overwrites = force
    return options
  }

  private func convert() throws {
    if let format = route.exportFormat {
      let result = try ProgressBar.during("writing") {
        try CheckpointConverter.export(source, to: output, as: format, options: options, progress: $0)
      }
      show(result, warnings: result.warnings.map(\.text), isExport: true)
    } else {
      let result = try ProgressBar.during("converting") {
        try CheckpointConverter.convert(source, to: output, options: options, progress: $0)
      }
      show(result, warnings: result.warnings.map(\.text) + Self.runWarnings(result.config), isExport: false)
    }
  }

  /// Why `verify` and `run` cannot compute a model of this config: the conversion is sound without them.
  private static func runWarnings(_ config: JSON) -> [String] {
    do {
      _ = try EncoderConfig(config)
      return []
    } catch {
      return ["'bertconv run' cannot compute this model: \(error)"]
    }
  }

  private func show(_ result: ConversionResult, warnings: [String], isExport: Bool) {
    if json {
      Console.result(jsonObject(result, warnings: warnings, isExport: isExport).text(pretty: true))
      return
    }
    Console.warn(warnings)
    for note in result.notes { Console.error("note: \(printable(note.text))") }
    Console.error(result.report.text(ruleText: \.commandRule))
    if !result.assumed.isEmpty { Console.error(result.assumed.assumptionText + "\n") }
    let dtype = result.storageType?.rawValue
    let size = isExport || dtype == nil ? UInt64(result.byteCount) : result.fileSize
    let names = isExport ? "as \(result.dialect)" : "from \(result.dialect) (\(result.format.rawValue))"
    Console.result(
      "\(printable(output)): \(result.family) \(names), \(result.tensorCount) tensors, \(humanBytes(size))"
        + (dtype.map { isExport ? " stored as \($0)" : " as \($0)" } ?? ""))
  }

  private func jsonObject(_ result: ConversionResult, warnings: [String], isExport: Bool) -> JSON {
    var object = result.report.json(ruleText: \.commandRule)
    object.set("output", isExport ? .strings(result.outputs) : .string(output))
    if !isExport { object.set("format", .string(result.format.rawValue)) }
    object.set("family", .string(result.family))
    object.set("dialect", .string(result.dialect))
    object.set("bytes", .int(result.byteCount))
    if !isExport { object.set("file_bytes", .int(result.fileSize)) }
    if let dtype = result.storageType { object.set("dtype", .string(dtype.rawValue)) }
    if !isExport { object.set("config", result.config) }
    object.set("assumed", result.assumed.json)
    object.set("notes", .strings(result.notes.map(\.text)))
    object.set("warnings", .strings(warnings))
    return object
  }
}

extension StorageType: ExpressibleByArgument {
  public static var allValueDescriptions: [String: String] {
    [
      f32.rawValue: "32-bit floats", f16.rawValue: "16-bit floats (IEEE)", bf16.rawValue: "bfloat16",
      int8.rawValue: "8-bit integers with one scale per row",
    ]
  }
}
