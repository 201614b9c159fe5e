import TensorIO

/// The header of a `.npy` file (numpy/lib/format.py):
///
///     | 93 'NUMPY' | version: 2 | length N: 2 bytes (version 1) or 4 (2, 3) | a Python dict, N bytes | data |
///     dict = {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
///
/// The dict is read by a parser for just this, never evaluated.
struct NpyHeader: Sendable, Equatable {
  var elementType: ElementType
  var shape: [Int]
  var isFortranOrder = false
  var isBigEndian = false
  /// Of the data, from the start of the file.
  var dataOffset: Int
  var byteCount: Int

  static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]
  /// How much of a file is enough for ``length(_:)``.
  static let prefixSize = 12
  /// NumPy itself refuses more than 10,000 bytes unless told otherwise.
  private static let largest = 1 << 16

  static func recognises(_ file: Bytes) -> Bool { file.slice(0, 6)?.array() == magic }

  /// The bytes up to the data, from the first ``prefixSize`` bytes.
  static func length(_ prefix: Bytes) throws(FormatError) -> Int {
    var cursor = ByteCursor(prefix)
    let found = try cursor.take(6, "the .npy header").array()
    guard found == magic else {
      throw ByteCursor(prefix).error(
        "not a .npy file", found: hexadecimal(found), expected: hexadecimal(magic),
        advice: "The array is damaged or was not written by NumPy.")
    }
    let major = try cursor.byte("the .npy version")
    let minor = try cursor.byte("the .npy version")
    guard (1...3).contains(major), minor == 0 else {
      throw ByteCursor(prefix).error(
        "the .npy version is unknown", found: "\(major).\(minor)", expected: "1.0, 2.0 or 3.0")
    }
    let length =
      major == 1
      ? Int(try cursor.littleEndian(UInt16.self, "the .npy header's length"))
      : Int(try cursor.littleEndian(UInt32.self, "the .npy header's length"))
    guard length <= largest else {
      throw cursor.error("the .npy header is too long", found: "\(length) bytes", expected: "at most \(largest)")
    }
    return cursor.position + length
  }

  /// Parses a whole header, whose ``length(_:)`` is `header.count`. `name` is for errors.
  init(_ header: Bytes, name: String) throws(FormatError) {
    let start = header.byte(at: 6) == 1 ? 10 : 12
    guard let text = header.suffix(from: start) else {
      throw FormatError("the .npy header is cut short", file: header.file, tensor: name)
    }
    var parser = NpyDictParser(
      text: text.array(), file: header.file, base: header.offsetInFile + UInt64(start), tensor: name)
    let fields = try parser.parse()
    func refuse(_ problem: String, found: String?, expected: String? = nil, advice: FormatError.Advice? = nil)
      -> FormatError
    {
      FormatError(problem, file: header.file, tensor: name, found: found, expected: expected, advice: advice)
    }
    (elementType, isBigEndian) = try Self.type(fields.descr, refuse)
    shape = fields.shape
    isFortranOrder = fields.isFortranOrder
    guard let bytes = checkedByteCount(shape, elementType) else {
      throw refuse("the shape is too large", found: shapeText(shape))
    }
    byteCount = bytes
    dataOffset = header.count
  }

  private static func type(
    _ descr: NpyDictParser.Descr,
    _ refuse: (_ problem: String, _ found: String?, _ expected: String?, _ advice: FormatError.Advice?) -> FormatError
  ) throws(FormatError) -> (ElementType, isBigEndian: Bool) {
    guard case .plain(let text) = descr else {
      throw refuse(
        "the array has named fields (a structured type)", nil, "a plain number type",
        "Save each field as an array of its own.")
    }
    let order = text.first.flatMap { "<>|=".contains($0) ? $0 : nil }
    let code = order == nil ? text : String(text.dropFirst())
    switch code.first {
    case "O":
      throw refuse(
        "the array holds Python objects (a pickle), which are never loaded", text, "a number type",
        "Save the numbers themselves, as an array of floats or integers.")
    case "U", "S", "a", "T":
      throw refuse(
        "the array holds strings", text, "a number type", "Strings can't be converted to tensors: leave the array out.")
    case "M", "m":
      throw refuse("the array holds dates or times", text, "a number type", "Save them as integers.")
    default: break
    }
    let type: ElementType
    switch code {
    case "f2": type = .f16
    case "f4": type = .f32
    case "f8": type = .f64
    case "i1": type = .i8
    case "i2": type = .i16
    case "i4": type = .i32
    case "i8": type = .i64
    case "u1": type = .u8
    case "u2": type = .u16
    case "u4": type = .u32
    case "u8": type = .u64
    case "b1", "?": type = .bool
    case "c8": type = .c64
    case "c16": type = .c128
    // What ml_dtypes' bfloat16 is saved as; NumPy's own void of two bytes is '|V2'.
    case "V2" where order == "<": type = .bf16
    default:
      throw refuse(
        code.hasPrefix("V") ? "the array holds raw bytes without a type" : "the array's type is unknown", text,
        "a number type such as <f4",
        code.hasPrefix("V") ? "Save it as a number type, for example .view('float32')." : nil)
    }
    // '=' is the byte order of the machine that wrote the file, which NumPy never writes.
    guard order != "=", order != nil || type.size == 1, order != "|" || type.size == 1 else {
      throw refuse("the array's type does not say its byte order", text, "'<' or '>' in front", nil)
    }
    return (type, order == ">" && (type.swapUnit ?? 1) > 1)
  }
}

/// A strict parser for the one Python dict that a `.npy` header holds.
struct NpyDictParser {
  enum Descr: Equatable {
    case plain(String)
    /// A list: a structured type.
    case fields
  }

  let text: [UInt8]
  let file: String?
  let base: UInt64
  let tensor: String
  private var position = 0

  init(text: [UInt8], file: String?, base: UInt64, tensor: String) {
    self.text = text
    self.file = file
    self.base = base
    self.tensor = tensor
  }

  private func error(_ problem: String, expected: String? = nil) -> FormatError {
    FormatError(
      "the .npy header is not as NumPy writes it: \(problem)", file: file, offset: base + UInt64(position),
      tensor: tensor,
      found: position < text.count
        ? "'\(String(decoding: text[position..<min(text.count, position + 8)], as: UTF8.self))'" : "its end",
      expected: expected)
  }

  private var here: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpace() {
    while here == 0x20 || here == 0x0A || here == 0x0D || here == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard let value = character.asciiValue, here == value else { return false }
    position += 1
    return true
  }

  private mutating func need(_ character: Character) throws(FormatError) {
    guard take(character) else { throw error("a character is missing", expected: "'\(character)'") }
  }

  mutating func parse() throws(FormatError) -> (descr: Descr, isFortranOrder: Bool, shape: [Int]) {
    var descr: Descr?
    var order: Bool?
    var shape: [Int]?
    try need("{")
    while !take("}") {
      let start = position
      let key = try string()
      try need(":")
      switch key {
      case "descr" where descr == nil: descr = try type()
      case "fortran_order" where order == nil: order = try boolean()
      case "shape" where shape == nil: shape = try tuple()
      default:
        position = start
        throw error("an unknown key, or one that is there twice", expected: "'descr', 'fortran_order' and 'shape'")
      }
      if take(",") { continue }
      try need("}")
      break
    }
    skipSpace()
    guard position == text.count else { throw error("something follows the dict") }
    guard let descr, let order, let shape else {
      throw error("a key is missing", expected: "'descr', 'fortran_order' and 'shape'")
    }
    return (descr, order, shape)
  }

  private mutating func string() throws(FormatError) -> String {
    skipSpace()
    guard let quote = here, quote == 0x27 || quote == 0x22 else { throw error("no string", expected: "a quote") }
    let start = position + 1
    position = start
    while let byte = here, byte != quote {
      guard byte >= 0x20, byte != 0x5C else { throw error("a control or an escape in a string") }
      position += 1
    }
    guard here == quote else { throw error("a string does not end") }
    position += 1
    return String(decodingFileText: text[start..<(position - 1)])
  }

  private mutating func type() throws(FormatError) -> Descr {
    skipSpace()
    guard here == UInt8(ascii: "[") else { return .plain(try string()) }
    // A structured type is refused by the caller; here only its end is looked for.
    var depth = 0
    while let byte = here {
      if byte == 0x27 || byte == 0x22 {
        _ = try string()
        continue
      }
      position += 1
      if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "(") { depth += 1 }
      if byte == UInt8(ascii: "]") || byte == UInt8(ascii: ")") { depth -= 1 }
      if depth == 0 { return .fields }
    }
    throw error("a list does not end")
  }

  private mutating func boolean() throws(FormatError) -> Bool {
    skipSpace()
    for (word, value) in [("True", true), ("False", false)] where text[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw error("no truth value", expected: "True or False")
  }

  private mutating func tuple() throws(FormatError) -> [Int] {
    try need("(")
    var values: [Int] = []
    while !take(")") {
      skipSpace()
      let start = position
      while let byte = here, (0x30...0x39).contains(byte) { position += 1 }
      guard position > start, let value = Int(String(decoding: text[start..<position], as: UTF8.self)) else {
        position = start
        throw error("a dimension is not a number that fits")
      }
      // Python 2 wrote large ones as 3L.
      if here == UInt8(ascii: "L") { position += 1 }
      guard values.count < 64 else { throw error("too many dimensions", expected: "at most 64") }
      values.append(value)
      if take(",") { continue }
      // (3) is a number in Python, not a tuple.
      guard values.count > 1 else { throw error("the shape is not a tuple", expected: "','") }
      try need(")")
      break
    }
    return values
  }
}
