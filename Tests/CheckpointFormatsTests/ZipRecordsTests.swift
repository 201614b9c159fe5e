import CheckpointFormats
import TensorIO
import TestSupport
import Testing

/// Each record of a zip archive is read back as it was written.
@Suite struct ZipRecordsTests {
  private func fields(_ random: inout SeededRandom) -> ZipEntryFields {
    var fields = ZipEntryFields(
      checksum: UInt32(truncatingIfNeeded: random.next()), storedSize: UInt32(truncatingIfNeeded: random.next()),
      size: UInt32(truncatingIfNeeded: random.next()))
    fields.flags = UInt16(truncatingIfNeeded: random.next())
    fields.method = UInt16(truncatingIfNeeded: random.next())
    fields.time = UInt32(truncatingIfNeeded: random.next())
    return fields
  }

  @Test(arguments: 0..<20) func entries(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    func short() -> UInt16 { UInt16(truncatingIfNeeded: random.next()) }
    func long() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
    let local = ZipLocalHeader(version: short(), fields: fields(&random), nameLength: short(), extraLength: short())
    var cursor = ByteCursor(Bytes(local.encoded))
    #expect(local.encoded.count == ZipLocalHeader.size)
    #expect(try ZipLocalHeader(&cursor) == local && cursor.isAtEnd)

    var central = ZipCentralEntry(
      madeBy: short(), version: short(), fields: fields(&random), nameLength: short(), extraLength: short(),
      externalAttributes: long(), headerOffset: long())
    central.commentLength = short()
    central.disk = short()
    central.internalAttributes = short()
    cursor = ByteCursor(Bytes(central.encoded))
    #expect(try ZipCentralEntry(&cursor) == central && cursor.isAtEnd)
    cursor = ByteCursor(Bytes(central.encoded))
    #expect(throws: FormatError.self) { try ZipLocalHeader(&cursor) }
  }

  @Test(arguments: 0..<20) func endRecords(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    var end = ZipEndRecord(
      entries: UInt16(truncatingIfNeeded: random.next()), directorySize: UInt32(truncatingIfNeeded: random.next()),
      directoryOffset: UInt32(truncatingIfNeeded: random.next()))
    end.disk = UInt16(truncatingIfNeeded: random.next())
    end.directoryDisk = UInt16(truncatingIfNeeded: random.next())
    end.entriesOnDisk = UInt16(truncatingIfNeeded: random.next())
    end.commentLength = UInt16(truncatingIfNeeded: random.next())
    var cursor = ByteCursor(Bytes(end.encoded))
    #expect(end.encoded.count == ZipEndRecord.size)
    #expect(try ZipEndRecord(&cursor) == end && cursor.isAtEnd)

    var wide = Zip64EndRecord(entries: random.next(), directorySize: random.next(), directoryOffset: random.next())
    wide.disk = UInt32(truncatingIfNeeded: random.next())
    wide.directoryDisk = UInt32(truncatingIfNeeded: random.next())
    wide.entriesOnDisk = random.next()
    cursor = ByteCursor(Bytes(wide.encoded))
    #expect(try Zip64EndRecord(&cursor) == wide && cursor.isAtEnd)

    var locator = Zip64Locator(recordOffset: random.next())
    locator.disk = UInt32(truncatingIfNeeded: random.next())
    locator.disks = UInt32(truncatingIfNeeded: random.next())
    cursor = ByteCursor(Bytes(locator.encoded))
    #expect(locator.encoded.count == Zip64Locator.size)
    #expect(try Zip64Locator(&cursor) == locator && cursor.isAtEnd)
    cursor = ByteCursor(Bytes(end.encoded))
    #expect(try Zip64Locator(&cursor) == nil)
  }

  @Test func theLastEndRecordCounts() {
    let end = ZipEndRecord(entries: 1, directorySize: 2, directoryOffset: 3).encoded
    #expect(ZipEndRecord.offset(in: Bytes(end)) == 0)
    #expect(ZipEndRecord.offset(in: Bytes(end + end + [1, 2, 3])) == ZipEndRecord.size)
    #expect(ZipEndRecord.offset(in: Bytes(Array(end.dropLast()))) == nil)
    #expect(ZipEndRecord.offset(in: Bytes(end + [UInt8](repeating: 0, count: 65_536))) == nil)
  }

  @Test(arguments: [[UInt64](), [5], [1, .max], [1, 2, 3]]) func zip64Fields(values: [UInt64]) throws {
    let padding = ZipExtraField.encoded(ZipExtraField.padding, [1, 2, 3])
    let extra = Bytes(padding + ZipExtraField.encodedZip64(values))
    let wanted = (0..<3).map { $0 < values.count }
    let read = try ZipExtraField.zip64Values(extra, wanted: wanted, "an entry")
    #expect(read == values.map { .some($0) } + [UInt64?](repeating: nil, count: 3 - values.count))
    #expect(throws: FormatError.self) {
      try ZipExtraField.zip64Values(extra, wanted: [true, true, true, true], "an entry")
    }
  }
}
