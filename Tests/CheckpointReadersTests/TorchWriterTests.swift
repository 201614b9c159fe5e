import CheckpointReaders
import CheckpointWriters
import TensorIO
import TestSupport
import Testing

@Suite struct TorchWriterTests {
  private func write(_ path: String) throws -> [TensorInfo] {
    let tensors = [
      TensorInfo(name: "a.weight", elementType: .f32, shape: [2, 3]),
      TensorInfo(name: "b", elementType: .bf16, shape: [5]),
      TensorInfo(name: "scalar", elementType: .i64, shape: []),
      TensorInfo(name: "wide", elementType: .u8, shape: [1, 2, 3, 400]),
    ].compactMap(\.self)
    let writer = try TorchZipWriter(path: path, overwrites: false)
    try writer.begin(tensors)
    for (index, tensor) in tensors.enumerated() {
      try Bytes(content(index, tensor)).withSpan { try writer.append($0, toTensorAt: index) }
    }
    try writer.finish()
    return tensors
  }

  private func content(_ index: Int, _ tensor: TensorInfo) -> [UInt8] {
    (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 * 7 + index) }
  }

  @Test func whatIsWrittenIsRead() throws {
    let folder = TemporaryFolder()
    let tensors = try write(folder.file("m.bin"))
    let source = try CheckpointOpener().openFile(folder.file("m.bin"))
    #expect(source.format == .pyTorchZip)
    #expect(source.imports.allSatisfy { $0.verdict == .known })
    #expect(source.tensors.map(\.name) == tensors.map(\.name))
    for (index, tensor) in tensors.enumerated() {
      #expect(source.tensors[index].shape == tensor.shape && source.tensors[index].elementType == tensor.elementType)
      #expect(try source.withBytes(ofTensorAt: index) { $0.array() } == content(index, tensor))
      let location = try #require(source.tensors[index].location)
      #expect(location.offset % 64 == 0)
    }
  }

  @Test func theSameInputGivesTheSameBytes() throws {
    let folder = TemporaryFolder()
    _ = try write(folder.file("a.bin"))
    _ = try write(folder.file("b.bin"))
    #expect(try contents(folder.file("a.bin")) == contents(folder.file("b.bin")))
    #expect(throws: FormatError.self) { try write(folder.file("a.bin")) }
  }

  @Test func aTypeThatTorchHasNotIsRefused() throws {
    let folder = TemporaryFolder()
    let writer = try TorchZipWriter(path: folder.file("m.bin"), overwrites: false)
    let tensor = try #require(TensorInfo(name: "q", elementType: .quantizedI8, shape: [1]))
    #expect(throws: FormatError.self) { try writer.begin([tensor]) }
    writer.cancel()
    #expect(FileSystem.kind(of: folder.file("m.bin")) == nil)
  }
}
