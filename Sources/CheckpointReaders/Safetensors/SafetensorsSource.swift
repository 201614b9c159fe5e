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
  private let places: [Range<Int>]
  private let checksums: [UInt32?]

  static let profileKey = "bertconv.profile"
  private static let checksumsKey = "bertconv.checksums"

  public init(_ file: Bytes, path: String) throws(FormatError) {
    let header: SafetensorsHeader
    do throws(FormatError) { header = try SafetensorsHeader(file) } catch { throw error.inFile(path) }
    self.file = file
    files = [SourceFile(path: path, size: UInt64(file.count))]
    metadata = header.metadata
    format = header.value(Self.profileKey) == nil ? .safetensors : .native
    let start = header.dataStart
    places = header.entries.map { (start + $0.range.lowerBound)..<(start + $0.range.upperBound) }
    tensors = header.entries.map {
      TensorInfo(
        name: $0.name, elementType: $0.elementType, shape: $0.shape, byteCount: $0.range.count,
        location: .init(file: 0, offset: UInt64(start + $0.range.lowerBound)))
    }
    checksums = try Self.checksums(header, path: path)
  }

  private static func checksums(_ header: SafetensorsHeader, path: String) throws(FormatError) -> [UInt32?] {
    guard header.value(profileKey) != nil, let text = header.value(checksumsKey) else {
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
          "the file carries checksums, but not of this tensor", file: path, tensor: entry.name,
          advice: "The file was changed by another program: convert the model again.")
      }
      result.append(checksum)
    }
    return result
  }

  private func check(_ found: UInt32, _ index: Int) throws(FormatError) {
    guard let expected = checksums[index], expected != found else { return }
    throw FormatError(
      "the data is damaged: its checksum is wrong", file: files[0].path, offset: UInt64(places[index].lowerBound),
      tensor: tensors[index].name, found: hexadecimal(found, digits: 8), expected: hexadecimal(expected, digits: 8),
      advice: "Convert the model again, or fetch the file again.")
  }

  private func data(_ index: Int) throws(FormatError) -> Bytes {
    guard let bytes = file.slice(places[index].lowerBound, places[index].count) else {
      throw FormatError("the data lies outside the file", file: files[0].path, tensor: tensors[index].name)
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
    try bytes.forEachPiece { piece in
      try piece.withSpan { span in
        if checksums[index] != nil { crc.update(span) }
        try body(span)
      }
    }
    try check(crc.value, index)
  }
}

/// safetensors, known by a header that is a JSON object of the length that its first eight bytes say.
public struct SafetensorsFormat: CheckpointFormat {
  public init() {}

  public func recognises(_ file: Bytes, path: String) -> Bool { SafetensorsHeader.recognises(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try SafetensorsSource(file, path: path)
  }
}
