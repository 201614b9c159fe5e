import TensorIO

/// What an element of a dataset or an attribute is.
enum HDF5Type {
  case number(ElementType, isBigEndian: Bool)
  /// Text of this many bytes, ended by a zero or filled up.
  case fixedString(size: Int)
  /// Text in a global heap.
  case variableString
  /// Bytes without a meaning of their own, as of types that HDF5 does not have.
  case opaque(size: Int)
  /// A type that is not supported: its name.
  case other(String, size: Int)

  /// Bytes of an element in the file.
  func size(_ offsetSize: Int) -> Int {
    switch self {
    case .number(let type, _): type.size ?? 1
    case .fixedString(let size), .opaque(let size), .other(_, let size): size
    case .variableString: 8 + offsetSize
    }
  }

  private static let maxDepth = 8

  init(_ cursor: inout HDF5Cursor, depth: Int = 0) throws(FormatError) {
    guard depth < Self.maxDepth else { throw cursor.error(.limit, "a type is nested too deeply") }
    let head = try cursor.byte("a type")
    let version = head >> 4
    guard (1...4).contains(version) else {
      throw cursor.error(.unsupported, "the version of a type is unknown", found: "\(version)", expected: "1 to 4")
    }
    let bits = try cursor.number(3, "a type's bits")
    let size = try cursor.size(4, "a type's size")
    switch head & 0x0F {
    case 0:
      let start = cursor
      let (offset, precision) = (try cursor.size(2, "a number's offset"), try cursor.size(2, "a number's precision"))
      let types: [Int: (ElementType, ElementType)] = [
        1: (.u8, .i8), 2: (.u16, .i16), 4: (.u32, .i32), 8: (.u64, .i64),
      ]
      guard let pair = types[size], offset == 0, precision == 8 * size else {
        throw start.error(
          .unsupported, "an integer type has an unusual layout",
          found: "\(precision) bits at \(offset) of \(size) bytes",
          expected: "8, 16, 32 or 64 bits")
      }
      self = .number(bits & 8 != 0 ? pair.1 : pair.0, isBigEndian: bits & 1 != 0)
    case 1: self = try Self.float(&cursor, bits, size)
    case 3: self = .fixedString(size: size)
    case 5:
      _ = try cursor.terminatedName("an opaque type's tag")
      self = .opaque(size: size)
    case 6: self = try Self.compound(&cursor, Int(bits & 0xFFFF), version, size, depth)
    case 8: self = try Self.enumeration(&cursor, Int(bits & 0xFFFF), version, size, depth)
    case 9: self = bits & 0x0F == 1 ? .variableString : .other("lists of varying length", size: size)
    case 2: self = .other("times", size: size)
    case 4: self = .other("bit fields", size: size)
    case 7: self = .other("references", size: size)
    case 10: self = .other("arrays in elements", size: size)
    default: throw cursor.error(.unsupported, "a type has an unknown class", found: "\(head & 0x0F)")
    }
  }

  private static func float(_ cursor: inout HDF5Cursor, _ bits: UInt64, _ size: Int) throws(FormatError) -> HDF5Type {
    let start = cursor
    let offset = try cursor.size(2, "a number's offset")
    let precision = try cursor.size(2, "a number's precision")
    let exponent = (at: Int(try cursor.byte("an exponent")), size: Int(try cursor.byte("an exponent")))
    let mantissa = (at: Int(try cursor.byte("a mantissa")), size: Int(try cursor.byte("a mantissa")))
    let bias = try cursor.size(4, "an exponent's bias")
    let known: [(type: ElementType, size: Int, exponent: Int, bias: Int)] = [
      (.f16, 2, 5, 15), (.bf16, 2, 8, 127), (.f32, 4, 8, 127), (.f64, 8, 11, 1023), (.f8e5m2, 1, 5, 15),
      (.f8e4m3, 1, 4, 7),
    ]
    let type = known.first { type in
      type.size == size && type.exponent == exponent.size && type.bias == bias && offset == 0 && precision == 8 * size
        && mantissa == (0, 8 * size - 1 - exponent.size) && exponent.at == mantissa.size
        && Int(bits >> 8 & 0xFF) == 8 * size - 1 && bits >> 4 & 3 == 2
    }
    guard let type, bits & 0x40 == 0 else {
      throw start.error(
        .unsupported, "a floating-point type has an unusual layout",
        found: "\(size) bytes, an exponent of \(exponent.size) bits, a mantissa of \(mantissa.size)",
        expected: "IEEE's of 16, 32 or 64 bits, or bfloat16")
    }
    return .number(type.type, isBigEndian: bits & 1 != 0)
  }

  /// h5py keeps a complex number as two floats r and i.
  private static func compound(
    _ cursor: inout HDF5Cursor, _ count: Int, _ version: UInt8, _ size: Int, _ depth: Int
  ) throws(FormatError) -> HDF5Type {
    var parts: [(name: String, at: Int, type: HDF5Type)] = []
    for _ in 0..<count {
      let start = cursor.position
      let name = try cursor.terminatedName("a member's name")
      if version < 3 { try cursor.alignTo8(from: start) }
      // In the least number of bytes that the type's size takes.
      let width = version < 3 ? 4 : size > 0xFF_FFFF ? 4 : size > 0xFFFF ? 3 : size > 0xFF ? 2 : 1
      let offset = try cursor.size(width, "a member's offset")
      if version == 1 { try cursor.skip(28) }
      parts.append((name, offset, try HDF5Type(&cursor, depth: depth + 1)))
    }
    guard parts.count == 2, parts[0].name == "r", parts[1].name == "i",
      case .number(let type, let isBigEndian) = parts[0].type,
      case .number(type, isBigEndian) = parts[1].type, let half = type.size,
      parts[0].at == 0, parts[1].at == half, size == 2 * half
    else { return .other("records of \(parts.map(\.name).prefix(4).joined(separator: ", "))", size: size) }
    switch type {
    case .f16: return .number(.c32, isBigEndian: isBigEndian)
    case .f32: return .number(.c64, isBigEndian: isBigEndian)
    case .f64: return .number(.c128, isBigEndian: isBigEndian)
    default: return .other("records of r and i", size: size)
    }
  }

  /// h5py keeps a truth value as an 8-bit FALSE and TRUE; other named numbers are read as the numbers.
  private static func enumeration(
    _ cursor: inout HDF5Cursor, _ count: Int, _ version: UInt8, _ size: Int, _ depth: Int
  ) throws(FormatError) -> HDF5Type {
    let base = try HDF5Type(&cursor, depth: depth + 1)
    var names: [String] = []
    for _ in 0..<count {
      let start = cursor.position
      names.append(try cursor.terminatedName("a name of a value"))
      if version < 3 { try cursor.alignTo8(from: start) }
    }
    let values = try cursor.take(try checked(count, size, cursor), "the values of an enumeration").array()
    if case .number(let type, _) = base, type == .i8 || type == .u8, names == ["FALSE", "TRUE"], values == [0, 1] {
      return .number(.bool, isBigEndian: false)
    }
    return base
  }

  private static func checked(_ a: Int, _ b: Int, _ cursor: HDF5Cursor) throws(FormatError) -> Int {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    if overflow { throw cursor.error(.limit, "a type is too large") }
    return product
  }
}

/// The dimensions of a dataset or an attribute, none for a scalar, and what each can grow to; `nil` without a limit.
struct Dataspace {
  var shape: [Int] = []
  var maxShape: [Int?] = []
}

extension HDF5Cursor {
  /// `nil` for one without elements, which has no dimensions either.
  mutating func dataspace() throws(FormatError) -> Dataspace? {
    let version = try byte("a dataspace")
    let rank = Int(try byte("a dataspace's rank"))
    let flags = try byte("a dataspace's flags")
    guard version == 1 || version == 2 else {
      throw error(.unsupported, "the version of a dataspace is unknown", found: "\(version)", expected: "1 or 2")
    }
    guard rank <= 32 else {
      throw error(.limit, "a dataspace has too many dimensions", found: "\(rank)", expected: "at most 32")
    }
    if version == 1 {
      try skip(5)
    } else if try byte("a dataspace's kind") == 2 {
      return nil
    }
    guard version == 2 || flags & 2 == 0 else { throw error(.unsupported, "the dataspace has permuted dimensions") }
    var space = Dataspace()
    for _ in 0..<rank { space.shape.append(try length("a dimension")) }
    space.maxShape = space.shape
    guard flags & 1 != 0 else { return space }
    for axis in 0..<rank {
      // As for an address, all ones mean none.
      let start = self
      let value = try number(lengthSize, "a dimension's limit")
      if value == UInt64.max >> UInt64(64 - 8 * lengthSize) {
        space.maxShape[axis] = nil
      } else {
        guard let limit = Int(exactly: value), limit >= space.shape[axis] else {
          throw start.error(
            .damaged, "a dimension is beyond its limit", found: "\(space.shape[axis])", expected: "at most \(value)")
        }
        space.maxShape[axis] = limit
      }
    }
    return space
  }
}
