import TensorIO

/// The type codes of NumPy's dtypes (numpy/_core/src/multiarray/arraytypes): a kind and a number of bytes.
package enum NumPyType {
  private static let codes: [(code: String, type: ElementType)] = [
    ("f2", .f16), ("f4", .f32), ("f8", .f64), ("i1", .i8), ("i2", .i16), ("i4", .i32), ("i8", .i64), ("u1", .u8),
    ("u2", .u16), ("u4", .u32), ("u8", .u64), ("b1", .bool), ("c8", .c64), ("c16", .c128),
  ]
  private static let typeOfCode = Dictionary(uniqueKeysWithValues: codes.map { ($0.code, $0.type) })
  private static let codeOfType = Dictionary(uniqueKeysWithValues: codes.map { ($0.type, $0.code) })

  /// What bfloat16 of ml_dtypes is saved as, little-endian; NumPy's own void of two bytes is `|V2`.
  private static let bfloat16 = "V2"

  /// The type of a code without its byte order; `nil` for an unknown one.
  package static func type(code: some StringProtocol) -> ElementType? { typeOfCode[String(code)] }

  /// A `descr` split into its byte order, one of `<>|=`, and its code.
  package static func split(_ descr: String) -> (order: Character?, code: String) {
    guard let first = descr.first, "<>|=".contains(first) else { return (nil, descr) }
    return (first, String(descr.dropFirst()))
  }

  /// The type of the `descr` of a `.npy` header and whether it is big-endian; `nil` for a type that is not known, or whose
  /// byte order is not given.
  package static func type(descr: String) -> (type: ElementType, isBigEndian: Bool)? {
    let (order, code) = split(descr)
    if code == bfloat16, order == "<" { return (.bf16, false) }
    guard let type = code == "?" ? .bool : typeOfCode[code] else { return nil }
    // '=' is the byte order of the machine that wrote the file, which NumPy never writes.
    guard order != "=", type.size == 1 || order == "<" || order == ">" else { return nil }
    return (type, order == ">" && (type.swapUnit ?? 1) > 1)
  }

  /// The `descr` of little-endian elements; `nil` for types that NumPy does not have. Numbers of fewer than eight bits
  /// and quantized ones are those that hold them.
  package static func descr(_ type: ElementType) -> String? {
    switch type {
    case .bf16: return "<" + bfloat16
    case .quantizedI32: return descr(.i32)
    case .quantizedI16: return descr(.i16)
    case .quantizedI8, .i4, .i2: return descr(.i8)
    case .quantizedU16: return descr(.u16)
    case .quantizedU8, .u4, .u2: return descr(.u8)
    default: return codeOfType[type].map { (type.size == 1 ? "|" : "<") + $0 }
    }
  }
}
