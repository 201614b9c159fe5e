extension ElementType {
  /// The element that is stored at `offset`, as text and as JSON; `nil` for types without a fixed size.
  ///
  /// A float is as short as its precision allows, a complex number `1.0+2.0j` and in JSON a list of two, what is not finite in
  /// JSON a text. Elements of types that are not plain numbers (8-bit exponents, 4-bit floats and the like) are their bytes in
  /// hexadecimal.
  package func element(of bytes: RawSpan, at offset: Int) -> (text: String, json: JSON)? {
    guard let size else { return nil }
    func half(_ part: ElementType) -> (text: String, json: JSON)? {
      part.element(of: bytes, at: offset + (part.size ?? 0))
    }
    switch self {
    case .bool:
      let isTrue = bytes.byte(at: offset) != 0
      return (isTrue ? "true" : "false", .bool(isTrue))
    // Beyond what a Double holds.
    case .i64: return Self.whole(bytes.littleEndian(Int64.self, at: offset))
    case .u64: return Self.whole(bytes.littleEndian(UInt64.self, at: offset))
    case .c32, .c64, .c128:
      let part: ElementType = self == .c32 ? .f16 : self == .c64 ? .f32 : .f64
      guard let real = part.element(of: bytes, at: offset), let imaginary = half(part) else { return nil }
      let sign = imaginary.text.hasPrefix("-") ? "" : "+"
      return ("\(real.text)\(sign)\(imaginary.text)j", .array([real.json, imaginary.json]))
    default: break
    }
    guard let decode = numberDecoder else {
      let digits = (0..<size).map { hexadecimal(bytes.byte(at: offset + $0), digits: 2) }.joined()
      return ("0x" + digits, .string("0x" + digits))
    }
    let number = decode(bytes, offset)
    guard isFloatingPoint else { return Self.whole(Int64(number)) }
    let text = self == .f64 ? "\(number)" : "\(Float(number))"
    return (text, number.isFinite ? .number(text) : .string(text))
  }

  private static func whole(_ number: some BinaryInteger) -> (text: String, json: JSON) { ("\(number)", .int(number)) }
}
