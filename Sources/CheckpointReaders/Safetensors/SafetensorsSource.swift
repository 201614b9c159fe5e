import CheckpointFormats
import TensorIO

/// A safetensors file (huggingface/safetensors); `SafetensorsHeader` has the layout. Tensors are read in place.
///
/// The format has no checksums; a file that bertconv wrote carries some in its metadata, which are checked when a
/// tensor is read.
public final class SafetensorsSource: TensorSource {
  public let format: FormatName
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let metadata: [(key: String, value: String)]
  private let file: Bytes
  private let ranges: [Range<Int>]
  private let checksums: [UInt32?]

  public init(_ file: Bytes, path: String) throws(FormatError) {
    let header: SafetensorsHeader
    do throws(FormatError) { header = try SafetensorsHeader(file) } catch { throw error.inFile(path) }
    self.file = file
    files = [SourceFile(path: path, size: UInt64(file.count))]
    metadata = header.metadata
    format = header.value(NativeKey.profile) == nil ? .safetensors : .native
    let start = header.dataStart
    ranges = header.entries.map { (start + $0.range.lowerBound)..<(start + $0.range.upperBound) }
    tensors = header.entries.map {
      TensorInfo(
        name: $0.name, elementType: $0.elementType, shape: $0.shape, byteCount: $0.range.count,
        location: .init(file: 0, offset: UInt64(start + $0.range.lowerBound)))
    }
    checksums = try Self.checksums(header, path: path)
  }

  private static func checksums(_ header: SafetensorsHeader, path: String) throws(FormatError) -> [UInt32?] {
    guard header.value(NativeKey.profile) != nil, let text = header.value(NativeKey.checksums) else {
      return header.entries.map { _ in nil }
    }
    var known: [String: UInt32] = [:]
    for member in try JSON.parse(text, file: path)["tensors"]?.members ?? [] {
      known[member.key] = member.value.stringValue.flatMap { UInt32($0, radix: 16) }
    }
    var result: [UInt32?] = []
    for entry in header.entries {
      guard let checksum = known[entry.name] else {
        throw FormatError(
          .damaged, "the file has checksums, but none for this tensor", file: path, tensor: entry.name,
          advice: "The file was changed by another program: convert the model again.")
      }
      result.append(checksum)
    }
    return result
  }

  private func check(_ found: UInt32, _ index: Int) throws(FormatError) {
    guard let expected = checksums[index], expected != found else { return }
    throw FormatError(
      .damaged, "the data is damaged: its checksum is wrong", file: files[0].path,
      offset: UInt64(ranges[index].lowerBound),
      tensor: tensors[index].name, found: hexadecimal(found, digits: 8), expected: hexadecimal(expected, digits: 8),
      advice: "Convert the model again, or fetch the file again.")
  }

  private func data(_ index: Int) throws(FormatError) -> Bytes {
    guard let bytes = file.slice(ranges[index].lowerBound, ranges[index].count) else {
      throw FormatError(.damaged, "the data lies outside the file", file: files[0].path, tensor: tensors[index].name)
    }
    return bytes
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let bytes = try data(index)
    if checksums[index] != nil { try check(bytes.crc32c(), index) }
    let result = try bytes.withSpan { try body($0) }
    try bytes.checkIntact()
    bytes.releasePages()
    return result
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    let bytes = try data(index)
    var crc = CRC32C()
    try bytes.forEachChunk { chunk in
      try chunk.withSpan { span in
        if checksums[index] != nil { crc.update(span) }
        try body(span)
      }
    }
    try check(crc.value, index)
  }
}

/// safetensors files, recognized by a JSON object whose length the first eight bytes give.
public struct SafetensorsFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { SafetensorsHeader.recognizes(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try SafetensorsSource(file, path: path)
  }
}
