import TensorIO

/// What `Replace` and `Split` search for, ready for use.
enum TextPattern: Sendable {
  case bytes([UInt8])
  case regex(Regex)

  init(_ pattern: TokenizerDefinition.Pattern) throws(FormatError) {
    switch pattern {
    case .string(let text): self = .bytes(Array(text.utf8))
    case .regex(let text): self = .regex(try Regex(text))
    }
  }

  /// Whether it may match without a character.
  var matchesEmpty: Bool {
    switch self {
    case .bytes(let needle): needle.isEmpty
    case .regex(let regex): regex.matchesEmpty
    }
  }

  /// Appends the matches in a piece to `matches`, from left to right.
  func find(in buffer: borrowing TextBuffer, _ range: Range<Int>, into matches: inout [Range<Int>]) {
    switch self {
    case .bytes(let needle): Self.find(needle, in: buffer, range, into: &matches)
    case .regex(let regex): regex.findAll(in: buffer, range, into: &matches)
    }
  }

  private static func find(
    _ needle: [UInt8], in buffer: borrowing TextBuffer, _ range: Range<Int>, into matches: inout [Range<Int>]
  ) {
    // Without a byte, Oniguruma finds the gap before each code point; as a rule nobody searches for that.
    guard let first = needle.first else {
      var position = range.lowerBound
      while position < range.upperBound {
        matches.append(position..<position)
        position += buffer.codePoint(at: position).length
      }
      matches.append(position..<position)
      return
    }
    var position = range.lowerBound
    let bytes = buffer.bytes.span
    let count = needle.count
    while position + count <= range.upperBound {
      guard bytes[position] == first else {
        position += 1
        continue
      }
      var length = 1
      while length < count, bytes[position + length] == needle[length] { length += 1 }
      if length == count {
        matches.append(position..<(position + count))
        position += count
      } else {
        position += 1
      }
    }
  }
}
