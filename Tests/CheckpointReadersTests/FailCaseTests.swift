import CheckpointReaders
import TensorIO
import TestSupport
import Testing

/// Files that fuzzing found, in `Fuzz/FailCases`, each named after the parser that it stopped.
@Suite("What fuzzing found")
struct FailCaseTests {
  static let folder = fixture("../../Fuzz/FailCases")
  static let names = (try? FileSystem.names(inFolder: folder)) ?? []

  @Test func theFolderIsThere() { #expect(!Self.names.isEmpty) }

  /// An error is an answer; anything else would stop the tests.
  @Test(arguments: names)
  func isAnswered(name: String) throws {
    do {
      let source = try CheckpointOpener().openFile("\(Self.folder)/\(name)")
      for (index, tensor) in source.tensors.enumerated() where tensor.byteCount < 1 << 24 {
        do {
          if tensor.elementType == .string {
            _ = try source.strings(ofTensorAt: index)
          } else {
            try source.streamBytes(ofTensorAt: index) { _ in }
          }
        } catch let error as FormatError { #expect(!error.description.isEmpty) }
      }
    } catch let error as FormatError { #expect(!error.description.isEmpty) }
  }
}
