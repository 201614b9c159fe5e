import CheckpointReaders
import TensorIO
import TestSupport
import Testing

/// A format whose files hold tensors of these names.
private struct Named: CheckpointFormat, TensorSource {
  let format = FormatName.tensorFlowBundle
  let files: [SourceFile] = []
  let tensors: [TensorInfo]

  init(_ names: [String]) {
    tensors = names.map { TensorInfo(name: $0, elementType: .u8, shape: [2], byteCount: 2) }
  }

  func recognizes(_ file: Bytes, path: String) -> Bool { true }
  func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource { self }
  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try Bytes([1, 2]).withSpan { try body($0) }
  }
}

@Suite("What is opened, whatever the format")
struct OpenerTests {
  private func names(_ names: [String]) throws -> [String] {
    let folder = TemporaryFolder()
    let path = try folder.write([1, 2, 3], "m.ckpt")
    return try CheckpointOpener(formats: [Named(names)]).open(path).source.tensors.map(\.name)
  }

  /// Names are compared as Swift compares texts: one of the two would be taken for the other.
  @Test func twoNamesThatAreOneTextAreRefused() throws {
    #expect(try names(["a/e", "a/\u{E9}", "a/K"]) == ["a/e", "a/\u{E9}", "a/K"])
    for duplicates in [["a/e\u{301}", "b", "a/\u{E9}"], ["K", "\u{212A}"]] {
      let error = #expect(throws: FormatError.self) { try names(duplicates) }
      #expect(error?.kind == .unsupported && error?.tensor == duplicates.last, "\(String(describing: error))")
    }
  }
}
