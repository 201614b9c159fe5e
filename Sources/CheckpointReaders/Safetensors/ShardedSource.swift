import TensorIO

/// A checkpoint in several files, with a list of what is where (`model.safetensors.index.json`,
/// `pytorch_model.bin.index.json`; transformers, modeling_utils.py):
///
///     {"metadata": {"total_size": N}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", …}}
///
/// The shards lie beside the list. List and shards must name the same tensors, each once.
public final class ShardedSource: TensorSource {
  private let whole: CompositeSource

  private static let largestIndex = 64 << 20
  private static let mostShards = 10_000

  /// Opens the list at `path` and, by `opening`, each shard that it names.
  public init(
    index path: String, opening: (_ path: String) throws(FormatError) -> any TensorSource
  ) throws(FormatError) {
    let file = try MappedFile.open(path)
    guard file.count <= Self.largestIndex else {
      throw FormatError("the list of shards is too large", file: path, found: "\(file.count) bytes")
    }
    let json = try JSON.parse(file.array(), file: path)
    guard let members = json["weight_map"]?.members else {
      throw FormatError(
        "not a list of shards", file: path, found: "no weight_map",
        advice: .giveCheckpointWithConfig)
    }
    try CheckpointLimits.check(members.count, file: path)
    var listed: [String: String] = [:]
    for member in members {
      guard let shard = member.value.stringValue else {
        throw FormatError("the shard of a tensor is not a name", file: path, tensor: member.key)
      }
      guard FileSystem.isPlainName(shard), !shard.contains("\\") else {
        throw FormatError(
          "a shard is not a file beside the list", file: path, tensor: member.key, found: shard,
          expected: "a file name without a folder",
          advice: "A list that points elsewhere is not followed: put all shards into the list's folder.")
      }
      guard listed.updateValue(shard, forKey: member.key) == nil else {
        throw FormatError("a tensor is listed twice", file: path, tensor: member.key)
      }
    }
    let names = sortedByBytes(Set(listed.values))
    try CheckpointLimits.check(names.count, "shards", most: Self.mostShards, file: path)
    let folder = FileSystem.folder(of: path)
    let missing = names.filter { !FileSystem.isFile(FileSystem.join(folder, $0)) }
    guard missing.isEmpty else {
      throw FormatError(
        "\(missing.count) of \(names.count) shards \(missing.count == 1 ? "is" : "are") missing", file: path,
        expected: missing.prefix(8).joined(separator: ", ") + (missing.count > 8 ? ", …" : ""),
        advice: "Fetch the missing files into \(folder).")
    }

    var shards: [any TensorSource] = []
    for name in names {
      let shardPath = FileSystem.join(folder, name)
      let shard = try opening(shardPath)
      guard shards.first.map({ $0.format == shard.format }) ?? true else {
        throw FormatError(
          "the shards are of different formats", file: shardPath, found: shard.format.rawValue,
          expected: shards[0].format.rawValue)
      }
      for tensor in shard.tensors {
        guard let expected = listed.removeValue(forKey: tensor.name) else {
          throw FormatError(
            "the shard holds a tensor that the list does not name, or another shard has too", file: shardPath,
            tensor: tensor.name, advice: "Shards of two checkpoints may have been mixed: fetch them again.")
        }
        guard expected == name else {
          throw FormatError(
            "the tensor is in another shard than the list says", file: shardPath, tensor: tensor.name, found: name,
            expected: expected)
        }
      }
      shards.append(shard)
    }
    let absent = sortedByBytes(listed.keys)
    if let first = absent.first {
      throw FormatError(
        "the shard does not hold a tensor that the list promises", file: FileSystem.join(folder, listed[first] ?? ""),
        tensor: first, found: absent.count > 1 ? "\(absent.count) such tensors" : nil,
        advice: "Shards of two checkpoints may have been mixed: fetch them again.")
    }
    whole = CompositeSource(
      shards.map { ("", $0) }, leading: [SourceFile(path: path, size: UInt64(file.count))],
      metadata: [("shards", "\(names.count)")])
  }

  public var format: FormatName { whole.format }
  public var files: [SourceFile] { whole.files }
  public var tensors: [TensorInfo] { whole.tensors }
  public var warnings: [String] { whole.warnings }
  public var imports: [ImportedGlobal] { whole.imports }
  public var metadata: [(key: String, value: String)] { whole.metadata }

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
