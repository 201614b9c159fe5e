import TensorIO

/// Recognizes and opens files of a format: one value in the registry of readers.
public protocol CheckpointFormat: Sendable {
  /// Whether the file begins and ends as files of this format do.
  func recognizes(_ file: Bytes, path: String) -> Bool
  func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource
}
