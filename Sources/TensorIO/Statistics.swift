/// What a look at a tensor's values tells. Minimum, maximum, mean and standard deviation (of the population) are over the
/// finite values.
public struct TensorStatistics: Sendable, Equatable {
  public var count = 0
  public var minimum = Double.nan
  public var maximum = Double.nan
  public var mean = Double.nan
  public var standardDeviation = Double.nan
  public var zeros = 0
  public var nan = 0
  public var infinite = 0

  /// Two passes in double precision; `nil` for types without numeric values.
  public init?(_ bytes: RawSpan, _ elementType: ElementType) {
    guard let decode = Self.decoder(elementType), let size = elementType.size else { return nil }
    count = bytes.byteCount / size
    var sum = 0.0
    var finite = 0
    var low = Double.infinity
    var high = -Double.infinity
    for index in 0..<count {
      let value = decode(bytes, index * size)
      if value.isNaN {
        nan += 1
        continue
      }
      if value.isInfinite {
        infinite += 1
        continue
      }
      if value == 0 { zeros += 1 }
      low = min(low, value)
      high = max(high, value)
      sum += value
      finite += 1
    }
    guard finite > 0 else { return }
    let mean = sum / Double(finite)
    var squares = 0.0
    for index in 0..<count {
      let value = decode(bytes, index * size)
      if value.isFinite { squares += (value - mean) * (value - mean) }
    }
    minimum = low
    maximum = high
    self.mean = mean
    standardDeviation = (squares / Double(finite)).squareRoot()
  }

  public var json: JSON {
    .object([
      "min": .double(minimum), "max": .double(maximum), "mean": .double(mean), "std": .double(standardDeviation),
      "zeros": .int(zeros), "nan": .int(nan), "inf": .int(infinite),
    ])
  }

  package static func decoder(_ type: ElementType) -> ((RawSpan, Int) -> Double)? {
    switch type {
    case .f32: { Double(Float(bitPattern: $0.littleEndian(UInt32.self, at: $1))) }
    case .f64: { Double(bitPattern: $0.littleEndian(UInt64.self, at: $1)) }
    case .f16: { Double(Float(halfBits: $0.littleEndian(UInt16.self, at: $1))) }
    case .bf16: { Double(Float(bitPattern: UInt32($0.littleEndian(UInt16.self, at: $1)) << 16)) }
    case .f8e4m3: { smallFloat($0.byte(at: $1), exponentBits: 4, bias: 7, hasInfinity: false) }
    case .f8e5m2: { smallFloat($0.byte(at: $1), exponentBits: 5, bias: 15, hasInfinity: true) }
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

extension Float {
  /// The value of an IEEE 754 half-precision number.
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
}
