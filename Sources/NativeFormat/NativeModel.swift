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
  private let indices: [String: Int]

  /// A tensor of the file.
  public struct Tensor: Sendable {
    public let name: String
    public let elementType: ElementType
    public let shape: [Int]
    /// Row-major, little-endian.
    public let bytes: Bytes
  }

  /// Where the tensors come from, as the conversion wrote it; `nil` where the file does not say.
  public var source: JSON? { header.value(NativeKey.source).flatMap { try? JSON.parse($0, file: path) } }

  public var tensorNames: [String] { header.entries.map(\.name) }

  public func tensor(_ name: String) -> Tensor? {
    guard let index = indices[name] else { return nil }
    let entry = header.entries[index]
    guard let bytes = file.slice(header.dataStart + entry.range.lowerBound, entry.range.count) else { return nil }
    return Tensor(name: name, elementType: entry.elementType, shape: entry.shape, bytes: bytes)
  }

  /// Opens `path` and checks its header and, where the profile is claimed, everything that the profile promises but the
  /// checksums of the data, which ``verifyChecksums(progress:)`` checks.
  public static func open(_ path: String) throws(FormatError) -> NativeModel {
    try NativeModel(try MappedFile.open(path), path: path)
  }

  init(_ file: Bytes, path: String) throws(FormatError) {
    self.path = path
    self.file = file
    header = try SafetensorsHeader(file)
    var indices: [String: Int] = [:]
    for (index, entry) in header.entries.enumerated() { indices[entry.name] = index }
    self.indices = indices
    if let profile = header.value(NativeKey.profile) {
      guard profile == NativeProfile.version else {
        throw FormatError(
          .unsupported, "the file has a newer version of the native format", file: path, found: "profile \(profile)",
          expected: "profile \(NativeProfile.version)", advice: "Update bertconv.")
      }
      isNative = true
      guard let text = header.value(NativeKey.config) else {
        throw FormatError(.damaged, "the native file has no config", file: path, expected: NativeKey.config)
      }
      let config = try JSON.parse(text, file: path)
      guard config.members != nil else {
        throw FormatError(.damaged, "the native file's config is not a JSON object", file: path)
      }
      self.config = config
      vocabulary = header.value(NativeKey.vocabulary)
      try NativeProfile.check(header, in: file, path: path)
    } else {
      // A native file that lost only its profile number must not pass for a plain one, which has no checksums.
      if let trace = header.metadata.first(where: { $0.key.hasPrefix(NativeKey.prefix) }) {
        throw FormatError(
          .damaged, "the file has metadata of the native format but no profile number", file: path, found: trace.key,
          expected: NativeKey.profile, advice: "The file is damaged: convert the model again.")
      }
      isNative = false
      config = nil
      vocabulary = nil
    }
  }
}
