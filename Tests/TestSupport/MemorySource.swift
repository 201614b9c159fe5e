import TensorIO

/// A checkpoint in memory: the source of a test, to which tensors are added one by one.
///
/// ``ObservedSource`` counts how it is read and makes it fail.
public struct MemorySource: TensorSource {
  public var format: FormatName
  public var files: [SourceFile]
  public var warnings: [String] = []
  public var imports: [ImportedGlobal] = []
  public var code: [ContainedCode] = []
  public var metadata: [(key: String, value: String)] = []
  public private(set) var tensors: [TensorInfo] = []
  /// The most bytes that `streamBytes` gives at once: few, so that readers of a stream meet the end of a chunk often.
  public var chunkSize = 8

  private var data: [Bytes] = []

  public init(format: FormatName = FormatName(rawValue: "npz"), path: String = "memory.npz") {
    self.format = format
    files = [SourceFile(path: path, size: 0)]
  }

  /// A copy of another source, whose tensors can be changed.
  public init(copying source: any TensorSource) throws {
    self.init(format: source.format)
    files = source.files
    warnings = source.warnings
    imports = source.imports
    code = source.code
    metadata = source.metadata
    for (index, info) in source.tensors.enumerated() {
      tensors.append(info)
      data.append(Bytes(try source.withBytes(ofTensorAt: index) { $0.array() }))
    }
  }

  /// What a sink was given, as a source.
  public init(_ sink: MemorySink) {
    self.init()
    for (info, bytes) in zip(sink.infos, sink.data) { set(info, bytes) }
  }

  // MARK: Adding and changing

  /// Adds a tensor, or replaces that of the same name. The bytes need not fit its shape: a test may want that.
  public mutating func set(_ info: TensorInfo, _ bytes: [UInt8]) {
    if let index = index(ofTensor: info.name) {
      (tensors[index], data[index]) = (info, Bytes(bytes))
    } else {
      tensors.append(info)
      data.append(Bytes(bytes))
    }
  }

  public mutating func add(_ name: String, _ shape: [Int], type: ElementType = .f32, bytes: [UInt8]) {
    set(Self.info(name, shape, type), bytes)
  }

  /// Adds a tensor of random bits, which follow from `seed`, or from its name. As numbers they may be NaN.
  public mutating func add(_ name: String, _ shape: [Int], type: ElementType = .f32, seed: String? = nil) {
    let info = Self.info(name, shape, type)
    var random = SeededRandom(text: seed ?? name)
    let words = (0..<((info.byteCount + 7) / 8)).map { _ in random.next() }
    set(info, Array(littleEndianBytes(words).prefix(info.byteCount)))
  }

  public mutating func add(_ name: String, _ shape: [Int], floats: [Float]) {
    add(name, shape, bytes: littleEndianBytes(floats))
  }

  /// Adds a vector.
  public mutating func add(_ name: String, floats: [Float]) { add(name, [floats.count], floats: floats) }

  /// Adds integers, as I64.
  public mutating func add(_ name: String, _ shape: [Int], integers: [Int]) {
    add(name, shape, type: .i64, bytes: littleEndianBytes(integers.map { Int64($0) }))
  }

  /// Adds a tensor with the type, shape and bytes of another.
  public mutating func add(_ name: String, copyOf other: String) {
    guard let index = index(ofTensor: other) else { return }
    set(renamed(tensors[index], name), data[index].array())
  }

  public mutating func remove(_ name: String) {
    guard let index = index(ofTensor: name) else { return }
    tensors.remove(at: index)
    data.remove(at: index)
  }

  /// Changes the numbers of a tensor of F32.
  public mutating func changeFloats(_ name: String, _ change: (inout [Float]) -> Void) {
    var values = floats(name)
    change(&values)
    if let index = index(ofTensor: name) { data[index] = Bytes(littleEndianBytes(values)) }
  }

  /// The same tensors under other names; `nil` leaves one out.
  public func renamed(_ rename: (String) -> String?) -> MemorySource {
    var copy = self
    (copy.tensors, copy.data) = ([], [])
    for (info, bytes) in zip(tensors, data) {
      guard let name = rename(info.name) else { continue }
      copy.tensors.append(renamed(info, name))
      copy.data.append(bytes)
    }
    return copy
  }

  private func renamed(_ info: TensorInfo, _ name: String) -> TensorInfo {
    var copy = info
    copy.name = name
    return copy
  }

  private static func info(_ name: String, _ shape: [Int], _ type: ElementType) -> TensorInfo {
    TensorInfo(name: name, elementType: type, shape: shape)
      ?? TensorInfo(name: name, elementType: type, shape: shape, byteCount: 0)
  }

  // MARK: Reading

  /// The bytes of a tensor; none where there is no such tensor.
  public func bytes(_ name: String) -> [UInt8] { index(ofTensor: name).map { data[$0].array() } ?? [] }

  /// The numbers of a tensor of F32.
  public func floats(_ name: String) -> [Float] { TestSupport.floats(inBytes: bytes(name)) }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try data[index].withSpan(body)
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try data[index].withSpan { span in
      for start in stride(from: 0, to: span.byteCount, by: chunkSize) {
        try body(span.extracting(start..<min(start + chunkSize, span.byteCount)))
      }
    }
  }

  // MARK: Writing

  /// Gives every tensor to a sink, each in one chunk.
  public func write(to sink: any TensorSink) throws {
    try sink.begin(tensors)
    for index in tensors.indices { try data[index].withSpan { try sink.append($0, toTensorAt: index) } }
    try sink.finish()
  }
}
