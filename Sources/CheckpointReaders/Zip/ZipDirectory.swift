import TensorIO

/// The directory of a zip archive (PKWARE APPNOTE 6.3):
///
///     | local header, data, descriptor … | central directory | zip64 end record, its locator | end record, comment |
///
///     end record    = | PK 5 6 | disks: 2 × 2 | entries: 2 × 2 | directory's size: 4, offset: 4 | comment: 2 + n |
///     zip64 locator = | PK 6 7 | disk: 4 | offset of the zip64 end record: 8 | disks: 4 |
///     zip64 record  = | PK 6 6 | size: 8 | versions: 2 × 2 | disks: 2 × 4 | entries: 2 × 8 | size: 8 | offset: 8 | … |
///     central entry = | PK 1 2 | versions: 2 × 2 | flags: 2 | method: 2 | time: 4 | CRC32: 4 | stored size: 4 |
///                     | size: 4 | lengths of name, extra, comment: 3 × 2 | disk: 2 | attributes: 2 + 4 | offset: 4 | name | … |
///     local header  = | PK 3 4 | version: 2 | flags: 2 | method: 2 | time: 4 | CRC32: 4 | stored size: 4 | size: 4 |
///                     | lengths of name, extra: 2 × 2 | name | extra |
///
/// The central directory counts: writers that stream leave zeros in the local headers. Where both say something they
/// must say the same, or two programs would see two different archives in one file.
struct ZipDirectory {
  let file: Bytes
  private(set) var entries: [ZipArchive.Entry] = []

  static func endsLikeZip(_ file: Bytes) -> Bool { endRecordOffset(file) != nil }

  init(_ file: Bytes) throws(FormatError) {
    self.file = file
    let end = try Self.endRecord(file)
    guard let directory = file.slice(end.offset, end.size) else {
      throw FormatError(
        "the archive's directory lies outside the file", file: file.file, found: "\(end.size) bytes at \(end.offset)",
        expected: "within \(file.count) bytes", advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    // Of one tensor an entry, and a few more.
    try CheckpointLimits.check(end.count, "entries", most: CheckpointLimits.tensors + 1000, file: file.file)
    var cursor = ByteCursor(directory)
    var extents: [(start: Int, end: Int, name: String)] = []
    var names: Set<String> = []
    extents.reserveCapacity(end.count)
    entries.reserveCapacity(end.count)
    names.reserveCapacity(end.count)
    for _ in 0..<end.count {
      let central = try Central(&cursor)
      guard names.insert(central.name).inserted else {
        throw FormatError(
          "the archive holds two entries of one name", file: file.file, offset: central.place, found: central.name,
          advice: "Programs differ in which of the two they take, so neither can be trusted.")
      }
      let start = try dataOffset(of: central, directoryStart: end.offset)
      extents.append((central.offset, start + central.storedSize, central.name))
      if central.name.hasSuffix("/") {
        guard central.size == 0, central.storedSize == 0 else {
          throw FormatError("a folder of the archive holds data", file: file.file, found: central.name)
        }
        continue
      }
      entries.append(
        ZipArchive.Entry(
          name: central.name, isDeflated: central.method == 8, storedSize: central.storedSize, size: central.size,
          checksum: central.checksum, dataOffset: start))
    }
    guard cursor.isAtEnd else {
      throw cursor.error("the archive's directory is longer than its entries", found: "\(cursor.remaining) bytes more")
    }
    extents.sort { ($0.start, $0.end) < ($1.start, $1.end) }
    for (one, next) in zip(extents, extents.dropFirst()) where next.start < one.end {
      throw FormatError(
        "two entries of the archive overlap", file: file.file, offset: UInt64(next.start),
        found: "'\(one.name)' and '\(next.name)'", advice: "No honest program writes such an archive.")
    }
  }

  // MARK: The end records

  private struct End {
    var count: Int
    var size: Int
    var offset: Int
  }

  /// Every reader takes the last signature in the file, so this one does too.
  private static func endRecordOffset(_ file: Bytes) -> Int? {
    guard file.count >= 22, let tail = file.suffix(from: max(0, file.count - 22 - 65_535)) else { return nil }
    return tail.withSpan { span in
      var offset = span.byteCount - 22
      while offset >= 0 {
        if span.byte(at: offset) == 0x50, span.littleEndian(UInt32.self, at: offset) == 0x0605_4B50 {
          return file.count - span.byteCount + offset
        }
        offset -= 1
      }
      return nil
    }
  }

  private static func endRecord(_ file: Bytes) throws(FormatError) -> End {
    guard let place = endRecordOffset(file), let tail = file.suffix(from: place) else {
      throw FormatError(
        "the archive has no end record", file: file.file, found: "\(file.count) bytes",
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    var cursor = ByteCursor(tail)
    try cursor.skip(4)
    let disk = try cursor.littleEndian(UInt16.self, "the end record")
    let directoryDisk = try cursor.littleEndian(UInt16.self, "the end record")
    let countHere = try cursor.littleEndian(UInt16.self, "the end record")
    let count = try cursor.littleEndian(UInt16.self, "the end record")
    let size = try cursor.littleEndian(UInt32.self, "the end record")
    let offset = try cursor.littleEndian(UInt32.self, "the end record")
    let comment = try cursor.littleEndian(UInt16.self, "the end record")
    guard Int(comment) == cursor.remaining else {
      throw cursor.error(
        "the archive does not end with its comment", found: "\(cursor.remaining) bytes", expected: "\(comment)",
        advice: "Something was appended to the archive, or it is damaged: fetch it again.")
    }
    var end = End(count: Int(count), size: Int(size), offset: Int(offset))
    var isWhole = (disk == 0 || disk == .max) && (directoryDisk == 0 || directoryDisk == .max) && countHere == count
    var directoryEnd = place
    if place >= 20, let locator = file.slice(place - 20, 20),
      locator.withSpan({ $0.littleEndian(UInt32.self, at: 0) }) == 0x0706_4B50
    {
      let (record, start, onOneDisk) = try zip64Record(locator, file: file)
      guard count == .max || Int(count) == record.count, size == .max || Int(size) == record.size,
        offset == .max || Int(offset) == record.offset
      else {
        throw FormatError(
          "the two end records of the archive disagree", file: file.file, offset: UInt64(place),
          found: "\(count) entries, \(size) bytes at \(offset)",
          expected: "\(record.count) entries, \(record.size) bytes at \(record.offset)")
      }
      end = record
      isWhole = isWhole && onOneDisk
      directoryEnd = start
    }
    guard isWhole else {
      throw FormatError(
        "the archive is one part of several", file: file.file, offset: UInt64(place),
        advice: "Put the parts together with the program that split them.")
    }
    let (sum, overflow) = end.offset.addingReportingOverflow(end.size)
    guard !overflow, sum == directoryEnd else {
      throw FormatError(
        "the archive's directory does not end where the end record begins", file: file.file, offset: UInt64(place),
        found: "\(end.size) bytes at \(end.offset)", expected: "an end at \(directoryEnd)",
        advice: "Bytes were added or lost: fetch the file again.")
    }
    return end
  }

  private static func zip64Record(
    _ locator: Bytes, file: Bytes
  ) throws(FormatError) -> (End, start: Int, onOneDisk: Bool) {
    var cursor = ByteCursor(locator)
    try cursor.skip(4)
    let disk = try cursor.littleEndian(UInt32.self, "the zip64 locator")
    let place = try cursor.littleEndian(UInt64.self, "the zip64 locator")
    let disks = try cursor.littleEndian(UInt32.self, "the zip64 locator")
    let limit = Int(locator.offsetInFile)
    guard let start = Int(exactly: place), start <= limit, let record = file.slice(start, limit - start) else {
      throw cursor.error("the zip64 end record lies outside the file", found: "offset \(place)")
    }
    cursor = ByteCursor(record)
    guard try cursor.littleEndian(UInt32.self, "the zip64 end record") == 0x0606_4B50 else {
      throw ByteCursor(record).error("there is no zip64 end record where the archive says")
    }
    let size = try cursor.littleEndian(UInt64.self, "the zip64 end record")
    guard size >= 44, size == UInt64(cursor.remaining) else {
      throw cursor.error(
        "the zip64 end record has the wrong size", found: "\(size)", expected: "\(cursor.remaining), at least 44")
    }
    try cursor.skip(4)
    let recordDisk = try cursor.littleEndian(UInt32.self, "the zip64 end record")
    let directoryDisk = try cursor.littleEndian(UInt32.self, "the zip64 end record")
    let countHere = try cursor.littleEndian(UInt64.self, "the zip64 end record")
    let count = try cursor.littleEndian(UInt64.self, "the zip64 end record")
    let directorySize = try cursor.littleEndian(UInt64.self, "the zip64 end record")
    let directoryOffset = try cursor.littleEndian(UInt64.self, "the zip64 end record")
    guard let number = Int(exactly: count), let bytes = Int(exactly: directorySize),
      let offset = Int(exactly: directoryOffset)
    else { throw cursor.error("the zip64 end record holds impossible sizes", found: "\(count), \(directorySize)") }
    return (
      End(count: number, size: bytes, offset: offset), start,
      disk == 0 && disks <= 1 && recordDisk == 0 && directoryDisk == 0 && countHere == count
    )
  }

  // MARK: The entries

  private struct Central {
    var place: UInt64
    var name: String
    var rawName: Bytes
    var method: UInt16
    var checksum: UInt32
    var storedSize: Int
    var size: Int
    var offset: Int

    init(_ cursor: inout ByteCursor) throws(FormatError) {
      let start = cursor
      place = cursor.offsetInFile
      guard try cursor.littleEndian(UInt32.self, "the archive's directory") == 0x0201_4B50 else {
        throw start.error(
          "an entry of the archive's directory does not begin with its signature", expected: "50 4b 01 02",
          advice: "The archive is damaged: fetch it again.")
      }
      try cursor.skip(4)
      let flags = try cursor.littleEndian(UInt16.self, "an archive entry")
      method = try cursor.littleEndian(UInt16.self, "an archive entry")
      try cursor.skip(4)
      checksum = try cursor.littleEndian(UInt32.self, "an archive entry")
      let stored = try cursor.littleEndian(UInt32.self, "an archive entry")
      let unpacked = try cursor.littleEndian(UInt32.self, "an archive entry")
      let nameLength = try cursor.littleEndian(UInt16.self, "an archive entry")
      let extraLength = try cursor.littleEndian(UInt16.self, "an archive entry")
      let commentLength = try cursor.littleEndian(UInt16.self, "an archive entry")
      let disk = try cursor.littleEndian(UInt16.self, "an archive entry")
      try cursor.skip(6)
      let header = try cursor.littleEndian(UInt32.self, "an archive entry")
      rawName = try cursor.take(Int(nameLength), "an entry's name")
      let extra = try cursor.take(Int(extraLength), "an entry's extra field")
      try cursor.skip(Int(commentLength))
      guard let text = rawName.utf8String() else {
        let bytes = rawName.array()
        throw start.error("an entry's name \(FileText.problem(bytes))", found: hexadecimal(bytes))
      }
      name = text
      guard flags & 0x2041 == 0 else {
        throw start.error(
          "the entry '\(text)' is said to be encrypted", found: "flags 0x\(hexadecimal(flags, digits: 4))",
          advice: "No checkpoint is: the flag hides the content from scanners. Do not load this file.")
      }
      guard method == 0 || method == 8 else {
        throw start.error(
          "the entry '\(text)' is compressed in an unknown way", found: "method \(method)",
          expected: "0 (stored) or 8 (deflated)")
      }
      guard ZipArchive.isSafe(name: text) else {
        throw start.error("an entry's name leads out of the archive", found: text)
      }
      let wide = try zip64Fields(
        extra, wanted: [stored == .max, unpacked == .max, header == .max], what: "the entry '\(text)'")
      guard disk == 0 || disk == .max, let storedSize = Int(exactly: wide[0] ?? UInt64(stored)),
        let size = Int(exactly: wide[1] ?? UInt64(unpacked)), let offset = Int(exactly: wide[2] ?? UInt64(header))
      else { throw start.error("the entry '\(text)' has an impossible size or place") }
      self.storedSize = storedSize
      self.size = size
      self.offset = offset
      if method == 0 {
        guard storedSize == size else {
          throw start.error(
            "the entry '\(text)' is stored, but its two sizes differ", found: "\(storedSize) and \(size)")
        }
      } else {
        // Deflate makes at most 258 bytes of two bits: nothing honest declares more.
        let (most, overflow) = storedSize.multipliedReportingOverflow(by: 1032)
        guard overflow || size <= most.addingReportingOverflow(64).partialValue else {
          throw start.error(
            "the entry '\(text)' declares more than its \(storedSize) compressed bytes can hold", found: "\(size) bytes"
          )
        }
      }
    }
  }

  /// The start of an entry's data, after its local header was found to agree.
  private func dataOffset(of central: Central, directoryStart: Int) throws(FormatError) -> Int {
    guard central.offset <= directoryStart, let rest = file.slice(central.offset, directoryStart - central.offset)
    else {
      throw FormatError(
        "the entry '\(central.name)' lies outside the archive's data", file: file.file, offset: central.place,
        found: "offset \(central.offset)", expected: "at most \(directoryStart)")
    }
    let start = ByteCursor(rest)
    var cursor = start
    guard try cursor.littleEndian(UInt32.self, "a local header") == 0x0403_4B50 else {
      throw start.error("the entry '\(central.name)' has no local header", expected: "50 4b 03 04")
    }
    try cursor.skip(2)
    let flags = try cursor.littleEndian(UInt16.self, "a local header")
    let method = try cursor.littleEndian(UInt16.self, "a local header")
    try cursor.skip(4)
    let checksum = try cursor.littleEndian(UInt32.self, "a local header")
    let stored = try cursor.littleEndian(UInt32.self, "a local header")
    let unpacked = try cursor.littleEndian(UInt32.self, "a local header")
    let nameLength = try cursor.littleEndian(UInt16.self, "a local header")
    let extraLength = try cursor.littleEndian(UInt16.self, "a local header")
    let name = try cursor.take(Int(nameLength), "a local header's name")
    let extra = try cursor.take(Int(extraLength), "a local header's extra field")
    func disagree(_ what: String, found: String, expected: String) -> FormatError {
      start.error(
        "the entry '\(central.name)' has another \(what) in its local header than in the directory", found: found,
        expected: expected, advice: "Two programs would read two different things: the file cannot be trusted.")
    }
    guard name.elementsEqual(central.rawName) else {
      throw disagree("name", found: name.text(), expected: central.name)
    }
    guard method == central.method else { throw disagree("method", found: "\(method)", expected: "\(central.method)") }
    guard flags & 0x2041 == 0 else {
      throw disagree("encryption flag", found: "0x\(hexadecimal(flags, digits: 4))", expected: "none")
    }
    let wide = try zip64Fields(
      extra, wanted: [unpacked == .max, stored == .max], isLocal: true, what: "a local header")
    let localSize = wide[0] ?? UInt64(unpacked)
    let localStored = wide[1] ?? UInt64(stored)
    guard localSize == 0 || localSize == UInt64(central.size) else {
      throw disagree("size", found: "\(localSize)", expected: "\(central.size)")
    }
    guard localStored == 0 || localStored == UInt64(central.storedSize) else {
      throw disagree("stored size", found: "\(localStored)", expected: "\(central.storedSize)")
    }
    guard checksum == 0 || checksum == central.checksum else {
      throw disagree(
        "checksum", found: hexadecimal(checksum, digits: 8), expected: hexadecimal(central.checksum, digits: 8))
    }
    guard central.storedSize <= cursor.remaining else {
      throw start.error(
        "the data of '\(central.name)' runs into the archive's directory", found: "\(cursor.remaining) bytes",
        expected: "\(central.storedSize)")
    }
    return central.offset + cursor.position
  }
}

/// The 8-byte values of the zip64 extra field (id 1) for those of the fields that are `wanted`, in the order asked for:
/// sizes before the offset. The field keeps the unpacked size first, the stored size second.
private func zip64Fields(
  _ extra: Bytes, wanted: [Bool], isLocal: Bool = false, what: @autoclosure () -> String
) throws(FormatError) -> [UInt64?] {
  var result = [UInt64?](repeating: nil, count: wanted.count)
  guard wanted.contains(true) else { return result }
  var cursor = ByteCursor(extra)
  while cursor.remaining >= 4 {
    let id = try cursor.littleEndian(UInt16.self, "an extra field")
    let length = try cursor.littleEndian(UInt16.self, "an extra field")
    let content = try cursor.take(Int(length), "an extra field")
    guard id == 1 else { continue }
    var field = ByteCursor(content)
    // In the directory: stored size, size, offset; in a local header: size, stored size.
    for index in isLocal ? [0, 1] : [1, 0, 2] where wanted[index] {
      result[index] = try field.littleEndian(UInt64.self, "the zip64 field of \(what())")
    }
    return result
  }
  throw cursor.error("\(what()) needs a zip64 field, but has none")
}
