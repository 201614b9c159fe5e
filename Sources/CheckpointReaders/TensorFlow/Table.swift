import CSnappy
import CheckpointFormats
import TensorIO

/// The entries of a sorted table of keys and values; ``TableFormat`` has the layout. The checksum of every block is checked.
struct Table: Sendable {
  struct Entry: Sendable {
    var key: [UInt8]
    var value: Bytes
  }

  /// All entries, keys strictly ascending.
  private(set) var entries: [Entry] = []

  /// The slices of a partitioned tensor have entries of their own.
  private static let maxEntries = 2 * CheckpointLimits.tensors
  /// Bytes of a single block when unpacked. TensorFlow starts a new block at 256 KiB; one value (an object graph)
  /// may be as large as protobuf allows.
  private static let maxBlockSize = 2 << 30

  static func recognizes(_ file: Bytes) -> Bool { TableFooter.ends(file) }

  init(_ file: Bytes) throws(FormatError) {
    let footer = try Self.footer(file)
    try Self.forEachEntry(in: Self.block(file, footer.metaindex, "the metaindex block")) {
      (_, _) throws(FormatError) in
    }
    var blocks: [BlockHandle] = []
    try Self.forEachEntry(in: Self.block(file, footer.index, "the index block")) { (_, value) throws(FormatError) in
      var cursor = ByteCursor(value)
      blocks.append(try BlockHandle(&cursor, "a data block's handle"))
    }
    try read(blocks, in: file)
  }

  private static func footer(_ file: Bytes) throws(FormatError) -> TableFooter {
    guard file.count >= TableFooter.size, let footer = file.suffix(from: file.count - TableFooter.size) else {
      throw FormatError(
        .damaged, file.isEmpty ? "the file is empty" : "the file is too short for a checkpoint index",
        file: file.file, found: "\(file.count) bytes", expected: "at least \(TableFooter.size)",
        advice: "The index was not copied or downloaded whole: fetch it again.")
    }
    guard TableFooter.ends(file) else {
      throw FormatError(
        .damaged, "the table's footer has the wrong magic number", file: file.file, offset: UInt64(file.count - 8),
        found: hexadecimal(file.slice(file.count - 8, 8)?.array() ?? []),
        expected: hexadecimal([UInt8](littleEndian: TableFormat.magic)),
        advice: "The index is cut short, damaged, or not a TensorFlow checkpoint index: fetch it again.")
    }
    return try TableFooter(footer)
  }

  private mutating func read(_ blocks: [BlockHandle], in file: Bytes) throws(FormatError) {
    // Each data block may be named once: a table of a thousand names for one block would cost a thousand times its size.
    var end = 0
    // A key may share all but a byte with the one before it, and would cost its whole length.
    var remainingKeyBytes = 16 * file.count + (16 << 20)
    for handle in blocks {
      guard handle.offset >= end else {
        throw FormatError(
          .damaged, "the table's data blocks overlap", file: file.file, offset: UInt64(handle.offset),
          expected: "an offset of at least \(end)")
      }
      let block = try Self.block(file, handle, "a data block")
      // The block lies in the file, so the sum does not overflow.
      end = handle.offset + handle.size
      try Self.forEachEntry(in: block) { (key, value) throws(FormatError) in
        if let last = entries.last, !last.key.lexicographicallyPrecedes(key) {
          throw FormatError(
            .damaged, "the table's keys are not in order", file: file.file, offset: UInt64(handle.offset),
            found: "'\(String(decoding: key, as: UTF8.self))' after '\(String(decoding: last.key, as: UTF8.self))'")
        }
        try CheckpointLimits.check(entries.count + 1, "entries", limit: Self.maxEntries, file: file.file)
        remainingKeyBytes -= key.count
        guard remainingKeyBytes >= 0 else {
          throw FormatError(
            .limit, "the keys of the table are too long in total", file: file.file, offset: UInt64(handle.offset),
            found: "one of \(key.count) bytes")
        }
        entries.append(Entry(key: key, value: value))
      }
    }
  }

  /// The unpacked content of a block, its checksum checked.
  private static func block(_ file: Bytes, _ handle: BlockHandle, _ what: String) throws(FormatError) -> Bytes {
    guard let stored = file.slice(handle.offset, handle.size), handle.size <= Int.max - BlockTrailer.size,
      let withType = file.slice(handle.offset, handle.size + 1),
      let trailerBytes = file.slice(handle.offset + handle.size, BlockTrailer.size)
    else {
      throw FormatError(
        .damaged, "\(what) lies outside the file", file: file.file, found: "\(handle.size) bytes at \(handle.offset)",
        expected: "within \(file.count) bytes", advice: "The index is cut short or damaged: fetch it again.")
    }
    var cursor = ByteCursor(trailerBytes)
    let trailer = try BlockTrailer(&cursor)
    let actual = withType.crc32c()
    guard ParsedChecksum.isRight(actual, trailer.checksum) else {
      throw FormatError(
        .damaged, "\(what) is damaged: its checksum is wrong", file: file.file, offset: UInt64(handle.offset),
        found: hexadecimal(actual, digits: 8), expected: hexadecimal(trailer.checksum, digits: 8),
        advice: "Fetch the index file again.")
    }
    switch TableFormat.Compression(rawValue: trailer.compression) {
    case .uncompressed: return stored
    case .snappy: return try unpackSnappy(stored, what)
    case nil:
      throw FormatError(
        .unsupported, "\(what) has an unknown compression", file: file.file,
        offset: UInt64(handle.offset + handle.size), found: "type \(trailer.compression)",
        expected: "0 (none) or 1 (snappy)")
    }
  }

  private static func unpackSnappy(_ stored: Bytes, _ what: String) throws(FormatError) -> Bytes {
    var cursor = ByteCursor(stored)
    let declared = try cursor.varintSize("\(what)'s unpacked length")
    // A snappy element of three bytes makes at most 64: nothing honest declares more.
    let possible = stored.count.multipliedReportingOverflow(by: 32)
    guard declared <= maxBlockSize, !possible.overflow, declared <= possible.partialValue + 64 else {
      throw FormatError(
        .limit, "\(what) declares more than its \(stored.count) compressed bytes can contain", file: stored.file,
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
          .damaged, "\(what) does not unpack as snappy", file: stored.file, offset: stored.offsetInFile)
      }
    }
  }

  private static func forEachEntry(
    in block: Bytes, _ body: (_ key: [UInt8], _ value: Bytes) throws(FormatError) -> Void
  ) throws(FormatError) {
    func damaged(_ problem: String, at offset: Int) -> FormatError {
      FormatError(
        .damaged, "a table block is malformed: \(problem)", file: block.file,
        offset: block.offsetInFile + UInt64(offset))
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
      let head = try BlockEntryHead(&cursor)
      guard head.shared <= key.count else {
        throw damaged("a key shares more bytes than the previous key has", at: start)
      }
      guard head.shared == 0 || !restartOffsets.contains(start) else {
        throw damaged("the key at a restart point is not whole", at: start)
      }
      restartOffsets.remove(start)
      let suffix = try cursor.take(head.unshared, "a key")
      key.removeSubrange(head.shared...)
      key.append(contentsOf: suffix.array())
      try body(key, try cursor.take(head.valueLength, "a value"))
    }
    restartOffsets.remove(limit == 0 ? 0 : -1)
    guard restartOffsets.isEmpty else { throw damaged("a restart point is not the start of an entry", at: limit) }
  }
}
