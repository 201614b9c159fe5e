import TensorIO

/// The parameters of a Flax model (`flax_model.msgpack`; flax/serialization.py): maps of maps of arrays.
///
///     {"bert": {"embeddings": {"word_embeddings": {"embedding": ext 1}, …
///     ext 1 (array) and 3 (scalar) = MessagePack of [[rows, columns], "float32", the elements row by row]
///     an array of more than 2^30 bytes = {"__msgpack_chunked_array__": true, "shape": {"0": …}, "chunks": {"0": ext 1, …}}
///
/// A tensor's name is the path to it, joined with `/`.
public final class FlaxSource: TensorSource {
  public let format = FormatName.flaxMsgpack
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let metadata: [(key: String, value: String)]
  /// The pieces of each tensor's data, in order.
  private let pieces: [[Bytes]]

  private static let chunkMark = "__msgpack_chunked_array__"

  public init(_ file: Bytes, path: String) throws(FormatError) {
    var reader = MessagePackReader(file)
    var collector = Collector(fileSize: file.count)
    do throws(FormatError) {
      let root = try reader.value()
      guard reader.isAtEnd else { throw reader.error("data follows the parameters", expected: "the end of the file") }
      guard case .map = root else { throw reader.error("not a map of parameters") }
      try collector.add(root, path: "")
    } catch { throw error.inFile(path) }
    files = [SourceFile(path: path, size: UInt64(file.count))]
    tensors = collector.tensors
    pieces = collector.pieces
    metadata = collector.metadata
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let own = pieces[index]
    let whole =
      own.count == 1
      ? own[0]
      : Bytes(
        count: tensors[index].byteCount,
        filledBy: { target in
          var place = 0
          for piece in own {
            piece.withSpan { target.copy($0, to: place) }
            place += piece.count
          }
        })
    let result = try whole.withSpan { try body($0) }
    for piece in own {
      try piece.checkIntact()
      piece.releasePages()
    }
    return result
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    for piece in pieces[index] { try piece.forEachPiece { try $0.withSpan { try body($0) } } }
  }

  /// Walks the maps.
  private struct Collector {
    private(set) var tensors: [TensorInfo] = []
    private(set) var pieces: [[Bytes]] = []
    private(set) var metadata: [(key: String, value: String)] = []
    /// Bytes that names may take together: a few long keys can stand before many short ones.
    private var roomForNames: Int

    init(fileSize: Int) { roomForNames = 64 << 20 + 4 * fileSize }

    mutating func add(_ value: MessagePackValue, path: String) throws(FormatError) {
      roomForNames -= path.utf8.count
      guard roomForNames > 0 else { throw FormatError("the names of the parameters are too long together") }
      func below(_ key: String) -> String { path.isEmpty ? key : path + "/" + key }
      switch value {
      case .map(let entries):
        if entries.contains(where: { $0.key == FlaxSource.chunkMark }) { return try addChunked(entries, path) }
        for (key, value) in entries { try add(value, path: below(key)) }
      case .array(let values):
        for (index, value) in values.enumerated() { try add(value, path: below("\(index)")) }
      case .ext(let type, let bytes):
        guard type == 1 || type == 3 else {
          throw FormatError(
            "a value of a kind that no tensor has", offset: bytes.offsetInFile, tensor: path,
            found: type == 2 ? "a complex number (extension 2)" : "extension \(type)",
            expected: "an array (extension 1)")
        }
        let array = try Self.array(bytes, path)
        tensors.append(array.info)
        pieces.append([array.data])
      case .none: metadata.append((path, "None"))
      case .bool(let value): metadata.append((path, value ? "True" : "False"))
      case .int(let value): metadata.append((path, "\(value)"))
      case .double(let value): metadata.append((path, "\(value)"))
      case .string(let value): metadata.append((path, value))
      case .bytes(let value): metadata.append((path, "\(value.count) bytes"))
      }
    }

    /// [shape, type, elements]
    private static func array(_ bytes: Bytes, _ path: String) throws(FormatError) -> (info: TensorInfo, data: Bytes) {
      func wrong(_ problem: String, found: String? = nil, expected: String? = nil) -> FormatError {
        FormatError(problem, offset: bytes.offsetInFile, tensor: path, found: found, expected: expected)
      }
      var reader = MessagePackReader(bytes)
      let value: MessagePackValue
      do throws(FormatError) { value = try reader.value() } catch { throw error.inTensor(path) }
      guard reader.isAtEnd, case .array(let parts) = value, parts.count == 3, case .array(let sizes) = parts[0],
        case .string(let typeName) = parts[1], case .bytes(let data) = parts[2]
      else { throw wrong("not an array as flax writes it", expected: "[shape, type, data]") }
      var shape: [Int] = []
      for size in sizes {
        guard case .int(let size) = size, size >= 0, shape.count < 64 else { throw wrong("not a shape") }
        shape.append(size)
      }
      guard let type = FlaxSource.type(typeName) else {
        throw wrong("the array's type is unknown", found: typeName, expected: "a number type such as float32")
      }
      guard var info = TensorInfo(name: path, elementType: type, shape: shape) else {
        throw wrong("the shape is too large", found: shapeText(shape))
      }
      guard data.count == info.byteCount else {
        throw wrong(
          "the array's data does not fit its shape and type", found: "\(data.count) bytes",
          expected: "\(info.byteCount) for \(type.rawValue) \(shapeText(shape))")
      }
      info.location = .init(file: 0, offset: data.offsetInFile)
      return (info, data)
    }

    /// An array in chunks, one behind the other.
    private mutating func addChunked(
      _ entries: [(key: String, value: MessagePackValue)], _ path: String
    ) throws(FormatError) {
      func wrong(_ problem: String) -> FormatError { FormatError(problem, tensor: path) }
      func numbered(_ key: String) throws(FormatError) -> [MessagePackValue] {
        guard case .map(let items)? = entries.first(where: { $0.key == key })?.value else {
          throw wrong("an array in chunks has no \(key)")
        }
        var values: [MessagePackValue] = []
        for index in items.indices {
          guard let item = items.first(where: { $0.key == "\(index)" }), items.count <= 4096 else {
            throw wrong("the \(key) of an array in chunks are not numbered from 0")
          }
          values.append(item.value)
        }
        return values
      }
      var shape: [Int] = []
      for size in try numbered("shape") {
        guard case .int(let size) = size, size >= 0 else { throw wrong("not a shape") }
        shape.append(size)
      }
      var data: [Bytes] = []
      var type: ElementType?
      var size = 0
      for chunk in try numbered("chunks") {
        guard case .ext(1, let bytes) = chunk else { throw wrong("a chunk is not an array") }
        let part = try Self.array(bytes, path)
        guard type.map({ $0 == part.info.elementType }) ?? true else {
          throw wrong("the chunks are of different types")
        }
        type = part.info.elementType
        size += part.data.count
        data.append(part.data)
      }
      guard let type, let info = TensorInfo(name: path, elementType: type, shape: shape), info.byteCount == size else {
        throw FormatError(
          "the chunks do not make the array", tensor: path, found: "\(size) bytes in \(data.count) chunks",
          expected: "an array \(shapeText(shape))")
      }
      tensors.append(info)
      pieces.append(data)
    }
  }

  /// NumPy's and ml_dtypes' name of a type.
  private static func type(_ name: String) -> ElementType? {
    switch name {
    case "float64": .f64
    case "float32": .f32
    case "float16": .f16
    case "bfloat16": .bf16
    case "int64": .i64
    case "int32": .i32
    case "int16": .i16
    case "int8": .i8
    case "uint64": .u64
    case "uint32": .u32
    case "uint16": .u16
    case "uint8": .u8
    case "bool": .bool
    case "complex64": .c64
    case "complex128": .c128
    case "float8_e4m3fn": .f8e4m3
    case "float8_e5m2": .f8e5m2
    default: nil
    }
  }
}

/// A map whose first entry has a name: no other format begins so.
public struct FlaxFormat: CheckpointFormat {
  public init() {}

  public func recognises(_ file: Bytes, path: String) -> Bool { MessagePackReader.beginsWithMap(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try FlaxSource(file, path: path)
  }
}
