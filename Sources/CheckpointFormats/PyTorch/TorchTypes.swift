import TensorIO

/// The types of torch, by the names that its pickles import.
package enum TorchTypes {
  /// The storage classes (torch/storage.py) without the word "Storage".
  private static let storages: [(name: String, type: ElementType)] = [
    ("Double", .f64), ("Float", .f32), ("Half", .f16), ("BFloat16", .bf16), ("Long", .i64), ("Int", .i32),
    ("Short", .i16), ("Char", .i8), ("Byte", .u8), ("Bool", .bool), ("ComplexDouble", .c128), ("ComplexFloat", .c64),
    ("QInt8", .quantizedI8), ("QUInt8", .quantizedU8), ("QInt32", .quantizedI32),
  ]
  private static let suffix = "Storage"
  private static let typeOfStorage = Dictionary(uniqueKeysWithValues: storages.map { ($0.name, $0.type) })

  /// The storage class of plain tensors of a type; `nil` for types that have none. Quantized storages hold more than
  /// their numbers, so no plain tensor is stored in one.
  package static func storageClass(_ type: ElementType) -> String? {
    switch type {
    case .quantizedI8, .quantizedU8, .quantizedI32: nil
    default: storages.first { $0.type == type }.map { $0.name + suffix }
    }
  }

  /// The type of a storage class; `.some(nil)` for bytes without one, `nil` for no storage class.
  /// As torch does, any name that ends in "Storage" counts, whatever the module.
  package static func storage(_ global: String) -> ElementType?? {
    let dot = global.utf8.lastIndex(of: UInt8(ascii: "."))
    let name = dot.map { global[global.utf8.index(after: $0)...] } ?? global[...]
    guard name.utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) else { return nil }
    let stem = String(name[..<name.utf8.index(name.endIndex, offsetBy: -suffix.utf8.count)])
    if stem == "Untyped" || stem == "_Untyped" { return .some(nil) }
    return typeOfStorage[stem].map { .some($0) }
  }

  private static let typeOfName: [String: ElementType] = [
    "float64": .f64, "double": .f64, "float32": .f32, "float": .f32, "float16": .f16, "half": .f16, "bfloat16": .bf16,
    "int64": .i64, "long": .i64, "int32": .i32, "int": .i32, "int16": .i16, "short": .i16, "int8": .i8,
    "uint8": .u8, "uint16": .u16, "uint32": .u32, "uint64": .u64, "bool": .bool,
    "complex32": .c32, "chalf": .c32, "complex64": .c64, "cfloat": .c64, "complex128": .c128, "cdouble": .c128,
    "float8_e4m3fn": .f8e4m3, "float8_e5m2": .f8e5m2, "float8_e4m3fnuz": .f8e4m3fnuz, "float8_e5m2fnuz": .f8e5m2fnuz,
    "float8_e8m0fnu": .f8e8m0, "qint8": .quantizedI8, "quint8": .quantizedU8, "qint32": .quantizedI32,
  ]

  /// The type that the name of a dtype, such as `torch.float32`, stands for; `nil` for those without plain values.
  package static func dataType(_ global: String) -> ElementType? {
    guard global.hasPrefix("torch.") else { return nil }
    return typeOfName[String(global.dropFirst("torch.".count))]
  }
}
