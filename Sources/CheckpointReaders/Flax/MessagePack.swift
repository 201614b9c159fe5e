import TensorIO

/// A value of MessagePack (msgpack/spec.md), as far as flax writes them; data stays where it lies.
enum MessagePackValue {
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case bytes(Bytes)
  case array([MessagePackValue])
  /// In the file's order, each key once.
  case map([(key: String, value: MessagePackValue)])
  case ext(type: Int8, Bytes)
}

/// Reads one value, and nothing that lies inside of an extension or of a stretch of bytes.
///
///     | byte: type, with a small number or size in it | number or size, big-endian | keys and values, elements or bytes |
struct MessagePackReader {
  private var cursor: ByteCursor

  private static let deepest = 64
  private static let longestKey = 1024

  init(_ bytes: Bytes) { cursor = ByteCursor(bytes) }

  var isAtEnd: Bool { cursor.isAtEnd }
  func error(_ problem: String, found: String? = nil, expected: String? = nil) -> FormatError {
    cursor.error(problem, found: found, expected: expected)
  }

  /// The number of entries and the first key, where a value begins as a map of named entries does.
  static func beginsWithMap(_ bytes: Bytes) -> Bool {
    var reader = MessagePackReader(bytes)
    guard let type = try? reader.cursor.byte("a value"), let count = try? reader.mapCount(type), count > 0 else {
      return false
    }
    return (try? reader.key()) != nil
  }

  mutating func value(depth: Int = 0) throws(FormatError) -> MessagePackValue {
    guard depth < Self.deepest else {
      throw cursor.error("values are nested too deep", expected: "at most \(Self.deepest) levels")
    }
    let type = try cursor.byte("a value")
    if let count = try mapCount(type) { return try map(count, depth) }
    switch type {
    case 0x00...0x7F: return .int(Int(type))
    case 0xE0...0xFF: return .int(Int(Int8(bitPattern: type)))
    case 0x90...0x9F: return try array(Int(type & 0x0F), depth)
    case 0xDC: return try array(Int(try big(UInt16.self)), depth)
    case 0xDD: return try array(Int(try big(UInt32.self)), depth)
    case 0xA0...0xBF, 0xD9...0xDB: return .string(try text(type))
    case 0xC0: return .none
    case 0xC2, 0xC3: return .bool(type == 0xC3)
    case 0xC4: return .bytes(try bytes(Int(try big(UInt8.self))))
    case 0xC5: return .bytes(try bytes(Int(try big(UInt16.self))))
    case 0xC6: return .bytes(try bytes(Int(try big(UInt32.self))))
    case 0xC7: return try ext(Int(try big(UInt8.self)))
    case 0xC8: return try ext(Int(try big(UInt16.self)))
    case 0xC9: return try ext(Int(try big(UInt32.self)))
    case 0xD4...0xD8: return try ext(1 << Int(type - 0xD4))
    case 0xCA: return .double(Double(Float(bitPattern: try big(UInt32.self))))
    case 0xCB: return .double(Double(bitPattern: try big(UInt64.self)))
    case 0xCC: return .int(Int(try big(UInt8.self)))
    case 0xCD: return .int(Int(try big(UInt16.self)))
    case 0xCE: return .int(Int(try big(UInt32.self)))
    case 0xCF:
      let number = try big(UInt64.self)
      guard let number = Int(exactly: number) else { throw cursor.error("a number is too large", found: "\(number)") }
      return .int(number)
    case 0xD0: return .int(Int(Int8(bitPattern: try big(UInt8.self))))
    case 0xD1: return .int(Int(Int16(bitPattern: try big(UInt16.self))))
    case 0xD2: return .int(Int(Int32(bitPattern: try big(UInt32.self))))
    case 0xD3: return .int(Int(Int64(bitPattern: try big(UInt64.self))))
    default: throw cursor.error("not the type of a MessagePack value", found: hexadecimal([type]))
    }
  }

  private mutating func big<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(FormatError) -> T {
    try cursor.bigEndian(type, "a number")
  }

  private mutating func bytes(_ count: Int) throws(FormatError) -> Bytes { try cursor.take(count, "a value's data") }

  private mutating func ext(_ count: Int) throws(FormatError) -> MessagePackValue {
    let type = Int8(bitPattern: try cursor.byte("an extension's type"))
    return .ext(type: type, try bytes(count))
  }

  /// `nil` where `type` is no string's.
  private mutating func text(_ type: UInt8) throws(FormatError) -> String {
    let count: Int
    switch type {
    case 0xA0...0xBF: count = Int(type & 0x1F)
    case 0xD9: count = Int(try big(UInt8.self))
    case 0xDA: count = Int(try big(UInt16.self))
    case 0xDB: count = Int(try big(UInt32.self))
    default: throw cursor.error("not a string", found: hexadecimal([type]))
    }
    guard let text = try bytes(count).utf8String() else { throw cursor.error("a string is not UTF-8") }
    return text
  }

  private mutating func mapCount(_ type: UInt8) throws(FormatError) -> Int? {
    switch type {
    case 0x80...0x8F: Int(type & 0x0F)
    case 0xDE: Int(try big(UInt16.self))
    case 0xDF: Int(try big(UInt32.self))
    default: nil
    }
  }

  /// Each entry takes a byte at least, so that a count is no more than the bytes that are left.
  private func check(_ count: Int) throws(FormatError) {
    guard count <= cursor.remaining else {
      throw cursor.error("a list is cut short", found: "\(cursor.remaining) bytes left", expected: "\(count) entries")
    }
  }

  private mutating func array(_ count: Int, _ depth: Int) throws(FormatError) -> MessagePackValue {
    try check(count)
    var values: [MessagePackValue] = []
    for _ in 0..<count { values.append(try value(depth: depth + 1)) }
    return .array(values)
  }

  private mutating func key() throws(FormatError) -> String {
    let type = try cursor.byte("a key")
    guard (0xA0...0xBF).contains(type) || (0xD9...0xDB).contains(type) else {
      throw cursor.error("a key is not a string", found: hexadecimal([type]))
    }
    let key = try text(type)
    guard key.utf8.count <= Self.longestKey else {
      throw cursor.error("a key is too long", found: "\(key.utf8.count) bytes", expected: "at most \(Self.longestKey)")
    }
    return key
  }

  private mutating func map(_ count: Int, _ depth: Int) throws(FormatError) -> MessagePackValue {
    try check(count)
    var entries: [(key: String, value: MessagePackValue)] = []
    var keys: Set<String> = []
    for _ in 0..<count {
      let key = try key()
      guard keys.insert(key).inserted else { throw cursor.error("a key is there twice", found: key) }
      entries.append((key, try value(depth: depth + 1)))
    }
    return .map(entries)
  }
}
