import TensorIO

extension FormatName {
  public static let npyShards = FormatName(rawValue: "npy-shards")
}

/// One flat array of all parameters, cut into `.npy` files, and a list of shapes that gives the size of each: the format of
/// openai/finetune-transformer-lm (the OpenAI GPT of 2018; its train.py joins the parts):
///
///     params_shapes.json   [[512, 768], [40478, 768], [1, 768, 2304], [2304], …]
///     params_0.npy         | positions | tokens | h0/attn/c_at
///     params_1.npy         tn/w | h0/attn/c_attn/b | h0/attn/c_proj/w | …
///     …
///
/// The numbers count up from 0 without a gap. A parameter may begin in one file and end in another, and only the flat order
/// of an array counts, not its shape. The files hold no names. Where the shapes are those of that program's model, the
/// names are those of its variables, in the order in which `model` and `block` of train.py make them; `model/positions`
/// and `model/tokens` are two here, which the program puts together into its `model/we`.
public final class NpyShardsSource: TensorSource {
  public let format = FormatName.npyShards
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let warnings: [String]
  private let contents: [SegmentedBytes]

  /// The usual name of the list of shapes; the arrays are in the same folder.
  static let shapesName = "params_shapes.json"
  private static let maxListSize = 16 << 20
  private static let maxRank = 64

  /// The variables of a block of the program, with their ranks.
  private static let block = [
    ("attn/c_attn/w", 3), ("attn/c_attn/b", 1), ("attn/c_proj/w", 3), ("attn/c_proj/b", 1), ("ln_1/g", 1),
    ("ln_1/b", 1), ("mlp/c_fc/w", 3), ("mlp/c_fc/b", 1), ("mlp/c_proj/w", 3), ("mlp/c_proj/b", 1), ("ln_2/g", 1),
    ("ln_2/b", 1),
  ]

  /// The number in `params_12.npy`, written without leading zeros; `nil` for other names.
  static func shardNumber(_ name: String) -> Int? {
    guard name.hasPrefix("params_"), name.hasSuffix(".npy"), let number = Int(name.dropFirst(7).dropLast(4)),
      number >= 0, name == shardName(number)
    else { return nil }
    return number
  }

  private static func shardName(_ number: Int) -> String { "params_\(number).npy" }

  /// Whether a JSON file holds a list: other files that name shards hold an object.
  static func recognizes(_ file: Bytes) -> Bool {
    file.slice(0, min(file.count, 64))?.array().first { $0 > 0x20 } == UInt8(ascii: "[")
  }

  /// Opens the list at `path` and the arrays in its folder.
  public init(shapes path: String) throws(FormatError) {
    let list = try MappedFile.open(path)
    let shapes = try Self.shapes(list, path: path)
    let shards = try Self.shards(of: path)
    let elementType = shards.first?.elementType ?? .f32
    try Self.compareSizes(shapes, shards, elementType, path: path)
    let names = Self.variables(shapes)
    (tensors, contents) = Self.cut(shards, into: shapes, elementType, names: names)
    files = [SourceFile(path: path, size: UInt64(list.count))] + shards.map(\.file)
    warnings =
      (shards.first?.warnings ?? [])
      + (names == nil
        ? ["the shapes do not match finetune-transformer-lm's model, so the parameters are numbered, not named"]
        : [])
  }

  private static func shards(of path: String) throws(FormatError) -> [Shard] {
    let folder = FileSystem.folder(of: path)
    var shards: [Shard] = []
    for name in try shardNames(in: folder, list: path) {
      let shard = try Shard(FileSystem.join(folder, name))
      if let first = shards.first, first.elementType != shard.elementType {
        throw FormatError(
          .damaged, "the arrays have different types", file: shard.file.path, found: shard.elementType.rawValue,
          expected: "\(first.elementType.rawValue) as in \(FileSystem.baseName(first.file.path))")
      }
      shards.append(shard)
    }
    return shards
  }

  private static func compareSizes(
    _ shapes: [[Int]], _ shards: [Shard], _ elementType: ElementType, path: String
  ) throws(FormatError) {
    let listed = try total(shapes.map { checkedByteCount($0, elementType) }, path: path)
    let stored = try total(shards.map(\.data.count), path: path)
    guard listed != stored else { return }
    let size = elementType.size ?? 1
    throw FormatError(
      .damaged, "the arrays and the list of shapes differ in the number of elements", file: path,
      found: "\(grouped(stored / size)) in \(shards.count) \(shards.count == 1 ? "array" : "arrays")",
      expected: "\(grouped(listed / size)) for \(shapes.count) shapes",
      advice: stored < listed
        ? "An array may be missing after \(shardName(shards.count - 1)): put all of them into \(FileSystem.folder(of: path))."
        : "The list and the arrays may belong to different models: fetch them again.")
  }

  /// Cuts the flat array of all shards, which has as many elements as the shapes.
  private static func cut(
    _ shards: [Shard], into shapes: [[Int]], _ elementType: ElementType, names: [String]?
  ) -> ([TensorInfo], [SegmentedBytes]) {
    var shard = 0
    var offset = 0
    var tensors: [TensorInfo] = []
    var contents: [SegmentedBytes] = []
    for (index, shape) in shapes.enumerated() {
      let count = checkedByteCount(shape, elementType) ?? 0
      var segments: [Bytes] = []
      var location: TensorInfo.Location?
      var rest = count
      while rest > 0, shard < shards.count {
        let data = shards[shard].data
        if let segment = data.slice(offset, min(rest, data.count - offset)), !segment.isEmpty {
          location = segments.isEmpty ? .init(file: shard + 1, offset: segment.offsetInFile) : nil
          segments.append(segment)
          rest -= segment.count
          offset += segment.count
        }
        if offset == data.count { (shard, offset) = (shard + 1, 0) }
      }
      tensors.append(
        TensorInfo(
          name: names?[index] ?? "params/\(index)", elementType: elementType, shape: shape, byteCount: count,
          location: location))
      contents.append(SegmentedBytes(segments: segments))
    }
    return (tensors, contents)
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try contents[index].withBytes(body)
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try contents[index].stream(body)
  }

  // MARK: The list

  private static func shapes(_ list: Bytes, path: String) throws(FormatError) -> [[Int]] {
    guard list.count <= maxListSize else {
      throw FormatError(.limit, "the list of shapes is too large", file: path, found: "\(list.count) bytes")
    }
    let elements = try JSON.parse(list.array(), file: path).elements ?? []
    try list.checkIntact()
    guard !elements.isEmpty else {
      throw FormatError(
        .damaged, "the list of shapes is empty", file: path, expected: "a list such as [[512, 768], [768]]")
    }
    var shapes: [[Int]] = []
    for element in elements {
      let shape = element.elements?.map { $0.intValue ?? -1 }
      guard let shape, shape.count <= maxRank, shape.allSatisfy({ $0 >= 0 }) else {
        throw FormatError(
          .damaged, "element \(shapes.count) of the list is not a shape", file: path,
          found: String(element.text().prefix(60)),
          expected: "a list of at most \(maxRank) whole numbers",
          advice: "If this is not a list of shapes, give the checkpoint instead of this file.")
      }
      shapes.append(shape)
    }
    return shapes
  }

  private static func total(_ counts: [Int?], path: String) throws(FormatError) -> Int {
    var sum = 0
    for (index, count) in counts.enumerated() {
      let (next, overflow) = sum.addingReportingOverflow(count ?? .max)
      guard count != nil, !overflow else {
        throw FormatError(.limit, "the shapes are too large from element \(index) of the list on", file: path)
      }
      sum = next
    }
    return sum
  }

  /// The names of the program's variables, where there are as many shapes as it has and their ranks fit.
  private static func variables(_ shapes: [[Int]]) -> [String]? {
    let (layers, rest) = (shapes.count - 2).quotientAndRemainder(dividingBy: block.count)
    guard layers > 0, rest == 0 else { return nil }
    var expected = [("model/positions", 2), ("model/tokens", 2)]
    for layer in 0..<layers { expected += block.map { ("model/h\(layer)/\($0.0)", $0.1) } }
    return zip(expected, shapes).allSatisfy { $0.1 == $1.count } ? expected.map(\.0) : nil
  }

  // MARK: The arrays

  private static func shardNames(in folder: String, list: String) throws(FormatError) -> [String] {
    let numbers = Set(try FileSystem.names(inFolder: folder).compactMap(shardNumber))
    guard let last = numbers.max() else {
      throw FormatError(
        .unreadable, "there is no array in the folder of the list of shapes", file: list,
        expected: "params_0.npy, params_1.npy …",
        advice:
          "Put the list and all arrays into one folder. If this is not a list of shapes, give the checkpoint instead.")
    }
    let missing = (0...last).lazy.filter { !numbers.contains($0) }.prefix(8).map(shardName)
    guard missing.isEmpty else {
      throw FormatError(
        .unreadable, "an array is missing from the series", file: list,
        found: "no \(missing.joined(separator: ", "))", advice: "Fetch what is missing into \(folder).")
    }
    return (0...last).map(shardName)
  }

  private struct Shard {
    let file: SourceFile
    let elementType: ElementType
    let data: Bytes
    let warnings: [String]

    init(_ path: String) throws(FormatError) {
      let bytes = try MappedFile.open(path)
      if let pointer = gitLFSPointer(bytes) { throw pointer }
      let array = try NumPySource(npy: bytes, path: path)
      let tensor = array.tensors[0]
      guard tensor.elementType.isFloatingPoint else {
        throw FormatError(
          .unsupported, "the array does not contain floating-point numbers", file: path,
          found: tensor.elementType.rawValue,
          expected: "F32, F16, BF16 or F64")
      }
      // A flat order of the elements is all that counts, and only this one is the file's own.
      guard let offset = tensor.location?.offset, let start = Int(exactly: offset),
        let data = bytes.slice(start, tensor.byteCount)
      else {
        throw FormatError(
          .unsupported, "the array is stored big-endian or in Fortran order", file: path,
          expected: "little-endian numbers in C order",
          advice: "Save it again: np.save(path, np.ascontiguousarray(array, array.dtype.newbyteorder('<'))).")
      }
      (file, elementType, self.data, warnings) = (array.files[0], tensor.elementType, data, array.warnings)
    }
  }
}
