import TensorIO

/// The keys under which the pieces of partitioned tensors are stored (core/util/saved_tensor_slice_util.cc,
/// tsl/lib/strings/ordered_code.cc): a zero, the name, the rank, and a start and a length for each dimension, each
/// written so that keys sort as their values do. Such keys are not UTF-8.
enum OrderedCode {
  /// The key of a slice; a `length` of `nil` stands for a whole dimension.
  static func sliceKey(name: [UInt8], slice: [SliceExtent]) -> [UInt8] {
    var key: [UInt8] = []
    appendNumber(0, to: &key)
    appendString(name, to: &key)
    appendNumber(UInt64(slice.count), to: &key)
    for extent in slice {
      appendSigned(Int64(extent.start), to: &key)
      appendSigned(extent.length.map(Int64.init) ?? -1, to: &key)
    }
    return key
  }

  /// One byte of length, then the number big-endian without leading zeros.
  static func appendNumber(_ value: UInt64, to key: inout [UInt8]) {
    let length = (64 - value.leadingZeroBitCount + 7) / 8
    key.append(UInt8(length))
    for index in (0..<length).reversed() { key.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
  }

  /// 0x00 becomes 0x00 0xFF, 0xFF becomes 0xFF 0x00; 0x00 0x01 ends the string.
  static func appendString(_ text: [UInt8], to key: inout [UInt8]) {
    for byte in text {
      key.append(byte)
      if byte == 0 { key.append(0xFF) } else if byte == 0xFF { key.append(0) }
    }
    key.append(contentsOf: [0, 1])
  }

  /// A number of n bytes starts with n one bits (inverted for negative ones) and holds 7n − 1 bits and its sign.
  static func appendSigned(_ value: Int64, to key: inout [UInt8]) {
    let magnitude = UInt64(bitPattern: value < 0 ? ~value : value)
    var length = 1
    while length < 10, length * 7 - 1 < 64 - magnitude.leadingZeroBitCount { length += 1 }
    var bytes = [UInt8](repeating: value < 0 ? 0xFF : 0, count: length)
    for index in 0..<min(8, length) {
      bytes[length - 1 - index] = UInt8(truncatingIfNeeded: UInt64(bitPattern: value) >> (8 * UInt64(index)))
    }
    // The header bits flip the sign extension: for positive numbers they become ones, for negative ones zeros.
    for bit in 0..<length { bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8) }
    key.append(contentsOf: bytes)
  }
}

/// A stretch of one dimension of a partitioned tensor.
struct SliceExtent: Sendable, Equatable {
  var start: Int
  /// `nil`: all of the dimension.
  var length: Int?
}
