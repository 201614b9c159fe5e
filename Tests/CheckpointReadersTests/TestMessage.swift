import TensorIO

/// A protocol buffer written field by field, with nothing of the code under test.
struct TestMessage {
  var bytes: [UInt8] = []

  static func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var result: [UInt8] = []
    while rest >= 0x80 {
      result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return result + [UInt8(rest)]
  }

  func number(_ field: UInt64, _ value: Int64) -> TestMessage {
    TestMessage(bytes: bytes + Self.varint(field << 3) + Self.varint(UInt64(bitPattern: value)))
  }
  func message(_ field: UInt64, _ inner: TestMessage) -> TestMessage {
    TestMessage(bytes: bytes + Self.varint(field << 3 | 2) + Self.varint(UInt64(inner.bytes.count)) + inner.bytes)
  }
  func bytes(_ field: UInt64, _ content: [UInt8]) -> TestMessage { message(field, TestMessage(bytes: content)) }
  func checksum(_ value: UInt32) -> TestMessage {
    TestMessage(bytes: bytes + [6 << 3 | 5] + (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) })
  }

  static func shape(_ dimensions: [Int64]) -> TestMessage {
    dimensions.reduce(TestMessage()) { $0.message(2, TestMessage().number(1, $1)) }
  }
  static func entry(
    type: Int64 = 1, shape: [Int64], shard: Int64 = 0, offset: Int64, size: Int64, data: [UInt8] = []
  ) -> TestMessage {
    TestMessage().number(1, type).message(2, Self.shape(shape)).number(3, shard).number(4, offset).number(5, size)
      .checksum(CRC32C.mask(CRC32C.checksum(data)))
  }
  static func slice(_ extents: [(Int64, Int64?)]) -> TestMessage {
    extents.reduce(TestMessage()) { result, extent in
      let start = TestMessage().number(1, extent.0)
      return result.message(1, extent.1.map { start.number(2, $0) } ?? start)
    }
  }
}
