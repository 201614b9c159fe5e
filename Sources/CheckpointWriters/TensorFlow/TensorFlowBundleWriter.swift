import CheckpointFormats
import TensorIO

/// Writes a TensorFlow V2 checkpoint, `PREFIX.index` and `PREFIX.data-00000-of-00001` (core/util/tensor_bundle):
///
///     index = Table: "" → BundleHeader, tensor name → BundleEntry
///     data  = the tensors' bytes, one after another
///
/// All files appear, or none of them; the index, which alone makes a checkpoint, is the last.
public final class TensorFlowBundleWriter: TensorSink {
  /// What TensorFlow reads, but does not write on this machine: for tests.
  package struct Options {
    package var isBigEndian = false
    package var compressesIndex = false
    package var blockSize = 256 << 10
    /// Tensors that are stored in this many slices of their first dimension.
    package var partitions: [String: Int] = [:]
    package init() {}
  }

  /// A tensor, or a slice of its first dimension.
  private struct Part {
    /// Bytes of the tensor before this part.
    var start: Int
    var size: Int
    var rows: Range<Int>?
    var checksum = CRC32C()
  }

  private let prefix: String
  private let options: Options
  /// Texts that are written as one with the checkpoint, then the data and the index.
  private let files: [AtomicFile]
  private let data: AtomicFile
  private let index: AtomicFile
  private var tensors: [TensorInfo] = []
  private var starts: [Int] = []
  private var parts: [[Part]] = []
  private var progress = SinkProgress([], file: "")

  /// - Parameters:
  ///   - prefix: the path of the checkpoint without `.index`
  ///   - overwrites: whether the checkpoint may replace existing files
  ///   - texts: other files that appear with the checkpoint, or not at all
  public convenience init(
    prefix: String, overwrites: Bool, texts: [(path: String, content: String)] = []
  ) throws(FormatError) {
    try self.init(prefix: prefix, overwrites: overwrites, texts: texts, options: Options())
  }

  package init(
    prefix: String, overwrites: Bool, texts: [(path: String, content: String)] = [], options: Options
  ) throws(FormatError) {
    self.prefix = prefix
    self.options = options
    // What was opened before an error is removed with its object.
    index = try AtomicFile(prefix + BundleFiles.indexSuffix, overwrites: overwrites)
    data = try AtomicFile(BundleFiles.shard(prefix, 0, of: 1), overwrites: overwrites)
    var files: [AtomicFile] = []
    for text in texts {
      let file = try AtomicFile(text.path, overwrites: overwrites)
      try file.write(Array(text.content.utf8), at: 0)
      files.append(file)
    }
    self.files = files + [data, index]
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: prefix)
    var end = 0
    for tensor in tensors {
      guard tensor.elementType.tensorFlowNumber != nil else {
        throw FormatError(
          .unsupported, "TensorFlow has no such type", file: prefix, tensor: tensor.name,
          found: tensor.elementType.rawValue)
      }
      guard let first = tensor.name.utf8.first, first != 0 else {
        throw FormatError(
          .unsupported, "the name is empty or begins with a zero byte", file: prefix, tensor: tensor.name)
      }
      starts.append(end)
      parts.append(Self.parts(of: tensor, count: options.partitions[tensor.name]))
      end += tensor.byteCount
    }
    self.tensors = tensors
    progress = SinkProgress(tensors, file: prefix)
    try data.reserve(end)
  }

  private static func parts(of tensor: TensorInfo, count: Int?) -> [Part] {
    guard let count, count > 0, let rows = tensor.shape.first, rows >= count else {
      return [Part(start: 0, size: tensor.byteCount, rows: nil)]
    }
    let row = tensor.byteCount / rows
    return (0..<count).map { number in
      let range = (rows * number / count)..<(rows * (number + 1) / count)
      return Part(start: range.lowerBound * row, size: range.count * row, rows: range)
    }
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let unit = tensors[index].elementType.swapUnit ?? 1
    guard options.isBigEndian, unit > 1 else { return try store(bytes, index) }
    guard bytes.byteCount % unit == 0 else {
      throw FormatError(.output, "a chunk of data ends within an element", file: prefix, tensor: tensors[index].name)
    }
    try Bytes(
      count: bytes.byteCount, file: nil,
      initializingWith: { target in Layout.swapBytes(bytes, into: &target, unit: unit) }
    ).withSpan { try store($0, index) }
  }

  private func store(_ bytes: RawSpan, _ index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    for number in parts[index].indices {
      let part = parts[index][number]
      let low = max(offset, part.start)
      let high = min(offset + bytes.byteCount, part.start + part.size)
      if low < high { parts[index][number].checksum.update(bytes.extracting((low - offset)..<(high - offset))) }
    }
    try data.write(bytes, at: starts[index] + offset)
  }

  public func finish() throws {
    try progress.checkComplete()
    var entries: [(key: [UInt8], value: [UInt8])] = [
      ([], BundleMessages.header(shards: 1, isBigEndian: options.isBigEndian))
    ]
    for (number, tensor) in tensors.enumerated() { entries += self.entries(tensor, number) }
    entries.sort { $0.key.lexicographicallyPrecedes($1.key) }
    var table = TableWriter(compresses: options.compressesIndex, blockSize: options.blockSize)
    for entry in entries { table.add(entry.key, entry.value) }
    try index.write(table.finish(), at: 0)
    try AtomicFile.commit(files)
  }

  private func entries(_ tensor: TensorInfo, _ number: Int) -> [(key: [UInt8], value: [UInt8])] {
    let type = tensor.elementType.tensorFlowNumber ?? 0
    let name = Array(tensor.name.utf8)
    if parts[number].count == 1, let only = parts[number].first, only.rows == nil {
      return [
        (
          name,
          BundleMessages.entry(
            type: type, shape: tensor.shape, offset: starts[number], size: only.size, checksum: only.checksum.value)
        )
      ]
    }
    var result: [(key: [UInt8], value: [UInt8])] = []
    var slices: [[SliceExtent]] = []
    for part in parts[number] {
      let rows = part.rows ?? 0..<(tensor.shape.first ?? 0)
      let slice =
        [SliceExtent(start: rows.lowerBound, length: rows.count)] + tensor.shape.dropFirst().map { _ in .whole }
      slices.append(slice)
      result.append(
        (
          OrderedCode.sliceKey(name: name, slice: slice),
          BundleMessages.entry(
            type: type, shape: [rows.count] + tensor.shape.dropFirst(), offset: starts[number] + part.start,
            size: part.size, checksum: part.checksum.value)
        ))
    }
    return result + [(name, BundleMessages.partitioned(type: type, shape: tensor.shape, slices: slices))]
  }

  public func cancel() { for file in files { file.cancel() } }
}
