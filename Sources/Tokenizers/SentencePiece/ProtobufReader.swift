import TensorIO

/// Reads the fields of a protocol buffer in order, from bytes that nobody vouches for.
///
///     message := (varint: field number << 3 | wire type, value)*
///     value   := varint (0) | 8 bytes (1) | varint size, bytes (2) | 4 bytes (5)
///
/// Specification: protobuf.dev, "Encoding".
struct ProtobufReader {
  let bytes: [UInt8]
  let file: String?
  var position: Int
  let end: Int

  init(_ bytes: [UInt8], file: String?) {
    self.bytes = bytes
    self.file = file
    position = 0
    end = bytes.count
  }

  /// The fields of the message in `range`.
  init(_ outer: ProtobufReader, _ range: Range<Int>) {
    bytes = outer.bytes
    file = outer.file
    position = range.lowerBound
    end = range.upperBound
  }

  enum Wire: UInt8 {
    case varint = 0
    case eightBytes = 1
    case delimited = 2
    case fourBytes = 5
  }

  func error(
    _ problem: String, kind: FormatError.Kind = .damaged, at offset: Int? = nil, found: String? = nil,
    expected: String? = nil
  ) -> FormatError {
    FormatError(
      kind, problem, file: file, offset: UInt64(offset ?? position), found: found, expected: expected,
      advice: kind == .damaged ? "Download or copy the file again." : nil)
  }

  /// The number and wire type of the next field; `nil` at the end of the message.
  mutating func field() throws(FormatError) -> (number: Int, wire: Wire)? {
    guard position < end else { return nil }
    let start = position
    let key = try varint()
    guard let wire = Wire(rawValue: UInt8(truncatingIfNeeded: key & 7)), key >> 3 >= 1, key >> 3 < 1 << 29 else {
      throw error(
        "the SentencePiece model is not a valid protocol buffer", at: start,
        found: "wire type \(key & 7), field \(key >> 3)",
        expected: "wire type 0, 1, 2 or 5")
    }
    return (Int(key >> 3), wire)
  }

  mutating func varint() throws(FormatError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end, shift < 64 {
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw error("a number in the SentencePiece model is cut short or has more than 64 bits", at: start)
  }

  /// The range of a value that has a size in front.
  mutating func delimited() throws(FormatError) -> Range<Int> {
    let start = position
    let size = try varint()
    guard size <= UInt64(end - position) else {
      throw error(
        "a field of the SentencePiece model is cut short", at: start, found: "\(end - position) bytes left",
        expected: "\(size) bytes")
    }
    let range = position..<(position + Int(size))
    position = range.upperBound
    return range
  }

  mutating func float() throws(FormatError) -> Float {
    guard end - position >= 4 else { throw error("a number in the SentencePiece model is cut short") }
    var bits: UInt32 = 0
    for index in 0..<4 { bits |= UInt32(bytes[position + index]) << UInt32(8 * index) }
    position += 4
    return Float(bitPattern: bits)
  }

  mutating func skip(_ wire: Wire) throws(FormatError) {
    switch wire {
    case .varint: _ = try varint()
    case .delimited: _ = try delimited()
    case .eightBytes, .fourBytes:
      let size = wire == .eightBytes ? 8 : 4
      guard end - position >= size else { throw error("a number in the SentencePiece model is cut short") }
      position += size
    }
  }
}
