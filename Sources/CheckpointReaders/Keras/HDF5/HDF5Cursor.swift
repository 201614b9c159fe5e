import TensorIO

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
    _ kind: FormatError.Kind, _ problem: String, found: String? = nil, expected: String? = nil,
    advice: FormatError.Advice? = nil
  ) -> FormatError {
    cursor.error(kind, problem, found: found, expected: expected, advice: advice)
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
        .damaged, "\(what) has the wrong signature", found: hexadecimal(found.array()), expected: "'\(signature)'")
    }
  }

  /// A number of this many bytes, at most eight.
  mutating func number(_ size: Int, _ what: String) throws(FormatError) -> UInt64 {
    try cursor.bits(size, what)
  }

  /// Reads what follows the signature of a node TREE: | kind | level | entries 2 | left | right |. A child is one level
  /// lower, so that a path from the root has at most 256 nodes.
  mutating func treeNode(
    _ kind: UInt8, above: UInt8?, _ what: String
  ) throws(FormatError) -> (level: UInt8, count: Int) {
    let found = try byte(what)
    guard found == kind else {
      throw error(.damaged, "a node belongs to another B-tree", found: "kind \(found)", expected: "\(kind)")
    }
    let level = try byte(what)
    guard above.map({ $0 > 0 && level == $0 - 1 }) ?? true else {
      throw error(.damaged, "\(what) is on the wrong level", found: "\(level)")
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
    guard let number = Int(exactly: value) else { throw start.error(.limit, "\(what) is too large", found: "\(value)") }
    return number
  }

  /// `nil` where it is all ones: no address.
  mutating func address(_ what: String) throws(FormatError) -> Int? {
    let start = cursor
    let value = try number(offsetSize, what)
    if value == (offsetSize == 8 ? UInt64.max : 1 << UInt64(8 * offsetSize) - 1) { return nil }
    guard let address = Int(exactly: value) else {
      throw start.error(.damaged, "\(what) lies outside the file", found: "address \(value)")
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
      guard name.count <= 1 << 16 else { throw cursor.error(.limit, "\(what) is too long") }
    }
    return try Self.text(name[...], cursor, what)
  }

  /// A name in UTF-8, which includes ASCII (``FileText``).
  static func text(_ bytes: ArraySlice<UInt8>, _ start: ByteCursor, _ what: String) throws(FormatError) -> String {
    guard let text = String(fileText: bytes) else {
      throw start.error(.damaged, "\(what) \(FileText.problem(bytes))", found: hexadecimal(bytes))
    }
    return text
  }

  /// `count` bytes of a name without a zero at its end.
  mutating func name(_ count: Int, _ what: String) throws(FormatError) -> String {
    let start = cursor
    guard count <= 1 << 16 else { throw cursor.error(.limit, "\(what) is too long", found: "\(count) bytes") }
    return try Self.text(try cursor.take(count, what).array()[...], start, what)
  }

  mutating func alignTo8(from start: Int) throws(FormatError) {
    let over = (position - start) % 8
    if over > 0 { try skip(min(8 - over, remaining)) }
  }
}
