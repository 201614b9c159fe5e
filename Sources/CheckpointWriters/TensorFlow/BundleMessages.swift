import CheckpointFormats
import TensorIO

/// Fields of protocol buffers (`ProtobufKey`), as much of it as a bundle's index takes.
enum Protobuf {
  /// A field of a number; a zero, being the default, is left out as TensorFlow does.
  static func number(_ field: UInt64, _ value: Int) -> [UInt8] {
    value == 0 ? [] : key(field, .varint) + [UInt8](varint: UInt64(bitPattern: Int64(value)))
  }

  static func message(_ field: UInt64, _ content: [UInt8]) -> [UInt8] {
    key(field, .bytes) + [UInt8](varint: UInt64(content.count)) + content
  }

  static func fixed32(_ field: UInt64, _ value: UInt32) -> [UInt8] {
    key(field, .fixed32) + [UInt8](littleEndian: value)
  }

  /// A varint that is written although it may be zero.
  static func optionalNumber(_ field: UInt64, _ value: Int) -> [UInt8] {
    key(field, .varint) + [UInt8](varint: UInt64(value))
  }

  private static func key(_ field: UInt64, _ type: ProtobufKey.WireType) -> [UInt8] {
    [UInt8](varint: ProtobufKey(field: field, type: type).value)
  }
}

/// The messages of core/protobuf/tensor_bundle.proto.
enum BundleMessages {
  /// BundleHeaderProto: num_shards = 1, endianness = 2, version = 3 { producer = 1 }.
  static func header(shards: Int, isBigEndian: Bool) -> [UInt8] {
    Protobuf.number(1, shards) + Protobuf.number(2, isBigEndian ? 1 : 0) + Protobuf.message(3, Protobuf.number(1, 1))
  }

  /// BundleEntryProto: dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6, slices = 7.
  static func entry(type: Int32, shape: [Int], offset: Int, size: Int, checksum: UInt32) -> [UInt8] {
    Protobuf.number(1, Int(type)) + Protobuf.message(2, Self.shape(shape)) + Protobuf.number(4, offset)
      + Protobuf.number(5, size) + Protobuf.fixed32(6, CRC32C.mask(checksum))
  }

  /// The entry of a partitioned tensor, which has no data of its own.
  static func partitioned(type: Int32, shape: [Int], slices: [[SliceExtent]]) -> [UInt8] {
    var bytes = Protobuf.number(1, Int(type)) + Protobuf.message(2, Self.shape(shape))
    for slice in slices {
      // TensorSliceProto: extent = 1 { start = 1, length = 2 }; no length stands for the whole dimension.
      let extents = slice.flatMap { extent in
        Protobuf.message(
          1,
          Protobuf.number(1, extent.start) + (extent.length.map { Protobuf.optionalNumber(2, $0) } ?? []))
      }
      bytes += Protobuf.message(7, extents)
    }
    return bytes
  }

  /// TensorShapeProto: dim = 2 { size = 1 }.
  private static func shape(_ shape: [Int]) -> [UInt8] { shape.flatMap { Protobuf.message(2, Protobuf.number(1, $0)) } }
}
