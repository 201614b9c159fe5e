import CheckpointFormats
import TensorIO
import TestSupport
import Testing

/// Each part of a LevelDB table is read back as it was written.
@Suite struct TableFormatTests {
  private static let sizes = [0, 1, 127, 128, 16_383, 16_384, 1 << 32, Int.max]

  @Test(arguments: sizes, sizes) func handles(offset: Int, size: Int) throws {
    let handle = BlockHandle(offset: offset, size: size)
    var cursor = ByteCursor(Bytes(handle.encoded))
    #expect(try BlockHandle(&cursor, "a handle") == handle)
    #expect(cursor.isAtEnd)
  }

  @Test(arguments: 0..<20) func footers(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    func handle() -> BlockHandle {
      BlockHandle(offset: Int(random.anySize() >> 1), size: Int(random.anySize() >> 1))
    }
    let footer = TableFooter(metaindex: handle(), index: handle())
    let bytes = Bytes(footer.encoded)
    #expect(bytes.count == TableFooter.size && TableFooter.ends(bytes))
    #expect(try TableFooter(bytes) == footer)
  }

  @Test func aFooterWithOtherPaddingIsRefused() {
    var bytes = TableFooter(metaindex: .init(offset: 0, size: 1), index: .init(offset: 2, size: 3)).encoded
    bytes[39] = 1
    #expect(throws: FormatError.self) { try TableFooter(Bytes(bytes)) }
    bytes[47] ^= 1
    #expect(!TableFooter.ends(Bytes(bytes)) && !TableFooter.ends(Bytes([])))
  }

  @Test(arguments: 0..<20) func trailers(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    let block = random.bytes(upTo: 300)
    for compression in [TableFormat.Compression.uncompressed, .snappy] {
      let trailer = BlockTrailer(block, compression)
      var cursor = ByteCursor(Bytes(trailer.encoded))
      #expect(trailer.encoded.count == BlockTrailer.size)
      #expect(try BlockTrailer(&cursor) == trailer && cursor.isAtEnd)
      #expect(trailer.checksum == CRC32C.checksum(block + [compression.rawValue]))
    }
  }

  @Test(arguments: sizes, sizes) func entryHeads(shared: Int, length: Int) throws {
    let head = BlockEntryHead(shared: shared, unshared: length, valueLength: shared / 2)
    var cursor = ByteCursor(Bytes(head.encoded))
    #expect(try BlockEntryHead(&cursor) == head && cursor.isAtEnd)
  }
}
