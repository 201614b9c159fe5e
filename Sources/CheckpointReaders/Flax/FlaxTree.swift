import TensorIO

/// The tree of arrays that flax.serialization writes (google/flax, flax/serialization.py), as MessagePack:
///
///     tree    = map of str to tree, array or value
///     array   = ext 1: [shape: [int], dtype: str, elements: bin], row by row
///     scalar  = ext 3: the same, of one element; ext 2 is a complex number of Python: [real, imaginary]
///     array of more than 2^30 bytes =
///       {"__msgpack_chunked_array__": true, "shape": {"0": int, …}, "chunks": {"0": array, "1": array, …}}
///
/// Parsing touches the structure alone, never the elements. Byte order is not recorded: it is little-endian.
struct FlaxTree {
  struct Array: Sendable {
    var name: String
    var elementType: ElementType
    var shape: [Int]
    /// The elements; several segments if the array was written in chunks.
    var segments: [Bytes]
  }

  /// In the order of the file; names are the keys of the path, joined by `/`.
  private(set) var arrays: [Array] = []
  /// The values that are not arrays, as text.
  private(set) var values: [(key: String, value: String)] = []
  /// Whether an array was found, even if something after it is wrong.
  private(set) var sawArray = false

  private var reader: MessagePackReader
  private var names: Set<String> = []
  private var visited = 0
  private var nameBytes = 0

  private static let maxDepth = 64
  private static let maxCount = 1 << 18
  private static let maxNameLength = 1024
  private static let maxRank = 64
  private static let chunkedKey = "__msgpack_chunked_array__"

  private static let elementTypes: [String: ElementType] = [
    "float64": .f64, "float32": .f32, "float16": .f16, "bfloat16": .bf16,
    "int64": .i64, "int32": .i32, "int16": .i16, "int8": .i8,
    "uint64": .u64, "uint32": .u32, "uint16": .u16, "uint8": .u8, "bool": .bool,
    "complex64": .c64, "complex128": .c128,
    "float8_e4m3fn": .f8e4m3, "float8_e5m2": .f8e5m2, "float8_e8m0fnu": .f8e8m0, "float8_e4m3fnuz": .f8e4m3fnuz,
    "float8_e4m3b11fnuz": .f8e4m3b11fnuz, "float8_e5m2fnuz": .f8e5m2fnuz, "float4_e2m1fn": .f4e2m1,
    "int4": .i4, "uint4": .u4, "int2": .i2, "uint2": .u2,
  ]

  init(_ file: Bytes) { reader = MessagePackReader(file) }

  /// Reads the whole file; what was found before an error is kept.
  mutating func parse() throws(FormatError) {
    let start = reader.cursor
    guard case .map(let count) = try reader.head("the outermost map"), count > 0 else {
      throw start.error(
        .damaged, "the file does not contain a map of arrays", expected: "what flax.serialization.to_bytes writes")
    }
    try map(count, path: "", depth: 1)
    guard reader.cursor.isAtEnd else {
      throw reader.cursor.error(
        .damaged, "there is data after the end of the tree", found: "\(reader.cursor.remaining) bytes",
        advice: "The file is damaged, or several were put together: fetch it again.")
    }
    guard !arrays.isEmpty else { throw start.error(.unrecognized, "the file contains no arrays") }
  }

  // MARK: The tree

  private mutating func map(_ count: Int, path: String, depth: Int) throws(FormatError) {
    var keys: Set<String> = []
    for index in 0..<count {
      let start = reader.cursor
      let key = try self.key()
      guard keys.insert(key).inserted else {
        throw start.error(.damaged, "a map contains a key twice", found: key)
      }
      if key == Self.chunkedKey {
        guard index == 0 else { throw start.error(.damaged, "'\(key)' is not the first key of its map") }
        return try chunkedArray(count, name: path)
      }
      try node(path: try join(path, key, start), depth: depth)
    }
  }

  private mutating func key() throws(FormatError) -> String {
    let start = reader.cursor
    guard case .string(let count) = try reader.head("a key") else {
      throw start.error(.damaged, "a key of a map is not a string", expected: "a name")
    }
    guard count <= Self.maxNameLength else {
      throw start.error(.limit, "a key is too long", found: "\(count) bytes", expected: "at most \(Self.maxNameLength)")
    }
    return try reader.text(count, "a key")
  }

  private mutating func join(_ path: String, _ key: String, _ start: ByteCursor) throws(FormatError) -> String {
    let name = path.isEmpty ? key : path + "/" + key
    guard name.utf8.count <= Self.maxNameLength else {
      throw start.error(.limit, "the path to a tensor is too long", expected: "at most \(Self.maxNameLength) bytes")
    }
    // All paths may share one long key.
    nameBytes += name.utf8.count
    guard nameBytes <= (16 << 20) + 8 * start.bytes.count else {
      throw start.error(.limit, "the paths are too long in total")
    }
    return name
  }

  private mutating func node(path: String, depth: Int) throws(FormatError) {
    do throws(FormatError) {
      try value(path: path, depth: depth)
    } catch {
      throw error.inTensor(path)
    }
  }

  private mutating func value(path: String, depth: Int) throws(FormatError) {
    let start = reader.cursor
    visited += 1
    guard visited <= Self.maxCount else {
      throw start.error(.limit, "the tree has too many values", expected: "at most \(grouped(Self.maxCount))")
    }
    let head = try reader.head("a value")
    switch head {
    case .map(let count), .array(let count):
      guard depth < Self.maxDepth else {
        throw start.error(.limit, "the tree is nested too deeply", expected: "at most \(Self.maxDepth) levels")
      }
      if case .map = head { return try map(count, path: path, depth: depth + 1) }
      for index in 0..<count { try node(path: try join(path, "\(index)", start), depth: depth + 1) }
    case .ext(let type, let count) where type == 1 || type == 3:
      sawArray = true
      let array = try array(try reader.take(count, "the array"), name: path)
      try claim(path, start)
      arrays.append(array)
    case .ext(2, let count):
      try add(path, try complex(try reader.take(count, "the complex number")), start)
    case .ext(let type, _):
      throw start.error(
        .unsupported, "the value has a type that Flax does not write", found: "ext type \(type)",
        expected: "ext type 1, 2 or 3")
    case .null: try add(path, "None", start)
    case .boolean(let value): try add(path, value ? "True" : "False", start)
    case .unsigned(let value): try add(path, "\(value)", start)
    case .negative(let value): try add(path, "\(value)", start)
    case .float(let value): try add(path, "\(value)", start)
    case .string(let count):
      let bytes = try reader.take(count, "the text")
      try add(path, (count <= 4096 ? bytes.utf8String() : nil) ?? "\(grouped(count)) bytes", start)
    case .binary(let count):
      _ = try reader.take(count, "the bytes")
      try add(path, "\(grouped(count)) bytes", start)
    }
  }

  /// Keys may contain a `/` themselves, so that two paths could be the same text.
  private mutating func claim(_ path: String, _ start: ByteCursor) throws(FormatError) {
    guard names.insert(path).inserted else { throw start.error(.damaged, "two values have the same path") }
  }

  private mutating func add(_ path: String, _ text: String, _ start: ByteCursor) throws(FormatError) {
    try claim(path, start)
    values.append((path, text))
  }

  // MARK: Arrays

  private func array(_ payload: Bytes, name: String) throws(FormatError) -> Array {
    var reader = MessagePackReader(payload)
    let start = reader.cursor
    guard case .array(3) = try reader.head("the array"), case .array(let rank) = try reader.head("the array's shape")
    else {
      throw start.error(.damaged, "the array is not a list of three", expected: "shape, type and elements")
    }
    guard rank <= Self.maxRank else {
      throw start.error(
        .limit, "the array has too many dimensions", found: "\(rank)", expected: "at most \(Self.maxRank)")
    }
    var shape: [Int] = []
    for _ in 0..<rank { shape.append(try Self.dimension(&reader)) }
    let typeStart = reader.cursor
    guard case .string(let length) = try reader.head("the array's type"), length <= Self.maxNameLength else {
      throw typeStart.error(.damaged, "the array's type is not a name")
    }
    let typeName = try reader.text(length, "the array's type")
    guard let elementType = Self.elementTypes[typeName] else {
      throw typeStart.error(
        .unsupported, "the array has an unknown type", found: typeName, expected: "a type of numbers, such as float32",
        advice: "Leave the array out of the tree, or save it as another type.")
    }
    guard let byteCount = checkedByteCount(shape, elementType) else {
      throw start.error(.limit, "the shape is too large", found: shapeText(shape))
    }
    guard case .binary(let count) = try reader.head("the array's elements") else {
      throw reader.cursor.error(.damaged, "the array's elements are not bytes")
    }
    guard count == byteCount else {
      throw reader.cursor.error(
        .damaged, "the array's elements do not match its shape and type", found: "\(count) bytes",
        expected: "\(byteCount) for \(elementType.rawValue) \(shapeText(shape))")
    }
    let data = try reader.take(count, "the array's elements")
    guard reader.cursor.isAtEnd else { throw reader.cursor.error(.damaged, "there is data after the array's elements") }
    // The system maps pages around those that are read: without this, listing would keep much of the file in memory.
    payload.releasePages()
    return Array(name: name, elementType: elementType, shape: shape, segments: [data])
  }

  private static func dimension(_ reader: inout MessagePackReader) throws(FormatError) -> Int {
    let start = reader.cursor
    guard case .unsigned(let value) = try reader.head("a dimension"), let dimension = Int(exactly: value) else {
      throw start.error(.damaged, "a dimension is not a valid number")
    }
    return dimension
  }

  private func complex(_ payload: Bytes) throws(FormatError) -> String {
    var reader = MessagePackReader(payload)
    guard case .array(2) = try reader.head("the complex number"), case .float(let real) = try reader.head("a number"),
      case .float(let imaginary) = try reader.head("a number"), reader.cursor.isAtEnd
    else {
      throw ByteCursor(payload).error(.damaged, "the complex number is not a pair of floats")
    }
    return "\(real)\(imaginary.sign == .minus ? "" : "+")\(imaginary)j"
  }

  /// The rest of a map of `count` keys after the one that marks it as an array in chunks.
  private mutating func chunkedArray(_ count: Int, name: String) throws(FormatError) {
    let start = reader.cursor
    guard case .boolean(true) = try reader.head("a value") else {
      throw start.error(.damaged, "'\(Self.chunkedKey)' is not true")
    }
    var shape: [Int]?
    var chunks: [Array]?
    for _ in 1..<count {
      let keyStart = reader.cursor
      switch try key() {
      case "shape" where shape == nil:
        shape = try numbered("the shape", atMost: Self.maxRank) { (tree, _) throws(FormatError) in
          try Self.dimension(&tree.reader)
        }
      case "chunks" where chunks == nil:
        chunks = try numbered("the chunks", atMost: Self.maxCount) { (tree, index) throws(FormatError) in
          try tree.chunk("\(name)/chunks/\(index)")
        }
      default:
        throw keyStart.error(
          .damaged, "a chunked array has an unknown or duplicate key", expected: "'shape' and 'chunks'")
      }
    }
    guard let shape, let chunks, let first = chunks.first else {
      throw start.error(.damaged, "a chunked array has no shape or no chunks", expected: "'shape' and 'chunks'")
    }
    guard chunks.allSatisfy({ $0.elementType == first.elementType }) else {
      throw start.error(.damaged, "the chunks of an array have different types")
    }
    // Each was checked against the file already, so the sum cannot overflow.
    let segments = chunks.flatMap(\.segments)
    let count = segments.reduce(0) { $0 + $1.count }
    guard let expected = checkedByteCount(shape, first.elementType), expected == count else {
      throw start.error(
        .damaged, "the chunks do not match the array's shape", found: "\(count) bytes in \(chunks.count) chunks",
        expected: "\(first.elementType.rawValue) \(shapeText(shape))")
    }
    try claim(name, start)
    arrays.append(Array(name: name, elementType: first.elementType, shape: shape, segments: segments))
  }

  private mutating func chunk(_ name: String) throws(FormatError) -> Array {
    let start = reader.cursor
    visited += 1
    guard visited <= Self.maxCount, case .ext(1, let count) = try reader.head("a chunk") else {
      throw start.error(.damaged, "a chunk is not an array, or there are too many chunks")
    }
    sawArray = true
    return try array(try reader.take(count, "a chunk"), name: name)
  }

  /// A map that stands for a list: its keys are "0", "1" …, in any order.
  private mutating func numbered<T>(
    _ what: String, atMost largest: Int, _ element: (inout FlaxTree, Int) throws(FormatError) -> T
  ) throws(FormatError) -> [T] {
    let start = reader.cursor
    guard case .map(let count) = try reader.head(what), count <= largest else {
      throw start.error(.damaged, "\(what) of a chunked array is not a map of a valid size")
    }
    var found: [Int: T] = [:]
    for _ in 0..<count {
      let keyStart = reader.cursor
      let key = try self.key()
      guard let index = Int(key), index >= 0, index < count, found[index] == nil, "\(index)" == key else {
        throw keyStart.error(
          .damaged, "\(what) of a chunked array has an invalid key", found: key, expected: "0 to \(count - 1)")
      }
      found[index] = try element(&self, index)
    }
    return (0..<count).compactMap { found[$0] }
  }
}
