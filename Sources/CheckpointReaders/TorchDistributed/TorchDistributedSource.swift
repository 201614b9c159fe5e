import CheckpointFormats
import TensorIO

extension FormatName {
  public static let torchDistributed = FormatName(rawValue: "torch-distributed")
}

/// A folder of torch.distributed.checkpoint (torch/distributed/checkpoint/filesystem.py), given by its `.metadata`:
///
///     .metadata            a pickle: for each name the type, shape and chunks of a tensor, and where each chunk lies
///     __RANK_NUMBER.distcp chunks, one after another, each what torch.save writes for one tensor or value
///
/// A tensor that was parted over several ranks is put together from its chunks.
public struct TorchDistributedFormat: CheckpointFormat {
  static let metadataName = ".metadata"
  static let suffix = ".distcp"

  public init() {}

  /// The `.metadata` of a folder, or of the one folder in it that has a model in this form.
  static func metadata(inFolder folder: String, _ names: [String]) -> String? {
    if names.contains(metadataName), names.contains(where: { $0.hasSuffix(suffix) }) {
      return FileSystem.join(folder, metadataName)
    }
    let inner = names.filter { FileSystem.isFile(FileSystem.join(folder, $0 + "/" + metadataName)) }
    let models = inner.filter { !$0.hasPrefix("optim") }
    return (models.isEmpty ? inner : models).count == 1
      ? FileSystem.join(folder, (models.first ?? inner[0]) + "/" + metadataName) : nil
  }

  /// The `.metadata` that a file of chunks belongs to.
  static func metadata(ofChunks path: String) throws(FormatError) -> String {
    let metadata = FileSystem.join(FileSystem.folder(of: path), metadataName)
    if FileSystem.isFile(metadata) { return metadata }
    throw FormatError(
      .unreadable, "the .metadata of the distributed checkpoint is missing", file: metadata,
      found: "only \(FileSystem.baseName(path))",
      advice: "The .metadata file and all .distcp files belong together: put them into one folder, and give the folder."
    )
  }

  public func recognizes(_ file: Bytes, path: String) -> Bool {
    FileSystem.baseName(path) == Self.metadataName && TorchLegacy.recognizes(file)
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) { return try TorchDistributedSource(metadata: file, path: path) } catch {
      throw error.inFile(path)
    }
  }
}

final class TorchDistributedSource: TensorSource {
  let format = FormatName.torchDistributed
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let imports: [ImportedGlobal]
  let metadata: [(key: String, value: String)]
  private let chunks: [[Chunk]]

  /// A part of a tensor, and the checkpoint that it is saved as.
  private struct Chunk: Sendable {
    let region: DistributedMetadata.Region
    let source: TorchSource
  }

  init(metadata file: Bytes, path: String) throws(FormatError) {
    let content = try DistributedMetadata(file, path: path)
    var reader = ChunkReader(folder: FileSystem.folder(of: path))
    var infos: [TensorInfo] = []
    var chunks: [[Chunk]] = []
    for tensor in content.tensors {
      var list: [Chunk] = []
      for item in tensor.chunks {
        let source = try reader.open(item.location, of: tensor.info.name)
        guard source.tensors.count == 1, source.tensors[0].shape == item.region.shape,
          source.tensors[0].elementType == tensor.info.elementType
        else {
          throw FormatError(
            .damaged, "a chunk is not what the metadata declares", file: source.files.first?.path,
            tensor: tensor.info.name,
            found: source.tensors.map { "\($0.elementType.rawValue) \(shapeText($0.shape))" }.joined(separator: ", "),
            expected: "\(tensor.info.elementType.rawValue) \(shapeText(item.region.shape))",
            advice: "The files are of different checkpoints: fetch the folder again.")
        }
        list.append(Chunk(region: item.region, source: source))
      }
      var info = tensor.info
      if list.count == 1, let only = list.first?.source.tensors[0].location, let file = list.first?.source.files[0] {
        info.location = reader.index(ofFile: file.path).map { .init(file: $0 + 1, offset: only.offset) }
      }
      infos.append(info)
      chunks.append(list)
    }
    var texts: [(key: String, value: String)] = []
    for value in content.values {
      let source = try reader.open(value.location, of: value.name)
      texts += source.metadata.map { ($0.key == "value" ? value.name : "\(value.name).\($0.key)", $0.value) }
    }
    tensors = infos
    self.chunks = chunks
    files = [SourceFile(path: path, size: UInt64(file.count))] + reader.files
    var imports = ImportList()
    imports.add(content.imports)
    imports.add(reader.imports)
    self.imports = imports.items
    metadata = [("ranks", String(content.ranks))] + texts
    warnings = reader.warnings + PickleImports.warnings(imports.items)
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let (info, parts) = (tensors[index], chunks[index])
    if parts.count == 1, let only = parts.first { return try only.source.withBytes(ofTensorAt: 0, body) }
    let size = info.elementType.size ?? 1
    var chunks: [Bytes] = []
    for part in parts { chunks.append(try part.source.bytes(ofTensorAt: 0)) }
    let whole = Bytes(count: max(1, info.byteCount), file: nil) { target in
      for (part, chunk) in zip(parts, chunks) {
        chunk.withSpan { copySlice($0, part.region, of: info.shape, elementSize: size, into: &target) }
      }
    }
    for chunk in chunks {
      try chunk.checkIntact()
      chunk.releasePages()
    }
    return try (whole.slice(0, info.byteCount) ?? whole).withSpan(body)
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    guard chunks[index].count == 1 else { return try withBytes(ofTensorAt: index, body) }
    try chunks[index][0].source.streamBytes(ofTensorAt: 0, body)
  }
}
