import ArgumentParser
import TensorIO
import WeightMapping

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the shell offers for an argument.
extension CompletionKind {
  /// A native file or a plain safetensors file.
  static var models: CompletionKind { .file(extensions: ["safetensors"]) }
  /// Inputs and outputs of a model.
  static var arrays: CompletionKind { .file(extensions: ["npz", "safetensors"]) }
  static var configs: CompletionKind { .file(extensions: ["json"]) }
  static var tables: CompletionKind { .file(extensions: ["yaml", "yml"]) }
}

/// Runs a command's body; an input that cannot be used ends it with status 2.
func reportingErrors(_ body: () throws -> Void) throws {
  // A write beyond the user's file size limit fails with an error, instead of ending the program.
  _ = signal(SIGXFSZ, SIG_IGN)
  do {
    try body()
  } catch let error as FormatError {
    Console.error("error: \(error.text(wording: \.commandText))")
    throw ExitCode(2)
  }
}

extension FormatError.Advice {
  /// The advice in the words of this program's options.
  var commandText: String {
    switch self {
    case .allowReplacing: "Use --force to replace it."
    case .chooseOtherOutput: "Give another name with -o."
    case .giveConfig: "Give the config that belongs to these weights with --config."
    case .giveCheckpointWithConfig: "If this is a config, give the checkpoint, and this file with --config."
    case .giveTable: "Give a mapping table of your own with --table."
    case .chooseFamily(let families): "Choose the family with --family \(families.joined(separator: " or --family "))."
    case .giveAdapter: "Give the folder of that adapter with --adapter."
    case .giveBaseModel: "Give its base model, and this folder with --adapter."
    case .convertFirst: "Convert it with 'bertconv convert' first."
    case .openAs(let kind, let title):
      "It is a checkpoint of \(title), whatever its name suggests: use "
        + Route.allCases.filter { $0.exportFormat == nil && [kind, nil].contains($0.kind?.rawValue) }.map(\.rawValue)
        .joined(separator: " or ") + "."
    case .allowUnexpected(let glob): "Unexpected tensors can be left out on request: --allow-unexpected '\(glob)'."
    case .listUnmapped: "'bertconv inspect --unmapped' lists them."
    case .listImports: "'bertconv inspect' lists what it imports."
    case .chooseStorageType(let types): "Use --dtype \(types.joined(separator: " or "))."
    case .choosePrecision(let precisions): "Use --precision \(precisions.joined(separator: " or "))."
    case .all(let advice): advice.map(\.commandText).joined(separator: " ")
    case .sentence, .didYouMean: text
    }
  }
}

extension MappingReport.Dropped {
  /// The rule, in the words of this program's options.
  var commandRule: String {
    if case .allowed(let glob) = cause { "--allow-unexpected \(glob)" } else { rule }
  }
}
