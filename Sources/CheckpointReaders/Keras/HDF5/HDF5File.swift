import Synchronization
import TensorIO

/// An HDF5 file (The HDF Group, HDF5 File Format Specification, version 3.0), as far as h5py and Keras write it:
///
///     | user block: 0, 512, 1024 … bytes | superblock | blocks at addresses that count from the superblock |
///
/// Numbers are little-endian; an address of all ones means none. Every block is parsed through a cursor of its own, and
/// only what an object needs is read.
struct HDF5File: Sendable {
  /// From the superblock on, so that an address is an offset.
  let bytes: Bytes
  let offsetSize: Int
  let lengthSize: Int
  let rootAddress: Int
  let budget: HDF5Budget

  static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Where the superblock begins; `nil` where there is none.
  static func start(in file: Bytes) -> Int? {
    var offset = 0
    while offset <= file.count - 8 {
      if file.slice(offset, 8)?.array() == signature { return offset }
      offset = offset == 0 ? 512 : offset * 2
    }
    return nil
  }

  init(_ file: Bytes) throws(FormatError) {
    guard let start = Self.start(in: file), let bytes = file.suffix(from: start) else {
      throw FormatError(.damaged, "not an HDF5 file", file: file.file, expected: hexadecimal(Self.signature))
    }
    let superblock = try HDF5Superblock(bytes, fileSize: file.count)
    self.bytes = bytes
    offsetSize = superblock.offsetSize
    lengthSize = superblock.lengthSize
    rootAddress = superblock.rootAddress
    budget = HDF5Budget(bytes)
  }

  /// A cursor over `count` bytes at `address`, or over all that follows.
  func cursor(at address: Int, count: Int? = nil, _ what: String) throws(FormatError) -> HDF5Cursor {
    guard let slice = count.map({ bytes.slice(address, $0) }) ?? bytes.suffix(from: address) else {
      throw FormatError(
        .damaged, "\(what) lies outside the file", file: bytes.file, offset: bytes.offsetInFile,
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
      throw cursor.error(.unsupported, "the version of \(what) is unknown", found: "\(found)", expected: "\(version)")
    }
    return cursor
  }

  /// Compares the checksum in the last four bytes of a block with that of the bytes before.
  static func check(_ block: Bytes, _ what: String) throws(FormatError) {
    guard let body = block.slice(0, block.count - 4), let tail = block.suffix(from: block.count - 4) else {
      throw FormatError(.damaged, "\(what) is cut short", file: block.file, offset: block.offsetInFile)
    }
    let stored = tail.withSpan { $0.littleEndian(UInt32.self, at: 0) }
    let found = body.withSpan { Lookup3.hash($0) }
    guard ParsedChecksum.isRight(found, stored) else {
      throw FormatError(
        .damaged, "\(what) is damaged: its checksum is wrong", file: block.file, offset: block.offsetInFile,
        found: hexadecimal(found, digits: 8), expected: hexadecimal(stored, digits: 8), advice: "Fetch the file again.")
    }
  }

  /// The same for the block at an address.
  func check(at address: Int, count: Int, _ what: String) throws(FormatError) {
    try budget.spend(count)
    try Self.check(try cursor(at: address, count: count, what).bytes, what)
  }

  /// The same once: rows of a heap are visited for each of their objects.
  func checkOnce(at address: Int, count: Int, _ what: String) throws(FormatError) {
    guard budget.isUnverified(address, count) else { return }
    try check(at: address, count: count, what)
    budget.setVerified(address, count)
  }
}

/// The work that may still be done for a file: many names can refer to one object, and many objects to one block, so that
/// following each would take time that grows with the square of the file's size.
final class HDF5Budget: Sendable {
  private struct Block: Hashable {
    let address: Int
    let count: Int
  }

  private let file: String?
  /// In bytes that are visited.
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
        .limit, "the file refers to the same objects too often", file: file,
        advice: "No honest program writes such a file.")
    }
  }

  /// Whether the checksum of a block was not verified yet.
  func isUnverified(_ address: Int, _ count: Int) -> Bool {
    !checked.withLock { $0.contains(Block(address: address, count: count)) }
  }

  func setVerified(_ address: Int, _ count: Int) {
    checked.withLock { _ = $0.insert(Block(address: address, count: count)) }
  }

  func heap(at address: Int, _ make: () throws(FormatError) -> GlobalHeap) throws(FormatError) -> GlobalHeap {
    if let known = heaps.withLock({ $0[address] }) { return known }
    let heap = try make()
    heaps.withLock { $0[address] = heap }
    return heap
  }
}
