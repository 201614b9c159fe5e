import CheckpointFormats
import TensorIO

extension FormatName {
  public static let tensorFlowV1 = FormatName(rawValue: "tensorflow-v1")
}

/// A TensorFlow V1 checkpoint (core/util/tensor_slice_reader.cc, saved_tensor_slice.proto): the same table as a bundle's
/// index, but the values are in it:
///
///     "" → SavedTensorSlices with `meta`: every tensor's name, shape, type and slices
///     slice key → SavedTensorSlices with `data`: one slice as a TensorProto, its values in typed fields or raw
///
/// Several files of one checkpoint each hold some of the slices, and each the metadata of its own.
final class TensorFlowV1: GraphCarrier {
  let format = FormatName.tensorFlowV1
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let graph: TensorFlowGraph?
  let code: [ContainedCode]
  let warnings: [String]
  private let slices: [[Slice]]

  /// A slice of a tensor: its record, and which part of the tensor it is.
  private struct Slice: Sendable {
    var record: Bytes
    var part: BundlePart
  }

  /// `parts` are the files of the checkpoint with their tables.
  init(_ parts: [(path: String, file: Bytes, table: Table)]) throws(FormatError) {
    var collected = Collected()
    for part in parts { try collected.add(part.table, of: part.file, path: part.path) }
    files = parts.map { SourceFile(path: $0.path, size: UInt64($0.file.count)) }
    tensors = collected.order.compactMap { collected.infos[$0] }
    slices = collected.order.map { collected.slices[$0] ?? [] }
    let program = GraphFiles(ofCheckpoint: files[0].path)
    graph = program.graph
    code = program.code
    warnings = program.warnings
    for (info, list) in zip(tensors, slices) {
      try SliceCover.check(list.map(\.part), info, file: files[0].path)
    }
  }

  /// The tensors of all files.
  private struct Collected {
    private(set) var order: [String] = []
    private(set) var infos: [String: TensorInfo] = [:]
    private(set) var slices: [String: [Slice]] = [:]

    mutating func add(_ table: Table, of file: Bytes, path: String) throws(FormatError) {
      var records: [[UInt8]: Bytes] = [:]
      for entry in table.entries { records[entry.key] = entry.value }
      guard let header = records[[]], let meta = try SavedSlices(header, valuesOfType: nil).meta else {
        throw FormatError(.damaged, "the checkpoint has no list of tensors", file: path)
      }
      for tensor in meta {
        guard let name = String(fileText: tensor.name) else {
          throw FormatError(
            .damaged, "a tensor's name \(FileText.problem(tensor.name))", file: path, found: hexadecimal(tensor.name))
        }
        do throws(FormatError) {
          let info = try TensorFlowV1.info(tensor, name, fileSize: file.count)
          try add(info)
          for slice in tensor.slices { try add(slice, of: info, key: tensor.name, records) }
        } catch {
          throw error.inTensor(name).inFile(path)
        }
      }
    }

    private mutating func add(_ info: TensorInfo) throws(FormatError) {
      guard let known = infos[info.name] else {
        order.append(info.name)
        infos[info.name] = info
        return
      }
      guard known.elementType == info.elementType, known.shape == info.shape else {
        throw FormatError(
          .damaged, "the files of the checkpoint disagree on the tensor", found: shapeText(info.shape))
      }
    }

    private mutating func add(
      _ slice: [SliceExtent], of info: TensorInfo, key: [UInt8], _ records: [[UInt8]: Bytes]
    ) throws(FormatError) {
      guard let record = records[OrderedCode.sliceKey(name: key, slice: slice)] else {
        throw FormatError(.damaged, "a slice of the tensor is missing", found: SliceCover.text(slice))
      }
      let (start, shape) = try SliceCover.resolve(slice, in: info.shape)
      // Any number of empty ones could name one large record.
      if shape.contains(0) { return }
      let size = checkedByteCount(shape, info.elementType) ?? 0
      slices[info.name, default: []].append(
        Slice(
          record: record,
          part: BundlePart(shard: 0, offset: 0, size: size, checksum: 0, start: start, shape: shape)))
    }
  }

  private static func info(
    _ tensor: SavedSlices.Meta, _ name: String, fileSize: Int
  ) throws(FormatError) -> TensorInfo {
    guard let type = ElementType(tensorFlow: tensor.type) else {
      throw FormatError(.unsupported, "the data type is unknown", found: "number \(tensor.type)")
    }
    guard let elements = checkedElementCount(tensor.shape),
      let bytes = type.size == nil ? 0 : checkedByteCount(tensor.shape, type)
    else { throw FormatError(.limit, "the shape is too large", found: shapeText(tensor.shape)) }
    // Values in typed fields take at least a bit each; a record cannot contain more than eight elements per byte.
    guard elements / 8 <= fileSize else {
      throw FormatError(
        .limit, "the tensor has more elements than the file can contain", found: shapeText(tensor.shape))
    }
    return TensorInfo(name: name, elementType: type, shape: tensor.shape, byteCount: bytes)
  }

  private func values(_ slice: Slice, _ tensor: TensorInfo) throws(FormatError) -> SavedSlices.Values {
    guard let values = try SavedSlices(slice.record, valuesOfType: tensor.elementType).values,
      values.type == 0 || ElementType(tensorFlow: values.type) == tensor.elementType
    else {
      throw FormatError(
        .damaged, "the record of a slice does not contain values of the tensor's type", file: slice.record.file,
        tensor: tensor.name)
    }
    return values
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let tensor = tensors[index]
    guard let size = tensor.elementType.size else {
      throw FormatError(
        .unsupported, "the tensor has no numeric values", file: files[0].path, tensor: tensor.name,
        found: tensor.elementType.rawValue)
    }
    let whole = try Bytes(count: tensor.byteCount, file: files[0].path) { (target) throws(FormatError) in
      for slice in slices[index] {
        let content = try expand(try values(slice, tensor).content, to: slice, tensor, size)
        // Memory safety: all bytes of the array were written, and none is padding.
        copySlice(unsafe content.span.bytes, slice.part, of: tensor.shape, elementSize: size, into: &target)
      }
    }
    return try whole.withSpan { try body($0) }
  }

  /// A record may leave out equal values at its end: the last one stands for the rest.
  private func expand(
    _ content: [UInt8], to slice: Slice, _ tensor: TensorInfo, _ size: Int
  ) throws(FormatError) -> [UInt8] {
    guard content.count <= slice.part.size, content.count % size == 0, slice.part.size == 0 || !content.isEmpty else {
      throw FormatError(
        .damaged, "a slice has the wrong number of values", file: slice.record.file, tensor: tensor.name,
        found: "\(content.count / size)", expected: "\(slice.part.size / size)")
    }
    var result = content
    let last = Array(content.suffix(size))
    while result.count < slice.part.size { result.append(contentsOf: last) }
    return result
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    let tensor = tensors[index]
    guard tensor.elementType == .string, slices[index].count == 1, let slice = slices[index].first else {
      throw FormatError(
        .unsupported, "the tensor does not contain strings in a single slice", file: files[0].path, tensor: tensor.name)
    }
    var strings = try values(slice, tensor).strings
    let count = tensor.elementCount
    guard strings.count <= count, count == 0 || !strings.isEmpty else {
      throw FormatError(
        .damaged, "a slice has the wrong number of strings", file: files[0].path, tensor: tensor.name,
        found: "\(strings.count)", expected: "\(count)")
    }
    while strings.count < count, let last = strings.last { strings.append(last) }
    return strings
  }
}
