import TensorIO

/// The wire format of protocol buffers, as much of it as a bundle's index takes.
enum Protobuf {
  static func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  /// A field of a number; a zero, being the default, is left out as TensorFlow does.
  static func number(_ field: UInt64, _ value: Int) -> [UInt8] {
    value == 0 ? [] : varint(field << 3) + varint(UInt64(bitPattern: Int64(value)))
  }

  static func message(_ field: UInt64, _ content: [UInt8]) -> [UInt8] {
    varint(field << 3 | 2) + varint(UInt64(content.count)) + content
  }

  static func fixed32(_ field: UInt64, _ value: UInt32) -> [UInt8] { varint(field << 3 | 5) + little(value) }
}

/// The messages of core/protobuf/tensor_bundle.proto.
enum BundleMessages {
  /// BundleHeaderProto: num_shards = 1, endianness = 2, version = 3 { producer = 1 }.
  static func header(shards: Int, isBigEndian: Bool) -> [UInt8] {
    Protobuf.number(1, shards) + Protobuf.number(2, isBigEndian ? 1 : 0) + Protobuf.message(3, Protobuf.number(1, 1))
  }

  /// BundleEntryProto: dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6, slices = 7.
  static func entry(type: Int, shape: [Int], offset: Int, size: Int, checksum: UInt32) -> [UInt8] {
    Protobuf.number(1, type) + Protobuf.message(2, Self.shape(shape)) + Protobuf.number(4, offset)
      + Protobuf.number(5, size) + Protobuf.fixed32(6, CRC32C.mask(checksum))
  }

  /// The entry of a partitioned tensor, which has no data of its own.
  static func partitioned(type: Int, shape: [Int], slices: [[(start: Int, length: Int?)]]) -> [UInt8] {
    var bytes = Protobuf.number(1, type) + Protobuf.message(2, Self.shape(shape))
    for slice in slices {
      // TensorSliceProto: extent = 1 { start = 1, length = 2 }; no length stands for the whole dimension.
      let extents = slice.flatMap { extent in
        Protobuf.message(
          1,
          Protobuf.number(1, extent.start)
            + (extent.length.map { Protobuf.varint(2 << 3) + Protobuf.varint(UInt64($0)) } ?? []))
      }
      bytes += Protobuf.message(7, extents)
    }
    return bytes
  }

  /// TensorShapeProto: dim = 2 { size = 1 }.
  private static func shape(_ shape: [Int]) -> [UInt8] { shape.flatMap { Protobuf.message(2, Protobuf.number(1, $0)) } }

  /// The number of a type in TensorFlow's DataType (core/framework/types.proto).
  static func dataType(_ type: ElementType) -> Int? {
    switch type {
    case .f32: 1
    case .f64: 2
    case .i32: 3
    case .u8: 4
    case .i16: 5
    case .i8: 6
    case .c64: 8
    case .i64: 9
    case .bool: 10
    case .quantizedI8: 11
    case .quantizedU8: 12
    case .quantizedI32: 13
    case .bf16: 14
    case .quantizedI16: 15
    case .quantizedU16: 16
    case .u16: 17
    case .c128: 18
    case .f16: 19
    case .u32: 22
    case .u64: 23
    case .f8e5m2: 24
    case .f8e4m3: 25
    case .f8e4m3fnuz: 26
    case .f8e4m3b11fnuz: 27
    case .f8e5m2fnuz: 28
    case .i4: 29
    case .u4: 30
    case .i2: 31
    case .u2: 32
    case .f4e2m1: 33
    case .string, .resource, .variant, .f8e8m0, .c32: nil
    }
  }

  /// The key of a slice (core/util/saved_tensor_slice_util.cc, tsl/lib/strings/ordered_code.cc): a zero, the name, the
  /// rank, and start and length of each dimension, −1 for a whole one.
  static func sliceKey(_ name: String, _ slice: [(start: Int, length: Int?)]) -> [UInt8] {
    var key = unsigned(0)
    for byte in name.utf8 { key += byte == 0 ? [0, 0xFF] : byte == 0xFF ? [0xFF, 0] : [byte] }
    key += [0, 1] + unsigned(UInt64(slice.count))
    for extent in slice { key += signed(Int64(extent.start)) + signed(extent.length.map(Int64.init) ?? -1) }
    return key
  }

  private static func unsigned(_ value: UInt64) -> [UInt8] {
    let length = (64 - value.leadingZeroBitCount + 7) / 8
    return [UInt8(length)] + (0..<length).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// n bytes begin with n one bits (inverted for negative numbers) and hold 7n − 1 bits and the sign.
  private static func signed(_ value: Int64) -> [UInt8] {
    let bits = 64 - (value < 0 ? ~value : value).leadingZeroBitCount
    let length = (bits + 1 + 6) / 7
    var bytes = (0..<length).reversed().map { index in
      index < 8 ? UInt8(truncatingIfNeeded: value >> (8 * Int64(index))) : value < 0 ? 0xFF : 0
    }
    for bit in 0..<length { bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8) }
    return bytes
  }
}
