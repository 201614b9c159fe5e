import TensorIO

/// The lines of a stream: what ends with LF or CRLF, and what is left at the end. Nothing else ends a line.
final class LineReader {
  let stream: ByteStream
  private var pending: ArraySlice<UInt8> = []
  private var isAtEnd = false
  /// Of the next line: its number from 1, and its first byte in the file.
  private(set) var number = 1
  private(set) var offset = 0

  /// Bytes of a line at most: a text is held in memory several times over.
  static let maxLine = 256 << 20

  init(_ stream: ByteStream) { self.stream = stream }

  struct Line {
    /// Without what ends it.
    let bytes: [UInt8]
    let number: Int
    /// Of its first byte in the file.
    let offset: Int
    /// What ended it, as it was.
    let ending: [UInt8]

    /// Its text.
    ///
    /// - Throws: `FormatError` with the offset of the first byte that is not UTF-8
    func text(file: String) throws(FormatError) -> String {
      if let text = String(validating: bytes, as: UTF8.self) { return text }
      let position = UTF8Check.firstError(bytes)
      let isUTF16 = offset == 0 && [[0xFF, 0xFE], [0xFE, 0xFF]].contains(Array(bytes.prefix(2)))
      throw FormatError(
        .damaged, isUTF16 ? "the text is UTF-16, not UTF-8" : "line \(number): not UTF-8", file: file,
        offset: UInt64(offset + position), found: hexadecimal(bytes[position...].prefix(4)),
        advice: "Save the file as UTF-8.")
    }
  }

  /// The next line; `nil` at the end.
  func next() throws(FormatError) -> Line? {
    var line: [UInt8] = []
    while true {
      if let end = pending.firstIndex(of: 0x0A) {
        line += pending[..<end]
        pending = pending[(end + 1)...]
        return finish(&line, length: line.count + 1, hasNewline: true)
      }
      line += pending
      pending = []
      guard line.count <= Self.maxLine else {
        throw FormatError(
          .limit, "line \(number): the line is too long", file: stream.name, offset: UInt64(offset),
          expected: "at most \(humanBytes(UInt64(Self.maxLine)))")
      }
      guard !isAtEnd, let part = try stream.next() else {
        isAtEnd = true
        return line.isEmpty ? nil : finish(&line, length: line.count, hasNewline: false)
      }
      pending = part
    }
  }

  private func finish(_ line: inout [UInt8], length: Int, hasNewline: Bool) -> Line {
    let start = offset
    var ending: [UInt8] = hasNewline ? [0x0A] : []
    if hasNewline, line.last == 0x0D {
      line.removeLast()
      ending = [0x0D, 0x0A]
    }
    var first = 0
    if start == 0, line.starts(with: [0xEF, 0xBB, 0xBF]) { first = 3 }
    defer {
      number += 1
      offset += length
    }
    return Line(
      bytes: first == 0 ? line : Array(line[first...]), number: number, offset: start + first, ending: ending)
  }
}

/// Where bytes stop being UTF-8 (Unicode 16, table 3-7).
enum UTF8Check {
  /// The index of the first byte of the first sequence that is not well-formed; the count where all are.
  static func firstError(_ bytes: [UInt8]) -> Int {
    var index = 0
    while index < bytes.count {
      guard let length = length(bytes, at: index) else { return index }
      index += length
    }
    return index
  }

  /// Bytes of the code point at an index; `nil` where it is none.
  private static func length(_ bytes: [UInt8], at index: Int) -> Int? {
    let lead = bytes[index]
    let (length, second): (Int, ClosedRange<UInt8>) =
      switch lead {
      case 0..<0x80: (1, 0...0)
      case 0xC2...0xDF: (2, 0x80...0xBF)
      case 0xE0: (3, 0xA0...0xBF)
      case 0xED: (3, 0x80...0x9F)
      case 0xE1...0xEF: (3, 0x80...0xBF)
      case 0xF0: (4, 0x90...0xBF)
      case 0xF4: (4, 0x80...0x8F)
      case 0xF1...0xF3: (4, 0x80...0xBF)
      default: (0, 0...0)
      }
    guard length > 0, index + length <= bytes.count else { return nil }
    for offset in 1..<max(1, length) {
      let allowed = offset == 1 ? second : 0x80...0xBF
      guard allowed.contains(bytes[index + offset]) else { return nil }
    }
    return length
  }
}
