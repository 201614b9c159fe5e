import TensorIO

/// Reads MessagePack (msgpack/spec.md), one head at a time; numbers are big-endian:
///
///     00-7f e0-ff  a number itself        c7-c9 d4-d8  ext: length, type: 1 byte, bytes
///     80-8f de df  map: count, pairs      ca cb        float, double
///     90-9f dc dd  array: count, values   cc-cf        unsigned of 1, 2, 4, 8 bytes
///     a0-bf d9-db  str: length, UTF-8     d0-d3        signed of 1, 2, 4, 8 bytes
///     c4-c6        bin: length, bytes     c0 c2 c3     nil, false, true
///
/// A length or a count is only what the file declares: ``take(_:_:)`` checks a length against the file.
struct MessagePackReader {
  /// The start of a value. The bytes of `string`, `binary` and `ext` follow, the values of `array` and `map` too.
  enum Head: Equatable {
    case null
    case boolean(Bool)
    case unsigned(UInt64)
    case negative(Int64)
    case float(Double)
    case string(Int)
    case binary(Int)
    case ext(type: Int8, count: Int)
    case array(Int)
    case map(Int)
  }

  private(set) var cursor: ByteCursor

  init(_ bytes: Bytes) { cursor = ByteCursor(bytes) }

  mutating func take(_ count: Int, _ what: @autoclosure () -> String) throws(FormatError) -> Bytes {
    try cursor.take(count, what())
  }

  /// The next `count` bytes as text.
  mutating func text(_ count: Int, _ what: @autoclosure () -> String) throws(FormatError) -> String {
    let start = cursor
    let bytes = try cursor.take(count, what())
    guard let text = bytes.utf8String() else {
      throw start.error(.damaged, "\(what()) \(FileText.problem(bytes.array()))")
    }
    return text
  }

  mutating func head(_ what: @autoclosure () -> String) throws(FormatError) -> Head {
    let start = cursor
    let byte = try cursor.byte(what())
    switch byte {
    case 0x00...0x7F: return .unsigned(UInt64(byte))
    case 0x80...0x8F: return .map(Int(byte & 0x0F))
    case 0x90...0x9F: return .array(Int(byte & 0x0F))
    case 0xA0...0xBF: return .string(Int(byte & 0x1F))
    case 0xC0: return .null
    case 0xC2: return .boolean(false)
    case 0xC3: return .boolean(true)
    case 0xC4: return .binary(try size(UInt8.self, what()))
    case 0xC5: return .binary(try size(UInt16.self, what()))
    case 0xC6: return .binary(try size(UInt32.self, what()))
    case 0xC7: return try ext(try size(UInt8.self, what()), what())
    case 0xC8: return try ext(try size(UInt16.self, what()), what())
    case 0xC9: return try ext(try size(UInt32.self, what()), what())
    case 0xCA: return .float(Double(Float(bitPattern: try cursor.bigEndian(UInt32.self, what()))))
    case 0xCB: return .float(Double(bitPattern: try cursor.bigEndian(UInt64.self, what())))
    case 0xCC: return .unsigned(UInt64(try cursor.byte(what())))
    case 0xCD: return .unsigned(UInt64(try cursor.bigEndian(UInt16.self, what())))
    case 0xCE: return .unsigned(UInt64(try cursor.bigEndian(UInt32.self, what())))
    case 0xCF: return .unsigned(try cursor.bigEndian(UInt64.self, what()))
    case 0xD0: return signed(Int64(try cursor.bigEndian(Int8.self, what())))
    case 0xD1: return signed(Int64(try cursor.bigEndian(Int16.self, what())))
    case 0xD2: return signed(Int64(try cursor.bigEndian(Int32.self, what())))
    case 0xD3: return signed(try cursor.bigEndian(Int64.self, what()))
    case 0xD4...0xD8: return try ext(1 << Int(byte - 0xD4), what())
    case 0xD9: return .string(try size(UInt8.self, what()))
    case 0xDA: return .string(try size(UInt16.self, what()))
    case 0xDB: return .string(try size(UInt32.self, what()))
    case 0xDC: return .array(try size(UInt16.self, what()))
    case 0xDD: return .array(try size(UInt32.self, what()))
    case 0xDE: return .map(try size(UInt16.self, what()))
    case 0xDF: return .map(try size(UInt32.self, what()))
    case 0xE0...0xFF: return .negative(Int64(Int8(bitPattern: byte)))
    default:
      throw start.error(.damaged, "\(what()) is not a MessagePack value", found: hexadecimal([byte]))
    }
  }

  private mutating func size<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ type: T.Type, _ what: @autoclosure () -> String
  ) throws(FormatError) -> Int {
    Int(try cursor.bigEndian(type, what()))
  }

  private mutating func ext(_ count: Int, _ what: @autoclosure () -> String) throws(FormatError) -> Head {
    .ext(type: try cursor.bigEndian(Int8.self, what()), count: count)
  }

  private func signed(_ value: Int64) -> Head { value < 0 ? .negative(value) : .unsigned(UInt64(value)) }
}
