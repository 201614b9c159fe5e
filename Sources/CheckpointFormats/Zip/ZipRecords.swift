import TensorIO

/// The records of a zip archive (PKWARE APPNOTE 6.3), without what of variable length follows each:
///
///     | local header, data, descriptor … | central directory | zip64 end record, its locator | end record, comment |
///
///     local header  = | PK 3 4 | version: 2 | common: 20 | lengths of name, extra: 2 × 2 | name | extra |
///     central entry = | PK 1 2 | made by: 2 | version: 2 | common: 20 | lengths of name, extra, comment: 3 × 2 |
///                     | disk: 2 | attributes: 2 + 4 | offset of the local header: 4 | name | extra | comment |
///     common        = | flags: 2 | method: 2 | time, date: 2 × 2 | CRC32: 4 | stored size: 4 | size: 4 |
///     zip64 record  = | PK 6 6 | size of the rest: 8 | versions: 2 × 2 | disks: 2 × 4 | entries: 2 × 8 | size: 8 | offset: 8 |
///     zip64 locator = | PK 6 7 | disk: 4 | offset of the zip64 end record: 8 | disks: 4 |
///     end record    = | PK 5 6 | disks: 2 × 2 | entries: 2 × 2 | directory's size: 4, offset: 4 | comment: 2 + n |
///
/// A size or an offset of all ones is given by 8 bytes in a zip64 field or record.
package enum ZipSignature {
  package static let localHeader: UInt32 = 0x0403_4B50
  package static let centralEntry: UInt32 = 0x0201_4B50
  package static let endRecord: UInt32 = 0x0605_4B50
  package static let zip64EndRecord: UInt32 = 0x0606_4B50
  package static let zip64Locator: UInt32 = 0x0706_4B50

  fileprivate static func expect(
    _ signature: UInt32, _ cursor: inout ByteCursor, _ what: String
  ) throws(FormatError) {
    let start = cursor
    let found = try cursor.littleEndian(UInt32.self, what)
    guard found == signature else {
      throw start.error(
        .damaged, "\(what) does not begin with its signature", found: hexadecimal([UInt8](littleEndian: found)),
        expected: hexadecimal([UInt8](littleEndian: signature)),
        advice: "The archive is damaged: fetch it again.")
    }
  }
}

/// How an entry is stored.
package enum ZipMethod {
  package static let stored: UInt16 = 0
  package static let deflated: UInt16 = 8
}

/// The versions of the format that an entry needs, and the system that it was made on.
package enum ZipVersion {
  package static let plain: UInt16 = 20
  package static let zip64: UInt16 = 45
  /// Unix, whose permissions the external attributes hold.
  package static let madeByUnix: UInt16 = 0x0300
}

/// The fields that both headers of an entry have.
package struct ZipEntryFields: Equatable, Sendable {
  /// The name is UTF-8.
  package static let utf8Flag: UInt16 = 0x0800
  /// Encrypted, strongly encrypted, or with a masked directory.
  package static let encryptionFlags: UInt16 = 0x2041
  /// 1980-01-01, the first date that the format has.
  package static let firstDate: UInt32 = 0x0021_0000

  package var flags = utf8Flag
  package var method = ZipMethod.stored
  /// The date is in the upper half.
  package var time = firstDate
  /// CRC32 of the unpacked bytes.
  package var checksum: UInt32
  package var storedSize: UInt32
  package var size: UInt32

  package init(checksum: UInt32, storedSize: UInt32, size: UInt32) {
    self.checksum = checksum
    self.storedSize = storedSize
    self.size = size
  }

  fileprivate init(_ cursor: inout ByteCursor, _ what: String) throws(FormatError) {
    flags = try cursor.littleEndian(UInt16.self, what)
    method = try cursor.littleEndian(UInt16.self, what)
    time = try cursor.littleEndian(UInt32.self, what)
    checksum = try cursor.littleEndian(UInt32.self, what)
    storedSize = try cursor.littleEndian(UInt32.self, what)
    size = try cursor.littleEndian(UInt32.self, what)
  }

  fileprivate var encoded: [UInt8] {
    [UInt8](littleEndian: flags) + [UInt8](littleEndian: method) + [UInt8](littleEndian: time)
      + [UInt8](littleEndian: checksum) + [UInt8](littleEndian: storedSize) + [UInt8](littleEndian: size)
  }
}

package struct ZipLocalHeader: Equatable, Sendable {
  package static let size = 30

  package var version: UInt16
  package var fields: ZipEntryFields
  package var nameLength: UInt16
  package var extraLength: UInt16

  package init(version: UInt16, fields: ZipEntryFields, nameLength: UInt16, extraLength: UInt16) {
    self.version = version
    self.fields = fields
    self.nameLength = nameLength
    self.extraLength = extraLength
  }

  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    let what = "a local header"
    try ZipSignature.expect(ZipSignature.localHeader, &cursor, what)
    version = try cursor.littleEndian(UInt16.self, what)
    fields = try ZipEntryFields(&cursor, what)
    nameLength = try cursor.littleEndian(UInt16.self, what)
    extraLength = try cursor.littleEndian(UInt16.self, what)
  }

  package var encoded: [UInt8] {
    [UInt8](littleEndian: ZipSignature.localHeader) + [UInt8](littleEndian: version) + fields.encoded
      + [UInt8](littleEndian: nameLength) + [UInt8](littleEndian: extraLength)
  }
}

package struct ZipCentralEntry: Equatable, Sendable {
  package var madeBy: UInt16
  package var version: UInt16
  package var fields: ZipEntryFields
  package var nameLength: UInt16
  package var extraLength: UInt16
  package var commentLength: UInt16 = 0
  package var disk: UInt16 = 0
  package var internalAttributes: UInt16 = 0
  /// Of Unix: the permissions in the upper half.
  package var externalAttributes: UInt32
  package var headerOffset: UInt32

  package init(
    madeBy: UInt16, version: UInt16, fields: ZipEntryFields, nameLength: UInt16, extraLength: UInt16,
    externalAttributes: UInt32, headerOffset: UInt32
  ) {
    self.madeBy = madeBy
    self.version = version
    self.fields = fields
    self.nameLength = nameLength
    self.extraLength = extraLength
    self.externalAttributes = externalAttributes
    self.headerOffset = headerOffset
  }

  package init(_ cursor: inout ByteCursor) throws(FormatError) {
    let what = "an entry of the archive's directory"
    try ZipSignature.expect(ZipSignature.centralEntry, &cursor, what)
    madeBy = try cursor.littleEndian(UInt16.self, what)
    version = try cursor.littleEndian(UInt16.self, what)
    fields = try ZipEntryFields(&cursor, what)
    nameLength = try cursor.littleEndian(UInt16.self, what)
    extraLength = try cursor.littleEndian(UInt16.self, what)
    commentLength = try cursor.littleEndian(UInt16.self, what)
    disk = try cursor.littleEndian(UInt16.self, what)
    internalAttributes = try cursor.littleEndian(UInt16.self, what)
    externalAttributes = try cursor.littleEndian(UInt32.self, what)
    headerOffset = try cursor.littleEndian(UInt32.self, what)
  }

  package var encoded: [UInt8] {
    [UInt8](littleEndian: ZipSignature.centralEntry) + [UInt8](littleEndian: madeBy) + [UInt8](littleEndian: version)
      + fields.encoded + [UInt8](littleEndian: nameLength) + [UInt8](littleEndian: extraLength)
      + [UInt8](littleEndian: commentLength) + [UInt8](littleEndian: disk) + [UInt8](littleEndian: internalAttributes)
      + [UInt8](littleEndian: externalAttributes) + [UInt8](littleEndian: headerOffset)
  }
}

/// The extra field of an entry: | id: 2 | length: 2 | content | …
package enum ZipExtraField {
  /// The 8-byte values of the sizes and the offset that do not fit into their fields: size, stored size, offset.
  package static let zip64: UInt16 = 1
  /// Padding as torch writes it.
  package static let padding: UInt16 = 0x4246
  /// Bytes before the content.
  package static let headSize = 4

  package static func encoded(_ id: UInt16, _ content: [UInt8]) -> [UInt8] {
    [UInt8](littleEndian: id) + [UInt8](littleEndian: UInt16(content.count)) + content
  }

  package static func encodedZip64(_ values: [UInt64]) -> [UInt8] {
    values.isEmpty ? [] : encoded(zip64, values.flatMap { [UInt8](littleEndian: $0) })
  }

  /// The values of the zip64 field for those of size, stored size and offset that are `wanted`.
  package static func zip64Values(
    _ extra: Bytes, wanted: [Bool], _ what: @autoclosure () -> String
  ) throws(FormatError) -> [UInt64?] {
    var result = [UInt64?](repeating: nil, count: wanted.count)
    guard wanted.contains(true) else { return result }
    var cursor = ByteCursor(extra)
    while cursor.remaining >= headSize {
      let id = try cursor.littleEndian(UInt16.self, "an extra field")
      let length = try cursor.littleEndian(UInt16.self, "an extra field")
      let content = try cursor.take(Int(length), "an extra field")
      guard id == zip64 else { continue }
      var field = ByteCursor(content)
      for index in wanted.indices where wanted[index] {
        result[index] = try field.littleEndian(UInt64.self, "the zip64 field of \(what())")
      }
      return result
    }
    throw cursor.error(.damaged, "\(what()) needs a zip64 field, but has none")
  }
}
