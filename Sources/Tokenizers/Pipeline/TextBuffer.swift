/// Where a byte of the normalized text comes from: code points of the text as given, from `start` to before `end`.
struct Alignment: Equatable {
  var start: UInt32
  var end: UInt32
}

/// A part of a ``TextBuffer``: what one component or the model works on.
struct Piece: Equatable {
  /// Bytes of the buffer.
  var start: Int
  var end: Int
  /// The added token that it is; below zero where it is text.
  var token: Int32 = -1
  /// Whether it, or the section that it is still whole, begins where the text as given begins.
  var isFirst: Bool

  var isText: Bool { token < 0 }
  var range: Range<Int> { start..<end }
}

/// A text on its way through the stages: its bytes (UTF-8), where they come from, and the pieces that it is cut into.
///
/// While every byte stands where it stands in the text as given, and code points have their length, no alignments are
/// kept (`isIdentity`). Bytes that lie in no piece are ignored.
struct TextBuffer {
  var bytes: [UInt8] = []
  /// Of each byte, unless `isIdentity`. All bytes of a code point have the same.
  var alignments: [Alignment] = []
  var isIdentity = true
  var isASCII = true
  var pieces: [Piece] = []

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    alignments.removeAll(keepingCapacity: true)
    pieces.removeAll(keepingCapacity: true)
    isIdentity = true
    isASCII = true
  }

  /// Becomes `text`, one piece unless it is empty.
  // Memory safety: eight bytes are loaded only where as many are left.
  mutating func load(_ text: Span<UInt8>) {
    removeAll()
    unsafe text.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
    let raw = unsafe text.bytes
    let whole = raw.byteCount & ~7
    var all: UInt64 = 0
    for offset in stride(from: 0, to: whole, by: 8) {
      all |= unsafe raw.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    for offset in whole..<raw.byteCount { all |= UInt64(text[offset]) }
    isASCII = all & 0x8080_8080_8080_8080 == 0
    if !text.isEmpty { pieces.append(Piece(start: 0, end: text.count, isFirst: true)) }
  }

  /// The code point at `position`, which is the first byte of one, and its length.
  @inline(__always)
  func codePoint(at position: Int) -> (code: UInt32, length: Int) {
    let first = UInt32(bytes[position])
    if first < 0x80 { return (first, 1) }
    // The bytes are valid UTF-8; the checks keep a mistake from reading elsewhere.
    func next(_ distance: Int) -> UInt32 {
      position + distance < bytes.count ? UInt32(bytes[position + distance]) & 0x3F : 0
    }
    if first < 0xE0 { return ((first & 0x1F) << 6 | next(1), 2) }
    if first < 0xF0 { return ((first & 0x0F) << 12 | next(1) << 6 | next(2), 3) }
    return (min((first & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3), 0x10FFFF), 4)
  }

  /// The first byte of the code point that ends before `position`.
  @inline(__always)
  func codePointStart(before position: Int) -> Int {
    var start = position - 1
    while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    return start
  }

  /// How many code points begin in a range of bytes.
  func codePointCount(_ range: Range<Int>) -> Int {
    if isASCII { return range.count }
    var count = 0
    let span = bytes.span.extracting(range)
    for index in span.indices where span[index] & 0xC0 != 0x80 { count += 1 }
    return count
  }

  /// Whether a piece that is cut at `position` begins where the text as given begins.
  @inline(__always)
  func isFirst(at position: Int) -> Bool {
    isIdentity ? position == 0 : position < alignments.count && alignments[position].start == 0
  }

  @inline(__always)
  mutating func append(_ code: UInt32, _ alignment: Alignment) {
    if code < 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: code))
      alignments.append(alignment)
      return
    }
    isASCII = false
    if code < 0x800 {
      bytes.append(UInt8(truncatingIfNeeded: 0xC0 | code >> 6))
    } else if code < 0x10000 {
      bytes.append(UInt8(truncatingIfNeeded: 0xE0 | code >> 12))
      bytes.append(UInt8(truncatingIfNeeded: 0x80 | code >> 6 & 0x3F))
      alignments.append(alignment)
    } else {
      bytes.append(UInt8(truncatingIfNeeded: 0xF0 | code >> 18))
      bytes.append(UInt8(truncatingIfNeeded: 0x80 | code >> 12 & 0x3F))
      bytes.append(UInt8(truncatingIfNeeded: 0x80 | code >> 6 & 0x3F))
      alignments.append(alignment)
      alignments.append(alignment)
    }
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | code & 0x3F))
    alignments.append(alignment)
    alignments.append(alignment)
  }
}
