import TensorIO

/// The parameters of OpenAI's GPT of 2018 as openai/finetune-transformer-lm publishes them (`model/`, read by its train.py):
///
///     params_shapes.json   [[512, 768], [40478, 768], [1, 768, 2304], …]
///     params_0.npy …       all parameters flattened, one behind the other, cut anywhere
///
/// They have no names but an order: positions, words, and twelve a block. A list of another length or of other ranks is
/// numbered instead.
public final class NpyShardsSource: TensorSource {
  public let format = FormatName.npyShards
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let warnings: [String]
  private let shards: [Shard]
  private let elementSize: Int
  /// The first element of each tensor among all.
  private let starts: [Int]

  private struct Shard: Sendable {
    let path: String
    let data: Bytes
    /// Its first element among all.
    let start: Int
  }

  /// The name of the list of shapes, which lies beside the arrays.
  static let listName = "params_shapes.json"
  private static let largestList = 1 << 20
  private static let mostParameters = 100_000

  /// The name of a shard; `nil` for other names.
  static func shardNumber(_ name: String) -> Int? {
    guard name.hasPrefix("params_"), name.hasSuffix(".npy") else { return nil }
    let digits = name.dropFirst(7).dropLast(4)
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits.utf8.count <= 6 else {
      return nil
    }
    return Int(digits)
  }

  /// Whether the file is a list, as no other index of a checkpoint is.
  static func recognises(_ list: Bytes) -> Bool {
    let head = list.slice(0, min(64, list.count))?.array() ?? []
    return head.first { ![0x20, 0x0A, 0x0D, 0x09].contains($0) } == UInt8(ascii: "[")
  }

  /// Opens the arrays beside the list of shapes at `path`.
  public init(list: Bytes, path: String) throws(FormatError) {
    let shapes = try Self.shapes(list, path)
    let folder = FileSystem.folder(of: path)
    let numbers = try FileSystem.names(inFolder: folder).compactMap(Self.shardNumber).sorted()
    guard !numbers.isEmpty else {
      throw FormatError(
        "there is no array beside the list of shapes", file: path, expected: "params_0.npy and so on",
        advice: "Fetch the arrays into \(folder).")
    }
    if let missing = numbers.indices.first(where: { numbers[$0] != $0 }) {
      throw FormatError(
        "an array is missing", file: FileSystem.join(folder, "params_\(missing).npy"),
        found: "params_\(numbers[missing]).npy in its place", advice: "Fetch the missing file into \(folder).")
    }

    var shards: [Shard] = []
    var files = [SourceFile(path: path, size: UInt64(list.count))]
    var total = 0
    var type: ElementType?
    for number in numbers {
      let path = FileSystem.join(folder, "params_\(number).npy")
      let (header, data) = try Self.openArray(path)
      guard type.map({ $0 == header.elementType }) ?? true else {
        throw FormatError(
          "the arrays are of different types", file: path, found: header.elementType.rawValue,
          expected: type?.rawValue)
      }
      type = header.elementType
      shards.append(Shard(path: path, data: data, start: total))
      files.append(SourceFile(path: path, size: UInt64(data.offsetInFile) + UInt64(data.count)))
      total += header.byteCount / (header.elementType.size ?? 1)
    }
    guard let type, let size = type.size else { throw FormatError("the arrays have no number type", file: path) }

    let names = Self.names(shapes)
    var tensors: [TensorInfo] = []
    var wanted = 0
    var starts: [Int] = []
    for (index, shape) in shapes.enumerated() {
      let name = names?[index] ?? "params/\(index)"
      guard var info = TensorInfo(name: name, elementType: type, shape: shape) else {
        throw FormatError("a shape is too large", file: path, tensor: name, found: shapeText(shape))
      }
      let (end, overflow) = wanted.addingReportingOverflow(info.elementCount)
      guard !overflow else { throw FormatError("the shapes are too large", file: path, found: shapeText(shape)) }
      if let (number, piece) = Self.onlyPiece(wanted..<end, shards, size) {
        info.location = .init(file: number + 1, offset: piece.offsetInFile)
      }
      tensors.append(info)
      starts.append(wanted)
      wanted = end
    }
    guard wanted == total else {
      throw FormatError(
        "the arrays do not hold what the shapes say", file: path,
        found: "\(grouped(total)) values in \(numbers.count) arrays",
        expected: "\(grouped(wanted)) for \(shapes.count) shapes",
        advice: total < wanted
          ? "The last arrays may be missing: fetch all of them." : "The list may be of another model.")
    }
    self.shards = shards
    self.files = files
    self.tensors = tensors
    elementSize = size
    self.starts = starts
    warnings =
      names == nil
      ? ["the list of shapes is not that of a GPT (positions, words, twelve a block), so the parameters are numbered"]
      : []
  }

  private static func shapes(_ list: Bytes, _ path: String) throws(FormatError) -> [[Int]] {
    guard list.count <= largestList else {
      throw FormatError("the list of shapes is too large", file: path, found: "\(list.count) bytes")
    }
    let json = try JSON.parse(list.array(), file: path)
    guard let items = json.elements, !items.isEmpty, items.count <= mostParameters else {
      throw FormatError(
        "not a list of shapes", file: path, found: json.elements.map { "\($0.count) entries" },
        expected: "1 to \(mostParameters) shapes, as [[512, 768], …]")
    }
    var shapes: [[Int]] = []
    for (index, item) in items.enumerated() {
      let sizes = item.elements?.map(\.intValue)
      guard let sizes, !sizes.contains(nil), sizes.count <= 32, sizes.allSatisfy({ ($0 ?? -1) >= 0 }) else {
        throw FormatError(
          "a shape is not a list of sizes", file: path, tensor: "params/\(index)", found: item.text(),
          expected: "whole numbers, as [512, 768]")
      }
      shapes.append(sizes.compactMap(\.self))
    }
    return shapes
  }

  private static func openArray(_ path: String) throws(FormatError) -> (NpyHeader, Bytes) {
    let file = try MappedFile.open(path)
    let header: NpyHeader
    do throws(FormatError) { header = try NumPySource.header(ofArray: file, name: FileSystem.baseName(path)) } catch {
      throw error.inFile(path)
    }
    guard !header.isBigEndian, !header.isFortranOrder || header.shape.count < 2 else {
      throw FormatError(
        "an array that does not lie row by row in little-endian numbers cannot be joined to others", file: path,
        found: header.isBigEndian ? "big-endian numbers" : "Fortran order",
        advice: "Save it again with numpy.save(path, numpy.ascontiguousarray(array)).")
    }
    guard let data = file.slice(header.dataOffset, header.byteCount) else {
      throw FormatError("the array is cut short", file: path)
    }
    return (header, data)
  }

  /// What the program calls its parameters, where the shapes are those of a GPT.
  private static func names(_ shapes: [[Int]]) -> [String]? {
    let block: [(name: String, rank: Int)] = [
      ("attn/c_attn/w", 3), ("attn/c_attn/b", 1), ("attn/c_proj/w", 3), ("attn/c_proj/b", 1), ("ln_1/g", 1),
      ("ln_1/b", 1), ("mlp/c_fc/w", 3), ("mlp/c_fc/b", 1), ("mlp/c_proj/w", 3), ("mlp/c_proj/b", 1), ("ln_2/g", 1),
      ("ln_2/b", 1),
    ]
    guard shapes.count > 2, (shapes.count - 2) % block.count == 0, shapes[0].count == 2, shapes[1].count == 2 else {
      return nil
    }
    let fits = shapes.dropFirst(2).enumerated().allSatisfy { $0.element.count == block[$0.offset % block.count].rank }
    guard fits else { return nil }
    return ["model/positions", "model/tokens"]
      + (0..<((shapes.count - 2) / block.count)).flatMap { layer in block.map { "model/h\(layer)/\($0.name)" } }
  }

  /// The pieces of the shards that hold the elements of `range`, in order.
  private static func pieces(
    _ range: Range<Int>, _ shards: [Shard], _ size: Int
  ) -> [(shard: Int, bytes: Bytes)] {
    shards.enumerated().compactMap { number, shard in
      let own = range.clamped(to: shard.start..<(shard.start + shard.data.count / size))
      guard !own.isEmpty, let bytes = shard.data.slice((own.lowerBound - shard.start) * size, own.count * size) else {
        return nil
      }
      return (number, bytes)
    }
  }

  private static func onlyPiece(_ range: Range<Int>, _ shards: [Shard], _ size: Int) -> (shard: Int, bytes: Bytes)? {
    let found = pieces(range, shards, size)
    return found.count == 1 ? found[0] : nil
  }

  private func pieces(ofTensorAt index: Int) -> [Bytes] {
    let range = starts[index]..<(starts[index] + tensors[index].elementCount)
    return Self.pieces(range, shards, elementSize).map(\.bytes)
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let pieces = pieces(ofTensorAt: index)
    let whole: Bytes
    if pieces.count == 1 {
      whole = pieces[0]
    } else {
      whole = Bytes(
        count: tensors[index].byteCount,
        filledBy: { target in
          var place = 0
          for piece in pieces {
            piece.withSpan { target.copy($0, to: place) }
            place += piece.count
          }
        })
    }
    let result = try whole.withSpan { try body($0) }
    for piece in pieces {
      try piece.checkIntact()
      piece.releasePages()
    }
    return result
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    for piece in pieces(ofTensorAt: index) {
      try piece.forEachPiece { try $0.withSpan { try body($0) } }
    }
  }
}
