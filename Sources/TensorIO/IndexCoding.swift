/// Writes an index of files that are part of the program, to be read faster than the files are parsed.
///
///     number: LEB128 | flag: one byte, 0 or 1 | text: its count as a number, UTF-8 | list: its count, the items
///     optional: a flag, the item where it is 1 | hashes: 8 bytes each, the lowest first, without a count
package struct IndexEncoder {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func add(_ number: Int) { bytes += [UInt8](varint: UInt64(number)) }

  package mutating func add(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

  package mutating func add(_ text: String) {
    add(text.utf8.count)
    bytes += text.utf8
  }

  package mutating func add(hashes: [UInt64]) {
    for hash in hashes { bytes += [UInt8](littleEndian: hash) }
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

/// Reads what ``IndexEncoder`` wrote. The loops are written out where it is used: a closure for each kind of item would cost more
/// than the reading.
package struct IndexDecoder {
  private var cursor: ByteCursor

  package init(_ bytes: Bytes) { cursor = ByteCursor(bytes) }

  package var isAtEnd: Bool { cursor.remaining == 0 }

  /// The error for an index that does not match the program.
  package var mismatch: FormatError { FormatError(.damaged, "an index does not match the program") }

  package mutating func number() throws(FormatError) -> Int { try cursor.varintSize("a number of an index") }

  package mutating func flag() throws(FormatError) -> Bool { try cursor.byte("a flag of an index") != 0 }

  package mutating func text() throws(FormatError) -> String {
    try cursor.take(try number(), "a text of an index").text()
  }

  package mutating func hashes(count: Int) throws(FormatError) -> [UInt64] {
    guard count <= cursor.remaining / 8 else { throw mismatch }
    let bytes = try cursor.take(8 * count, "the hashes of an index")
    return bytes.withSpan { span in
      // Memory safety: the span has eight bytes for each hash.
      (0..<count).map { UInt64(littleEndian: unsafe span.unsafeLoadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
    }
  }

  /// How many items follow; each has a byte at least.
  package mutating func count() throws(FormatError) -> Int { try index(below: cursor.remaining + 1) }

  package mutating func index(below limit: Int) throws(FormatError) -> Int {
    let number = try number()
    guard number < limit else { throw mismatch }
    return number
  }

  package mutating func texts() throws(FormatError) -> [String] {
    var texts: [String] = []
    for _ in 0..<(try count()) { texts.append(try text()) }
    return texts
  }

  package mutating func optionalText() throws(FormatError) -> String? { try flag() ? try text() : nil }
}
