import TensorIO

/// The fields of a protocol buffer in place (protobuf.dev/programming-guides/encoding):
///
///     key  = varint (field number << 3 | wire type)
///     0    varint          1    8 bytes          2    varint length, bytes          5    4 bytes
///
/// Nothing is copied and no nested message is entered, so depth and memory are the caller's choice.
struct ProtoFields {
  enum Value {
    case number(UInt64)
    case bytes(Bytes)
  }

  private var cursor: ByteCursor
  /// What the message is, in an error.
  private let what: String

  init(_ bytes: Bytes, _ what: String) {
    cursor = ByteCursor(bytes)
    self.what = what
  }

  /// `nil` at the end of the message.
  mutating func next() throws(FormatError) -> (number: UInt64, value: Value)? {
    guard !cursor.isAtEnd else { return nil }
    let start = cursor
    let key = try cursor.varint(what)
    switch key & 7 {
    case 0: return (key >> 3, .number(try cursor.varint(what)))
    case 1: return (key >> 3, .number(try cursor.bits(8, what)))
    case 2: return (key >> 3, .bytes(try cursor.take(try cursor.varintSize(what), what)))
    case 5: return (key >> 3, .number(try cursor.bits(4, what)))
    default:
      throw start.error(
        .damaged, "\(what) is not a valid protocol buffer", found: "wire type \(key & 7)", expected: "0, 1, 2 or 5")
    }
  }

  /// The first field of that number that holds bytes.
  static func first(_ number: UInt64, in bytes: Bytes, _ what: String) throws(FormatError) -> Bytes? {
    var fields = ProtoFields(bytes, what)
    while let field = try fields.next() {
      if field.number == number, case .bytes(let value) = field.value { return value }
    }
    return nil
  }
}
