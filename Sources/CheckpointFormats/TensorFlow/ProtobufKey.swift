/// The key before each field of a protocol buffer: `varint (field number << 3 | wire type)`.
///
/// Source: protobuf.dev/programming-guides/encoding.
package struct ProtobufKey: Sendable, Equatable {
  /// How the value of a field is written.
  package enum WireType: UInt64, Sendable, CaseIterable {
    /// A number in groups of seven bits.
    case varint = 0
    /// Eight bytes, little-endian.
    case fixed64 = 1
    /// A length as a varint, and as many bytes.
    case bytes = 2
    /// Four bytes, little-endian.
    case fixed32 = 5
  }

  package let field: UInt64
  package let type: WireType

  package init(field: UInt64, type: WireType) {
    self.field = field
    self.type = type
  }

  /// Reads a key; `nil` where it has a wire type that no field has (or one of groups, which proto3 does not have).
  package init?(_ value: UInt64) {
    guard let type = WireType(rawValue: value & 7) else { return nil }
    self.init(field: value >> 3, type: type)
  }

  /// The key as it is written.
  package var value: UInt64 { field << 3 | type.rawValue }
}
