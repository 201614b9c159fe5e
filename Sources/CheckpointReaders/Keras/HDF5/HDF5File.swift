import Synchronization
import TensorIO

/// An HDF5 file (The HDF Group, HDF5 File Format Specification, version 3.0), as far as h5py and Keras write it:
///
///     | user block: 0, 512, 1024 … bytes | superblock | blocks at addresses that count from the superblock |
///     superblock 0, 1 = | signature 8 | versions 4 | 0 | size of offsets | size of lengths | 0 | … | root symbol table entry |
///     superblock 2, 3 = | signature 8 | version | size of offsets | size of lengths | flags | base | extension | end |
///                       | root object header | checksum |
///
/// Numbers are little-endian; an address of all ones is none. Every block is parsed through a cursor of its own, and
/// nothing is read that no object needs.
struct HDF5File: Sendable {
  /// From the superblock on, so that an address is an offset.
  let bytes: Bytes
  let offsetSize: Int
  let lengthSize: Int
  let rootAddress: Int
  let work: HDF5Work

  static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Where the superblock begins; `nil` where there is none.
  static func start(in file: Bytes) -> Int? {
    var place = 0
    while place <= file.count - 8 {
      if file.slice(place, 8)?.array() == signature { return place }
      place = place == 0 ? 512 : place * 2
    }
    return nil
  }

  init(_ file: Bytes) throws(FormatError) {
    guard let start = Self.start(in: file), let bytes = file.suffix(from: start) else {
      throw FormatError("not an HDF5 file", file: file.file, expected: hexadecimal(Self.signature))
    }
    self.bytes = bytes
    work = HDF5Work(bytes)
    var cursor = ByteCursor(bytes)
    try cursor.skip(8)
    let version = try cursor.byte("the superblock's version")
    guard version <= 3 else {
      throw cursor.error("the superblock's version is unknown", found: "\(version)", expected: "0 to 3")
    }
    if version < 2 { try cursor.skip(4) }
    offsetSize = Int(try cursor.byte("the size of offsets"))
    lengthSize = Int(try cursor.byte("the size of lengths"))
    guard [2, 4, 8].contains(offsetSize), [2, 4, 8].contains(lengthSize) else {
      throw cursor.error(
        "the sizes of addresses and lengths are impossible", found: "\(offsetSize) and \(lengthSize)",
        expected: "2, 4 or 8 bytes")
    }
    if version < 2 {
      // A reserved byte, the ranks of B-tree nodes, flags, and of version 1 the rank of chunk nodes.
      try cursor.skip(version == 0 ? 9 : 13)
    } else {
      try cursor.skip(1)
    }
    // Base, free space or extension, end of file; of the older two, the driver's block.
    var reader = HDF5Cursor(cursor, offsetSize, lengthSize)
    _ = try reader.address("the base address")
    _ = try reader.address("an address of the superblock")
    let end = try reader.address("the end of the file")
    // Counted from the beginning of the file, unlike other addresses.
    if let end, end > file.count {
      throw reader.error(
        "the file is shorter than its superblock says", found: "\(file.count) bytes", expected: "\(end)",
        advice: "It was not copied or downloaded whole: fetch it again.")
    }
    if version < 2 {
      let driver = try reader.address("the driver's block")
      guard driver == nil else {
        throw reader.error(
          "the file was written by a driver that keeps it in several parts", found: "a driver information block",
          advice: "Put it together with h5repart or h5repack.")
      }
      _ = try reader.length("the root's name")
    }
    guard let root = try reader.address("the root group") else { throw reader.error("the file has no root group") }
    rootAddress = root
    if version >= 2 {
      let size = reader.position + 4
      guard let block = bytes.slice(0, size) else { throw reader.error("the superblock is cut short") }
      try Self.check(block, "the superblock")
    }
  }

  /// A cursor over `count` bytes at `address`, or over all that follows.
  func cursor(at address: Int, count: Int? = nil, _ what: String) throws(FormatError) -> HDF5Cursor {
    guard let slice = count.map({ bytes.slice(address, $0) }) ?? bytes.suffix(from: address) else {
      throw FormatError(
        "\(what) lies outside the file", file: bytes.file, offset: bytes.offsetInFile,
        found: "address \(address)" + (count.map { ", \($0) bytes" } ?? ""), expected: "below \(bytes.count)",
        advice: "The file is damaged or cut short: fetch it again.")
    }
    return HDF5Cursor(ByteCursor(slice), offsetSize, lengthSize)
  }

  /// The same of a block that begins with `signature` and a version.
  func block(
    at address: Int, count: Int? = nil, signature: String, version: UInt8 = 0, _ what: String
  ) throws(FormatError) -> HDF5Cursor {
    var cursor = try cursor(at: address, count: count, what)
    try cursor.expect(signature, what)
    let found = try cursor.byte("\(what)'s version")
    guard found == version else {
      throw cursor.error("the version of \(what) is unknown", found: "\(found)", expected: "\(version)")
    }
    return cursor
  }

  /// Holds the checksum in the last four bytes of a block against all before.
  static func check(_ block: Bytes, _ what: String) throws(FormatError) {
    guard let body = block.slice(0, block.count - 4), let tail = block.suffix(from: block.count - 4) else {
      throw FormatError("\(what) is cut short", file: block.file, offset: block.offsetInFile)
    }
    let stored = tail.withSpan { $0.littleEndian(UInt32.self, at: 0) }
    let found = body.withSpan { Lookup3.hash($0) }
    guard ParsedChecksum.isRight(found, stored) else {
      throw FormatError(
        "\(what) is damaged: its checksum is wrong", file: block.file, offset: block.offsetInFile,
        found: hexadecimal(found, digits: 8), expected: hexadecimal(stored, digits: 8), advice: "Fetch the file again.")
    }
  }

  /// The same of a block that is there.
  func check(at address: Int, count: Int, _ what: String) throws(FormatError) {
    try work.spend(count)
    try Self.check(try cursor(at: address, count: count, what).bytes, what)
  }

  /// The same once: rows of a heap are met for each of their objects.
  func checkOnce(at address: Int, count: Int, _ what: String) throws(FormatError) {
    guard work.isNew(address, count) else { return }
    try check(at: address, count: count, what)
    work.wasRight(address, count)
  }
}

/// What was done for a file, and what may still be: many names can lead to one object, and many objects to one block, so
/// that following each would take the square of the file's size.
final class HDF5Work: Sendable {
  private struct Block: Hashable {
    let address: Int
    let count: Int
  }

  private let file: String?
  /// In bytes that are gone through.
  private let left: Atomic<Int>
  private let checked = Lock<Set<Block>>([])
  private let heaps = Lock<[Int: GlobalHeap]>([:])

  init(_ bytes: Bytes) {
    file = bytes.file
    left = Atomic((128 << 20) + 16 * bytes.count)
  }

  func spend(_ count: Int) throws(FormatError) {
    guard left.wrappingSubtract(min(count, 1 << 40), ordering: .relaxed).newValue > 0 else {
      throw FormatError(
        "the file leads to the same objects over and over", file: file, advice: "No honest program writes such a file.")
    }
  }

  /// Whether a checksum is still to be held against its block.
  func isNew(_ address: Int, _ count: Int) -> Bool {
    !checked.withLock { $0.contains(Block(address: address, count: count)) }
  }

  func wasRight(_ address: Int, _ count: Int) {
    checked.withLock { _ = $0.insert(Block(address: address, count: count)) }
  }

  func heap(at address: Int, _ make: () throws(FormatError) -> GlobalHeap) throws(FormatError) -> GlobalHeap {
    if let known = heaps.withLock({ $0[address] }) { return known }
    let heap = try make()
    heaps.withLock { $0[address] = heap }
    return heap
  }
}

/// A ``ByteCursor`` that knows how wide addresses and lengths are.
struct HDF5Cursor {
  private var cursor: ByteCursor
  let offsetSize: Int
  let lengthSize: Int

  init(_ cursor: ByteCursor, _ offsetSize: Int, _ lengthSize: Int) {
    self.cursor = cursor
    self.offsetSize = offsetSize
    self.lengthSize = lengthSize
  }

  /// The same over other bytes.
  func over(_ bytes: Bytes) -> HDF5Cursor { HDF5Cursor(ByteCursor(bytes), offsetSize, lengthSize) }

  var bytes: Bytes { cursor.bytes }
  var position: Int { cursor.position }
  var remaining: Int { cursor.remaining }

  func error(
    _ problem: String, found: String? = nil, expected: String? = nil, advice: FormatError.Advice? = nil
  ) -> FormatError {
    cursor.error(problem, found: found, expected: expected, advice: advice)
  }

  mutating func skip(_ count: Int) throws(FormatError) { try cursor.skip(count) }
  mutating func seek(to position: Int) throws(FormatError) { try cursor.seek(to: position) }
  mutating func byte(_ what: String) throws(FormatError) -> UInt8 { try cursor.byte(what) }

  mutating func take(_ count: Int, _ what: String) throws(FormatError) -> Bytes { try cursor.take(count, what) }

  mutating func expect(_ signature: String, _ what: String) throws(FormatError) {
    let start = cursor
    let found = try cursor.take(signature.utf8.count, what)
    guard found.withSpan({ span in signature.utf8.enumerated().allSatisfy { span.byte(at: $0.offset) == $0.element } })
    else {
      throw start.error(
        "\(what) is not where it should be", found: hexadecimal(found.array()), expected: "'\(signature)'")
    }
  }

  /// A number of so many bytes, at most eight.
  mutating func number(_ size: Int, _ what: String) throws(FormatError) -> UInt64 {
    try cursor.bits(size, what)
  }

  /// What follows the signature of a node TREE: | kind | level | entries 2 | left | right |. One below another is a level
  /// lower, so that there are at most 256 on the way down.
  mutating func treeNode(
    _ kind: UInt8, above: UInt8?, _ what: String
  ) throws(FormatError) -> (level: UInt8, count: Int) {
    let found = try byte(what)
    guard found == kind else {
      throw error("a node of another tree", found: "kind \(found)", expected: "\(kind)")
    }
    let level = try byte(what)
    guard above.map({ $0 > 0 && level == $0 - 1 }) ?? true else {
      throw error("\(what) is on the wrong level", found: "\(level)")
    }
    let count = try size(2, what)
    _ = try address(what)
    _ = try address(what)
    return (level, count)
  }

  /// The same as a size or a count.
  mutating func size(_ size: Int, _ what: String) throws(FormatError) -> Int {
    let start = cursor
    let value = try number(size, what)
    guard let number = Int(exactly: value) else { throw start.error("\(what) is too large", found: "\(value)") }
    return number
  }

  /// `nil` where it is all ones: no address.
  mutating func address(_ what: String) throws(FormatError) -> Int? {
    let start = cursor
    let value = try number(offsetSize, what)
    if value == (offsetSize == 8 ? UInt64.max : 1 << UInt64(8 * offsetSize) - 1) { return nil }
    guard let address = Int(exactly: value) else {
      throw start.error("\(what) lies outside the file", found: "address \(value)")
    }
    return address
  }

  mutating func length(_ what: String) throws(FormatError) -> Int { try size(lengthSize, what) }

  /// A name that ends with a zero, or with the bytes that are left.
  mutating func terminatedName(_ what: String) throws(FormatError) -> String {
    var name: [UInt8] = []
    while true {
      let byte = try cursor.byte(what)
      if byte == 0 { break }
      name.append(byte)
      guard name.count <= 1 << 16 else { throw cursor.error("\(what) is too long") }
    }
    return try Self.text(name[...], cursor, what)
  }

  /// UTF-8, which ASCII is; anything else is no name (``FileText``).
  static func text(_ bytes: ArraySlice<UInt8>, _ place: ByteCursor, _ what: String) throws(FormatError) -> String {
    guard let text = String(fileText: bytes) else {
      throw place.error("\(what) \(FileText.problem(bytes))", found: hexadecimal(bytes))
    }
    return text
  }

  /// `count` bytes of a name without a zero at its end.
  mutating func name(_ count: Int, _ what: String) throws(FormatError) -> String {
    let start = cursor
    guard count <= 1 << 16 else { throw cursor.error("\(what) is too long", found: "\(count) bytes") }
    return try Self.text(try cursor.take(count, what).array()[...], start, what)
  }

  mutating func alignTo8(from start: Int) throws(FormatError) {
    let over = (position - start) % 8
    if over > 0 { try skip(min(8 - over, remaining)) }
  }
}

/// Bob Jenkins' lookup3 (hashlittle, 2006) with an initial value of 0, by which HDF5 checks its own blocks.
enum Lookup3 {
  static func hash(_ span: RawSpan) -> UInt32 {
    var length = span.byteCount
    var (a, b, c) = (0xDEAD_BEEF &+ UInt32(truncatingIfNeeded: length), UInt32(0), UInt32(0))
    b = a
    c = a
    var place = 0
    while length > 12 {
      a &+= span.littleEndian(UInt32.self, at: place)
      b &+= span.littleEndian(UInt32.self, at: place + 4)
      c &+= span.littleEndian(UInt32.self, at: place + 8)
      mix(&a, &b, &c)
      place += 12
      length -= 12
    }
    guard length > 0 else { return c }
    for index in 0..<length {
      let value = UInt32(span.byte(at: place + index)) << UInt32(8 * (index % 4))
      switch index / 4 {
      case 0: a &+= value
      case 1: b &+= value
      default: c &+= value
      }
    }
    func step(_ x: inout UInt32, _ y: UInt32, _ bits: UInt32) {
      x ^= y
      x &-= rotate(y, bits)
    }
    step(&c, b, 14)
    step(&a, c, 11)
    step(&b, a, 25)
    step(&c, b, 16)
    step(&a, c, 4)
    step(&b, a, 14)
    step(&c, b, 24)
    return c
  }

  private static func rotate(_ x: UInt32, _ bits: UInt32) -> UInt32 { x << bits | x >> (32 - bits) }

  private static func mix(_ a: inout UInt32, _ b: inout UInt32, _ c: inout UInt32) {
    func step(_ x: inout UInt32, _ y: inout UInt32, _ z: UInt32, _ bits: UInt32) {
      x &-= y
      x ^= rotate(y, bits)
      y &+= z
    }
    step(&a, &c, b, 4)
    step(&b, &a, c, 6)
    step(&c, &b, a, 8)
    step(&a, &c, b, 16)
    step(&b, &a, c, 19)
    step(&c, &b, a, 4)
  }
}
