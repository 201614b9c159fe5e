import TensorIO

/// Writes a plain safetensors file (huggingface/safetensors), the tensors in the order in which they are declared but
/// wider elements first, as the reference writer does, so that each is aligned; `SafetensorsHeader` has the layout.
///
/// The header comes before the data and holds the metadata, so what ``finish(metadata:)`` adds to that of the
/// initialiser has to fit the room that is kept for it.
public final class SafetensorsWriter: TensorSink {
  private let file: AtomicFile
  private let path: String
  private let metadata: [(key: String, value: String)]
  private let room: Int
  private var entries: [SafetensorsHeader.Entry] = []
  private var starts: [Int] = []
  private var dataStart = 0
  private var progress = SinkProgress([], file: "")

  /// `metadata` is written with what ``finish(metadata:)`` adds, of which `room` bytes are sure to fit.
  public init(
    path: String, overwrites: Bool, metadata: [(key: String, value: String)] = [], room: Int = 1024
  ) throws(FormatError) {
    self.path = path
    self.metadata = metadata
    self.room = max(0, room)
    file = try AtomicFile(path, overwrites: overwrites)
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: path)
    for tensor in tensors {
      guard tensor.elementType.isInSafetensors else {
        throw FormatError(
          "safetensors has no such type", file: path, tensor: tensor.name, found: tensor.elementType.rawValue)
      }
      guard tensor.name != "__metadata__" else {
        throw FormatError("the name is taken by the format itself", file: path, tensor: tensor.name)
      }
    }
    starts = [Int](repeating: 0, count: tensors.count)
    var end = 0
    for size in [16, 8, 4, 2, 1] {
      for (index, tensor) in tensors.enumerated() where tensor.elementType.size == size {
        starts[index] = end
        entries.append(
          .init(
            name: tensor.name, elementType: tensor.elementType, shape: tensor.shape,
            range: end..<(end + tensor.byteCount)))
        end += tensor.byteCount
      }
    }
    let header = SafetensorsHeader.serialise(entries, metadata: metadata, alignment: 64)
    dataStart = header.count + (room + 63) / 64 * 64
    progress = SinkProgress(tensors, file: path)
    try file.reserve(dataStart + end)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    try file.write(bytes, at: dataStart + starts[index] + offset)
  }

  public func finish(metadata added: [(key: String, value: String)]) throws {
    try progress.checkComplete()
    let all = metadata.filter { known in !added.contains { $0.key == known.key } } + added
    let compact = SafetensorsHeader.serialise(entries, metadata: all, alignment: 1)
    guard compact.count <= dataStart, dataStart - 8 <= SafetensorsHeader.maximumLength else {
      throw FormatError(
        "the metadata does not fit the room that the header has for it", file: path, found: "\(compact.count) bytes",
        expected: "at most \(dataStart)")
    }
    // The padding belongs to the header: its length is written anew.
    let padding = [UInt8](repeating: 0x20, count: dataStart - compact.count)
    try file.write(little(UInt64(dataStart - 8)) + compact.dropFirst(8) + padding, at: 0)
    try file.commit()
  }

  public func cancel() { file.cancel() }
}
