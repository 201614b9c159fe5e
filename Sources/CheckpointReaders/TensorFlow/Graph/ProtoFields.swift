import CheckpointFormats
import TensorIO

/// The fields of a protocol buffer in place, each behind its `ProtobufKey`.
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
    let value = try cursor.varint(what)
    guard let key = ProtobufKey(value) else {
      throw start.error(
        .damaged, "\(what) is not a valid protocol buffer", found: "wire type \(value & 7)", expected: "0, 1, 2 or 5")
    }
    switch key.type {
    case .varint: return (key.field, .number(try cursor.varint(what)))
    case .fixed64: return (key.field, .number(try cursor.bits(8, what)))
    case .bytes: return (key.field, .bytes(try cursor.take(try cursor.varintSize(what), what)))
    case .fixed32: return (key.field, .number(try cursor.bits(4, what)))
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
