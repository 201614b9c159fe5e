import TensorIO

/// A checkpoint in several files, with a list of which tensor is in which file (`model.safetensors.index.json`,
/// `pytorch_model.bin.index.json`; transformers, modeling_utils.py):
///
///     {"metadata": {"total_size": N}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", …}}
///
/// The shards are in the folder of the list. List and shards must name the same tensors, each once.
public final class ShardedSource: TensorSource {
  private let whole: CompositeSource

  private static let maxIndexSize = 64 << 20
  private static let maxShards = 10_000

  /// Opens the list at `path` and, with `opening`, each shard that it names.
  public init(
    index path: String, opening: (_ path: String) throws(FormatError) -> any TensorSource
  ) throws(FormatError) {
    let file = try MappedFile.open(path)
    // What remains at the end is listed and in no shard.
    var listed = try Self.list(file, path: path)
    let names = sortedByBytes(Set(listed.values))
    try Self.checkExistence(of: names, list: path)
    var shards: [any TensorSource] = []
    for name in names {
      let shard = try opening(FileSystem.join(FileSystem.folder(of: path), name))
      try Self.check(shard, name, first: shards.first, list: path, &listed)
      shards.append(shard)
    }
    let absent = sortedByBytes(listed.keys)
    if let first = absent.first {
      throw FormatError(
        .damaged, "the shard does not contain a tensor that is listed for it",
        file: FileSystem.join(FileSystem.folder(of: path), listed[first] ?? ""), tensor: first,
        found: absent.count > 1 ? "\(absent.count) such tensors" : nil, advice: Self.mixed)
    }
    whole = CompositeSource(
      shards.map { ("", $0) }, leading: [SourceFile(path: path, size: UInt64(file.count))],
      metadata: [("shards", "\(names.count)")])
  }

  private static let mixed: FormatError.Advice = "Shards of two checkpoints may have been mixed: fetch them again."

  /// The shard of each tensor.
  private static func list(_ file: Bytes, path: String) throws(FormatError) -> [String: String] {
    guard file.count <= maxIndexSize else {
      throw FormatError(.limit, "the list of shards is too large", file: path, found: "\(file.count) bytes")
    }
    let json = try JSON.parse(file.array(), file: path)
    guard let members = json["weight_map"]?.members else {
      throw FormatError(
        .unrecognized, "not a list of shards", file: path, found: "no weight_map", advice: .giveCheckpointWithConfig)
    }
    try CheckpointLimits.check(members.count, file: path)
    var listed: [String: String] = [:]
    for member in members {
      guard let shard = member.value.stringValue else {
        throw FormatError(.damaged, "the shard of a tensor is not a name", file: path, tensor: member.key)
      }
      guard FileSystem.isPlainName(shard), !shard.contains("\\") else {
        throw FormatError(
          .dangerous, "a shard is not in the folder of the list", file: path, tensor: member.key, found: shard,
          expected: "a file name without a folder",
          advice: "A list that points elsewhere is not followed. Put all shards into the list's folder.")
      }
      guard listed.updateValue(shard, forKey: member.key) == nil else {
        throw FormatError(.damaged, "a tensor is listed twice", file: path, tensor: member.key)
      }
    }
    return listed
  }

  private static func checkExistence(of names: [String], list path: String) throws(FormatError) {
    try CheckpointLimits.check(names.count, "shards", limit: maxShards, file: path)
    let folder = FileSystem.folder(of: path)
    let missing = names.filter { !FileSystem.isFile(FileSystem.join(folder, $0)) }
    guard missing.isEmpty else {
      throw FormatError(
        .unreadable, "\(missing.count) of \(names.count) shards \(missing.count == 1 ? "is" : "are") missing",
        file: path, expected: missing.prefix(8).joined(separator: ", ") + (missing.count > 8 ? ", …" : ""),
        advice: "Fetch the missing files into \(folder).")
    }
  }

  /// Compares a shard with the list, from which its tensors are removed.
  private static func check(
    _ shard: any TensorSource, _ name: String, first: (any TensorSource)?, list path: String,
    _ listed: inout [String: String]
  ) throws(FormatError) {
    let shardPath = FileSystem.join(FileSystem.folder(of: path), name)
    if let first, first.format != shard.format {
      throw FormatError(
        .damaged, "the shards have different formats", file: shardPath, found: shard.format.rawValue,
        expected: first.format.rawValue)
    }
    for tensor in shard.tensors {
      guard let expected = listed.removeValue(forKey: tensor.name) else {
        throw FormatError(
          .damaged, "the shard contains a tensor that is not listed, or that another shard contains too",
          file: shardPath, tensor: tensor.name, advice: mixed)
      }
      guard expected == name else {
        throw FormatError(
          .damaged, "the tensor is in another shard than the list names", file: shardPath, tensor: tensor.name,
          found: name, expected: expected)
      }
    }
  }

  public var format: FormatName { whole.format }
  public var files: [SourceFile] { whole.files }
  public var tensors: [TensorInfo] { whole.tensors }
  public var warnings: [String] { whole.warnings }
  public var imports: [ImportedGlobal] { whole.imports }
  public var code: [ContainedCode] { whole.code }
  public var metadata: [(key: String, value: String)] { whole.metadata }
  public var config: JSON? { whole.config }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try whole.withBytes(ofTensorAt: index, body)
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try whole.streamBytes(ofTensorAt: index, body)
  }

  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    try whole.strings(ofTensorAt: index)
  }
}
