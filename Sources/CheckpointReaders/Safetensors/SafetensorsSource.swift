import CheckpointFormats
import NativeFormat
import TensorIO

extension FormatName {
  public static let safetensors = FormatName(rawValue: "safetensors")
  public static let native = FormatName(rawValue: "native")
}

/// A safetensors file (huggingface/safetensors); `SafetensorsHeader` has the layout. Tensors are read in place, and have no
/// checksums.
public final class SafetensorsSource: TensorSource {
  public let format = FormatName.safetensors
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let metadata: [(key: String, value: String)]
  private let data: [Bytes]

  init(_ file: Bytes, _ header: SafetensorsHeader, path: String) throws(FormatError) {
    files = [SourceFile(path: path, size: UInt64(file.count))]
    metadata = header.metadata
    tensors = header.tensors
    var data: [Bytes] = []
    for entry in header.entries {
      guard let bytes = file.slice(header.dataStart + entry.range.lowerBound, entry.range.count) else {
        throw FormatError(.damaged, "the data lies outside the file", file: path, tensor: entry.name)
      }
      data.append(bytes)
    }
    self.data = data
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let result = try data[index].withSpan { try body($0) }
    try data[index].checkIntact()
    data[index].releasePages()
    return result
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try data[index].forEachChunk { chunk in try chunk.withSpan { try body($0) } }
  }
}

/// A native file as a source: what opens a model for computing opens it here too, with the same checks, and each tensor's
/// checksum is checked when it is read.
public final class NativeSource: TensorSource {
  public let format = FormatName.native
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let metadata: [(key: String, value: String)]
  private let model: NativeModel

  init(_ file: Bytes, _ header: SafetensorsHeader, path: String) throws(FormatError) {
    model = try NativeModel(file, header, path: path)
    files = [SourceFile(path: path, size: UInt64(file.count))]
    metadata = model.header.metadata
    tensors = model.header.tensors
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let bytes = model.data(ofTensorAt: index)
    let found = bytes.crc32c()
    try bytes.checkIntact()
    try model.check(found, ofTensorAt: index)
    let result = try bytes.withSpan { try body($0) }
    try bytes.checkIntact()
    bytes.releasePages()
    return result
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    var crc = CRC32C()
    try model.data(ofTensorAt: index).forEachChunk { chunk in
      try chunk.withSpan { span in
        crc.update(span)
        try body(span)
      }
    }
    try model.check(crc.value, ofTensorAt: index)
  }
}

extension SafetensorsHeader {
  /// The tensors where they lie in the file.
  fileprivate var tensors: [TensorInfo] {
    entries.map {
      TensorInfo(
        name: $0.name, elementType: $0.elementType, shape: $0.shape, byteCount: $0.range.count,
        location: .init(file: 0, offset: UInt64(dataStart + $0.range.lowerBound)))
    }
  }
}

/// safetensors files, recognized by a JSON object whose length the first eight bytes give; those with metadata of the native
/// format are native files, and must be whole ones.
public struct SafetensorsFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { SafetensorsHeader.recognizes(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    let header: SafetensorsHeader
    do throws(FormatError) { header = try SafetensorsHeader(file) } catch { throw error.inFile(path) }
    return NativeProfile.isClaimed(by: header)
      ? try NativeSource(file, header, path: path) : try SafetensorsSource(file, header, path: path)
  }
}
