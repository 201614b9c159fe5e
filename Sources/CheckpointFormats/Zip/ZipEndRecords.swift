import TensorIO

/// The end of an archive; ``ZipSignature`` has the layout.
package struct ZipEndRecord: Equatable, Sendable {
  package static let size = 22

  package var disk: UInt16 = 0
  package var directoryDisk: UInt16 = 0
  package var entriesOnDisk: UInt16
  package var entries: UInt16
  package var directorySize: UInt32
  package var directoryOffset: UInt32
  package var commentLength: UInt16 = 0

  package init(entries: UInt16, directorySize: UInt32, directoryOffset: UInt32) {
    entriesOnDisk = entries
    self.entries = entries
    self.directorySize = directorySize
    self.directoryOffset = directoryOffset
  }

  /// Reads a record whose signature the caller has found.
  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    let what = "the end record"
    try cursor.skip(4)
    disk = try cursor.littleEndian(UInt16.self, what)
    directoryDisk = try cursor.littleEndian(UInt16.self, what)
    entriesOnDisk = try cursor.littleEndian(UInt16.self, what)
    entries = try cursor.littleEndian(UInt16.self, what)
    directorySize = try cursor.littleEndian(UInt32.self, what)
    directoryOffset = try cursor.littleEndian(UInt32.self, what)
    commentLength = try cursor.littleEndian(UInt16.self, what)
  }

  package var encoded: [UInt8] {
    [UInt8](littleEndian: ZipSignature.endRecord) + [UInt8](littleEndian: disk)
      + [UInt8](littleEndian: directoryDisk) + [UInt8](littleEndian: entriesOnDisk) + [UInt8](littleEndian: entries)
      + [UInt8](littleEndian: directorySize) + [UInt8](littleEndian: directoryOffset)
      + [UInt8](littleEndian: commentLength)
  }

  /// Where the last end record of `file` begins, which is the one that every reader takes; `nil` where there is none.
  package static func offset(in file: Bytes) -> Int? {
    guard file.count >= size, let tail = file.suffix(from: max(0, file.count - size - Int(UInt16.max))) else {
      return nil
    }
    return tail.withSpan { span in
      var offset = span.byteCount - size
      while offset >= 0 {
        if span.byte(at: offset) == 0x50, span.littleEndian(UInt32.self, at: offset) == ZipSignature.endRecord {
          return file.count - span.byteCount + offset
        }
        offset -= 1
      }
      return nil
    }
  }
}

/// The end of an archive that has more entries or bytes than ``ZipEndRecord`` can give.
package struct Zip64EndRecord: Equatable, Sendable {
  /// Bytes of a record after the field that gives their number.
  private static let restSize: UInt64 = 44

  package var madeBy = ZipVersion.madeByUnix | ZipVersion.zip64
  package var version = ZipVersion.zip64
  package var disk: UInt32 = 0
  package var directoryDisk: UInt32 = 0
  package var entriesOnDisk: UInt64
  package var entries: UInt64
  package var directorySize: UInt64
  package var directoryOffset: UInt64

  package init(entries: UInt64, directorySize: UInt64, directoryOffset: UInt64) {
    entriesOnDisk = entries
    self.entries = entries
    self.directorySize = directorySize
    self.directoryOffset = directoryOffset
  }

  /// Reads the record that fills the bytes of `cursor`; what an extended one has behind it is not read.
  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    let what = "the zip64 end record"
    let start = cursor
    guard try cursor.littleEndian(UInt32.self, what) == ZipSignature.zip64EndRecord else {
      throw start.error(.damaged, "the zip64 end record has the wrong signature")
    }
    let rest = try cursor.littleEndian(UInt64.self, what)
    guard rest >= Self.restSize, rest == UInt64(cursor.remaining) else {
      throw cursor.error(
        .damaged, "the zip64 end record has the wrong size", found: "\(rest)",
        expected: "\(cursor.remaining), at least \(Self.restSize)")
    }
    madeBy = try cursor.littleEndian(UInt16.self, what)
    version = try cursor.littleEndian(UInt16.self, what)
    disk = try cursor.littleEndian(UInt32.self, what)
    directoryDisk = try cursor.littleEndian(UInt32.self, what)
    entriesOnDisk = try cursor.littleEndian(UInt64.self, what)
    entries = try cursor.littleEndian(UInt64.self, what)
    directorySize = try cursor.littleEndian(UInt64.self, what)
    directoryOffset = try cursor.littleEndian(UInt64.self, what)
  }

  package var encoded: [UInt8] {
    [UInt8](littleEndian: ZipSignature.zip64EndRecord) + [UInt8](littleEndian: Self.restSize)
      + [UInt8](littleEndian: madeBy) + [UInt8](littleEndian: version) + [UInt8](littleEndian: disk)
      + [UInt8](littleEndian: directoryDisk) + [UInt8](littleEndian: entriesOnDisk)
      + [UInt8](littleEndian: entries) + [UInt8](littleEndian: directorySize)
      + [UInt8](littleEndian: directoryOffset)
  }
}

/// Locates the ``Zip64EndRecord``; it lies directly before the ``ZipEndRecord``.
package struct Zip64Locator: Equatable, Sendable {
  package static let size = 20

  package var disk: UInt32 = 0
  package var recordOffset: UInt64
  package var disks: UInt32 = 1

  package init(recordOffset: UInt64) { self.recordOffset = recordOffset }

  /// Reads the locator in the ``size`` bytes of `cursor`; `nil` where they are something else.
  package init?(_ cursor: inout ByteCursor) throws(FormatError) {
    let what = "the zip64 locator"
    guard try cursor.littleEndian(UInt32.self, what) == ZipSignature.zip64Locator else { return nil }
    disk = try cursor.littleEndian(UInt32.self, what)
    recordOffset = try cursor.littleEndian(UInt64.self, what)
    disks = try cursor.littleEndian(UInt32.self, what)
  }

  package var encoded: [UInt8] {
    [UInt8](littleEndian: ZipSignature.zip64Locator) + [UInt8](littleEndian: disk)
      + [UInt8](littleEndian: recordOffset) + [UInt8](littleEndian: disks)
  }
}
