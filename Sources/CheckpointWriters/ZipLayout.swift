import TensorIO

/// The frame of a zip archive (PKWARE APPNOTE 6.3) of stored entries whose sizes are known beforehand: every place in
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
  private var end = 0
  private let alwaysZip64: Bool

  /// `alwaysZip64` writes the 64-bit forms where they are not needed, for tests.
  init(alwaysZip64: Bool = false) { self.alwaysZip64 = alwaysZip64 }

  /// Adds an entry whose data starts on a multiple of `alignment`.
  mutating func add(_ name: String, size: Int, alignment: Int = 1) throws(FormatError) {
    let bytes = Array(name.utf8)
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard bytes.count <= 0xFFFF, !bytes.contains(0), !parts.contains(".."), parts.first != "" else {
      throw FormatError(
        "the name cannot be that of an archive's entry", tensor: name,
        advice: "Names with '..' or a leading '/' would lead out of the archive's folder.")
    }
    var extra = size >= 0xFFFF_FFFF || alwaysZip64 ? Self.field(1, little(UInt64(size)) + little(UInt64(size))) : []
    let bare = end + 30 + bytes.count + extra.count
    if alignment > 1, bare % alignment != 0 {
      // torch pads its records with a field of this id too.
      let padding = (alignment - (bare + 4) % alignment) % alignment
      extra += Self.field(0x4246, [UInt8](repeating: 0x5A, count: padding))
    }
    let start = end + 30 + bytes.count + extra.count
    entries.append(Entry(name: bytes, size: size, headerOffset: end, dataOffset: start, extra: extra))
    end = start + size
  }

  mutating func setChecksum(_ value: UInt32, ofEntryAt index: Int) { entries[index].checksum = value }

  /// Bytes of headers and data, without the directory.
  var dataEnd: Int { end }

  /// The local header of an entry, which goes to its `headerOffset`.
  func localHeader(_ index: Int) -> [UInt8] {
    let entry = entries[index]
    let isWide = entry.size >= 0xFFFF_FFFF || alwaysZip64
    return little(UInt32(0x0403_4B50)) + common(entry, isWide: isWide, size: isWide ? UInt32.max : UInt32(entry.size))
      + little(UInt16(entry.name.count)) + little(UInt16(entry.extra.count)) + entry.name + entry.extra
  }

  /// The directory and the end records, which go to ``dataEnd``.
  func directory() -> [UInt8] {
    var bytes: [UInt8] = []
    for entry in entries {
      let isWide = entry.size >= 0xFFFF_FFFF || alwaysZip64
      let isFar = entry.headerOffset >= 0xFFFF_FFFF || alwaysZip64
      var wide = isWide ? little(UInt64(entry.size)) + little(UInt64(entry.size)) : []
      if isFar { wide += little(UInt64(entry.headerOffset)) }
      let extra = wide.isEmpty ? [] : Self.field(1, wide)
      bytes += little(UInt32(0x0201_4B50)) + little(version(isWide || isFar) | 0x0300)
      bytes += common(entry, isWide: isWide || isFar, size: isWide ? .max : UInt32(entry.size))
      bytes += little(UInt16(entry.name.count)) + little(UInt16(extra.count)) + little(UInt16(0)) + little(UInt16(0))
      bytes += little(UInt16(0)) + little(UInt32(0o600 << 16))
      bytes += little(isFar ? UInt32.max : UInt32(entry.headerOffset)) + entry.name + extra
    }
    let size = bytes.count
    let isWide = alwaysZip64 || entries.count >= 0xFFFF || end >= 0xFFFF_FFFF || size >= 0xFFFF_FFFF
    if isWide {
      let count = little(UInt64(entries.count))
      bytes += little(UInt32(0x0606_4B50)) + little(UInt64(44)) + little(UInt16(0x032D)) + little(UInt16(45))
      bytes += little(UInt64(0)) + count + count + little(UInt64(size)) + little(UInt64(end))
      bytes += little(UInt32(0x0706_4B50)) + little(UInt32(0)) + little(UInt64(end + size)) + little(UInt32(1))
    }
    let count = isWide ? UInt16.max : UInt16(entries.count)
    bytes += little(UInt32(0x0605_4B50)) + little(UInt32(0)) + little(count) + little(count)
    return bytes + little(isWide ? UInt32.max : UInt32(size)) + little(isWide ? UInt32.max : UInt32(end))
      + little(UInt16(0))
  }

  private func version(_ isWide: Bool) -> UInt16 { isWide ? 45 : 20 }

  /// The fields from the version to the sizes, which both headers share. Flag bit 11: the name is UTF-8.
  private func common(_ entry: Entry, isWide: Bool, size: UInt32) -> [UInt8] {
    little(version(isWide)) + little(UInt16(0x0800)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0x0021))
      + little(entry.checksum) + little(size) + little(size)
  }

  private static func field(_ id: UInt16, _ content: [UInt8]) -> [UInt8] {
    little(id) + little(UInt16(content.count)) + content
  }
}

/// The bytes of a number, lowest first.
func little(_ value: some FixedWidthInteger) -> [UInt8] {
  (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// How much of each tensor a sink has been given so far; what does not fit its declaration is an error.
struct SinkProgress {
  private(set) var received: [Int]
  private let tensors: [TensorInfo]
  private let file: String

  init(_ tensors: [TensorInfo], file: String) {
    self.tensors = tensors
    self.file = file
    received = [Int](repeating: 0, count: tensors.count)
  }

  /// Takes note of `count` more bytes and gives the offset within the tensor at which they belong.
  mutating func advance(_ index: Int, by count: Int) throws(FormatError) -> Int {
    let offset = received[index]
    guard count <= tensors[index].byteCount - offset else {
      throw FormatError(
        "more data than the tensor's shape and type have room for", file: file, tensor: tensors[index].name,
        found: "\(offset + count) bytes", expected: "\(tensors[index].byteCount)")
    }
    received[index] = offset + count
    return offset
  }

  func checkComplete() throws(FormatError) {
    for (tensor, count) in zip(tensors, received) where count != tensor.byteCount {
      throw FormatError(
        "less data than the tensor's shape and type say", file: file, tensor: tensor.name, found: "\(count) bytes",
        expected: "\(tensor.byteCount)")
    }
  }

  /// What every sink demands of its declaration: types with values, sizes that fit, each name once.
  static func check(_ tensors: [TensorInfo], file: String) throws(FormatError) {
    var names: Set<String> = []
    for tensor in tensors {
      guard checkedByteCount(tensor.shape, tensor.elementType) == tensor.byteCount else {
        throw FormatError(
          "the tensor's size does not fit its shape and type", file: file, tensor: tensor.name,
          found: "\(tensor.byteCount) bytes for \(tensor.elementType.rawValue) \(shapeText(tensor.shape))")
      }
      guard names.insert(tensor.name).inserted else {
        throw FormatError("two tensors have one name", file: file, tensor: tensor.name)
      }
    }
  }
}
