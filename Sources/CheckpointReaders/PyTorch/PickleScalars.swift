import CheckpointFormats
import TensorIO

// Numbers, texts and bytes in a pickle.
extension PickleMachine {
  /// Runs an opcode that pushes a plain value; `false` for other opcodes.
  mutating func pushPlain(_ opcode: PickleOpcode, _ cursor: inout ByteCursor) throws(FormatError) -> Bool {
    switch opcode {
    case .none: try push(.none)
    case .newTrue: try push(.bool(true))
    case .newFalse: try push(.bool(false))
    case .binInt: try push(.int(Int(try cursor.littleEndian(Int32.self, "a number"))))
    case .binInt1: try push(.int(Int(try cursor.byte("a number"))))
    case .binInt2: try push(.int(Int(try cursor.littleEndian(UInt16.self, "a number"))))
    case .binFloat: try push(.float(Double(bitPattern: try cursor.bigEndian(UInt64.self, "a number"))))
    case .long1: try push(try long(try cursor.take(Int(try cursor.byte("a number")), "a number")))
    case .long4: try push(try long(try sized(Int(try cursor.littleEndian(Int32.self, "a number")), &cursor)))
    case .int, .long: try push(try decimal(try line(&cursor)))
    case .float:
      let text = try line(&cursor)
      guard let value = Double(text) else { throw fail(.damaged, "not a number", found: text) }
      try push(.float(value))
    case .binUnicode: try push(try string(try size32(&cursor), &cursor))
    case .shortBinUnicode: try push(try string(Int(try cursor.byte("a string")), &cursor))
    case .binUnicode8: try push(try string(try size64(&cursor), &cursor))
    case .unicode: try push(try make(.string(Self.unescapedText(try rawLine(&cursor)))))
    case .binString: try push(try bytes(Int(try cursor.littleEndian(Int32.self, "a string")), &cursor))
    case .shortBinString, .shortBinBytes: try push(try bytes(Int(try cursor.byte("a string")), &cursor))
    case .binBytes: try push(try bytes(try size32(&cursor), &cursor))
    case .binBytes8, .byteArray8: try push(try bytes(try size64(&cursor), &cursor))
    case .string:
      let text = try rawLine(&cursor)
      guard let quote = text.first, quote == 0x27 || quote == 0x22, text.count >= 2, text.last == quote else {
        throw fail(.damaged, "a string has no quotes", found: String(decoding: text.prefix(20), as: UTF8.self))
      }
      try push(try make(.bytes(Self.unescapedBytes(text.dropFirst().dropLast()))))
    default: return false
    }
    return true
  }

  private func size32(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    Int(try cursor.littleEndian(UInt32.self, "a size"))
  }

  private func size64(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    let size = try cursor.littleEndian(UInt64.self, "a size")
    guard let value = Int(exactly: size) else { throw fail(.damaged, "an impossible size", found: "\(size)") }
    return value
  }

  private func sized(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> Bytes {
    guard count <= 1 << 20 else { throw fail(.limit, "a number is too long", found: "\(count) bytes") }
    return try cursor.take(count, "a number")
  }

  private mutating func string(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> PickleValue {
    // Half surrogates, which Python lets through, become U+FFFD, as does what no reader of texts could bear.
    try make(.string(try cursor.take(count, "a string").text()))
  }

  private mutating func bytes(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> PickleValue {
    let bytes = try cursor.take(count, "a string")
    return bytes.count > Self.maxNameLength ? try make(bytes) : try make(.bytes(bytes.array()))
  }

  /// A number in two's complement, lowest byte first.
  private mutating func long(_ bytes: Bytes) throws(FormatError) -> PickleValue {
    let digits = bytes.array()
    guard let last = digits.last else { return .int(0) }
    if digits.count <= 8 {
      var value = last >= 0x80 ? -1 : 0
      for byte in digits.reversed() { value = value << 8 | Int(byte) }
      return .int(value)
    }
    return try make(.integer(Self.decimalText(digits)))
  }

  /// The decimal digits of a number in two's complement, lowest byte first. Python refuses to print very long ones
  /// too, since the time grows with the square.
  static func decimalText(_ bytes: [UInt8]) -> String {
    guard bytes.count <= 128 else { return "a number of \(bytes.count) bytes" }
    let isNegative = (bytes.last ?? 0) >= 0x80
    var magnitude = bytes
    if isNegative {
      var carry = true
      for index in magnitude.indices {
        magnitude[index] = ~magnitude[index]
        if carry { (magnitude[index], carry) = magnitude[index].addingReportingOverflow(1) }
      }
    }
    var digits: [UInt8] = [0]
    for byte in magnitude.reversed() {
      var carry = Int(byte)
      for index in digits.indices {
        carry += Int(digits[index]) << 8
        digits[index] = UInt8(carry % 10)
        carry /= 10
      }
      while carry > 0 {
        digits.append(UInt8(carry % 10))
        carry /= 10
      }
    }
    return (isNegative ? "-" : "") + digits.reversed().map { String($0) }.joined()
  }

  private mutating func decimal(_ text: String) throws(FormatError) -> PickleValue {
    if text == "00" { return .bool(false) }
    if text == "01" { return .bool(true) }
    let digits = text.hasSuffix("L") ? String(text.dropLast()) : text
    if let value = Int(digits) { return .int(value) }
    guard !digits.isEmpty, digits.utf8.drop(while: { $0 == 0x2D }).allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw fail(.damaged, "not a number", found: String(text.prefix(20)))
    }
    return try make(.integer(digits))
  }

  /// The text up to a line's end.
  func line(_ cursor: inout ByteCursor) throws(FormatError) -> String {
    String(decodingFileText: try rawLine(&cursor))
  }

  private func rawLine(_ cursor: inout ByteCursor) throws(FormatError) -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let byte = try cursor.byte("a line")
      if byte == 0x0A { break }
      bytes.append(byte)
      guard bytes.count <= 1 << 20 else { throw fail(.limit, "a line is too long") }
    }
    if bytes.last == 0x0D { bytes.removeLast() }
    return bytes
  }

  /// Latin-1 with `\uXXXX` and `\UXXXXXXXX` for the rest (Python's raw-unicode-escape).
  static func unescapedText(_ bytes: [UInt8]) -> String {
    var result = String.UnicodeScalarView()
    var index = 0
    while index < bytes.count {
      if bytes[index] == 0x5C, index + 1 < bytes.count {
        let digits = bytes[index + 1] == UInt8(ascii: "u") ? 4 : bytes[index + 1] == UInt8(ascii: "U") ? 8 : 0
        if digits > 0, let code = hexadecimalValue(bytes[(index + 2)...], digits: digits) {
          result.append(Unicode.Scalar(code) ?? "\u{FFFD}")
          index += 2 + digits
          continue
        }
      }
      result.append(Unicode.Scalar(bytes[index]))
      index += 1
    }
    return String(result).withoutExcessMarks
  }

  /// The bytes that the repr of a Python 2 string stands for.
  static func unescapedBytes(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      let byte = text[index]
      index += 1
      guard byte == 0x5C, index < text.endIndex else {
        result.append(byte)
        continue
      }
      let letter = text[index]
      index += 1
      switch letter {
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      case UInt8(ascii: "x"):
        guard let code = hexadecimalValue(text[index...], digits: 2) else { fallthrough }
        result.append(UInt8(truncatingIfNeeded: code))
        index += 2
      case 0x5C, 0x27, 0x22: result.append(letter)
      default: result += [byte, letter]
      }
    }
    return result
  }

  private static func hexadecimalValue(_ bytes: ArraySlice<UInt8>, digits: Int) -> UInt32? {
    var value: UInt32 = 0
    guard bytes.count >= digits else { return nil }
    for byte in bytes.prefix(digits) {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
      value = value << 4 | UInt32(digit)
    }
    return value
  }
}
