import CheckpointFormats
import TensorIO

/// The tensors that the index of a bundle lists, and where the parts of each lie.
struct BundleEntries {
  private(set) var infos: [TensorInfo] = []
  /// For each tensor: its only part, or its slices.
  private(set) var parts: [[BundlePart]] = []

  private let shardCount: Int
  private let path: String

  init(_ table: Table, shardCount: Int, path: String) throws(FormatError) {
    self.shardCount = shardCount
    self.path = path
    var values: [[UInt8]: Bytes] = [:]
    values.reserveCapacity(table.entries.count)
    for entry in table.entries.dropFirst() { values[entry.key] = entry.value }
    // Slice keys begin with a zero byte; the tensor that they belong to names them.
    for entry in table.entries.dropFirst() where entry.key.first != 0 { try add(entry, values) }
    try CheckpointLimits.check(infos.count, file: path)
  }

  private mutating func add(_ entry: Table.Entry, _ values: [[UInt8]: Bytes]) throws(FormatError) {
    guard let name = String(fileText: entry.key) else {
      throw FormatError(
        .damaged, "a tensor's name \(FileText.problem(entry.key))", file: path, found: hexadecimal(entry.key))
    }
    do throws(FormatError) {
      let message = try BundleEntry(entry.value)
      if message.slices.isEmpty {
        let (info, part) = try whole(message, name)
        infos.append(info)
        parts.append([part])
      } else {
        let info = try partitioned(message, name)
        let slices = try self.slices(message, of: info, key: entry.key, values)
        try SliceCover.check(slices, info, file: path)
        infos.append(info)
        parts.append(slices)
      }
    } catch {
      throw error.inTensor(name).inFile(path)
    }
  }

  // MARK: Kinds of entries

  private func whole(_ entry: BundleEntry, _ name: String) throws(FormatError) -> (TensorInfo, BundlePart) {
    let type = try elementType(entry)
    let part = try part(entry, start: [], shape: entry.shape)
    guard let elements = checkedElementCount(entry.shape) else {
      throw FormatError(.limit, "the shape is too large", found: shapeText(entry.shape))
    }
    if type.size != nil {
      let expected = checkedByteCount(entry.shape, type)
      guard expected == part.size else {
        throw FormatError(
          .damaged, "the size does not match shape and type", found: "\(part.size) bytes",
          expected: "\(expected.map(String.init) ?? "fewer") for \(type.rawValue) \(shapeText(entry.shape))")
      }
    } else if type == .string, elements > 0 {
      // Each string takes at least one byte of length, and the lengths have a checksum.
      guard part.size >= 4, elements <= part.size - 4 else {
        throw FormatError(
          .limit, "the tensor has more strings than its data can contain", found: "\(elements) in \(part.size) bytes")
      }
    }
    return (TensorInfo(name: name, elementType: type, shape: entry.shape, byteCount: part.size), part)
  }

  private func partitioned(_ entry: BundleEntry, _ name: String) throws(FormatError) -> TensorInfo {
    guard let info = TensorInfo(name: name, elementType: try elementType(entry), shape: entry.shape) else {
      throw FormatError(
        .damaged, "a partitioned tensor has an impossible shape or type", found: shapeText(entry.shape))
    }
    return info
  }

  private func slices(
    _ entry: BundleEntry, of tensor: TensorInfo, key: [UInt8], _ values: [[UInt8]: Bytes]
  ) throws(FormatError) -> [BundlePart] {
    var slices: [BundlePart] = []
    for slice in entry.slices {
      guard let value = values[OrderedCode.sliceKey(name: key, slice: slice)] else {
        throw FormatError(
          .damaged, "a slice of the tensor is not in the index", found: SliceCover.text(slice))
      }
      slices.append(try self.slice(try BundleEntry(value), slice, of: tensor))
    }
    return slices
  }

  private func slice(
    _ entry: BundleEntry, _ slice: [SliceExtent], of tensor: TensorInfo
  ) throws(FormatError) -> BundlePart {
    let (start, shape) = try SliceCover.resolve(slice, in: tensor.shape)
    guard try elementType(entry) == tensor.elementType, entry.shape == shape, entry.slices.isEmpty else {
      throw FormatError(
        .damaged, "a slice and its tensor differ in type or shape", found: shapeText(entry.shape),
        expected: shapeText(shape))
    }
    let part = try part(entry, start: start, shape: shape)
    guard checkedByteCount(shape, tensor.elementType) == part.size else {
      throw FormatError(.damaged, "the size of a slice does not match its shape", found: "\(part.size) bytes")
    }
    return part
  }

  // MARK: Fields

  private func elementType(_ entry: BundleEntry) throws(FormatError) -> ElementType {
    guard let type = ElementType(tensorFlow: entry.type) else {
      throw FormatError(
        .unsupported, "the data type is unknown", found: "number \(entry.type)",
        expected: "one of TensorFlow's DataType")
    }
    return type
  }

  private func part(_ entry: BundleEntry, start: [Int], shape: [Int]) throws(FormatError) -> BundlePart {
    guard entry.shard >= 0, Int(entry.shard) < shardCount else {
      throw FormatError(
        .damaged, "the shard does not exist", found: "\(entry.shard)", expected: "below \(shardCount)")
    }
    guard entry.offset >= 0, entry.size >= 0, !entry.offset.addingReportingOverflow(entry.size).overflow else {
      throw FormatError(.damaged, "offset or size is impossible", found: "\(entry.offset), \(entry.size)")
    }
    return BundlePart(
      shard: Int(entry.shard), offset: Int(entry.offset), size: Int(entry.size),
      checksum: CRC32C.unmask(entry.checksum), start: start, shape: shape)
  }
}

extension BundleEntries {
  /// Gives each tensor the name that its variable had in the program.
  mutating func setFullNames(_ names: [String: String]) {
    for index in infos.indices { infos[index].fullName = names[infos[index].name] }
  }

  /// The tensors, with their location if their data is contiguous; `fileIndices` gives the file of a shard.
  func tensors(located fileIndices: [Int: Int]) -> [TensorInfo] {
    zip(infos, parts).map { info, parts in
      var info = info
      if parts.count == 1, let file = fileIndices[parts[0].shard] {
        info.location = .init(file: file, offset: UInt64(parts[0].offset))
      }
      return info
    }
  }
}
