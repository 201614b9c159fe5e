import CSnappy
import TensorIO

/// A sorted table of key and value (LevelDB's format, tsl/lib/io/{format,block,table_options}):
///
///     | data block … | metaindex block | index block | footer: 48 bytes |
///     block   = | entries | restart offsets, 4 bytes each | their number, 4 bytes | type, 1 byte | CRC32C, 4 bytes |
///     entry   = | shared: varint | unshared: varint | value length: varint | key's unshared bytes | value |
///     footer  = | metaindex handle | index handle | zeros up to 40 bytes | magic 0xdb4775248b80fb57 |
///     handle  = | offset: varint | size: varint |
///
/// The checksum is masked and covers the block as stored and its type; it is checked for every block.
struct Table: Sendable {
  struct Entry: Sendable {
    var key: [UInt8]
    var value: Bytes
  }

  /// All entries, keys strictly ascending.
  let entries: [Entry]

  /// The pieces of a tensor that is cut have entries of their own.
  private static let mostEntries = 2 * CheckpointLimits.tensors
  static let footerSize = 48
  static let magic: UInt64 = 0xdb47_7524_8b80_fb57
  /// What a single block may hold when unpacked. TensorFlow starts a new block at 256 KiB; one value (an object graph)
  /// may be as large as protobuf allows.
  static let largestBlock = 2 << 30

  static func recognises(_ file: Bytes) -> Bool {
    guard let footer = file.slice(file.count - 8, 8) else { return false }
    return file.count >= footerSize && footer.withSpan { $0.littleEndian(UInt64.self, at: 0) } == magic
  }

  init(_ file: Bytes) throws(FormatError) {
    guard file.count >= Self.footerSize, let footer = file.suffix(from: file.count - Self.footerSize) else {
      throw FormatError(
        file.isEmpty ? "the file is empty" : "the file is too short for a checkpoint index", file: file.file,
        found: "\(file.count) bytes", expected: "at least \(Self.footerSize)",
        advice: "The index was not copied or downloaded whole: fetch it again.")
    }
    guard Self.recognises(file) else {
      throw FormatError(
        "the table's footer has the wrong magic number", file: file.file, offset: UInt64(file.count - 8),
        found: hexadecimal(file.slice(file.count - 8, 8)?.array() ?? []),
        expected: "57 fb 80 8b 24 75 47 db",
        advice: "The index is cut short, damaged, or not a TensorFlow checkpoint index: fetch it again.")
    }
    var cursor = ByteCursor(footer)
    let metaindex = try Self.handle(&cursor, "the metaindex handle")
    let index = try Self.handle(&cursor, "the index handle")
    guard cursor.position <= 40 else { throw cursor.error("the footer's handles are too long") }
    while cursor.position < 40 {
      guard try cursor.byte("the footer") == 0 else { throw cursor.error("the footer's padding is not zero") }
    }
    try Self.forEachEntry(in: Self.block(file, metaindex, "the metaindex block")) { (_, _) throws(FormatError) in }
    var blocks: [(offset: Int, size: Int)] = []
    try Self.forEachEntry(in: Self.block(file, index, "the index block")) { (_, value) throws(FormatError) in
      var cursor = ByteCursor(value)
      blocks.append(try Self.handle(&cursor, "a data block's handle"))
    }
    // Each data block may be named once: a table of a thousand names for one block would cost a thousand times its size.
    var end = 0
    // A key may share all but a byte with the one before it, and would cost its whole length.
    var roomForKeys = 16 * file.count + (16 << 20)
    var entries: [Entry] = []
    for handle in blocks {
      guard handle.offset >= end else {
        throw FormatError(
          "the table's data blocks overlap", file: file.file, offset: UInt64(handle.offset),
          expected: "an offset of at least \(end)")
      }
      let block = try Self.block(file, handle, "a data block")
      // It lies in the file, so the sum is a number.
      end = handle.offset + handle.size
      try Self.forEachEntry(in: block) { (key, value) throws(FormatError) in
        if let last = entries.last, !last.key.lexicographicallyPrecedes(key) {
          throw FormatError(
            "the table's keys are not in order", file: file.file, offset: UInt64(handle.offset),
            found: "'\(String(decoding: key, as: UTF8.self))' after '\(String(decoding: last.key, as: UTF8.self))'")
        }
        try CheckpointLimits.check(
          entries.count + 1, "entries", most: Self.mostEntries, file: file.file)
        roomForKeys -= key.count
        guard roomForKeys >= 0 else {
          throw FormatError(
            "the table's keys are longer together than any checkpoint's", file: file.file,
            offset: UInt64(handle.offset), found: "one of \(key.count) bytes")
        }
        entries.append(Entry(key: key, value: value))
      }
    }
    self.entries = entries
  }

  private static func handle(
    _ cursor: inout ByteCursor, _ what: String
  ) throws(FormatError) -> (offset: Int, size: Int) {
    (try cursor.varintSize(what), try cursor.varintSize(what))
  }

  /// The unpacked content of a block, its checksum found right.
  private static func block(
    _ file: Bytes, _ handle: (offset: Int, size: Int), _ what: String
  ) throws(FormatError) -> Bytes {
    guard let stored = file.slice(handle.offset, handle.size), handle.size <= Int.max - 5,
      let withType = file.slice(handle.offset, handle.size + 1),
      let trailer = file.slice(handle.offset + handle.size, 5)
    else {
      throw FormatError(
        "\(what) lies outside the file", file: file.file, found: "\(handle.size) bytes at \(handle.offset)",
        expected: "within \(file.count) bytes", advice: "The index is cut short or damaged: fetch it again.")
    }
    let expected = CRC32C.unmask(trailer.withSpan { $0.littleEndian(UInt32.self, at: 1) })
    let actual = withType.crc32c()
    guard ParsedChecksum.isRight(actual, expected) else {
      throw FormatError(
        "\(what) is damaged: its checksum is wrong", file: file.file, offset: UInt64(handle.offset),
        found: hexadecimal(actual, digits: 8), expected: hexadecimal(expected, digits: 8),
        advice: "Fetch the index file again.")
    }
    switch trailer.byte(at: 0) {
    case 0: return stored
    case 1: return try unpackSnappy(stored, what)
    case let type:
      throw FormatError(
        "\(what) is compressed in an unknown way", file: file.file, offset: UInt64(handle.offset + handle.size),
        found: "type \(type ?? 0)", expected: "0 (raw) or 1 (snappy)")
    }
  }

  private static func unpackSnappy(_ stored: Bytes, _ what: String) throws(FormatError) -> Bytes {
    var cursor = ByteCursor(stored)
    let declared = try cursor.varintSize("\(what)'s unpacked length")
    // A snappy element of three bytes makes at most 64: nothing honest declares more.
    let possible = stored.count.multipliedReportingOverflow(by: 32)
    guard declared <= largestBlock, !possible.overflow, declared <= possible.partialValue + 64 else {
      throw FormatError(
        "\(what) declares more than its \(stored.count) compressed bytes can hold", file: stored.file,
        offset: stored.offsetInFile, found: "\(declared) bytes")
    }
    return try Bytes(count: declared, file: stored.file) { (target) throws(FormatError) in
      var length = declared
      // Memory safety: snappy reads the bytes of one span and writes no more than `length`, all of the other's. It copies
      // only from what it wrote itself.
      let status = stored.withSpan { source in
        unsafe source.withUnsafeBytes { from in
          unsafe target.withUnsafeMutableBytes { to in
            unsafe snappy_uncompress(
              from.baseAddress?.assumingMemoryBound(to: CChar.self), from.count,
              to.baseAddress?.assumingMemoryBound(to: CChar.self), &length)
          }
        }
      }
      guard status == SNAPPY_OK, length == declared else {
        throw FormatError(
          "\(what) does not unpack as snappy", file: stored.file, offset: stored.offsetInFile)
      }
    }
  }

  private static func forEachEntry(
    in block: Bytes, _ body: (_ key: [UInt8], _ value: Bytes) throws(FormatError) -> Void
  ) throws(FormatError) {
    func damaged(_ problem: String, at offset: Int) -> FormatError {
      FormatError(
        "a table block is malformed: \(problem)", file: block.file, offset: block.offsetInFile + UInt64(offset))
    }
    guard block.count >= 4, let tail = block.suffix(from: block.count - 4) else {
      throw damaged("it is shorter than 4 bytes", at: 0)
    }
    let restarts = Int(tail.withSpan { $0.littleEndian(UInt32.self, at: 0) })
    let limit = block.count - 4 - restarts * 4
    guard limit >= 0, restarts >= 1 || limit == 0, let content = block.slice(0, limit) else {
      throw damaged("its \(restarts) restart points do not fit", at: block.count - 4)
    }
    var restartOffsets: Set<Int> = []
    for index in 0..<restarts {
      let offset = Int(block.withSpan { $0.littleEndian(UInt32.self, at: limit + index * 4) })
      guard offset <= limit else { throw damaged("a restart point lies outside it", at: limit + index * 4) }
      restartOffsets.insert(offset)
    }
    var cursor = ByteCursor(content)
    var key: [UInt8] = []
    while !cursor.isAtEnd {
      let start = cursor.position
      let shared = try cursor.varintSize("a key's shared length")
      let unshared = try cursor.varintSize("a key's length")
      let length = try cursor.varintSize("a value's length")
      guard shared <= key.count else { throw damaged("a key shares more than its neighbour has", at: start) }
      guard shared == 0 || !restartOffsets.contains(start) else {
        throw damaged("the key at a restart point is not whole", at: start)
      }
      restartOffsets.remove(start)
      let suffix = try cursor.take(unshared, "a key")
      key.removeSubrange(shared...)
      key.append(contentsOf: suffix.array())
      try body(key, try cursor.take(length, "a value"))
    }
    restartOffsets.remove(limit == 0 ? 0 : -1)
    guard restartOffsets.isEmpty else { throw damaged("a restart point is not the start of an entry", at: limit) }
  }
}
