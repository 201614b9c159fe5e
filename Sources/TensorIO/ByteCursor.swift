/// Reads bytes in order. Reading beyond their end is an error of kind `damaged` that names file and offset.
public struct ByteCursor: Sendable {
  public let bytes: Bytes
  /// Offset of the next byte within ``bytes``.
  public private(set) var position = 0

  public init(_ bytes: Bytes) { self.bytes = bytes }

  public var remaining: Int { bytes.count - position }
  public var isAtEnd: Bool { position == bytes.count }
  public var offsetInFile: UInt64 { bytes.offsetInFile + UInt64(position) }

  /// An error at the current offset.
  public func error(
    _ kind: FormatError.Kind, _ problem: String, found: String? = nil, expected: String? = nil,
    advice: FormatError.Advice? = nil
  ) -> FormatError {
    FormatError(
      kind, problem, file: bytes.file, offset: offsetInFile, found: found, expected: expected, advice: advice)
  }

  public mutating func seek(to position: Int) throws(FormatError) {
    guard position >= 0, position <= bytes.count else {
      throw error(
        .damaged, "a position points outside the data", found: "\(position)", expected: "at most \(bytes.count)")
    }
    self.position = position
  }

  public mutating func skip(_ count: Int) throws(FormatError) { _ = try take(count, "data to skip") }

  /// The next `count` bytes.
  public mutating func take(_ count: Int, _ what: @autoclosure () -> String) throws(FormatError) -> Bytes {
    guard let slice = bytes.slice(position, count) else {
      throw error(
        .damaged, "\(what()) is cut short", found: "\(remaining) bytes left",
        expected: count < 0 ? "a size that is not negative" : "\(count) bytes")
    }
    position += count
    return slice
  }

  public mutating func byte(_ what: @autoclosure () -> String) throws(FormatError) -> UInt8 {
    guard let value = bytes.byte(at: position) else { throw error(.damaged, "\(what()) is cut short") }
    position += 1
    return value
  }

  @inlinable
  public mutating func littleEndian<T: FixedWidthInteger>(
    _ type: T.Type, _ what: @autoclosure () -> String
  ) throws(FormatError) -> T {
    T(truncatingIfNeeded: try bits(T.bitWidth / 8, what()))
  }

  /// The number in the next `count` bytes, at most eight, lowest first. It is not generic, so that callers in other
  /// modules do not get an unspecialized copy.
  public mutating func bits(_ count: Int, _ what: @autoclosure () -> String) throws(FormatError) -> UInt64 {
    guard let bits = bytes.bits(at: position, count) else {
      throw error(.damaged, "\(what()) is cut short", found: "\(remaining) bytes left", expected: "\(count) bytes")
    }
    position += count
    return bits
  }

  @inlinable
  public mutating func bigEndian<T: FixedWidthInteger>(
    _ type: T.Type, _ what: @autoclosure () -> String
  ) throws(FormatError) -> T {
    try littleEndian(type, what()).byteSwapped
  }

  /// A base-128 varint of at most ten bytes (protobuf, LevelDB).
  public mutating func varint(_ what: @autoclosure () -> String) throws(FormatError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    let start = position
    while true {
      let next = try byte(what())
      let part = UInt64(next & 0x7F)
      guard shift < 63 || (shift == 63 && part <= 1) else {
        position = start
        throw error(.damaged, "\(what()) is not a valid varint", expected: "a number of at most 64 bits")
      }
      value |= part << shift
      if next & 0x80 == 0 { return value }
      shift += 7
    }
  }

  /// A varint that is a size or a count.
  public mutating func varintSize(_ what: @autoclosure () -> String) throws(FormatError) -> Int {
    let start = self
    let value = try varint(what())
    guard let size = Int(exactly: value) else {
      throw start.error(.limit, "\(what()) is too large", found: "\(value)")
    }
    return size
  }
}
