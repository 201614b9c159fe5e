import CheckpointFormats
import TensorIO

/// Writes a plain safetensors file (huggingface/safetensors), the tensors in the order in which they are declared but
/// wider elements first, as the reference writer does, so that each is aligned; `SafetensorsHeader` has the layout.
public final class SafetensorsWriter: TensorSink {
  private let file: AtomicFile
  private let path: String
  private let metadata: [(key: String, value: String)]
  private var header: [UInt8] = []
  private var starts: [Int] = []
  private var progress = SinkProgress([], file: "")

  /// `metadata` becomes the header's `__metadata__`.
  public init(
    path: String, overwrites: Bool, metadata: [(key: String, value: String)] = []
  ) throws(FormatError) {
    self.path = path
    self.metadata = metadata
    file = try AtomicFile(path, overwrites: overwrites)
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: path)
    try SafetensorsHeader.check(tensors, file: path)
    starts = [Int](repeating: 0, count: tensors.count)
    var entries: [SafetensorsHeader.Entry] = []
    var end = 0
    for size in ElementType.descendingSizes {
      for (index, tensor) in tensors.enumerated() where tensor.elementType.size == size {
        starts[index] = end
        entries.append(
          .init(
            name: tensor.name, elementType: tensor.elementType, shape: tensor.shape,
            range: end..<(end + tensor.byteCount)))
        end += tensor.byteCount
      }
    }
    header = SafetensorsHeader.encoded(entries, metadata: metadata, alignment: 64)
    try SafetensorsHeader.checkLength(header.count, file: path)
    progress = SinkProgress(tensors, file: path)
    try file.reserve(header.count + end)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    try file.write(bytes, at: header.count + starts[index] + offset)
  }

  public func finish() throws {
    try progress.checkComplete()
    try file.write(header, at: 0)
    try file.commit()
  }

  public func cancel() { file.cancel() }
}
