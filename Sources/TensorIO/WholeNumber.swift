/// A whole number of up to 64 bits, signed or not: what a `Double` would round beyond 2^53.
public struct WholeNumber: Sendable, Hashable, Comparable, CustomStringConvertible {
  private let isNegative: Bool
  private let magnitude: UInt64

  public init(_ value: some FixedWidthInteger) {
    isNegative = value < 0
    magnitude = UInt64(value.magnitude)
  }

  public static func < (a: WholeNumber, b: WholeNumber) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    return a.isNegative ? a.magnitude > b.magnitude : a.magnitude < b.magnitude
  }

  /// The absolute difference, exact below 2^53 and rounded to nearest beyond.
  public func distance(to other: WholeNumber) -> Double {
    if isNegative == other.isNegative {
      return Double(max(magnitude, other.magnitude) - min(magnitude, other.magnitude))
    }
    let (sum, overflows) = magnitude.addingReportingOverflow(other.magnitude)
    return overflows ? Double(sum) + 0x1p64 : Double(sum)
  }

  public var description: String { (isNegative ? "-" : "") + String(magnitude) }

  public var json: JSON { .number(description) }
}

extension ElementType {
  /// Reads the whole number stored little-endian at a byte offset, exactly; `nil` for types that are not plain integers.
  package var wholeDecoder: ((RawSpan, Int) -> WholeNumber)? {
    switch self {
    case .i64: { WholeNumber($0.littleEndian(Int64.self, at: $1)) }
    case .u64: { WholeNumber($0.littleEndian(UInt64.self, at: $1)) }
    case .i32, .quantizedI32: { WholeNumber($0.littleEndian(Int32.self, at: $1)) }
    case .u32: { WholeNumber($0.littleEndian(UInt32.self, at: $1)) }
    case .i16, .quantizedI16: { WholeNumber($0.littleEndian(Int16.self, at: $1)) }
    case .u16, .quantizedU16: { WholeNumber($0.littleEndian(UInt16.self, at: $1)) }
    case .i8, .quantizedI8: { WholeNumber(Int8(bitPattern: $0.byte(at: $1))) }
    case .u8, .quantizedU8: { WholeNumber($0.byte(at: $1)) }
    default: nil
    }
  }
}
