import CTensorIO

/// CRC32C (Castagnoli), as in RFC 3720, by the CPU's instruction where there is one.
public struct CRC32C: Sendable, Equatable {
  public private(set) var value: UInt32

  public init(_ value: UInt32 = 0) { self.value = value }

  public mutating func update(_ bytes: RawSpan) {
    guard !bytes.isEmpty else { return }
    let current = value
    value = unsafe bytes.withUnsafeBytes { unsafe bertconv_crc32c_extend(current, $0.baseAddress, $0.count) }
  }

  public mutating func update(_ bytes: [UInt8]) { update(unsafe bytes.span.bytes) }

  /// The checksum of what was checksummed so far followed by `length` bytes whose own checksum is `other`.
  public mutating func append(_ other: CRC32C, length: UInt64) {
    value = bertconv_crc32c_combine(value, other.value, length)
  }

  public static func checksum(_ bytes: RawSpan) -> UInt32 {
    var crc = CRC32C()
    crc.update(bytes)
    return crc.value
  }

  public static func checksum(_ bytes: [UInt8]) -> UInt32 { checksum(unsafe bytes.span.bytes) }

  /// The form in which LevelDB and TensorFlow store a checksum, so that a checksum of data that holds checksums stays
  /// a good one (leveldb `util/crc32c.h`).
  public static func mask(_ crc: UInt32) -> UInt32 { ((crc >> 15) | (crc << 17)) &+ 0xA282_EAD8 }

  public static func unmask(_ masked: UInt32) -> UInt32 {
    let rotated = masked &- 0xA282_EAD8
    return (rotated >> 17) | (rotated << 15)
  }

  /// Whether the CPU's CRC instruction is in use.
  public static var isAccelerated: Bool { bertconv_crc32c_is_accelerated() == 1 }
}

/// Moving elements about, in cache blocks.
public enum Layout {
  /// Writes the transpose of the row-major `rows` × `columns` matrix in `source` to `target`.
  public static func transpose(
    _ source: RawSpan, into target: inout MutableRawSpan, rows: Int, columns: Int, elementSize: Int
  ) {
    let bytes = rows * columns * elementSize
    precondition(source.byteCount == bytes && target.byteCount == bytes)
    guard bytes > 0 else { return }
    unsafe source.withUnsafeBytes { from in
      unsafe target.withUnsafeMutableBytes { to in
        unsafe bertconv_transpose(from.baseAddress, to.baseAddress, rows, columns, elementSize)
      }
    }
  }

  /// Reverses the bytes of every `unit` (2, 4 or 8) bytes of `source` while copying them to `target`.
  public static func swapBytes(_ source: RawSpan, into target: inout MutableRawSpan, unit: Int) {
    precondition(source.byteCount == target.byteCount && [2, 4, 8].contains(unit) && source.byteCount % unit == 0)
    guard source.byteCount > 0 else { return }
    unsafe source.withUnsafeBytes { from in
      unsafe target.withUnsafeMutableBytes { to in
        unsafe bertconv_swap_bytes(from.baseAddress, to.baseAddress, from.count / unit, unit)
      }
    }
  }
}

@unsafe
func compareMemory(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  guard let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
  return unsafe bertconv_equal(first, second, a.count) != 0
}
