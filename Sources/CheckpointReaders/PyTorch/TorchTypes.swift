import TensorIO

/// The types of torch, by the names that its pickles import.
enum TorchTypes {
  /// The type of a storage class (torch/storage.py); `.some(nil)` for bytes without one, `nil` for no storage class.
  /// As torch does, any name with "Storage" in it counts, whatever the module.
  static func storage(_ global: String) -> ElementType?? {
    let dot = global.utf8.lastIndex(of: UInt8(ascii: "."))
    let name = dot.map { global[global.utf8.index(after: $0)...] } ?? global[...]
    let ending = "Storage".utf8
    guard name.utf8.suffix(ending.count).elementsEqual(ending) else { return nil }
    switch name[..<name.utf8.index(name.endIndex, offsetBy: -ending.count)] {
    case "Double": return .some(.f64)
    case "Float": return .some(.f32)
    case "Half": return .some(.f16)
    case "BFloat16": return .some(.bf16)
    case "Long": return .some(.i64)
    case "Int": return .some(.i32)
    case "Short": return .some(.i16)
    case "Char": return .some(.i8)
    case "Byte": return .some(.u8)
    case "Bool": return .some(.bool)
    case "ComplexDouble": return .some(.c128)
    case "ComplexFloat": return .some(.c64)
    case "QInt8": return .some(.quantizedI8)
    case "QUInt8": return .some(.quantizedU8)
    case "QInt32": return .some(.quantizedI32)
    case "Untyped", "_Untyped": return .some(nil)
    default: return nil
    }
  }

  /// The type that a dtype's name stands for; `nil` for those that have no plain values.
  static func dataType(_ global: String) -> ElementType? {
    guard global.hasPrefix("torch.") else { return nil }
    switch global.dropFirst("torch.".count) {
    case "float64", "double": return .f64
    case "float32", "float": return .f32
    case "float16", "half": return .f16
    case "bfloat16": return .bf16
    case "int64", "long": return .i64
    case "int32", "int": return .i32
    case "int16", "short": return .i16
    case "int8": return .i8
    case "uint8": return .u8
    case "uint16": return .u16
    case "uint32": return .u32
    case "uint64": return .u64
    case "bool": return .bool
    case "complex32", "chalf": return .c32
    case "complex64", "cfloat": return .c64
    case "complex128", "cdouble": return .c128
    case "float8_e4m3fn": return .f8e4m3
    case "float8_e5m2": return .f8e5m2
    case "float8_e4m3fnuz": return .f8e4m3fnuz
    case "float8_e5m2fnuz": return .f8e5m2fnuz
    case "float8_e8m0fnu": return .f8e8m0
    case "qint8": return .quantizedI8
    case "quint8": return .quantizedU8
    case "qint32": return .quantizedI32
    default: return nil
    }
  }

  /// The type of a NumPy dtype's short name.
  static func numPy(_ code: String) -> ElementType? {
    switch code {
    case "f2": .f16
    case "f4": .f32
    case "f8": .f64
    case "i1": .i8
    case "i2": .i16
    case "i4": .i32
    case "i8": .i64
    case "u1": .u8
    case "u2": .u16
    case "u4": .u32
    case "u8": .u64
    case "b1": .bool
    case "c8": .c64
    case "c16": .c128
    default: nil
    }
  }
}
