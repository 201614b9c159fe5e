extension [UInt8] {
  /// The bytes of a number, lowest first.
  package init(littleEndian value: some FixedWidthInteger) {
    self = (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// A number as a base-128 varint (protobuf, LevelDB), which ``ByteCursor/varint(_:)`` reads.
  package init(varint value: UInt64) {
    self = []
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(rest))
  }
}
