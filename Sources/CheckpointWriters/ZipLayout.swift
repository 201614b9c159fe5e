import CheckpointFormats
import TensorIO

/// The frame of a zip archive (``ZipSignature``) of stored entries whose sizes are known beforehand: every offset in
/// the file is fixed before any data is written, so entries can be filled in any order and nothing is buffered.
///
/// Entries carry the date 1980-01-01, the first that the format has, so that the same input gives the same file.
struct ZipLayout {
  struct Entry {
    let name: [UInt8]
    let size: Int
    /// Of the local header, and of the first data byte.
    let headerOffset: Int
    let dataOffset: Int
    /// The local header's extra field: zip64 sizes and padding.
    fileprivate let extra: [UInt8]
    var checksum: UInt32 = 0
  }

  private(set) var entries: [Entry] = []
  /// Bytes of headers and data, without the directory.
  private(set) var dataEnd = 0
  private let alwaysZip64: Bool

  /// Readable and writable by the owner of an unpacked file.
  private static let permissions: UInt32 = 0o600 << 16

  /// `alwaysZip64` writes the 64-bit forms where they are not needed, for tests.
  init(alwaysZip64: Bool = false) { self.alwaysZip64 = alwaysZip64 }

  /// Adds an entry whose data starts on a multiple of `alignment`.
  mutating func add(_ name: String, size: Int, alignment: Int = 1) throws(FormatError) {
    let bytes = Array(name.utf8)
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard bytes.count <= UInt16.max, !bytes.contains(0), !parts.contains(".."), parts.first != "" else {
      throw FormatError(
        .unsupported, "the name cannot be used for an entry of an archive", tensor: name,
        advice: "Names with '..' or a leading '/' would point outside the archive's folder.")
    }
    var extra = isWide(size) ? ZipExtraField.encodedZip64([UInt64(size), UInt64(size)]) : []
    let bare = dataEnd + ZipLocalHeader.size + bytes.count + extra.count
    if alignment > 1, bare % alignment != 0 {
      let padding = (alignment - (bare + ZipExtraField.headSize) % alignment) % alignment
      extra += ZipExtraField.encoded(ZipExtraField.padding, [UInt8](repeating: 0x5A, count: padding))
    }
    let start = dataEnd + ZipLocalHeader.size + bytes.count + extra.count
    entries.append(Entry(name: bytes, size: size, headerOffset: dataEnd, dataOffset: start, extra: extra))
    dataEnd = start + size
  }

  mutating func setChecksum(_ value: UInt32, ofEntryAt index: Int) { entries[index].checksum = value }

  /// Whether a size, an offset or a count takes more than the 32 bits (or 16, for `limit`) of its field.
  private func isWide(_ value: Int, limit: Int = Int(UInt32.max)) -> Bool { alwaysZip64 || value >= limit }

  private func fields(_ entry: Entry) -> ZipEntryFields {
    let size = isWide(entry.size) ? UInt32.max : UInt32(entry.size)
    return ZipEntryFields(checksum: entry.checksum, storedSize: size, size: size)
  }

  /// The local header of an entry, which goes to its `headerOffset`.
  func localHeader(_ index: Int) -> [UInt8] {
    let entry = entries[index]
    let header = ZipLocalHeader(
      version: isWide(entry.size) ? ZipVersion.zip64 : ZipVersion.plain, fields: fields(entry),
      nameLength: UInt16(entry.name.count), extraLength: UInt16(entry.extra.count))
    return header.encoded + entry.name + entry.extra
  }

  /// The directory and the end records, which go to ``dataEnd``.
  func directory() -> [UInt8] {
    var bytes: [UInt8] = []
    for entry in entries { bytes += centralEntry(entry) }
    let size = bytes.count
    let needsZip64 = isWide(entries.count, limit: Int(UInt16.max)) || isWide(dataEnd) || isWide(size)
    if needsZip64 {
      let record = Zip64EndRecord(
        entries: UInt64(entries.count), directorySize: UInt64(size), directoryOffset: UInt64(dataEnd))
      bytes += record.encoded + Zip64Locator(recordOffset: UInt64(dataEnd + size)).encoded
    }
    let end =
      needsZip64
      ? ZipEndRecord(entries: .max, directorySize: .max, directoryOffset: .max)
      : ZipEndRecord(
        entries: UInt16(entries.count), directorySize: UInt32(size), directoryOffset: UInt32(dataEnd))
    return bytes + end.encoded
  }

  private func centralEntry(_ entry: Entry) -> [UInt8] {
    let isFar = isWide(entry.headerOffset)
    let wide = isWide(entry.size) ? [UInt64(entry.size), UInt64(entry.size)] : []
    let extra = ZipExtraField.encodedZip64(wide + (isFar ? [UInt64(entry.headerOffset)] : []))
    let version = extra.isEmpty ? ZipVersion.plain : ZipVersion.zip64
    let central = ZipCentralEntry(
      madeBy: version | ZipVersion.madeByUnix, version: version, fields: fields(entry),
      nameLength: UInt16(entry.name.count), extraLength: UInt16(extra.count), externalAttributes: Self.permissions,
      headerOffset: isFar ? .max : UInt32(entry.headerOffset))
    return central.encoded + entry.name + extra
  }
}
