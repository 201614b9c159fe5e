import TensorIO

extension FormatName {
  public static let flaxMsgpack = FormatName(rawValue: "flax-msgpack")
}

/// A file of flax.serialization (`flax_model.msgpack`); `FlaxTree` has the layout. Arrays are read in place; the format
/// has no checksums.
public final class FlaxSource: TensorSource {
  public let format = FormatName.flaxMsgpack
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let metadata: [(key: String, value: String)]
  private let contents: [SegmentedBytes]

  public init(_ file: Bytes, path: String) throws(FormatError) {
    var tree = FlaxTree(file)
    do throws(FormatError) {
      try tree.parse()
      try file.checkIntact()
    } catch {
      throw error.inFile(path)
    }
    files = [SourceFile(path: path, size: UInt64(file.count))]
    metadata = tree.values
    contents = tree.arrays.map { SegmentedBytes(segments: $0.segments) }
    tensors = tree.arrays.map { array in
      TensorInfo(
        name: array.name, elementType: array.elementType, shape: array.shape,
        byteCount: array.segments.reduce(0) { $0 + $1.count },
        location: array.segments.count == 1 ? .init(file: 0, offset: array.segments[0].offsetInFile) : nil)
    }
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try contents[index].withBytes(body)
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try contents[index].stream(body)
  }
}

/// A MessagePack map that leads to an array of Flax. Its first byte can be that of other files (a pickle begins as an empty
/// map does), so the structure decides.
public struct FlaxFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool {
    var tree = FlaxTree(file)
    // What is wrong after the first array is reported when the file is opened.
    try? tree.parse()
    return tree.sawArray
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try FlaxSource(file, path: path)
  }
}
