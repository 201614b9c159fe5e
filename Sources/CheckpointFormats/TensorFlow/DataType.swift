import TensorIO

extension ElementType {
  /// The numbers of TensorFlow's `DataType` (core/framework/types.proto).
  private static let tensorFlowNumbers: [(number: Int32, type: ElementType)] = [
    (1, .f32), (2, .f64), (3, .i32), (4, .u8), (5, .i16), (6, .i8), (7, .string), (8, .c64), (9, .i64), (10, .bool),
    (11, .quantizedI8), (12, .quantizedU8), (13, .quantizedI32), (14, .bf16), (15, .quantizedI16),
    (16, .quantizedU16), (17, .u16), (18, .c128), (19, .f16), (20, .resource), (21, .variant), (22, .u32), (23, .u64),
    (24, .f8e5m2), (25, .f8e4m3), (26, .f8e4m3fnuz), (27, .f8e4m3b11fnuz), (28, .f8e5m2fnuz), (29, .i4), (30, .u4),
    (31, .i2), (32, .u2), (33, .f4e2m1),
  ]

  private static let typeOfNumber = Dictionary(uniqueKeysWithValues: tensorFlowNumbers.map { ($0.number, $0.type) })
  private static let numberOfType = Dictionary(uniqueKeysWithValues: tensorFlowNumbers.map { ($0.type, $0.number) })

  /// The type of a number of `DataType`; `nil` for an unknown one. Numbers above 100 are those of reference variables.
  package init?(tensorFlow number: Int32) {
    guard let type = Self.typeOfNumber[number > 100 ? number - 100 : number] else { return nil }
    self = type
  }

  /// The number in `DataType`; `nil` for types that TensorFlow does not have.
  package var tensorFlowNumber: Int32? { Self.numberOfType[self] }
}
