import CTensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The owner of a range of memory: a mapped file or a buffer. The only class that keeps its address.
///
/// Thread safety: nobody writes to the bytes once `init` is over, and no property changes.
@safe
final class ByteStorage: @unchecked Sendable {
  // Memory safety: `start` has `count` bytes from `init` to `deinit`, which alone releases them. No method returns the
  // pointer; a span that a method lends ends before the method does, and the storage outlives the method.
  private let start: UnsafeRawPointer?
  let count: Int
  /// The file that the bytes come from, for error messages.
  let file: String?
  /// Of a mapped file, as it was when it was opened.
  private let stamp: FileStamp?
  private let release: Release

  private enum Release {
    /// With the slot that guards the range against a file that becomes shorter.
    case unmap(guardSlot: Int32)
    case unmapBuffer
    case deallocate
    case nothing
  }

  /// Takes over a mapping made by ``MappedFile``, and unmaps it if this throws.
  init(mapped start: UnsafeRawPointer, count: Int, file: String, stamp: FileStamp) throws(FormatError) {
    let slot = unsafe bertconv_map_guard_add(start, count)
    guard slot >= 0 else {
      unsafe MappedFile.unmap(start, count)
      throw FormatError(.system, "too many files are open at once", file: file)
    }
    unsafe self.start = start
    self.count = count
    self.file = file
    self.stamp = stamp
    release = .unmap(guardSlot: slot)
  }

  /// Memory that nobody writes to and that is there as long as the program: nothing is copied.
  @unsafe
  init(constant bytes: UnsafeRawBufferPointer) {
    unsafe start = bytes.baseAddress
    count = bytes.count
    file = nil
    stamp = nil
    release = .nothing
  }

  /// A buffer of `count` zero bytes that `initialize` writes once.
  init(
    count: Int, file: String?, initializingWith initialize: (inout MutableRawSpan) throws(FormatError) -> Void
  ) throws(FormatError) {
    stamp = nil
    guard count > 0 else {
      unsafe start = nil
      self.count = 0
      self.file = file
      release = .nothing
      return
    }
    let isLarge = count >= Self.largeSize
    guard let memory = unsafe isLarge ? Self.mapBuffer(count) : calloc(1, count) else {
      throw FormatError(.system, "not enough memory", file: file, found: "\(count) bytes requested")
    }
    let buffer = unsafe UnsafeMutableRawBufferPointer(start: memory, count: count)
    var span = unsafe buffer.mutableBytes
    do throws(FormatError) {
      try initialize(&span)
    } catch {
      if isLarge { unsafe MappedFile.unmap(memory, count) } else { unsafe free(memory) }
      throw error
    }
    unsafe start = UnsafeRawPointer(buffer.baseAddress)
    self.count = count
    self.file = file
    release = isLarge ? .unmapBuffer : .deallocate
  }

  /// From this size on a buffer has pages of its own, which return to the system as soon as it is released: an allocator
  /// would keep them, once for each thread that makes buffers.
  private static let largeSize = 4 << 20

  /// Zeros, in large pages where the system has them. Whoever calls it has to unmap them.
  @unsafe
  private static func mapBuffer(_ count: Int) -> UnsafeMutableRawPointer? {
    let memory = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { return nil }
    #if os(Linux)
      unsafe _ = madvise(memory, count, MADV_HUGEPAGE)
    #endif
    return unsafe memory
  }

  deinit {
    switch release {
    case .unmap(let slot):
      // First, since another mapping may get the address at once.
      bertconv_map_guard_remove(slot)
      unsafe MappedFile.unmap(start, count)
    case .unmapBuffer: unsafe MappedFile.unmap(start, count)
    case .deallocate: unsafe free(UnsafeMutableRawPointer(mutating: start))
    case .nothing: break
    }
  }

  /// Calls `body` with a span over `range`; one that does not lie inside stops the program.
  func withSpan<R: ~Copyable, E: Error>(_ range: Range<Int>, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    let buffer = unsafe UnsafeRawBufferPointer(start: start.map { unsafe $0 + range.lowerBound }, count: range.count)
    defer { extendLifetime(self) }
    return try body(unsafe buffer.bytes)
  }

  /// What happened to the file since it was mapped; `nil` where it is as it was. A file that another one replaced is.
  var problem: String? {
    if case .unmap(let slot) = release, bertconv_map_guard_was_hit(slot) != 0 { return "truncated" }
    guard let file, let stamp, let now = FileStamp(ofFileAt: file), now.isSameFile(as: stamp), now != stamp else {
      return nil
    }
    return now.size < stamp.size ? "truncated" : "changed"
  }

  /// Gives the pages of `range` back to the system; they are read again when needed.
  func releasePages(_ range: Range<Int>) {
    guard case .unmap = release else { return }
    unsafe MappedFile.discard(start, count, range)
    extendLifetime(self)
  }
}

/// A bounds-checked, immutable range of bytes of a mapped file or of memory. Copies share the storage.
///
/// No method traps on a wrong offset: outside the range the result is `nil`.
public struct Bytes: Sendable {
  private let storage: ByteStorage
  private let range: Range<Int>

  init(_ storage: ByteStorage) {
    self.storage = storage
    range = 0..<storage.count
  }

  private init(_ storage: ByteStorage, _ range: Range<Int>) {
    self.storage = storage
    self.range = range
  }

  /// Memory that nobody writes to and that is there as long as the program, without a copy.
  @unsafe
  package init(constant bytes: UnsafeRawBufferPointer) { unsafe self.init(ByteStorage(constant: bytes)) }

  /// A copy of `array`.
  public init(_ array: [UInt8], file: String? = nil) {
    self.init(
      count: array.count, file: file,
      initializingWith: { span in
        for index in array.indices { span.storeBytes(of: array[index], toByteOffset: index, as: UInt8.self) }
      })
  }

  /// A new buffer of `count` zero bytes, which `initialize` writes once.
  public init(count: Int, file: String? = nil, initializingWith initialize: (inout MutableRawSpan) -> Void) {
    // The closure cannot throw; the storage throws only when there is no memory left, and then nothing could go on.
    let storage = try? ByteStorage(count: count, file: file) { (span) throws(FormatError) in
      initialize(&span)
    }
    guard let storage else { fatalError("not enough memory for \(count) bytes") }
    self.init(storage)
  }

  /// A new buffer of `count` zero bytes, which `initialize` writes once or throws.
  public init(
    count: Int, file: String? = nil, initializingWith initialize: (inout MutableRawSpan) throws(FormatError) -> Void
  ) throws(FormatError) {
    self.init(try ByteStorage(count: count, file: file, initializingWith: initialize))
  }

  public var count: Int { range.count }
  public var isEmpty: Bool { range.isEmpty }
  /// The file that the bytes come from.
  public var file: String? { storage.file }
  /// The offset of the first byte in the storage, usually the file.
  public var offsetInFile: UInt64 { UInt64(range.lowerBound) }

  /// `count` bytes from `offset`; `nil` where they do not lie inside.
  public func slice(_ offset: Int, _ count: Int) -> Bytes? {
    guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
    return Bytes(storage, (range.lowerBound + offset)..<(range.lowerBound + offset + count))
  }

  /// The bytes from `offset` to the end.
  public func suffix(from offset: Int) -> Bytes? { slice(offset, count - offset) }

  public func withSpan<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try storage.withSpan(range, body)
  }

  public func byte(at offset: Int) -> UInt8? {
    guard offset >= 0, offset < count else { return nil }
    return withSpan { $0.byte(at: offset) }
  }

  /// The `count` bytes at `offset`, at most eight, as a number whose lowest byte is the first; `nil` beyond the end.
  func bits(at offset: Int, _ count: Int) -> UInt64? {
    guard offset >= 0, count >= 0, count <= 8, offset <= self.count, count <= self.count - offset else { return nil }
    return withSpan { span in
      var bits: UInt64 = 0
      for index in (0..<count).reversed() { bits = bits << 8 | UInt64(span.byte(at: offset + index)) }
      return bits
    }
  }

  public func array() -> [UInt8] { withSpan { $0.array() } }

  public func elementsEqual(_ other: Bytes) -> Bool {
    withSpan { one in other.withSpan { one.elementsEqual($0) } }
  }

  /// The bytes as text; `nil` where they are not valid (``FileText``).
  public func utf8String() -> String? { withSpan { $0.utf8String() } }

  /// The bytes as text, with U+FFFD for what is not valid (``FileText``).
  public func text() -> String { withSpan { $0.text() } }

  public func crc32c() -> UInt32 { withSpan { CRC32C.checksum($0) } }

  /// Throws if the mapped file was truncated or written to after it was opened: bytes read from it may be zeros, or of two
  /// states of the file.
  public func checkIntact() throws(FormatError) {
    guard let problem = storage.problem else { return }
    throw FormatError(
      .unreadable, "the file was \(problem) while it was being read", file: file,
      advice: "Make sure that nothing writes to it, and open it again.")
  }

  /// Calls `body` with the bytes in order, in chunks of whole 16-byte units. The pages of a mapped file are released
  /// after each; a file that was truncated or changed is an error.
  public func forEachChunk(_ body: (Bytes) throws -> Void) throws {
    var offset = 0
    while offset < count, let chunk = slice(offset, min(Self.chunkSize, count - offset)) {
      offset += chunk.count
      do { try body(chunk) } catch {
        // Bytes that are gone cannot be written either: the file is the cause then.
        try chunk.checkIntact()
        throw error
      }
      try chunk.checkIntact()
      chunk.releasePages()
    }
  }

  /// Bytes of a large file that are read at a time.
  static let chunkSize = 8 << 20

  /// Releases the memory of a mapped file's pages; they are read again when needed.
  public func releasePages() { storage.releasePages(range) }
}

// Memory safety: each function of these two extensions checks its offsets against the span's length before it reads or
// writes. Every bit pattern is an integer, and no load needs alignment.

extension RawSpan {
  /// The byte at `offset`; a wrong offset stops the program.
  @inlinable
  @inline(__always)
  public func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount)
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }

  /// The integer stored little-endian at `offset`, which need not be aligned; a wrong offset stops the program.
  @inlinable
  @inline(__always)
  public func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
    precondition(offset >= 0 && offset <= byteCount && MemoryLayout<T>.size <= byteCount - offset)
    return T(littleEndian: unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
  }

  public func array() -> [UInt8] {
    if isEmpty { return [] }
    return unsafe withUnsafeBytes { unsafe Array($0) }
  }

  /// The bytes as text; `nil` where they are not valid (``FileText``).
  public func utf8String() -> String? {
    unsafe withUnsafeBytes { unsafe String(fileText: $0) }
  }

  /// The bytes as text, with U+FFFD for what is not valid (``FileText``).
  public func text() -> String { unsafe withUnsafeBytes { unsafe String(decodingFileText: $0) } }

  /// The bytes as floats, whatever their alignment.
  public func floats() -> [Float] {
    let count = byteCount / 4
    return (0..<count).map { Float(bitPattern: littleEndian(UInt32.self, at: $0 * 4)) }
  }

  /// Whether both spans hold the same bytes.
  public func elementsEqual(_ other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    if isEmpty { return true }
    return unsafe withUnsafeBytes { a in
      unsafe other.withUnsafeBytes { b in unsafe bertconv_equal(a.baseAddress, b.baseAddress, a.count) != 0 }
    }
  }
}

extension MutableRawSpan {
  /// Copies `source` to `offset`; what does not fit stops the program.
  public mutating func copy(_ source: RawSpan, to offset: Int) {
    guard !source.isEmpty else { return }
    precondition(offset >= 0 && offset <= byteCount && source.byteCount <= byteCount - offset)
    // Nothing else reaches what is borrowed for writing, so the two do not overlap.
    unsafe withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { bytes in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: bytes)
      }
    }
  }
}
