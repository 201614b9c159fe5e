import CheckpointFormats
import TensorIO

/// A mapped native file, or a plain safetensors file: names, shapes and the bytes of each tensor.
public struct NativeModel: Sendable {
  public let path: String
  /// The whole file.
  public let file: Bytes
  public let header: SafetensorsHeader
  /// Whether the file follows the native profile; a plain safetensors file is usable as well but has no checksums.
  public let isNative: Bool
  /// The config in `transformers`' form: of the file itself, or given with a plain safetensors file.
  public var config: JSON?
  /// The vocabulary's text, as it was in the source.
  public let vocabulary: String?
  /// The tokenizer in the JSON form of Hugging Face's `tokenizer.json`; `nil` where the file has none.
  public let tokenizer: String?
  private let indices: [String: Int]
  /// The checksums of the tensors' data, in the order of ``tensorNames``; empty for a plain safetensors file.
  private let dataChecksums: [UInt32]

  /// A tensor of the file.
  public struct Tensor: Sendable {
    public let name: String
    public let elementType: ElementType
    public let shape: [Int]
    /// Row-major, little-endian.
    public let bytes: Bytes
  }

  /// Where the tensors come from, as the conversion wrote it; `nil` where the file does not record it.
  public var source: JSON? { header.value(NativeKey.source).flatMap { try? JSON.parse($0, file: path) } }

  public var tensorNames: [String] { header.entries.map(\.name) }

  public func tensor(_ name: String) -> Tensor? {
    guard let index = indices[name] else { return nil }
    let entry = header.entries[index]
    return Tensor(
      name: name, elementType: entry.elementType, shape: entry.shape, bytes: data(ofTensorAt: index))
  }

  /// Opens `path` and checks its header and, where the profile is claimed, everything that the profile promises but the
  /// checksums of the data, which ``verifyChecksums(progress:)`` checks.
  public static func open(_ path: String) throws(FormatError) -> NativeModel {
    try NativeModel(try MappedFile.open(path), path: path)
  }

  init(_ file: Bytes, path: String) throws(FormatError) {
    try self.init(file, try SafetensorsHeader(file), path: path)
  }

  /// - Parameter header: that of `file`
  package init(_ file: Bytes, _ header: SafetensorsHeader, path: String) throws(FormatError) {
    self.path = path
    self.file = file
    self.header = header
    var indices: [String: Int] = [:]
    for (index, entry) in header.entries.enumerated() { indices[entry.name] = index }
    self.indices = indices
    isNative = NativeProfile.isClaimed(by: header)
    guard isNative else {
      (config, vocabulary, tokenizer, dataChecksums) = (nil, nil, nil, [])
      return
    }
    dataChecksums = try NativeProfile.check(header, in: file, path: path)
    guard let text = header.value(NativeKey.config) else {
      throw FormatError(.damaged, "the native file has no config", file: path, expected: NativeKey.config)
    }
    let config = try JSON.parse(text, file: path)
    guard config.members != nil else {
      throw FormatError(.damaged, "the native file's config is not a JSON object", file: path)
    }
    self.config = config
    vocabulary = header.value(NativeKey.vocabulary)
    tokenizer = header.value(NativeKey.tokenizer)
  }

  /// The data of a tensor, by its position among ``tensorNames``: row-major, little-endian.
  package func data(ofTensorAt index: Int) -> Bytes {
    let range = header.entries[index].range
    guard let bytes = file.slice(header.dataStart + range.lowerBound, range.count) else {
      preconditionFailure("the header was checked to describe this file")
    }
    return bytes
  }

  /// Throws where `found` is not the checksum of the tensor's data; a plain safetensors file has none.
  package func check(_ found: UInt32, ofTensorAt index: Int) throws(FormatError) {
    guard isNative, dataChecksums[index] != found else { return }
    let entry = header.entries[index]
    throw FormatError(
      .damaged, "the data is damaged: its checksum is wrong", file: path,
      offset: UInt64(header.dataStart + entry.range.lowerBound), tensor: entry.name,
      found: hexadecimal(found, digits: 8), expected: hexadecimal(dataChecksums[index], digits: 8),
      advice: "Convert the model again, or fetch the file again.")
  }

  /// Checks the data of every tensor against the file's checksums; a plain safetensors file has none, and is read all the
  /// same. `progress` is called with the bytes that have been read, and how many there are.
  ///
  /// - Returns: for each tensor how many of its values are not finite
  @discardableResult
  public func verifyChecksums(
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws(FormatError) -> [(name: String, values: NonFiniteValues)] {
    let total = header.entries.reduce(0) { $0 + $1.range.count }
    var done = 0
    var result: [(name: String, values: NonFiniteValues)] = []
    for (index, entry) in header.entries.enumerated() {
      let bytes = data(ofTensorAt: index)
      var (crc, values) = (CRC32C(), NonFiniteValues())
      // Both while a chunk is in the cache.
      var offset = 0
      while let chunk = bytes.slice(offset, min(Self.chunkSize, bytes.count - offset)), chunk.count > 0 {
        chunk.withSpan { span in
          crc.update(span)
          values.add(span, entry.elementType)
        }
        offset += chunk.count
      }
      try bytes.checkIntact()
      try check(crc.value, ofTensorAt: index)
      result.append((entry.name, values))
      done += bytes.count
      progress?(done, total)
    }
    return result
  }

  private static let chunkSize = 256 << 10
}
