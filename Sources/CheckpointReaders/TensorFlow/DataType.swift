import TensorIO

extension ElementType {
  /// The type of a number of TensorFlow's `DataType` (core/framework/types.proto); `nil` for an unknown one. Numbers
  /// above 100 are those of reference variables.
  init?(tensorFlow number: Int32) {
    switch number > 100 ? number - 100 : number {
    case 1: self = .f32
    case 2: self = .f64
    case 3: self = .i32
    case 4: self = .u8
    case 5: self = .i16
    case 6: self = .i8
    case 7: self = .string
    case 8: self = .c64
    case 9: self = .i64
    case 10: self = .bool
    case 11: self = .quantizedI8
    case 12: self = .quantizedU8
    case 13: self = .quantizedI32
    case 14: self = .bf16
    case 15: self = .quantizedI16
    case 16: self = .quantizedU16
    case 17: self = .u16
    case 18: self = .c128
    case 19: self = .f16
    case 20: self = .resource
    case 21: self = .variant
    case 22: self = .u32
    case 23: self = .u64
    case 24: self = .f8e5m2
    case 25: self = .f8e4m3
    case 26: self = .f8e4m3fnuz
    case 27: self = .f8e4m3b11fnuz
    case 28: self = .f8e5m2fnuz
    case 29: self = .i4
    case 30: self = .u4
    case 31: self = .i2
    case 32: self = .u2
    case 33: self = .f4e2m1
    default: return nil
    }
  }
}
