import CheckpointFormats
import TensorIO

/// The directory of a zip archive; ``ZipSignature`` has the layout.
///
/// The central directory counts: writers that stream leave zeros in the local headers. Where both give a value it must be
/// the same, or two programs would see two different archives in one file.
struct ZipDirectory {
  let file: Bytes
  /// In the order of the directory, folders left out.
  private(set) var entries: [ZipArchive.Entry] = []

  init(_ file: Bytes) throws(FormatError) {
    self.file = file
    try read(try ZipDirectoryExtent(file))
  }

  private mutating func read(_ extent: ZipDirectoryExtent) throws(FormatError) {
    guard let directory = file.slice(extent.offset, extent.size) else {
      throw FormatError(
        .damaged, "the archive's directory lies outside the file", file: file.file,
        found: "\(extent.size) bytes at \(extent.offset)", expected: "within \(file.count) bytes",
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    // One entry per tensor, and a few more.
    try CheckpointLimits.check(extent.count, "entries", limit: CheckpointLimits.tensors + 1000, file: file.file)
    var cursor = ByteCursor(directory)
    var extents: [(start: Int, end: Int, name: String)] = []
    var names: Set<String> = []
    extents.reserveCapacity(extent.count)
    entries.reserveCapacity(extent.count)
    names.reserveCapacity(extent.count)
    for _ in 0..<extent.count {
      let central = try CentralEntry(&cursor)
      guard names.insert(central.name).inserted else {
        throw FormatError(
          .dangerous, "two entries of the archive have the same name", file: file.file, offset: central.offsetInFile,
          found: central.name, advice: "Programs differ in which of the two they take, so neither can be trusted.")
      }
      let start = try dataOffset(of: central, directoryStart: extent.offset)
      extents.append((central.headerOffset, start + central.storedSize, central.name))
      if central.name.hasSuffix("/") {
        guard central.size == 0, central.storedSize == 0 else {
          throw FormatError(
            .damaged, "a folder of the archive contains data", file: file.file, found: central.name)
        }
        continue
      }
      entries.append(
        ZipArchive.Entry(
          name: central.name, isDeflated: central.method == ZipMethod.deflated, storedSize: central.storedSize,
          size: central.size, checksum: central.checksum, dataOffset: start))
    }
    guard cursor.isAtEnd else {
      throw cursor.error(
        .damaged, "the archive's directory is longer than its entries", found: "\(cursor.remaining) bytes more")
    }
    try checkOverlap(extents)
  }

  private func checkOverlap(_ extents: [(start: Int, end: Int, name: String)]) throws(FormatError) {
    let extents = extents.sorted { ($0.start, $0.end) < ($1.start, $1.end) }
    for (one, next) in zip(extents, extents.dropFirst()) where next.start < one.end {
      throw FormatError(
        .dangerous, "two entries of the archive overlap", file: file.file, offset: UInt64(next.start),
        found: "'\(one.name)' and '\(next.name)'", advice: "No honest program writes such an archive.")
    }
  }

  /// The start of an entry's data, after its local header was compared with the directory.
  private func dataOffset(of central: CentralEntry, directoryStart: Int) throws(FormatError) -> Int {
    guard central.headerOffset <= directoryStart,
      let rest = file.slice(central.headerOffset, directoryStart - central.headerOffset)
    else {
      throw FormatError(
        .damaged, "the entry '\(central.name)' lies outside the archive's data", file: file.file,
        offset: central.offsetInFile, found: "offset \(central.headerOffset)", expected: "at most \(directoryStart)")
    }
    let start = ByteCursor(rest)
    var cursor = start
    let header = try ZipLocalHeader(&cursor)
    let name = try cursor.take(Int(header.nameLength), "a local header's name")
    let extra = try cursor.take(Int(header.extraLength), "a local header's extra field")
    try compare(header, name: name, extra: extra, with: central, at: start)
    guard central.storedSize <= cursor.remaining else {
      throw start.error(
        .damaged, "the data of '\(central.name)' overlaps the archive's directory", found: "\(cursor.remaining) bytes",
        expected: "\(central.storedSize)")
    }
    return central.headerOffset + cursor.position
  }

  private func compare(
    _ header: ZipLocalHeader, name: Bytes, extra: Bytes, with central: CentralEntry, at start: ByteCursor
  ) throws(FormatError) {
    func differ(_ what: String, found: String, expected: String) -> FormatError {
      start.error(
        .dangerous, "the local header and the directory give the entry '\(central.name)' a different \(what)",
        found: found, expected: expected,
        advice: "Two programs would read two different things: the file cannot be trusted.")
    }
    let fields = header.fields
    guard name.elementsEqual(central.rawName) else { throw differ("name", found: name.text(), expected: central.name) }
    guard fields.method == central.method else {
      throw differ("method", found: "\(fields.method)", expected: "\(central.method)")
    }
    guard fields.flags & ZipEntryFields.encryptionFlags == 0 else {
      throw differ("encryption flag", found: "0x\(hexadecimal(fields.flags, digits: 4))", expected: "none")
    }
    let wide = try ZipExtraField.zip64Values(
      extra, wanted: [fields.size == .max, fields.storedSize == .max], "a local header")
    let size = wide[0] ?? UInt64(fields.size)
    let storedSize = wide[1] ?? UInt64(fields.storedSize)
    guard size == 0 || size == UInt64(central.size) else {
      throw differ("size", found: "\(size)", expected: "\(central.size)")
    }
    guard storedSize == 0 || storedSize == UInt64(central.storedSize) else {
      throw differ("stored size", found: "\(storedSize)", expected: "\(central.storedSize)")
    }
    guard fields.checksum == 0 || fields.checksum == central.checksum else {
      throw differ(
        "checksum", found: hexadecimal(fields.checksum, digits: 8), expected: hexadecimal(central.checksum, digits: 8))
    }
  }
}

/// An entry of the directory, its fields checked and widened.
private struct CentralEntry {
  /// Of this entry.
  let offsetInFile: UInt64
  let name: String
  let rawName: Bytes
  let method: UInt16
  let checksum: UInt32
  let storedSize: Int
  let size: Int
  /// Of the local header.
  let headerOffset: Int

  init(_ cursor: inout ByteCursor) throws(FormatError) {
    let start = cursor
    let central = try ZipCentralEntry(&cursor)
    rawName = try cursor.take(Int(central.nameLength), "an entry's name")
    let extra = try cursor.take(Int(central.extraLength), "an entry's extra field")
    try cursor.skip(Int(central.commentLength))
    guard let name = rawName.utf8String() else {
      let bytes = rawName.array()
      throw start.error(.damaged, "an entry's name \(FileText.problem(bytes))", found: hexadecimal(bytes))
    }
    self.name = name
    offsetInFile = start.offsetInFile
    method = central.fields.method
    checksum = central.fields.checksum
    let fields = central.fields
    let wide = try ZipExtraField.zip64Values(
      extra, wanted: [fields.size == .max, fields.storedSize == .max, central.headerOffset == .max],
      "the entry '\(name)'")
    guard central.disk == 0 || central.disk == .max, let size = Int(exactly: wide[0] ?? UInt64(fields.size)),
      let storedSize = Int(exactly: wide[1] ?? UInt64(fields.storedSize)),
      let headerOffset = Int(exactly: wide[2] ?? UInt64(central.headerOffset))
    else { throw start.error(.damaged, "the entry '\(name)' has an impossible size or offset") }
    self.storedSize = storedSize
    self.size = size
    self.headerOffset = headerOffset
    try check(flags: fields.flags, at: start)
  }

  private func check(flags: UInt16, at start: ByteCursor) throws(FormatError) {
    guard flags & ZipEntryFields.encryptionFlags == 0 else {
      throw start.error(
        .dangerous, "the entry '\(name)' is marked as encrypted", found: "flags 0x\(hexadecimal(flags, digits: 4))",
        advice: "No checkpoint is: the flag hides the content from scanners. Do not load this file.")
    }
    guard ZipArchive.isSafe(name: name) else {
      throw start.error(.dangerous, "an entry's name points outside the archive", found: name)
    }
    switch method {
    case ZipMethod.stored:
      guard storedSize == size else {
        throw start.error(
          .dangerous, "the entry '\(name)' is stored without compression, but its two sizes differ",
          found: "\(storedSize) and \(size)")
      }
    case ZipMethod.deflated:
      // Deflate makes at most 258 bytes of two bits: nothing honest declares more.
      let (most, overflow) = storedSize.multipliedReportingOverflow(by: 1032)
      guard overflow || size <= most.addingReportingOverflow(64).partialValue else {
        throw start.error(
          .limit, "the entry '\(name)' declares more than its \(storedSize) compressed bytes can contain",
          found: "\(size) bytes")
      }
    default:
      throw start.error(
        .unsupported, "the entry '\(name)' has an unknown compression", found: "method \(method)",
        expected: "0 (stored) or 8 (deflated)")
    }
  }
}

/// Where the directory lies and how many entries it has, as the end records give it.
struct ZipDirectoryExtent {
  let count: Int
  let size: Int
  let offset: Int

  private init(count: Int, size: Int, offset: Int) {
    self.count = count
    self.size = size
    self.offset = offset
  }

  init(_ file: Bytes) throws(FormatError) {
    guard let start = ZipEndRecord.offset(in: file), let tail = file.suffix(from: start) else {
      throw FormatError(
        .damaged, "the archive has no end record", file: file.file, found: "\(file.count) bytes",
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    var cursor = ByteCursor(tail)
    let end = try ZipEndRecord(&cursor)
    guard Int(end.commentLength) == cursor.remaining else {
      throw cursor.error(
        .damaged, "the archive does not end with its comment", found: "\(cursor.remaining) bytes",
        expected: "\(end.commentLength)",
        advice: "Something was appended to the archive, or it is damaged: fetch it again.")
    }
    var isOneFile =
      (end.disk == 0 || end.disk == .max) && (end.directoryDisk == 0 || end.directoryDisk == .max)
      && end.entriesOnDisk == end.entries
    var extent = ZipDirectoryExtent(
      count: Int(end.entries), size: Int(end.directorySize), offset: Int(end.directoryOffset))
    var directoryEnd = start
    if let wide = try Self.zip64(file, before: start) {
      try Self.compare(end, wide.extent, at: start, in: file)
      extent = wide.extent
      isOneFile = isOneFile && wide.isOneFile
      directoryEnd = wide.start
    }
    guard isOneFile else {
      throw FormatError(
        .unsupported, "the archive is one part of several", file: file.file, offset: UInt64(start),
        advice: "Put the parts together with the program that split them.")
    }
    let (sum, overflow) = extent.offset.addingReportingOverflow(extent.size)
    guard !overflow, sum == directoryEnd else {
      throw FormatError(
        .damaged, "the archive's directory does not end where the end record begins", file: file.file,
        offset: UInt64(start), found: "\(extent.size) bytes at \(extent.offset)",
        expected: "an end at \(directoryEnd)", advice: "Bytes were added or lost: fetch the file again.")
    }
    self = extent
  }

  /// What the zip64 record gives, if there is one before the end record at `end`.
  private static func zip64(
    _ file: Bytes, before end: Int
  ) throws(FormatError) -> (extent: ZipDirectoryExtent, start: Int, isOneFile: Bool)? {
    guard let bytes = file.slice(end - Zip64Locator.size, Zip64Locator.size) else { return nil }
    var cursor = ByteCursor(bytes)
    guard let locator = try Zip64Locator(&cursor) else { return nil }
    let limit = end - Zip64Locator.size
    guard let start = Int(exactly: locator.recordOffset), start <= limit,
      let bytes = file.slice(start, limit - start)
    else {
      throw cursor.error(
        .damaged, "the zip64 end record lies outside the file", found: "offset \(locator.recordOffset)")
    }
    cursor = ByteCursor(bytes)
    let record = try Zip64EndRecord(&cursor)
    guard let count = Int(exactly: record.entries), let size = Int(exactly: record.directorySize),
      let offset = Int(exactly: record.directoryOffset)
    else {
      throw cursor.error(
        .damaged, "the zip64 end record has impossible sizes", found: "\(record.entries), \(record.directorySize)")
    }
    return (
      ZipDirectoryExtent(count: count, size: size, offset: offset), start,
      locator.disk == 0 && locator.disks <= 1 && record.disk == 0 && record.directoryDisk == 0
        && record.entriesOnDisk == record.entries
    )
  }

  private static func compare(
    _ end: ZipEndRecord, _ wide: ZipDirectoryExtent, at offset: Int, in file: Bytes
  ) throws(FormatError) {
    guard end.entries == .max || Int(end.entries) == wide.count,
      end.directorySize == .max || Int(end.directorySize) == wide.size,
      end.directoryOffset == .max || Int(end.directoryOffset) == wide.offset
    else {
      throw FormatError(
        .dangerous, "the two end records of the archive differ", file: file.file, offset: UInt64(offset),
        found: "\(end.entries) entries, \(end.directorySize) bytes at \(end.directoryOffset)",
        expected: "\(wide.count) entries, \(wide.size) bytes at \(wide.offset)")
    }
  }
}
