/// Name, type, shape and location of a tensor of a checkpoint.
public struct TensorInfo: Sendable, Equatable {
  /// The name in the checkpoint itself.
  public var name: String
  /// A second, readable name, where the checkpoint records one (TF2 object graphs).
  public var fullName: String?
  public var elementType: ElementType
  /// Dimensions, outermost first; empty for a scalar.
  public var shape: [Int]
  /// Bytes of the contiguous tensor; for strings, the bytes as stored.
  public var byteCount: Int
  /// Where the data is, if it is contiguous: an index into the source's files, and the offset there.
  public var location: Location?
  /// Tensors with the same number here share their memory (tied weights).
  public var sharedStorage: Int?

  public struct Location: Sendable, Equatable {
    public var file: Int
    public var offset: UInt64
    public init(file: Int, offset: UInt64) {
      self.file = file
      self.offset = offset
    }
  }

  public init(
    name: String, fullName: String? = nil, elementType: ElementType, shape: [Int], byteCount: Int,
    location: Location? = nil, sharedStorage: Int? = nil
  ) {
    self.name = name
    self.fullName = fullName
    self.elementType = elementType
    self.shape = shape
    self.byteCount = byteCount
    self.location = location
    self.sharedStorage = sharedStorage
  }

  /// A tensor of fixed-size elements; `nil` when the shape's product does not fit or the type has no fixed size.
  public init?(name: String, elementType: ElementType, shape: [Int]) {
    guard let bytes = checkedByteCount(shape, elementType) else { return nil }
    self.init(name: name, elementType: elementType, shape: shape, byteCount: bytes)
  }

  /// Number of elements.
  public var elementCount: Int { checkedElementCount(shape) ?? 0 }
}

/// One file of a checkpoint.
public struct SourceFile: Sendable, Equatable {
  public var path: String
  public var size: UInt64
  public init(path: String, size: UInt64) {
    self.path = path
    self.size = size
  }
}

/// The name of a format, by which people and programs know it. Each reader declares its own.
public struct FormatName: RawRepresentable, Hashable, Sendable {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
}

/// A checkpoint that was opened: its tensors can be listed without reading data, and read one by one.
public protocol TensorSource: Sendable {
  var format: FormatName { get }
  var files: [SourceFile] { get }
  /// In the order in which the checkpoint lists them.
  var tensors: [TensorInfo] { get }
  /// What the user should know about the checkpoint, one sentence each.
  var warnings: [String] { get }
  /// The names that a pickle imports; empty for formats without code.
  var imports: [ImportedGlobal] { get }
  /// Other code in the checkpoint: programs, graphs and layers that a framework would run. Nothing of it is run here.
  /// ``warnings`` include those of ``ContainedCode/warnings(of:)``.
  var code: [ContainedCode] { get }
  /// Values other than the tensors, as text.
  var metadata: [(key: String, value: String)] { get }
  /// The model's config, where the checkpoint itself contains one.
  var config: JSON? { get }

  /// Calls `body` with the contiguous, row-major, little-endian bytes of a tensor, after every checksum that the
  /// format has was verified. Throws ``FormatError`` for damage, and what `body` throws.
  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R

  /// The same bytes in order, in chunks of whole elements; `body` may see bytes of a tensor that turns out to be
  /// damaged, in which case the call throws after the last chunk.
  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws

  /// The elements of a tensor of strings.
  func strings(ofTensorAt index: Int) throws -> [[UInt8]]
}

extension TensorSource {
  public var warnings: [String] { [] }
  public var imports: [ImportedGlobal] { [] }
  public var code: [ContainedCode] { [] }
  public var metadata: [(key: String, value: String)] { [] }
  public var config: JSON? { nil }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try withBytes(ofTensorAt: index, body)
  }

  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    throw FormatError(
      .unsupported, "the tensor does not contain strings", file: files.first?.path, tensor: tensors[index].name,
      found: tensors[index].elementType.rawValue)
  }

  /// The index of the tensor of that name.
  public func index(ofTensor name: String) -> Int? { tensors.firstIndex { $0.name == name } }
}

/// Where converted tensors go. A sink whose format keeps metadata is given it when it is made.
public protocol TensorSink: AnyObject {
  /// Declares every tensor before any data; the sink keeps their order.
  func begin(_ tensors: [TensorInfo]) throws
  /// Appends to the tensor at `index`; the chunks of one tensor come in order, the tensors in any order.
  func append(_ bytes: RawSpan, toTensorAt index: Int) throws
  /// Completes the output, which then has its final name.
  func finish() throws
  /// Removes everything of an output that was not finished.
  func cancel()
}

/// Limits for what a checkpoint may contain. A file can name a tensor in a few bytes, and listing one takes a few hundred.
public enum CheckpointLimits {
  public static let tensors = 200_000

  /// Whether `unpacked` bytes are suspiciously many for `stored` ones: more than `free`, and more than
  /// ``unpackingRatio`` times as many.
  public static func isBomb(_ unpacked: Int, in stored: Int, free: Int = 256 << 20) -> Bool {
    unpacked > free && unpacked / unpackingRatio > stored
  }

  public static let unpackingRatio = 100

  /// Throws if `count` exceeds `limit`; `what` names the things that are counted.
  public static func check(
    _ count: Int, _ what: String = "tensors", limit: Int = tensors, file: String? = nil
  ) throws(FormatError) {
    guard count <= limit else {
      throw FormatError(
        .limit, "the file has too many \(what)", file: file, found: "at least \(grouped(count))",
        expected: "at most \(grouped(limit))")
    }
  }
}
