import TensorIO

// Memory safety: an array of numbers without padding is read as its bytes, for the length of a call.

/// The bytes of numbers, little-endian, as a tensor has them.
public func littleEndianBytes<Number: FixedWidthInteger & BitwiseCopyable>(_ values: [Number]) -> [UInt8] {
  let ordered = Number(1).littleEndian == 1 ? values : values.map(\.littleEndian)
  return unsafe ordered.withUnsafeBytes { unsafe Array($0) }
}

public func littleEndianBytes(_ values: [Float]) -> [UInt8] { littleEndianBytes(values.map(\.bitPattern)) }

public func littleEndianBytes(_ values: [Double]) -> [UInt8] { littleEndianBytes(values.map(\.bitPattern)) }

/// The bytes of one number, such as a length in a header.
public func littleEndianBytes<Number: FixedWidthInteger & BitwiseCopyable>(_ value: Number) -> [UInt8] {
  littleEndianBytes([value])
}

/// The bytes of BF16: the upper half of each F32, cut off.
public func bfloat16Bytes(_ values: [Float]) -> [UInt8] {
  littleEndianBytes(values.map { UInt16($0.bitPattern >> 16) })
}

/// The numbers of a tensor of F32.
public func floats(inBytes bytes: [UInt8]) -> [Float] { Bytes(bytes).withSpan { $0.floats() } }
