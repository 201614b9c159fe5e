import TensorIO

/// LevelDB's sorted table of keys and values (leveldb table/format.cc; in TensorFlow tsl/lib/io/{format,block,table_options}):
///
///     | data block … | metaindex block | index block | footer: 48 bytes |
///     block   = | entries | restart offsets: 4 bytes each | their number: 4 bytes | trailer: 5 bytes |
///     entry   = | shared: varint | unshared: varint | value's length: varint | key's unshared bytes | value |
///     trailer = | compression: 1 byte | masked CRC32C of the block as stored and the compression: 4 bytes |
///     footer  = | metaindex handle | index handle | zeros up to 40 bytes | magic: 8 bytes |
///     handle  = | offset: varint | size without the trailer: varint |
package enum TableFormat {
  package static let magic: UInt64 = 0xdb47_7524_8b80_fb57

  /// How a block is stored.
  package enum Compression: UInt8 {
    case uncompressed = 0
    case snappy = 1
  }
}

/// Where a block lies in its table, without its trailer.
package struct BlockHandle: Equatable, Sendable {
  package var offset: Int
  package var size: Int

  package init(offset: Int, size: Int) {
    self.offset = offset
    self.size = size
  }

  /// Reads a handle; `what` names it in errors.
  package init(_ cursor: inout ByteCursor, _ what: String) throws(FormatError) {
    offset = try cursor.varintSize(what)
    size = try cursor.varintSize(what)
  }

  package var encoded: [UInt8] { [UInt8](varint: UInt64(offset)) + [UInt8](varint: UInt64(size)) }
}

/// The end of a table.
package struct TableFooter: Equatable, Sendable {
  package static let size = 48
  /// Bytes of the two handles with their padding.
  private static let handlesSize = 40

  package var metaindex: BlockHandle
  package var index: BlockHandle

  package init(metaindex: BlockHandle, index: BlockHandle) {
    self.metaindex = metaindex
    self.index = index
  }

  /// Whether `bytes` end as a table does.
  package static func ends(_ bytes: Bytes) -> Bool {
    guard bytes.count >= size, let magic = bytes.suffix(from: bytes.count - 8) else { return false }
    return magic.withSpan { $0.littleEndian(UInt64.self, at: 0) } == TableFormat.magic
  }

  /// Reads the handles of a footer of ``size`` bytes, whose magic number the caller has checked.
  package init(_ footer: Bytes) throws(FormatError) {
    var cursor = ByteCursor(footer)
    metaindex = try BlockHandle(&cursor, "the metaindex handle")
    index = try BlockHandle(&cursor, "the index handle")
    guard cursor.position <= Self.handlesSize else {
      throw cursor.error(.damaged, "the footer's handles are too long")
    }
    while cursor.position < Self.handlesSize {
      guard try cursor.byte("the footer") == 0 else {
        throw cursor.error(.damaged, "the footer's padding is not zero")
      }
    }
  }

  package var encoded: [UInt8] {
    let handles = metaindex.encoded + index.encoded
    return handles + [UInt8](repeating: 0, count: Self.handlesSize - handles.count)
      + [UInt8](littleEndian: TableFormat.magic)
  }
}

/// What follows each block of a table.
package struct BlockTrailer: Equatable, Sendable {
  package static let size = 5

  /// The byte that stands for a ``TableFormat/Compression``, which may be an unknown one.
  package var compression: UInt8
  /// CRC32C of the block as stored and of the byte `compression`.
  package var checksum: UInt32

  /// The trailer of a block that is stored as `stored`.
  package init(_ stored: [UInt8], _ compression: TableFormat.Compression) {
    self.compression = compression.rawValue
    checksum = CRC32C.checksum(stored + [compression.rawValue])
  }

  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    compression = try cursor.byte("a block's trailer")
    checksum = CRC32C.unmask(try cursor.littleEndian(UInt32.self, "a block's trailer"))
  }

  package var encoded: [UInt8] { [compression] + [UInt8](littleEndian: CRC32C.mask(checksum)) }
}

/// The three numbers before each key and value of a block.
package struct BlockEntryHead: Equatable, Sendable {
  /// How many bytes of the key are those of the key before it.
  package var shared: Int
  package var unshared: Int
  package var valueLength: Int

  package init(shared: Int, unshared: Int, valueLength: Int) {
    self.shared = shared
    self.unshared = unshared
    self.valueLength = valueLength
  }

  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    shared = try cursor.varintSize("a key's shared length")
    unshared = try cursor.varintSize("a key's length")
    valueLength = try cursor.varintSize("a value's length")
  }

  package var encoded: [UInt8] {
    [UInt8](varint: UInt64(shared)) + [UInt8](varint: UInt64(unshared)) + [UInt8](varint: UInt64(valueLength))
  }
}
