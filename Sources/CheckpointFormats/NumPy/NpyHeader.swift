import TensorIO

/// The header of a `.npy` file (numpy/lib/format.py):
///
///     | 93 'NUMPY' | version: 2 | length N: 2 bytes (version 1) or 4 (2, 3) | a Python dict, N bytes | data |
///     dict = {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
///
/// The dict is read by a parser for just this, never evaluated.
package struct NpyHeader: Sendable, Equatable {
  package var elementType: ElementType
  package var shape: [Int]
  package var isFortranOrder = false
  package var isBigEndian = false
  /// Code points of 32 bits that each element of an array of strings has; the rest of a shorter one is zeros. `nil` for
  /// numbers.
  package var stringLength: Int?
  /// Of the data, from the start of the file.
  package var dataOffset: Int
  /// Of the data.
  package var byteCount: Int

  private static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]
  /// How many bytes of a file are enough for ``length(_:)``.
  package static let prefixSize = 12
  /// NumPy itself refuses more than 10,000 bytes by default.
  private static let maxLength = 1 << 16
  /// The data of a file that is written starts on a multiple of this.
  private static let alignment = 64

  package static func recognizes(_ file: Bytes) -> Bool { file.slice(0, magic.count)?.array() == magic }
}

// MARK: Reading

extension NpyHeader {
  /// The number of bytes up to the data, from the first ``prefixSize`` bytes.
  package static func length(_ prefix: Bytes) throws(FormatError) -> Int {
    var cursor = ByteCursor(prefix)
    let found = try cursor.take(magic.count, "the .npy header").array()
    guard found == magic else {
      throw ByteCursor(prefix).error(
        .damaged, "not a .npy file", found: hexadecimal(found), expected: hexadecimal(magic),
        advice: "The array is damaged or was not written by NumPy.")
    }
    let major = try cursor.byte("the .npy version")
    let minor = try cursor.byte("the .npy version")
    guard (1...3).contains(major), minor == 0 else {
      throw ByteCursor(prefix).error(
        .unsupported, "the .npy version is unknown", found: "\(major).\(minor)", expected: "1.0, 2.0 or 3.0")
    }
    let length =
      major == 1
      ? Int(try cursor.littleEndian(UInt16.self, "the .npy header's length"))
      : Int(try cursor.littleEndian(UInt32.self, "the .npy header's length"))
    guard length <= maxLength else {
      throw cursor.error(
        .limit, "the .npy header is too long", found: "\(length) bytes", expected: "at most \(maxLength)")
    }
    return cursor.position + length
  }

  /// Parses a whole header, whose ``length(_:)`` is `header.count`. `name` is for errors.
  package init(_ header: Bytes, name: String) throws(FormatError) {
    let start = header.byte(at: 6) == 1 ? 10 : 12
    guard let text = header.suffix(from: start) else {
      throw FormatError(.damaged, "the .npy header is cut short", file: header.file, tensor: name)
    }
    var parser = NpyDictParser(
      text: text.array(), file: header.file, base: header.offsetInFile + UInt64(start), tensor: name)
    let fields = try parser.parse()
    shape = fields.shape
    isFortranOrder = fields.isFortranOrder
    let size: Int?
    if let strings = Self.strings(fields.descr) {
      (elementType, stringLength, isBigEndian) = (.string, strings.length, strings.isBigEndian)
      let (width, overflows) = strings.length.multipliedReportingOverflow(by: 4)
      size = overflows ? nil : checkedElementCount(shape).flatMap { Self.product($0, width) }
    } else {
      do throws(FormatError) { (elementType, isBigEndian) = try Self.type(fields.descr) } catch {
        throw error.inTensor(name).inFile(header.file ?? "")
      }
      size = checkedByteCount(shape, elementType)
    }
    guard let bytes = size else {
      throw FormatError(
        .limit, "the shape is too large", file: header.file, tensor: name, found: shapeText(shape))
    }
    byteCount = bytes
    dataOffset = header.count
  }

  private static func product(_ a: Int, _ b: Int) -> Int? {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? nil : product
  }

  /// The length of `<U5`, an array of strings; `nil` for other types.
  private static func strings(_ descr: NpyDictParser.Descr) -> (length: Int, isBigEndian: Bool)? {
    guard case .plain(let text) = descr else { return nil }
    let (order, code) = NumPyType.split(text)
    guard order == "<" || order == ">", code.hasPrefix("U"), let length = Int(code.dropFirst()), length >= 0,
      code == "U\(length)"
    else { return nil }
    return (length, order == ">")
  }

  private static func type(
    _ descr: NpyDictParser.Descr
  ) throws(FormatError) -> (type: ElementType, isBigEndian: Bool) {
    guard case .plain(let text) = descr else {
      throw FormatError(
        .unsupported, "the array has named fields (a structured type)", expected: "a plain number type",
        advice: "Save each field as an array of its own.")
    }
    if let known = NumPyType.type(descr: text) { return known }
    throw refusal(of: text)
  }

  /// Why a `descr` that is not that of numbers is refused.
  private static func refusal(of descr: String) -> FormatError {
    let (_, code) = NumPyType.split(descr)
    func refusal(_ kind: FormatError.Kind, _ problem: String, expected: String, advice: FormatError.Advice? = nil)
      -> FormatError
    {
      FormatError(kind, problem, found: descr, expected: expected, advice: advice)
    }
    switch code.first {
    case "O":
      return refusal(
        .dangerous, "the array contains Python objects (a pickle), which are never loaded", expected: "a number type",
        advice: "Save the numbers themselves, as an array of floats or integers.")
    case "U", "S", "a", "T":
      return refusal(
        .unsupported, "the array contains strings", expected: "a number type",
        advice: "Strings cannot be converted to tensors: leave the array out.")
    case "M", "m":
      return refusal(
        .unsupported, "the array contains dates or times", expected: "a number type", advice: "Save them as integers.")
    case "V":
      return refusal(
        .unsupported, "the array contains raw bytes without a type", expected: "a number type such as <f4",
        advice: "Save it as a number type, for example .view('float32').")
    default:
      return NumPyType.type(code: code) == nil
        ? refusal(.unsupported, "the array's type is unknown", expected: "a number type such as <f4")
        : refusal(
          .unsupported, "the array's type does not give its byte order", expected: "'<' or '>' before the type")
    }
  }
}

// MARK: Writing

extension NpyHeader {
  /// The header of a tensor in C order, as version 1; its length is a multiple of 64. `file` is for errors.
  package static func encoded(_ tensor: TensorInfo, file: String) throws(FormatError) -> [UInt8] {
    guard let descr = NumPyType.descr(tensor.elementType) else {
      throw FormatError(
        .unsupported, "NumPy has no such type", file: file, tensor: tensor.name, found: tensor.elementType.rawValue,
        advice: "Write a safetensors file instead.")
    }
    let dimensions = tensor.shape.map(String.init).joined(separator: ", ")
    let shape = tensor.shape.count == 1 ? "(\(dimensions),)" : "(\(dimensions))"
    var text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    // Magic number, version and length, and a newline at the end.
    let total = (10 + text.count + 1 + alignment - 1) / alignment * alignment
    text += [UInt8](repeating: 0x20, count: total - 10 - text.count - 1) + [0x0A]
    guard let length = UInt16(exactly: text.count) else {
      throw FormatError(.limit, "the tensor has too many dimensions", file: file, tensor: tensor.name)
    }
    return magic + [1, 0] + [UInt8](littleEndian: length) + text
  }
}
