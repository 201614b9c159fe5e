/// Builds zip archives by hand, honest and otherwise, with nothing of the code under test.
struct ZipTestBuilder {
  struct Entry {
    var name: String
    var content: [UInt8]
    /// What is stored, when that is not the content itself.
    var packed: [UInt8]?
    var method: UInt16 = 0
    var flags: UInt16 = 0x0800
    var checksum: UInt32?
    var size: Int?
    /// The local header, where it differs: a writer that streams leaves zeros.
    var localName: String?
    var localMethod: UInt16?
    var localFlags: UInt16?
    var localChecksum: UInt32?
    var localSize: Int?
    var localOffset: Int?

    init(_ name: String, _ content: [UInt8]) {
      self.name = name
      self.content = content
    }

    /// Deflated, in blocks of the kind that stores.
    static func deflated(_ name: String, _ content: [UInt8]) -> Entry {
      var entry = Entry(name, content)
      entry.method = 8
      entry.packed = []
      var start = 0
      repeat {
        let part = content[start..<min(start + 0xFFFF, content.count)]
        start += part.count
        entry.packed?.append(start == content.count ? 1 : 0)
        entry.packed? += number(part.count, 2) + number(~part.count & 0xFFFF, 2) + part
      } while start < content.count
      return entry
    }
  }

  var entries: [Entry]
  var comment: [UInt8] = []
  var isWide = false
  var disk: Int = 0
  var countDelta = 0
  var gap: [UInt8] = []

  init(_ entries: [Entry]) { self.entries = entries }

  static func number(_ value: Int, _ size: Int) -> [UInt8] {
    (0..<size).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  static func crc32(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = ~0
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
    }
    return ~crc
  }

  func bytes() -> [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let stored = entry.packed ?? entry.content
      let size = entry.size ?? entry.content.count
      let checksum = Int(entry.checksum ?? Self.crc32(entry.content))
      let offset = entry.localOffset ?? file.count
      let name = Array(entry.name.utf8)
      let local = Array((entry.localName ?? entry.name).utf8)
      let wide =
        Self.number(1, 2) + Self.number(24, 2) + Self.number(size, 8) + Self.number(stored.count, 8)
        + Self.number(offset, 8)
      directory += [0x50, 0x4B, 1, 2] + Self.number(45, 2) + Self.number(45, 2) + Self.number(Int(entry.flags), 2)
      directory += Self.number(Int(entry.method), 2) + Self.number(0, 4) + Self.number(checksum, 4)
      directory += Self.number(isWide ? 0xFFFF_FFFF : stored.count, 4) + Self.number(isWide ? 0xFFFF_FFFF : size, 4)
      directory += Self.number(name.count, 2) + Self.number(isWide ? wide.count : 0, 2) + Self.number(0, 2)
      directory +=
        Self.number(0, 2 + 2 + 4) + Self.number(isWide ? 0xFFFF_FFFF : offset, 4) + name + (isWide ? wide : [])
      file += [0x50, 0x4B, 3, 4] + Self.number(20, 2) + Self.number(Int(entry.localFlags ?? entry.flags), 2)
      file += Self.number(Int(entry.localMethod ?? entry.method), 2) + Self.number(0, 4)
      file += Self.number(entry.localChecksum.map(Int.init) ?? checksum, 4)
      file += Self.number(entry.localSize ?? stored.count, 4) + Self.number(entry.localSize ?? size, 4)
      file += Self.number(local.count, 2) + Self.number(0, 2) + local + stored
    }
    let start = file.count
    file += directory + gap
    let count = entries.count + countDelta
    if isWide {
      let end = file.count
      file += [0x50, 0x4B, 6, 6] + Self.number(44, 8) + Self.number(45, 2) + Self.number(45, 2) + Self.number(0, 8)
      file += Self.number(count, 8) + Self.number(count, 8) + Self.number(directory.count, 8) + Self.number(start, 8)
      file += [0x50, 0x4B, 6, 7] + Self.number(0, 4) + Self.number(end, 8) + Self.number(1, 4)
    }
    file += [0x50, 0x4B, 5, 6] + Self.number(disk, 2) + Self.number(0, 2)
    file += Self.number(isWide ? 0xFFFF : count, 2) + Self.number(isWide ? 0xFFFF : count, 2)
    file += Self.number(isWide ? 0xFFFF_FFFF : directory.count, 4) + Self.number(isWide ? 0xFFFF_FFFF : start, 4)
    return file + Self.number(comment.count, 2) + comment
  }
}
