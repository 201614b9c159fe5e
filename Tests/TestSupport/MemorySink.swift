import TensorIO

/// Collects what is written, and fails where a test wants it to.
public final class MemorySink: TensorSink {
  public private(set) var infos: [TensorInfo] = []
  public private(set) var data: [[UInt8]] = []
  public private(set) var isFinished = false
  public private(set) var isCancelled = false
  /// The bytes that the sink takes before it throws ``failure``, as a disk with little space does.
  private let capacity: Int
  private var size = 0

  public static let failure = FormatError(.output, "the disk is full")

  public init(capacity: Int = .max) { self.capacity = capacity }

  public func begin(_ tensors: [TensorInfo]) throws {
    infos = tensors
    data = tensors.map { _ in [] }
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    size += bytes.byteCount
    guard size <= capacity else { throw Self.failure }
    data[index] += bytes.array()
  }

  public func finish() throws { isFinished = true }

  public func cancel() { isCancelled = true }

  /// The bytes of a tensor; none where it was not written.
  public func bytes(_ name: String) -> [UInt8] { infos.firstIndex { $0.name == name }.map { data[$0] } ?? [] }

  public func floats(_ name: String) -> [Float] { TestSupport.floats(inBytes: bytes(name)) }
}
