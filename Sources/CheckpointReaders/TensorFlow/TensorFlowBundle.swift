import CheckpointFormats
import TensorIO

extension FormatName {
  public static let tensorFlowBundle = FormatName(rawValue: "tensorflow-bundle")
}

/// A TensorFlow V2 checkpoint, `PREFIX.index` and `PREFIX.data-NNNNN-of-NNNNN` (core/util/tensor_bundle):
///
///     index  = Table: "" → BundleHeader, tensor name → BundleEntry, slice key → BundleEntry
///     shard  = the tensors' bytes, one after another, gaps allowed
///
/// An entry's checksum covers the bytes as they are stored. An entry with slices has no data of its own: its slices lie
/// under keys that ``OrderedCode`` makes. Opening reads the index alone.
final class TensorFlowBundle: GraphCarrier {
  let format = FormatName.tensorFlowBundle
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let metadata: [(key: String, value: String)]
  let graph: TensorFlowGraph?
  let code: [ContainedCode]

  private let parts: [[BundlePart]]
  private let data: BundleData

  private static let objectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH"

  init(index file: Bytes, path: String, table: Table) throws(FormatError) {
    let header = try Self.header(table, path)
    let shards = try BundleShards(ofIndex: path, count: Int(header.shardCount))
    var entries = try BundleEntries(table, shardCount: shards.count, path: path)
    try shards.checkExtents(of: entries, index: path)
    data = BundleData(prefix: shards.prefix, shards: shards.contents, isBigEndian: header.isBigEndian)
    entries.setFullNames(try Self.fullNames(entries, data, shards, path))
    tensors = entries.tensors(located: shards.fileIndices)
    parts = entries.parts
    files = [SourceFile(path: path, size: UInt64(file.count))] + shards.files
    let program = GraphFiles(ofCheckpoint: path)
    graph = program.graph
    code = program.code
    warnings = shards.warnings + program.warnings
    metadata = [("shards", "\(shards.count)")] + (header.isBigEndian ? [("byte order", "big-endian")] : [])
  }

  private static func header(_ table: Table, _ path: String) throws(FormatError) -> BundleHeader {
    guard let first = table.entries.first, first.key.isEmpty else {
      throw FormatError(
        .unrecognized, "the index has no header", file: path, advice: "It is not the index of a TensorFlow checkpoint.")
    }
    let header = try BundleHeader(first.value)
    guard header.minimumConsumer <= 1 else {
      throw FormatError(
        .unsupported, "the checkpoint needs a newer reader", file: path,
        found: "bundle version \(header.minimumConsumer)", expected: "1")
    }
    guard header.shardCount >= 1, header.shardCount <= BundleFiles.maxShards else {
      throw FormatError(.damaged, "the number of shards is impossible", file: path, found: "\(header.shardCount)")
    }
    return header
  }

  /// The names that the variables of a TF2 checkpoint had in the program, by checkpoint key.
  private static func fullNames(
    _ entries: BundleEntries, _ data: BundleData, _ shards: BundleShards, _ path: String
  ) throws(FormatError) -> [String: String] {
    guard let index = entries.infos.firstIndex(where: { $0.name == objectGraphKey && $0.elementType == .string }),
      let part = entries.parts[index].first, shards.contents[part.shard] != nil,
      let graph = try data.strings(part, count: 1, tensor: objectGraphKey).first
    else { return [:] }
    return try objectGraphNames(Bytes(graph, file: path))
  }

  // MARK: Data

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try data.withBytes(parts[index], tensors[index], body)
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try data.stream(parts[index], tensors[index], body)
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    let tensor = tensors[index]
    guard tensor.elementType == .string, let part = parts[index].first else {
      throw FormatError(
        .unsupported, "the tensor does not contain strings", file: files.first?.path, tensor: tensor.name)
    }
    return try data.strings(part, count: tensor.elementCount, tensor: tensor.name)
  }
}
