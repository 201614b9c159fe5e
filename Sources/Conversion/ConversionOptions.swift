import CheckpointReaders
import TensorIO

/// What a conversion takes into account in addition to the checkpoint. The defaults are those of the command.
public struct ConversionOptions: Sendable {
  /// Opens checkpoints of this kind alone; `nil` recognizes the format by content.
  public var kind: CheckpointKind?
  /// Path of the model's config; `nil` takes the one in the checkpoint or in its folder.
  public var config: String?
  /// Path of the vocabulary; `nil` takes the one in the folder of the checkpoint or in the checkpoint.
  public var vocabulary: String?
  /// Tables, family, renamings, adapter, averages, and what may be left out.
  public var source = SourceOptions()
  /// The type to store weights in; `nil` keeps each in its own.
  public var storageType: StorageType?
  /// Whether an output that exists is replaced.
  public var overwrites = false

  public init() {}
}

/// Called with the bytes that are written so far, and with all that will be.
public typealias ConversionProgress = (_ done: Int, _ total: Int) -> Void

/// The program that a native file names as its writer.
public enum ConversionTool {
  public static let version = "0.1.0"
  /// Name and version.
  public static let name = "bertconv \(version)"
}

/// The checkpoints of other programs that a native file is converted back to.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// A TensorFlow bundle with `bert_config.json` and `vocab.txt` in its folder, as google-research/bert reads it.
  case tensorFlow
  /// A PyTorch zip, as `transformers` reads it.
  case pyTorch

  /// The names and layouts that its tensors get.
  var dialect: String {
    switch self {
    case .tensorFlow: "google-tf1"
    case .pyTorch: "transformers"
    }
  }
}
