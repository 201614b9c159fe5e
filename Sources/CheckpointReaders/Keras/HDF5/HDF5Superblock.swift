import TensorIO

/// The start of an HDF5 file:
///
///     version 0, 1 = | signature 8 | versions 4 | 0 | size of offsets | size of lengths | 0 | … | root symbol table entry |
///     version 2, 3 = | signature 8 | version | size of offsets | size of lengths | flags | base | extension | end |
///                    | root object header | checksum |
struct HDF5Superblock {
  let offsetSize: Int
  let lengthSize: Int
  let rootAddress: Int

  /// `bytes` begin with the signature; `fileSize` counts the user block too.
  init(_ bytes: Bytes, fileSize: Int) throws(FormatError) {
    var cursor = ByteCursor(bytes)
    try cursor.skip(HDF5File.signature.count)
    let version = try cursor.byte("the superblock's version")
    guard version <= 3 else {
      throw cursor.error(.unsupported, "the superblock's version is unknown", found: "\(version)", expected: "0 to 3")
    }
    (offsetSize, lengthSize) = try Self.sizes(&cursor, version)
    var reader = HDF5Cursor(cursor, offsetSize, lengthSize)
    rootAddress = try Self.root(&reader, version, fileSize: fileSize)
    guard version >= 2 else { return }
    guard let block = bytes.slice(0, reader.position + 4) else {
      throw reader.error(.damaged, "the superblock is cut short")
    }
    try HDF5File.check(block, "the superblock")
  }

  private static func sizes(
    _ cursor: inout ByteCursor, _ version: UInt8
  ) throws(FormatError) -> (offset: Int, length: Int) {
    if version < 2 { try cursor.skip(4) }
    let offset = Int(try cursor.byte("the size of offsets"))
    let length = Int(try cursor.byte("the size of lengths"))
    guard [2, 4, 8].contains(offset), [2, 4, 8].contains(length) else {
      throw cursor.error(
        .damaged, "the sizes of addresses and lengths are impossible", found: "\(offset) and \(length)",
        expected: "2, 4 or 8 bytes")
    }
    // Flags; in version 0 and 1 also a reserved byte and the ranks of B-tree nodes, in 1 that of chunk nodes.
    try cursor.skip(version >= 2 ? 1 : version == 0 ? 9 : 13)
    return (offset, length)
  }

  private static func root(
    _ reader: inout HDF5Cursor, _ version: UInt8, fileSize: Int
  ) throws(FormatError) -> Int {
    _ = try reader.address("the base address")
    // Free space, or the superblock's extension.
    _ = try reader.address("an address of the superblock")
    // Counted from the beginning of the file, unlike other addresses.
    if let end = try reader.address("the end of the file"), end > fileSize {
      throw reader.error(
        .damaged, "the file is shorter than its superblock declares", found: "\(fileSize) bytes", expected: "\(end)",
        advice: "It was not copied or downloaded whole: fetch it again.")
    }
    if version < 2 {
      guard try reader.address("the driver's block") == nil else {
        throw reader.error(
          .unsupported, "the file is one part of several (written through a file driver)",
          found: "a driver information block", advice: "Put it together with h5repart or h5repack.")
      }
      _ = try reader.length("the root's name")
    }
    guard let root = try reader.address("the root group") else {
      throw reader.error(.damaged, "the file has no root group")
    }
    return root
  }
}
