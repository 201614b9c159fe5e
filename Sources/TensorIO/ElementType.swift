/// The type of a tensor's elements. Raw values are the names that safetensors uses, and names in their style for types
/// that it does not have.
public enum ElementType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"
  case f8e4m3 = "F8_E4M3"
  case f8e5m2 = "F8_E5M2"
  case f8e8m0 = "F8_E8M0"
  case f8e4m3fnuz = "F8_E4M3FNUZ"
  case f8e4m3b11fnuz = "F8_E4M3B11FNUZ"
  case f8e5m2fnuz = "F8_E5M2FNUZ"
  case f4e2m1 = "F4"
  case c32 = "C32"
  case c64 = "C64"
  case c128 = "C128"
  case i4 = "I4"
  case u4 = "U4"
  case i2 = "I2"
  case u2 = "U2"
  case quantizedI8 = "QI8"
  case quantizedU8 = "QU8"
  case quantizedI16 = "QI16"
  case quantizedU16 = "QU16"
  case quantizedI32 = "QI32"
  case string = "STRING"
  case variant = "VARIANT"
  case resource = "RESOURCE"

  /// Bytes per element in memory; `nil` for elements without a fixed size. 2- and 4-bit numbers take a byte each, as in
  /// TensorFlow.
  public var size: Int? {
    switch self {
    case .c128: 16
    case .f64, .i64, .u64, .c64: 8
    case .f32, .i32, .u32, .quantizedI32, .c32: 4
    case .f16, .bf16, .i16, .u16, .quantizedI16, .quantizedU16: 2
    case .i8, .u8, .bool, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e4m3b11fnuz, .f8e5m2fnuz, .f4e2m1, .i4, .u4, .i2,
      .u2, .quantizedI8, .quantizedU8:
      1
    case .string, .variant, .resource: nil
    }
  }

  /// Bytes of the unit that is swapped between byte orders: half a complex number, otherwise ``size``.
  public var swapUnit: Int? {
    switch self {
    case .c128: 8
    case .c64: 4
    case .c32: 2
    default: size
    }
  }

  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e4m3b11fnuz, .f8e5m2fnuz, .f4e2m1: true
    default: false
    }
  }
}

/// The largest number of elements of a tensor: far more than any model has, and so few that sizes can be added and multiplied
/// by those of an element without overflow, over all tensors that a checkpoint may have.
public let largestElementCount = 1 << 40

/// The number of elements of `shape`, or `nil` when a dimension is negative or the product is beyond
/// ``largestElementCount``; zeros do not count in that product.
public func checkedElementCount(_ shape: some Sequence<Int>) -> Int? {
  var product = 1
  var hasZero = false
  for dimension in shape {
    guard dimension >= 0 else { return nil }
    if dimension == 0 {
      hasZero = true
      continue
    }
    let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
    if overflow || next > largestElementCount { return nil }
    product = next
  }
  return hasZero ? 0 : product
}

/// The number of bytes of a contiguous tensor, or `nil` when it does not fit.
public func checkedByteCount(_ shape: some Sequence<Int>, _ elementType: ElementType) -> Int? {
  guard let elements = checkedElementCount(shape), let size = elementType.size else { return nil }
  let (bytes, overflow) = elements.multipliedReportingOverflow(by: size)
  return overflow ? nil : bytes
}
