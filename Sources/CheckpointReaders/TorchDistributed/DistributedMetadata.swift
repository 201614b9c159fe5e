import CheckpointFormats
import TensorIO

/// What `.metadata` lists (torch/distributed/checkpoint/metadata.py): a pickle of
///
///     Metadata(state_dict_metadata = {name: TensorStorageMetadata(properties, size, chunks) or BytesStorageMetadata()},
///              storage_data = {MetadataIndex(fqn, offset, index): _StorageInfo(relative_path, offset, length)})
struct DistributedMetadata {
  /// Where a chunk or a value lies.
  struct Location: Hashable {
    var file: String
    var offset: Int
    var length: Int
  }

  /// A part of a tensor.
  struct Region: TensorRegion, Sendable {
    var start: [Int]
    var shape: [Int]
  }

  struct Tensor {
    var info: TensorInfo
    var chunks: [(region: Region, location: Location)]
  }

  private(set) var tensors: [Tensor] = []
  /// Values other than tensors.
  private(set) var values: [(name: String, location: Location)] = []
  let imports: [ImportedGlobal]

  /// The number of files that the chunks lie in.
  var ranks: Int { Set(tensors.flatMap { $0.chunks.map(\.location.file) }).count }

  /// Where something is saved: a name, and where it begins in the tensor.
  private struct Key: Hashable {
    var name: String
    var start: [Int]?
  }

  private static let maxChunks = 1 << 20

  init(_ file: Bytes, path: String) throws(FormatError) {
    var machine = PickleMachine(file: path)
    var cursor = ByteCursor(file)
    let root: PickleValue
    do throws(FormatError) { root = try machine.load(&cursor) } catch { throw machine.explained(error) }
    imports = machine.judgedImports
    let reader = Reader(machine)
    guard let object = machine.object(root), machine.globalName(object.type)?.hasSuffix(".Metadata") == true,
      let entries = reader.attribute("state_dict_metadata", of: object).flatMap({ machine.dict($0) }),
      let storage = reader.attribute("storage_data", of: object).flatMap({ machine.dict($0) })
    else {
      throw FormatError(
        .unrecognized, "the pickle is not the metadata of torch.distributed.checkpoint", file: path,
        found: machine.describe(root, depth: 1))
    }
    let locations = try Self.locations(storage, reader)
    var chunkCount = 0
    for index in stride(from: 0, to: entries.count - 1, by: 2) {
      guard let name = machine.text(entries[index]), let entry = machine.object(entries[index + 1]) else {
        throw reader.invalid("an entry", entries[index + 1])
      }
      if reader.attribute("chunks", of: entry) == nil {
        if let location = locations[Key(name: name, start: nil)] { values.append((name, location)) }
        continue
      }
      let tensor = try Self.tensor(name, entry, locations, reader)
      chunkCount += tensor.chunks.count
      try CheckpointLimits.check(chunkCount, "chunks", limit: Self.maxChunks, file: path)
      try CheckpointLimits.check(tensors.count + 1, file: path)
      tensors.append(tensor)
    }
  }

  private static func tensor(
    _ name: String, _ entry: PickleObject, _ locations: [Key: Location], _ reader: Reader
  ) throws(FormatError) -> Tensor {
    let machine = reader.machine
    guard let size = reader.attribute("size", of: entry).flatMap({ machine.integers($0) }),
      let chunks = reader.attribute("chunks", of: entry).flatMap({ machine.sequence($0) }),
      let type = reader.dataType(entry), let info = TensorInfo(name: name, elementType: type, shape: size),
      size.allSatisfy({ $0 >= 0 })
    else {
      throw FormatError(
        .unsupported, "the type or the shape of a tensor is unknown", file: machine.file, tensor: name,
        found: reader.attribute("properties", of: entry).map { machine.describe($0, depth: 1) })
    }
    var list: [(region: Region, location: Location)] = []
    for value in chunks {
      guard let chunk = machine.object(value),
        let start = reader.attribute("offsets", of: chunk).flatMap({ machine.integers($0) }),
        let shape = reader.attribute("sizes", of: chunk).flatMap({ machine.integers($0) })
      else { throw reader.invalid("a chunk", value) }
      let region = Region(start: start, shape: shape)
      guard start.count == size.count, shape.count == size.count,
        zip(zip(start, shape), size).allSatisfy({ $0.0 >= 0 && $0.1 >= 0 && $0.0 <= $1 && $0.1 <= $1 - $0.0 })
      else {
        throw FormatError(
          .damaged, "a chunk lies outside its tensor", file: machine.file, tensor: name,
          found: "\(shapeText(shape)) at \(shapeText(start))", expected: "within \(shapeText(size))")
      }
      guard let location = locations[Key(name: name, start: start)] else {
        throw FormatError(
          .damaged, "a chunk of the tensor is not in the list of what is stored", file: machine.file, tensor: name,
          found: "the chunk at \(shapeText(start))")
      }
      list.append((region, location))
    }
    try SliceCover.check(list.map(\.region), info, file: machine.file ?? "")
    return Tensor(info: info, chunks: list)
  }

  private static func locations(_ pairs: [PickleValue], _ reader: Reader) throws(FormatError) -> [Key: Location] {
    let machine = reader.machine
    var result: [Key: Location] = [:]
    for index in stride(from: 0, to: pairs.count - 1, by: 2) {
      guard let key = machine.object(pairs[index]), let info = machine.object(pairs[index + 1]),
        let name = reader.attribute("fqn", of: key).flatMap({ machine.text($0) }),
        let file = reader.attribute("relative_path", of: info).flatMap({ machine.text($0) }),
        let offset = reader.attribute("offset", of: info).flatMap({ machine.integer($0) }),
        let length = reader.attribute("length", of: info).flatMap({ machine.integer($0) }), offset >= 0, length >= 0
      else { throw reader.invalid("where something is stored", pairs[index + 1]) }
      guard FileSystem.isPlainName(file) else {
        throw FormatError(
          .dangerous, "the metadata names a file outside the folder", file: machine.file, tensor: name, found: file)
      }
      if let transforms = reader.attribute("transform_descriptors", of: info), transforms != .none {
        throw FormatError(
          .unsupported, "the chunks are compressed or encrypted by an extension", file: machine.file, tensor: name,
          found: machine.describe(transforms, depth: 1),
          advice: "Load it with torch.distributed.checkpoint and save it without extensions.")
      }
      let start = reader.attribute("offset", of: key).flatMap { machine.integers($0) }
      result[Key(name: name, start: start)] = Location(file: file, offset: offset, length: length)
    }
    return result
  }
}

/// Reads the objects of a pickle by their attributes.
private struct Reader {
  let machine: PickleMachine

  init(_ machine: PickleMachine) { self.machine = machine }

  func attribute(_ name: String, of object: PickleObject) -> PickleValue? {
    let states = machine.tuple(object.state).map { machine.elements(of: $0) } ?? [object.state]
    return states.lazy.compactMap { machine.value(name, in: $0) }.first
  }

  /// The type in a tensor's properties, which are a tuple, or a dict in former versions.
  func dataType(_ entry: PickleObject) -> ElementType? {
    guard let properties = attribute("properties", of: entry).flatMap({ machine.object($0) }) else { return nil }
    let type =
      attribute("dtype", of: properties) ?? machine.tuple(properties.state).flatMap { machine.elements(of: $0).first }
    return type.flatMap { machine.globalName($0) }.flatMap { TorchTypes.dataType($0) }
  }

  func invalid(_ what: String, _ value: PickleValue) -> FormatError {
    FormatError(
      .damaged, "the description of \(what) is invalid", file: machine.file, found: machine.describe(value, depth: 1))
  }
}

/// Opens the chunks of a folder.
struct ChunkReader {
  private let folder: String
  private var contents: [String: Bytes] = [:]
  private(set) var files: [SourceFile] = []
  private var importList = ImportList()
  private var seenWarnings = UniqueList<String>()

  init(folder: String) { self.folder = folder }

  var imports: [ImportedGlobal] { importList.items }
  var warnings: [String] { seenWarnings.items }

  /// The index of a file among ``files``.
  func index(ofFile path: String) -> Int? { files.firstIndex { $0.path == path } }

  /// The checkpoint that lies there.
  mutating func open(_ location: DistributedMetadata.Location, of name: String) throws(FormatError) -> TorchSource {
    let path = FileSystem.join(folder, location.file)
    let file: Bytes
    if let known = contents[path] {
      file = known
    } else {
      guard FileSystem.isFile(path) else {
        throw FormatError(
          .unreadable, "a file of the checkpoint is missing", file: path, tensor: name,
          advice: "The .metadata file and all .distcp files belong together: put them into one folder.")
      }
      file = try MappedFile.open(path)
      if let pointer = gitLFSPointer(file) { throw pointer.inFile(path) }
      contents[path] = file
      files.append(SourceFile(path: path, size: UInt64(file.count)))
    }
    guard let bytes = file.slice(location.offset, location.length) else {
      throw FormatError(
        .damaged, "a chunk lies beyond the end of its file", file: path, tensor: name,
        found: "a file of \(file.count) bytes", expected: "\(location.length) bytes from \(location.offset)",
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    let source: TorchSource
    do throws(FormatError) { source = try Self.open(bytes, path: path) } catch {
      throw error.inFile(path).inTensor(name)
    }
    importList.add(source.imports)
    return source
  }

  private static func open(_ bytes: Bytes, path: String) throws(FormatError) -> TorchSource {
    if ZipArchive.looksLikeZip(bytes) { return try TorchZip.open(try ZipArchive(bytes), path: path) }
    if TorchLegacy.recognizes(bytes) { return try TorchLegacy.open(bytes, path: path) }
    throw FormatError(
      .unsupported, "a chunk is not saved by torch.save", file: path, offset: bytes.offsetInFile,
      found: hexadecimal(bytes.slice(0, min(16, bytes.count))?.array() ?? []))
  }
}
