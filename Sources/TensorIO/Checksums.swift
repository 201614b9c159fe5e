import CTensorIO

// Memory safety: the C functions get a span's address and its length while the span is lent, and need no alignment; bytes
// have no padding, so that all that `span.bytes` shows of an array was written.

/// CRC32C (Castagnoli), as in RFC 3720, with the CPU's instruction if it has one.
public struct CRC32C: Sendable, Equatable {
  public private(set) var value: UInt32

  public init(_ value: UInt32 = 0) { self.value = value }

  public mutating func update(_ bytes: RawSpan) {
    guard !bytes.isEmpty else { return }
    let current = value
    value = unsafe bytes.withUnsafeBytes { unsafe bertconv_crc32c_extend(current, $0.baseAddress, $0.count) }
  }

  public mutating func update(_ bytes: [UInt8]) { update(unsafe bytes.span.bytes) }

  /// Extends the checksum by `length` bytes whose own checksum is `other`.
  public mutating func append(_ other: CRC32C, length: UInt64) {
    value = bertconv_crc32c_combine(value, other.value, length)
  }

  public static func checksum(_ bytes: RawSpan) -> UInt32 {
    var crc = CRC32C()
    crc.update(bytes)
    return crc.value
  }

  public static func checksum(_ bytes: [UInt8]) -> UInt32 { checksum(unsafe bytes.span.bytes) }

  /// The checksum of a whole file, on all cores, in chunks so that few of its pages are in memory.
  public static func checksum(ofFile path: String) throws(FormatError) -> UInt32 {
    let file = try MappedFile.open(path)
    let size = Bytes.chunkSize
    let sums = Lock([CRC32C](repeating: CRC32C(), count: (file.count + size - 1) / size))
    let count = sums.withLock { $0.count }
    Processors.forEach(count) { number in
      guard let chunk = file.slice(number * size, min(size, file.count - number * size)) else { return }
      let sum = CRC32C(chunk.crc32c())
      chunk.releasePages()
      sums.withLock { $0[number] = sum }
    }
    try file.checkIntact()
    var whole = CRC32C()
    for (number, sum) in sums.withLock({ $0 }).enumerated() {
      whole.append(sum, length: UInt64(min(size, file.count - number * size)))
    }
    return whole.value
  }

  /// The form in which LevelDB and TensorFlow store a checksum, so that a checksum of data that contains checksums
  /// remains effective (leveldb `util/crc32c.h`).
  public static func mask(_ crc: UInt32) -> UInt32 { ((crc >> 15) | (crc << 17)) &+ 0xA282_EAD8 }

  public static func unmask(_ masked: UInt32) -> UInt32 {
    let rotated = masked &- 0xA282_EAD8
    return (rotated >> 17) | (rotated << 15)
  }
}

/// CRC-32 (ISO 3309), as in zip and gzip, with the CPU's instructions if it has any.
public struct CRC32: Sendable, Equatable {
  public private(set) var value: UInt32 = 0

  public init() {}

  public mutating func update(_ bytes: RawSpan) {
    guard !bytes.isEmpty else { return }
    let current = value
    value = unsafe bytes.withUnsafeBytes { unsafe bertconv_crc32_extend(current, $0.baseAddress, $0.count) }
  }

  public mutating func update(_ bytes: [UInt8]) { update(unsafe bytes.span.bytes) }

  public mutating func update(_ bytes: Bytes) { bytes.withSpan { update($0) } }

  public static func checksum(_ bytes: Bytes) -> UInt32 {
    var crc = CRC32()
    crc.update(bytes)
    return crc.value
  }
}

/// Checksums of structures that a parser reads. A build for fuzzing accepts all of them, so that random changes get past
/// them; no other build can.
package enum ParsedChecksum {
  package static func isRight(_ found: UInt32, _ expected: UInt32) -> Bool {
    #if FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
      true
    #else
      found == expected
    #endif
  }
}
