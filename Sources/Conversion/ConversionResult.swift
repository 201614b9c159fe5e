import TensorIO
import Tokenizers
import WeightMapping

/// What a conversion made, and what it found on the way.
public struct ConversionResult: Sendable {
  /// The format that was read.
  public let format: FormatName
  public let family: String
  /// The names that the other program gives: of the source, or of the output on the way back.
  public let dialect: String
  public let report: MappingReport
  /// The canonical config.
  public let config: JSON
  /// Config keys whose values rest on an assumption, with these values.
  public let assumed: [(key: String, value: JSON)]
  /// The files that were written.
  public let outputs: [String]
  public let tensorCount: Int
  /// Bytes of all tensors in the types of the source.
  public let byteCount: Int
  /// The type that weights were stored in; `nil` where each kept its own.
  public let storageType: StorageType?
  /// The tokenizer that the native file has; `nil` for none, and for other outputs.
  public let tokenizer: TokenizerDefinition.Kind?
  public let notes: [Note]
  public let warnings: [Warning]

  /// What was assumed or done that a user may want to know.
  public enum Note: Sendable, Equatable {
    /// Of the plan: what was assumed, inferred or compared.
    case mapping(MappingNote)
    case vocabulary(VocabularyFinding)
    /// Of the tokenizer: which one the file carries, or that there is none.
    case tokenizer(String)

    public var text: String {
      switch self {
      case .mapping(let note): note.text
      case .vocabulary(let finding): finding.text
      case .tokenizer(let text): text
      }
    }
  }

  /// What is probably wrong, though the conversion is exact.
  public enum Warning: Sendable, Equatable {
    /// Of the reader of the checkpoint.
    case source(String)
    case vocabulary(VocabularyFinding)
    /// Tokenizer and model disagree, or the tokenizer's files cannot be read.
    case tokenizer(String)
    /// Finite values of a tensor became infinite in the storage type.
    case overflow(tensor: String, count: Int)
    /// Weights are NaN or infinite.
    case notFinite(String)

    public var text: String {
      switch self {
      case .source(let text), .notFinite(let text), .tokenizer(let text): text
      case .vocabulary(let finding): finding.text
      case .overflow(let tensor, let count):
        "\(tensor): \(grouped(count)) values are too large for the type and became infinite"
      }
    }
  }

  /// The number of bytes in the files that were written.
  public var fileSize: UInt64 { outputs.reduce(0) { $0 + (FileSystem.size(of: $1) ?? 0) } }
}

extension ReducingSink {
  var warnings: [ConversionResult.Warning] { overflows.map { .overflow(tensor: $0.name, count: $0.count) } }
}

extension SourceModel {
  /// A sentence on weights of 8 bits, to be stored as `type`; `nil` where there are none.
  func quantizationNote(storedAs type: StorageType?) -> String? {
    guard quantizedCount > 0 else { return nil }
    let verb = type == .int8 ? "read" : "written"
    let form = type == nil || type == .f32 ? " in F32" : ""
    return
      "\(grouped(quantizedCount)) tensors are stored in 8 bits: \(verb)\(form) as the numbers that they represent, "
      + "which are not the weights that the model was made from"
  }
}
