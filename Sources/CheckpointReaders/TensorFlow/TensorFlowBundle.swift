import TensorIO

/// A TensorFlow V2 checkpoint, `PREFIX.index` and `PREFIX.data-NNNNN-of-NNNNN` (core/util/tensor_bundle):
///
///     index  = Table: "" → BundleHeader, tensor name → BundleEntry, slice key → BundleEntry
///     shard  = the tensors' bytes, one after another, gaps allowed
///
/// An entry's checksum covers the bytes as they are stored. An entry with slices has no data of its own: its pieces lie
/// under keys that ``OrderedCode`` makes. Opening reads the index alone.
final class TensorFlowBundle: TensorSource {
  let format = FormatName.tensorFlowBundle
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let metadata: [(key: String, value: String)]

  private let parts: [[BundlePart]]
  private let data: BundleData

  init(index file: Bytes, path: String, table: Table) throws(FormatError) {
    guard let first = table.entries.first, first.key.isEmpty else {
      throw FormatError(
        "the index has no header", file: path, advice: "It is not the index of a TensorFlow checkpoint.")
    }
    let header = try BundleHeader(first.value)
    guard header.minimumConsumer <= 1 else {
      throw FormatError(
        "the checkpoint needs a newer reader", file: path, found: "bundle version \(header.minimumConsumer)",
        expected: "1")
    }
    guard header.shardCount >= 1, header.shardCount <= 99_999 else {
      throw FormatError("the number of shards is impossible", file: path, found: "\(header.shardCount)")
    }
    let shardCount = Int(header.shardCount)
    let prefix = path.hasSuffix(".index") ? String(path.dropLast(6)) : path

    // 1. Which shards are there
    var files = [SourceFile(path: path, size: UInt64(file.count))]
    var shards: [Bytes?] = []
    var fileOfShard: [Int: Int] = [:]
    var missing: [String] = []
    var warnings: [String] = []
    for number in 0..<shardCount {
      let shardPath = Self.shardPath(prefix, number, shardCount)
      guard FileSystem.isFile(shardPath) else {
        shards.append(nil)
        missing.append(shardPath)
        if missing.count > 100 { break }
        continue
      }
      let shard = try MappedFile.open(shardPath)
      if let pointer = gitLFSPointer(shard) { throw pointer.inFile(shardPath) }
      fileOfShard[number] = files.count
      files.append(SourceFile(path: shardPath, size: UInt64(shard.count)))
      shards.append(shard)
    }
    while shards.count < shardCount { shards.append(nil) }
    if !missing.isEmpty {
      warnings.append(
        "\(missing.count == 1 ? "a data file is" : "\(missing.count) data files are") not there, so the values cannot be read: "
          + missing.prefix(4).joined(separator: ", "))
    }

    // 2. The entries
    var values: [[UInt8]: Bytes] = [:]
    values.reserveCapacity(table.entries.count)
    for entry in table.entries.dropFirst() { values[entry.key] = entry.value }
    var infos: [TensorInfo] = []
    var parts: [[BundlePart]] = []
    var extents: [Int: [(offset: Int, size: Int, name: String)]] = [:]
    for entry in table.entries.dropFirst() {
      // Slice keys begin with a zero byte; the tensor that they belong to names them.
      if entry.key.first == 0 { continue }
      guard let name = String(fileText: entry.key) else {
        throw FormatError("a tensor's name \(FileText.problem(entry.key))", file: path, found: hexadecimal(entry.key))
      }
      let message = try Self.attempt(name, path) { () throws(FormatError) in try BundleEntry(entry.value) }
      let info: TensorInfo
      var own: [BundlePart] = []
      if message.slices.isEmpty {
        let (made, part) = try Self.whole(message, name, path, shardCount)
        info = made
        own = [part]
      } else {
        info = try Self.attempt(name, path) { () throws(FormatError) in
          let type = try Self.elementType(message)
          guard let made = TensorInfo(name: name, elementType: type, shape: message.shape) else {
            throw FormatError("a partitioned tensor has an impossible shape or type", found: shapeText(message.shape))
          }
          return made
        }
        for slice in message.slices {
          let key = OrderedCode.sliceKey(name: entry.key, slice: slice)
          guard let value = values[key] else {
            throw FormatError(
              "a slice of the tensor is not in the index", file: path, tensor: name, found: Self.text(slice))
          }
          let stored = try Self.attempt(name, path) { () throws(FormatError) in try BundleEntry(value) }
          let part = try Self.piece(stored, slice, info, path, shardCount)
          own.append(part)
        }
        try Self.checkCover(own, info, path)
      }
      for part in own where part.size > 0 { extents[part.shard, default: []].append((part.offset, part.size, name)) }
      var placed = info
      if own.count == 1, let only = own.first, let index = fileOfShard[only.shard] {
        placed.location = .init(file: index, offset: UInt64(only.offset))
      }
      infos.append(placed)
      parts.append(own)
    }

    try CheckpointLimits.check(infos.count, file: path)

    // 3. No two tensors may claim the same bytes, and all must lie in their file
    for (shard, list) in extents {
      var end = 0
      var last = ""
      for extent in list.sorted(by: { ($0.offset, $0.size) < ($1.offset, $1.size) }) {
        guard extent.offset >= end else {
          throw FormatError(
            "the data overlaps that of '\(last)'", file: path, tensor: extent.name, found: "offset \(extent.offset)",
            expected: "at least \(end)")
        }
        end = extent.offset + extent.size
        last = extent.name
      }
      if let bytes = shards[shard], end > bytes.count {
        let name = list.first { $0.offset + $0.size > bytes.count }?.name ?? last
        throw FormatError(
          "the data lies beyond the end of its file", file: bytes.file, tensor: name,
          found: "a file of \(bytes.count) bytes", expected: "at least \(end)",
          advice: "The data file was not copied or downloaded whole: fetch it again.")
      }
    }
    // 4. TF2: the names that the variables had
    data = BundleData(prefix: prefix, shards: shards, isBigEndian: header.isBigEndian)
    if let index = infos.firstIndex(where: { $0.name == Self.objectGraphKey && $0.elementType == .string }),
      let part = parts[index].first, shards[part.shard] != nil,
      let text = try data.strings(part, count: 1, tensor: Self.objectGraphKey).first
    {
      let names = try objectGraphNames(Bytes(text, file: path))
      for index in infos.indices { infos[index].fullName = names[infos[index].name] }
    }
    self.files = files
    self.parts = parts
    var metadata: [(key: String, value: String)] = [("shards", "\(shardCount)")]
    if header.isBigEndian { metadata.append(("byte order", "big-endian")) }
    self.metadata = metadata
    self.warnings = warnings
    tensors = infos
  }

  static let objectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH"

  static func shardPath(_ prefix: String, _ number: Int, _ count: Int) -> String {
    func five(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value) }
    return "\(prefix).data-\(five(number))-of-\(five(count))"
  }

  // MARK: Entries

  private static func attempt<R>(
    _ tensor: String, _ file: String, _ body: () throws(FormatError) -> R
  ) throws(FormatError) -> R {
    do throws(FormatError) { return try body() } catch { throw error.inTensor(tensor).inFile(file) }
  }

  private static func elementType(_ entry: BundleEntry) throws(FormatError) -> ElementType {
    guard let type = ElementType(tensorFlow: entry.type) else {
      throw FormatError(
        "the data type is unknown", found: "number \(entry.type)", expected: "one of TensorFlow's DataType")
    }
    return type
  }

  private static func place(
    _ entry: BundleEntry, start: [Int], shape: [Int], _ shardCount: Int
  ) throws(FormatError) -> BundlePart {
    guard entry.shard >= 0, Int(entry.shard) < shardCount else {
      throw FormatError("the shard does not exist", found: "\(entry.shard)", expected: "below \(shardCount)")
    }
    guard entry.offset >= 0, entry.size >= 0, !entry.offset.addingReportingOverflow(entry.size).overflow else {
      throw FormatError("offset or size is impossible", found: "\(entry.offset), \(entry.size)")
    }
    return BundlePart(
      shard: Int(entry.shard), offset: Int(entry.offset), size: Int(entry.size),
      checksum: CRC32C.unmask(entry.checksum), start: start, shape: shape)
  }

  private static func whole(
    _ entry: BundleEntry, _ name: String, _ path: String, _ shardCount: Int
  ) throws(FormatError) -> (TensorInfo, BundlePart) {
    try attempt(name, path) { () throws(FormatError) in
      let type = try elementType(entry)
      let part = try place(entry, start: [], shape: entry.shape, shardCount)
      guard let elements = checkedElementCount(entry.shape) else {
        throw FormatError("the shape is too large", found: shapeText(entry.shape))
      }
      if type.size != nil {
        guard let expected = checkedByteCount(entry.shape, type), expected == part.size else {
          throw FormatError(
            "the size does not fit shape and type", found: "\(part.size) bytes",
            expected:
              "\(checkedByteCount(entry.shape, type).map(String.init) ?? "fewer") for \(type.rawValue) \(shapeText(entry.shape))"
          )
        }
      } else if type == .string, elements > 0 {
        // Each string takes at least one byte of length, and the lengths have a checksum.
        guard part.size >= 4, elements <= part.size - 4 else {
          throw FormatError("more strings than the data can hold", found: "\(elements) in \(part.size) bytes")
        }
      }
      return (TensorInfo(name: name, elementType: type, shape: entry.shape, byteCount: part.size), part)
    }
  }

  private static func piece(
    _ entry: BundleEntry, _ slice: [SliceExtent], _ tensor: TensorInfo, _ path: String, _ shardCount: Int
  ) throws(FormatError) -> BundlePart {
    try attempt(tensor.name, path) { () throws(FormatError) in
      let (start, shape) = try resolve(slice, in: tensor.shape)
      guard try elementType(entry) == tensor.elementType, entry.shape == shape, entry.slices.isEmpty else {
        throw FormatError(
          "a slice is not of the tensor's type and shape", found: shapeText(entry.shape), expected: shapeText(shape))
      }
      let part = try place(entry, start: start, shape: shape, shardCount)
      guard checkedByteCount(shape, tensor.elementType) == part.size else {
        throw FormatError("the size of a slice does not fit its shape", found: "\(part.size) bytes")
      }
      return part
    }
  }

  /// Start and shape of a slice, found to lie inside the tensor.
  static func resolve(
    _ slice: [SliceExtent], in shape: [Int]
  ) throws(FormatError) -> (start: [Int], shape: [Int]) {
    guard slice.count == shape.count else {
      throw FormatError("a slice has another rank than the tensor", found: "\(slice.count)", expected: "\(shape.count)")
    }
    var result = (start: [Int](), shape: [Int]())
    for (extent, size) in zip(slice, shape) {
      let length = extent.length ?? size
      guard extent.length != nil || extent.start == 0, extent.start <= size, length <= size - extent.start else {
        throw FormatError("a slice lies outside the tensor", found: text(slice), expected: "within \(shapeText(shape))")
      }
      result.start.append(extent.start)
      result.shape.append(length)
    }
    return result
  }

  static func text(_ slice: [SliceExtent]) -> String {
    slice.map { extent in extent.length.map { "\(extent.start)+\($0)" } ?? "all" }.joined(separator: ", ")
  }

  /// The slices must hold every element exactly once: none overlaps another, and together they have as many elements.
  static func checkCover(_ parts: [BundlePart], _ tensor: TensorInfo, _ path: String) throws(FormatError) {
    let filled = parts.filter { !$0.shape.contains(0) }
    if let rank = tensor.shape.indices.first(where: { axis in
      filled.count > 1 && Set(filled.map { $0.start[axis] }).count == filled.count
    }) {
      // The usual case: cut along one axis, so neighbours in order are all that can meet. This keeps a tensor of many
      // slices from taking quadratic time.
      let ordered = filled.sorted { $0.start[rank] < $1.start[rank] }
      var isChain = true
      for (a, b) in zip(ordered, ordered.dropFirst()) where a.start[rank] + a.shape[rank] > b.start[rank] {
        isChain = false
      }
      if isChain { return try checkCount(filled, tensor, path) }
    }
    guard filled.count <= 4096 else {
      throw FormatError(
        "too many slices", file: path, tensor: tensor.name, found: "\(filled.count)", expected: "at most 4096")
    }
    for (index, a) in filled.enumerated() {
      for b in filled[(index + 1)...] {
        let meets = tensor.shape.indices.allSatisfy { axis in
          a.start[axis] < b.start[axis] + b.shape[axis] && b.start[axis] < a.start[axis] + a.shape[axis]
        }
        guard !meets else {
          throw FormatError(
            "two slices overlap", file: path, tensor: tensor.name,
            found: "\(shapeText(a.start)) and \(shapeText(b.start))")
        }
      }
    }
    try checkCount(filled, tensor, path)
  }

  private static func checkCount(_ parts: [BundlePart], _ tensor: TensorInfo, _ path: String) throws(FormatError) {
    var sum = 0
    for part in parts { sum += checkedElementCount(part.shape) ?? 0 }
    guard sum == tensor.elementCount else {
      throw FormatError(
        "the slices do not cover the tensor", file: path, tensor: tensor.name, found: "\(sum) elements",
        expected: "\(tensor.elementCount)")
    }
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
      throw FormatError("the tensor does not hold strings", file: files.first?.path, tensor: tensor.name)
    }
    return try data.strings(part, count: tensor.elementCount, tensor: tensor.name)
  }
}
