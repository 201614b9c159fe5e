import TensorIO

/// A TensorFlow V1 checkpoint (core/util/tensor_slice_reader.cc, saved_tensor_slice.proto): the same table as a bundle's
/// index, but the values are in it:
///
///     "" → SavedTensorSlices with `meta`: every tensor's name, shape, type and slices
///     slice key → SavedTensorSlices with `data`: one slice as a TensorProto, its values in typed fields or raw
///
/// Several files of one checkpoint each hold some of the slices, and each the metadata of its own.
final class TensorFlowV1: TensorSource {
  let format = FormatName.tensorFlowV1
  let files: [SourceFile]
  let tensors: [TensorInfo]
  private let pieces: [[Piece]]

  private struct Piece: Sendable {
    var record: Bytes
    var place: BundlePart
  }

  /// `parts` are the files of the checkpoint with their tables.
  init(_ parts: [(path: String, file: Bytes, table: Table)]) throws(FormatError) {
    var order: [String] = []
    var infos: [String: TensorInfo] = [:]
    var pieces: [String: [Piece]] = [:]
    for part in parts {
      var records: [[UInt8]: Bytes] = [:]
      for entry in part.table.entries { records[entry.key] = entry.value }
      guard let header = records[[]], let meta = try SavedSlices(header, valuesOfType: nil).meta else {
        throw FormatError("the checkpoint has no list of tensors", file: part.path)
      }
      for tensor in meta {
        guard let name = String(fileText: tensor.name) else {
          throw FormatError(
            "a tensor's name \(FileText.problem(tensor.name))", file: part.path, found: hexadecimal(tensor.name))
        }
        func fail(_ problem: String, found: String? = nil) -> FormatError {
          FormatError(problem, file: part.path, tensor: name, found: found)
        }
        guard let type = ElementType(tensorFlow: tensor.type) else {
          throw fail("the data type is unknown", found: "number \(tensor.type)")
        }
        guard let elements = checkedElementCount(tensor.shape),
          let bytes = type.size == nil ? 0 : checkedByteCount(tensor.shape, type)
        else { throw fail("the shape is too large", found: shapeText(tensor.shape)) }
        // Values in typed fields take at least a bit each; a record can't hold more elements than eight a byte.
        guard elements / 8 <= part.file.count else {
          throw fail("more elements than the file can hold", found: shapeText(tensor.shape))
        }
        let info = TensorInfo(name: name, elementType: type, shape: tensor.shape, byteCount: bytes)
        if let known = infos[name] {
          guard known.elementType == type, known.shape == tensor.shape else {
            throw fail("the files of the checkpoint disagree on the tensor", found: shapeText(tensor.shape))
          }
        } else {
          order.append(name)
          infos[name] = info
        }
        for slice in tensor.slices {
          let key = OrderedCode.sliceKey(name: tensor.name, slice: slice)
          guard let record = records[key] else {
            throw fail("a slice of the tensor is missing", found: TensorFlowBundle.text(slice))
          }
          do throws(FormatError) {
            let (start, shape) = try TensorFlowBundle.resolve(slice, in: tensor.shape)
            // Any number of empty ones could name one large record.
            if shape.contains(0) { continue }
            pieces[name, default: []].append(
              Piece(
                record: record,
                place: BundlePart(
                  shard: 0, offset: 0, size: checkedByteCount(shape, type) ?? 0, checksum: 0, start: start, shape: shape
                )))
          } catch {
            throw error.inTensor(name).inFile(part.path)
          }
        }
      }
    }
    files = parts.map { SourceFile(path: $0.path, size: UInt64($0.file.count)) }
    tensors = order.compactMap { infos[$0] }
    self.pieces = order.map { pieces[$0] ?? [] }
    for (info, list) in zip(tensors, self.pieces) {
      try TensorFlowBundle.checkCover(list.map(\.place), info, files[0].path)
    }
  }

  private func values(_ piece: Piece, _ tensor: TensorInfo) throws(FormatError) -> SavedSlices.Values {
    guard let values = try SavedSlices(piece.record, valuesOfType: tensor.elementType).values,
      values.type == 0 || ElementType(tensorFlow: values.type) == tensor.elementType
    else {
      throw FormatError(
        "the slice's record holds no values of the tensor's type", file: piece.record.file, tensor: tensor.name)
    }
    return values
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let tensor = tensors[index]
    guard let size = tensor.elementType.size else {
      throw FormatError(
        "the tensor has no plain values", file: files[0].path, tensor: tensor.name, found: tensor.elementType.rawValue)
    }
    let whole = try Bytes(count: tensor.byteCount, file: files[0].path) { (target) throws(FormatError) in
      for piece in pieces[index] {
        let content = try expand(try values(piece, tensor).content, to: piece, tensor, size)
        // Memory safety: all bytes of the array were written, and none is padding.
        copySlice(unsafe content.span.bytes, piece.place, of: tensor.shape, elementSize: size, into: &target)
      }
    }
    return try whole.withSpan { try body($0) }
  }

  /// A record may leave out equal values at its end: the last one stands for the rest.
  private func expand(
    _ content: [UInt8], to piece: Piece, _ tensor: TensorInfo, _ size: Int
  ) throws(FormatError) -> [UInt8] {
    guard content.count <= piece.place.size, content.count % size == 0, piece.place.size == 0 || !content.isEmpty else {
      throw FormatError(
        "a slice holds the wrong number of values", file: piece.record.file, tensor: tensor.name,
        found: "\(content.count / size)", expected: "\(piece.place.size / size)")
    }
    var result = content
    let last = Array(content.suffix(size))
    while result.count < piece.place.size { result.append(contentsOf: last) }
    return result
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    let tensor = tensors[index]
    guard tensor.elementType == .string, pieces[index].count == 1, let piece = pieces[index].first else {
      throw FormatError("the tensor does not hold strings in one piece", file: files[0].path, tensor: tensor.name)
    }
    var strings = try values(piece, tensor).strings
    let count = tensor.elementCount
    guard strings.count <= count, count == 0 || !strings.isEmpty else {
      throw FormatError(
        "a slice holds the wrong number of strings", file: files[0].path, tensor: tensor.name,
        found: "\(strings.count)", expected: "\(count)")
    }
    while strings.count < count, let last = strings.last { strings.append(last) }
    return strings
  }
}
