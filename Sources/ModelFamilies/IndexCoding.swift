import TensorIO

/// Writes an index: what is known of the built-in files before they are parsed, in a form that is read in microseconds.
///
///     numbers: LEB128 | texts: a count and the bytes | lists: a count and the items | fixed: 8 bytes, the lowest first
package struct IndexEncoder {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func add(_ number: Int) {
    var rest = UInt64(number)
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  package mutating func add(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

  package mutating func add(_ text: String) {
    add(text.utf8.count)
    bytes += text.utf8
  }

  /// Numbers of eight bytes, the lowest first, one after the other without a count.
  package mutating func add(fixed numbers: [UInt64]) {
    for number in numbers { bytes += [UInt8](littleEndian: number) }
  }

  package mutating func add<Item>(_ items: [Item], _ body: (inout IndexEncoder, Item) -> Void) {
    add(items.count)
    for item in items { body(&self, item) }
  }

  package mutating func add(_ texts: [String]) { add(texts) { $0.add($1) } }

  package mutating func add<Item>(_ item: Item?, _ body: (inout IndexEncoder, Item) -> Void) {
    add(item != nil)
    if let item { body(&self, item) }
  }
}

/// Reads what ``IndexEncoder`` wrote.
package struct IndexDecoder {
  /// The bytes end too early, or a number is none that was written.
  package struct Failure: Error {
    package init() {}
  }

  private let bytes: [UInt8]
  private var position = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { position == bytes.count }

  private mutating func byte() throws(Failure) -> UInt8 {
    guard position < bytes.count else { throw Failure() }
    position += 1
    return bytes[position - 1]
  }

  package mutating func number() throws(Failure) -> Int {
    var (result, shift): (UInt64, UInt64) = (0, 0)
    while true {
      let byte = try byte()
      guard shift < 56 else { throw Failure() }
      result |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return Int(result) }
      shift += 7
    }
  }

  package mutating func flag() throws(Failure) -> Bool { try byte() != 0 }

  package mutating func text() throws(Failure) -> String {
    let count = try number()
    guard count <= bytes.count - position else { throw Failure() }
    position += count
    return String(decoding: bytes[(position - count)..<position], as: UTF8.self)
  }

  /// That many numbers of eight bytes.
  package mutating func fixed(count: Int) throws(Failure) -> [UInt64] {
    guard count <= (bytes.count - position) / 8 else { throw Failure() }
    let start = position
    position += count * 8
    var numbers: [UInt64] = []
    numbers.reserveCapacity(count)
    // Memory safety: the numbers lie between `start` and `position`, which is inside of the array.
    unsafe bytes.withUnsafeBytes { buffer in
      for offset in stride(from: start, to: start + count * 8, by: 8) {
        numbers.append(UInt64(littleEndian: unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
      }
    }
    return numbers
  }

  /// How many items follow; each has a byte at least.
  package mutating func count() throws(Failure) -> Int { try index(below: bytes.count - position + 1) }

  package mutating func index(below limit: Int) throws(Failure) -> Int {
    let number = try number()
    guard number < limit else { throw Failure() }
    return number
  }

  package mutating func texts() throws(Failure) -> [String] {
    var texts: [String] = []
    for _ in 0..<(try count()) { texts.append(try text()) }
    return texts
  }
}
