import CheckpointFormats
import TensorIO

/// A zip archive in a mapped file. Stored entries are read in place, deflated ones unpacked; both are checked against
/// their CRC32 whenever their data is read. `ZipSignature` has the layout, `ZipDirectory` what is refused.
public final class ZipArchive: Sendable {
  public struct Entry: Sendable, Equatable {
    public let name: String
    public let isDeflated: Bool
    /// Bytes in the archive, and bytes when unpacked.
    public let storedSize: Int
    public let size: Int
    /// CRC32 of the unpacked bytes.
    public let checksum: UInt32
    /// Of the first stored byte in the file.
    public let dataOffset: Int
  }

  public let file: Bytes
  /// In the order of the directory, folders left out.
  public let entries: [Entry]
  /// False if every checksum is zero, as torch writes them with checksums turned off.
  public let hasChecksums: Bool
  private let indices: [String: Int]
  /// Entries whose checksum was verified, so that it is not computed again for tensors that share one.
  private let verified = Lock<Set<Int>>([])

  /// Whether `file` begins like an archive; it may still be damaged.
  public static func looksLikeZip(_ file: Bytes) -> Bool {
    guard let head = file.slice(0, 4) else { return false }
    let signature = head.withSpan { $0.littleEndian(UInt32.self, at: 0) }
    return signature == ZipSignature.localHeader
      || signature == ZipSignature.endRecord && ZipEndRecord.offset(in: file) != nil
  }

  public init(_ file: Bytes) throws(FormatError) {
    self.file = file
    let directory = try ZipDirectory(file)
    // Each local header that was looked at may have brought a large page of data with it.
    file.releasePages()
    entries = directory.entries
    var indices: [String: Int] = [:]
    indices.reserveCapacity(directory.entries.count)
    for (index, entry) in directory.entries.enumerated() { indices[entry.name] = index }
    self.indices = indices
    hasChecksums = directory.entries.allSatisfy { $0.size == 0 } || directory.entries.contains { $0.checksum != 0 }
  }

  public func index(ofEntry name: String) -> Int? { indices[name] }

  /// Whether a name stays inside the folder that an archive would be unpacked to.
  static func isSafe(name: String) -> Bool {
    let isSeparator = { (byte: UInt8) in byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }
    let bytes = name.utf8
    guard let first = bytes.first, !isSeparator(first), !bytes.contains(0) else { return false }
    if bytes.contains(UInt8(ascii: ":")), bytes.dropFirst().first == UInt8(ascii: ":"),
      bytes.dropFirst(2).first.map(isSeparator) ?? true
    {
      return false
    }
    // Most names have no two dots in a row.
    guard zip(bytes, bytes.dropFirst()).contains(where: { $0 == UInt8(ascii: ".") && $1 == UInt8(ascii: ".") }) else {
      return true
    }
    return !bytes.split(omittingEmptySubsequences: false, whereSeparator: isSeparator).contains {
      $0.elementsEqual("..".utf8)
    }
  }

  private func stored(_ entry: Entry) throws(FormatError) -> Bytes {
    guard let bytes = file.slice(entry.dataOffset, entry.storedSize) else {
      throw FormatError(.damaged, "the data of '\(entry.name)' lies outside the file", file: file.file)
    }
    return bytes
  }

  private func check(_ found: UInt32, _ index: Int) throws(FormatError) {
    let entry = entries[index]
    try file.checkIntact()
    guard ParsedChecksum.isRight(found, entry.checksum) || !hasChecksums else {
      throw FormatError(
        .damaged, "the data of '\(entry.name)' is damaged: its checksum is wrong", file: file.file,
        offset: UInt64(entry.dataOffset), found: hexadecimal(found, digits: 8),
        expected: hexadecimal(entry.checksum, digits: 8), advice: "Fetch the file again.")
    }
    _ = verified.withLock { $0.insert(index) }
  }

  private func isVerified(_ index: Int) -> Bool { !hasChecksums || verified.withLock { $0.contains(index) } }

  /// The unpacked bytes of an entry, their checksum verified.
  public func bytes(ofEntryAt index: Int) throws(FormatError) -> Bytes {
    let entry = entries[index]
    let source = try stored(entry)
    if !entry.isDeflated {
      if !isVerified(index) { try check(CRC32.checksum(source), index) }
      return source
    }
    // Unpacked entries are completely in memory, and a megabyte can become a gigabyte.
    guard !CheckpointLimits.isBomb(entry.size, in: entry.storedSize) else {
      throw FormatError(
        .limit, "the entry '\(entry.name)' unpacks to far more than its size in the archive", file: file.file,
        offset: UInt64(entry.dataOffset), found: "\(entry.size) bytes in \(entry.storedSize)",
        expected: "at most \(CheckpointLimits.unpackingRatio) times its size",
        advice: "If you trust it, unpack it and pack it again without compression (zip -0).")
    }
    let whole = try Deflate.unpack(source, size: entry.size, what: "the entry '\(entry.name)'")
    try check(CRC32.checksum(whole), index)
    return whole
  }

  /// The first bytes of an entry, at most `count`, not checked: enough to list what is in it.
  public func head(ofEntryAt index: Int, count: Int) throws(FormatError) -> Bytes {
    let entry = entries[index]
    let source = try stored(entry)
    let wanted = max(0, min(count, entry.size))
    if entry.isDeflated { return try Deflate.head(source, count: wanted, what: "the entry '\(entry.name)'") }
    return source.slice(0, wanted) ?? source
  }

  /// The offset of the bytes of an entry in the file; `nil` if they are compressed.
  public func dataOffset(ofEntryAt index: Int) -> Int? { entries[index].isDeflated ? nil : entries[index].dataOffset }

  /// Calls `body` with the bytes of an entry from `start` on, in chunks of whole 16-byte units; throws after the last one
  /// if the checksum of the entry is wrong.
  public func stream(ofEntryAt index: Int, from start: Int, _ body: (RawSpan) throws -> Void) throws {
    let entry = entries[index]
    guard !entry.isDeflated, let source = file.slice(entry.dataOffset, entry.storedSize), start <= source.count,
      let head = source.slice(0, start), let rest = source.suffix(from: start)
    else {
      guard let rest = try bytes(ofEntryAt: index).suffix(from: start) else { return }
      return try rest.withSpan { try body($0) }
    }
    let checks = !isVerified(index)
    var checksum = CRC32()
    if checks { checksum.update(head) }
    try rest.forEachChunk { chunk in
      if checks { checksum.update(chunk) }
      try chunk.withSpan { try body($0) }
    }
    if checks { try check(checksum.value, index) }
  }
}
