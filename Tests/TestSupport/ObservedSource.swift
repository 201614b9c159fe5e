import TensorIO

/// A source that counts how it is read, and that fails where a test wants it to.
public final class ObservedSource: TensorSource {
  /// What a reader meets at one tensor.
  public enum Fault: Sendable {
    /// Reading it throws after passing on the bytes.
    case damaged
    /// Its bytes are more than its shape requires by this number, or fewer if it is negative.
    case otherSize(by: Int)
  }

  private struct Counts {
    var running = 0
    var reads: [Int: Int] = [:]
  }

  private let base: any TensorSource
  private let faults: [String: Fault]
  private let counts = Lock(Counts())

  /// - Parameter faults: by the names of the tensors
  public init(_ base: any TensorSource, faults: [String: Fault] = [:]) {
    self.base = base
    self.faults = faults
  }

  /// The calls that have begun and not ended.
  public var runningCalls: Int { counts.withLock { $0.running } }

  /// How often a tensor was read; -1 for one that is not there.
  public func reads(_ name: String) -> Int {
    guard let index = base.index(ofTensor: name) else { return -1 }
    return counts.withLock { $0.reads[index, default: 0] }
  }

  public var format: FormatName { base.format }
  public var files: [SourceFile] { base.files }
  public var tensors: [TensorInfo] { base.tensors }
  public var warnings: [String] { base.warnings }
  public var imports: [ImportedGlobal] { base.imports }
  public var code: [ContainedCode] { base.code }
  public var metadata: [(key: String, value: String)] { base.metadata }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try observed(index) { fault in
      guard case .otherSize(let difference) = fault else { return try base.withBytes(ofTensorAt: index, body) }
      let bytes = try base.withBytes(ofTensorAt: index) { $0.array() }
      let changed = Array(bytes.prefix(bytes.count + difference)) + Array(repeating: 0, count: max(0, difference))
      return try Bytes(changed).withSpan(body)
    }
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    if case .otherSize = faults[tensors[index].name] { return try withBytes(ofTensorAt: index, body) }
    try observed(index) { _ in try base.streamBytes(ofTensorAt: index, body) }
  }

  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] { try base.strings(ofTensorAt: index) }

  private func observed<R>(_ index: Int, _ read: (Fault?) throws -> R) throws -> R {
    counts.withLock {
      $0.running += 1
      $0.reads[index, default: 0] += 1
    }
    defer { counts.withLock { $0.running -= 1 } }
    let name = tensors[index].name
    let result = try read(faults[name])
    if case .damaged = faults[name] { throw FormatError(.damaged, "the tensor is damaged", tensor: name) }
    return result
  }
}
