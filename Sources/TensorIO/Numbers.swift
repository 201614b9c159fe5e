/// Half precision (IEEE 754 binary16) and bfloat16, as bit patterns. Rounding is to nearest, ties to even; what is too
/// large becomes infinite, and NaN stays NaN.
extension Float {
  /// The value of a half-precision number.
  @inlinable
  public init(halfBits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let mantissa = UInt32(bits & 0x3FF)
    if exponent == 0 {
      let value = Float(mantissa) * 0x1p-24
      self = sign == 0 ? value : -value
    } else {
      self.init(bitPattern: sign | (exponent == 31 ? 0xFF : exponent + 112) << 23 | mantissa << 13)
    }
  }

  /// The nearest half-precision number.
  @inlinable
  @inline(__always)
  public var halfBits: UInt16 {
    let bits = bitPattern
    let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
    let magnitude = bits & 0x7FFF_FFFF
    if magnitude > 0x7F80_0000 { return sign | 0x7E00 | UInt16(truncatingIfNeeded: magnitude >> 13) & 0x03FF }
    // 65,520 lies half way between the largest half and the next power of two.
    if magnitude >= 0x477F_F000 { return sign | 0x7C00 }
    if magnitude >= 0x3880_0000 {
      let rebased = magnitude - 0x3800_0000
      return sign | UInt16(truncatingIfNeeded: (rebased + 0x0FFF + (rebased >> 13 & 1)) >> 13)
    }
    // Subnormal: multiples of 2⁻²⁴; half of that and less is zero.
    if magnitude <= 0x3300_0000 { return sign }
    let shift = 126 - magnitude >> 23
    let mantissa = magnitude & 0x007F_FFFF | 0x0080_0000
    let whole = mantissa >> shift
    let rest = mantissa & (1 << shift - 1)
    let tie: UInt32 = 1 << (shift - 1)
    return sign | UInt16(truncatingIfNeeded: rest > tie || rest == tie && whole & 1 == 1 ? whole + 1 : whole)
  }

  /// The value of a bfloat16 number.
  @inlinable
  @inline(__always)
  public init(bfloat16Bits bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }

  /// The nearest bfloat16 number.
  @inlinable
  @inline(__always)
  public var bfloat16Bits: UInt16 {
    let bits = bitPattern
    if bits & 0x7FFF_FFFF > 0x7F80_0000 { return UInt16(truncatingIfNeeded: bits >> 16) | 0x0040 }
    return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
  }

  /// `value` rounded so that a second rounding, to half the width, gives what a single one would: toward zero, with the
  /// last bit set where anything was cut off (round to odd).
  @inlinable
  @inline(__always)
  public init(roundingToOdd value: Double) {
    let nearest = Float(value)
    guard nearest.isFinite, Double(nearest) != value else {
      self = nearest
      return
    }
    let towardZero = Double(nearest).magnitude > value.magnitude ? nearest.bitPattern - 1 : nearest.bitPattern
    self.init(bitPattern: towardZero | 1)
  }
}

extension ElementType {
  /// Reads the number stored little-endian at a byte offset; `nil` for types whose elements are not plain numbers.
  package var numberDecoder: ((RawSpan, Int) -> Double)? {
    switch self {
    case .f32: { Double(Float(bitPattern: $0.littleEndian(UInt32.self, at: $1))) }
    case .f64: { Double(bitPattern: $0.littleEndian(UInt64.self, at: $1)) }
    case .f16: { Double(Float(halfBits: $0.littleEndian(UInt16.self, at: $1))) }
    case .bf16: { Double(Float(bfloat16Bits: $0.littleEndian(UInt16.self, at: $1))) }
    case .f8e4m3: { Self.smallFloat($0.byte(at: $1), exponentBits: 4, bias: 7, hasInfinity: false) }
    case .f8e5m2: { Self.smallFloat($0.byte(at: $1), exponentBits: 5, bias: 15, hasInfinity: true) }
    case .i64: { Double($0.littleEndian(Int64.self, at: $1)) }
    case .u64: { Double($0.littleEndian(UInt64.self, at: $1)) }
    case .i32, .quantizedI32: { Double($0.littleEndian(Int32.self, at: $1)) }
    case .u32: { Double($0.littleEndian(UInt32.self, at: $1)) }
    case .i16, .quantizedI16: { Double($0.littleEndian(Int16.self, at: $1)) }
    case .u16, .quantizedU16: { Double($0.littleEndian(UInt16.self, at: $1)) }
    case .i8, .quantizedI8: { Double(Int8(bitPattern: $0.byte(at: $1))) }
    case .u8, .quantizedU8, .bool: { Double($0.byte(at: $1)) }
    default: nil
    }
  }

  /// The value of an 8-bit float.
  private static func smallFloat(_ bits: UInt8, exponentBits: Int, bias: Int, hasInfinity: Bool) -> Double {
    let mantissaBits = 7 - exponentBits
    let sign: Double = bits & 0x80 != 0 ? -1 : 1
    let exponent = Int(bits & 0x7F) >> mantissaBits
    let mantissa = Int(bits) & ((1 << mantissaBits) - 1)
    let top = (1 << exponentBits) - 1
    if hasInfinity, exponent == top { return mantissa == 0 ? sign * .infinity : .nan }
    if !hasInfinity, bits & 0x7F == 0x7F { return .nan }
    func power(_ n: Int) -> Double { Double(sign: .plus, exponent: n, significand: 1) }
    let scale = power(-mantissaBits)
    if exponent == 0 { return sign * Double(mantissa) * scale * power(1 - bias) }
    return sign * (1 + Double(mantissa) * scale) * power(exponent - bias)
  }
}
