import TensorIO

/// The part of one dimension that a slice of a partitioned tensor covers.
package struct SliceExtent: Sendable, Equatable {
  package var start: Int
  /// `nil`: the whole dimension.
  package var length: Int?

  package init(start: Int, length: Int?) {
    self.start = start
    self.length = length
  }

  /// The whole of a dimension.
  package static let whole = SliceExtent(start: 0, length: nil)
}

/// The keys under which the slices of partitioned tensors are stored (core/util/saved_tensor_slice_util.cc,
/// tsl/lib/strings/ordered_code.cc): a zero, the name, the rank, and a start and a length for each dimension, each
/// written so that keys sort as their values do. Such keys are not UTF-8.
package enum OrderedCode {
  /// The key of a slice of the tensor `name`; −1 stands for the length of a whole dimension.
  package static func sliceKey(name: [UInt8], slice: [SliceExtent]) -> [UInt8] {
    var key: [UInt8] = []
    append(unsigned: 0, to: &key)
    append(string: name, to: &key)
    append(unsigned: UInt64(slice.count), to: &key)
    for extent in slice {
      append(signed: Int64(extent.start), to: &key)
      append(signed: extent.length.map(Int64.init) ?? -1, to: &key)
    }
    return key
  }

  /// One byte of length, then the number big-endian without leading zeros.
  package static func append(unsigned value: UInt64, to key: inout [UInt8]) {
    let length = (64 - value.leadingZeroBitCount + 7) / 8
    key.append(UInt8(length))
    for index in (0..<length).reversed() { key.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
  }

  /// 0x00 becomes 0x00 0xFF, 0xFF becomes 0xFF 0x00; 0x00 0x01 ends the string.
  package static func append(string text: [UInt8], to key: inout [UInt8]) {
    for byte in text {
      key.append(byte)
      if byte == 0 { key.append(0xFF) } else if byte == 0xFF { key.append(0) }
    }
    key.append(contentsOf: [0, 1])
  }

  /// A number of n bytes starts with n one bits (inverted for negative ones) and holds 7n − 1 bits and its sign.
  package static func append(signed value: Int64, to key: inout [UInt8]) {
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

// MARK: Decoding

extension OrderedCode {
  /// The name and the slice of a key; `nil` for any other bytes.
  package static func decode(sliceKey key: [UInt8]) -> (name: [UInt8], slice: [SliceExtent])? {
    var rest = key[...]
    guard unsigned(&rest) == 0, let name = string(&rest), let rank = unsigned(&rest), rank <= UInt64(rest.count) else {
      return nil
    }
    var slice: [SliceExtent] = []
    for _ in 0..<rank {
      guard let start = signed(&rest), let length = signed(&rest), start >= 0, length >= -1 else { return nil }
      slice.append(SliceExtent(start: Int(start), length: length < 0 ? nil : Int(length)))
    }
    return rest.isEmpty ? (name, slice) : nil
  }

  private static func unsigned(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
    guard let length = rest.popFirst(), length <= 8, Int(length) <= rest.count else { return nil }
    let value = rest.prefix(Int(length)).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    rest = rest.dropFirst(Int(length))
    return value
  }

  private static func string(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
    var text: [UInt8] = []
    while let byte = rest.popFirst() {
      guard byte == 0 || byte == 0xFF else {
        text.append(byte)
        continue
      }
      switch (byte, rest.popFirst()) {
      case (0, 1): return text
      case (0, 0xFF), (0xFF, 0): text.append(byte)
      default: return nil
      }
    }
    return nil
  }

  private static func signed(_ rest: inout ArraySlice<UInt8>) -> Int64? {
    guard let first = rest.first else { return nil }
    let isNegative = first & 0x80 == 0
    // As many bits as the number has bytes are the opposite of its sign.
    var length = 0
    for byte in rest.prefix(2) {
      let run = (isNegative ? byte : ~byte).leadingZeroBitCount
      length += run
      if run < 8 { break }
    }
    guard (1...10).contains(length), length <= rest.count else { return nil }
    var bytes = Array(rest.prefix(length))
    for bit in 0..<length { bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8) }
    rest = rest.dropFirst(length)
    return bytes.reduce(Int64(isNegative ? -1 : 0)) { $0 << 8 | Int64($1) }
  }
}
