import TensorIO

/// Another one in each run, so that no file can be made in which all tokens collide; no result depends on it.
let hashSeed = UInt64.random(in: .min ... .max)

/// Tokens in the order of their ids, as bytes one after the other: a quarter of a million strings of their own would take
/// longer to make than the whole file takes to read.
///
/// Tokens are compared as bytes. Swift's `String` takes an accented letter and its decomposed form for the same, and a
/// vocabulary may have both.
public struct TokenList: Sendable, Equatable {
  /// The bytes of all tokens, UTF-8.
  package private(set) var bytes: [UInt8] = []
  /// `ends[i]` is the offset in ``bytes`` behind token `i`.
  private var ends: [UInt32] = []

  public init() {}

  public init(_ tokens: some Sequence<String>) {
    for token in tokens { append(token) }
  }

  /// The bytes that all tokens together may have, so that an offset fits in 32 bits.
  package static let maxBytes = 1 << 30

  package mutating func reserve(tokens: Int, bytes count: Int) {
    ends.reserveCapacity(tokens)
    bytes.reserveCapacity(count)
  }

  public var count: Int { ends.count }
  public var isEmpty: Bool { ends.isEmpty }

  public mutating func append(_ token: String) {
    bytes.append(contentsOf: token.utf8)
    close()
  }

  package mutating func append(_ token: borrowing Span<UInt8>) {
    for index in token.indices { bytes.append(token[index]) }
    close()
  }

  package mutating func append(_ token: borrowing RawSpan) {
    for offset in token.byteOffsets { bytes.append(token.byte(at: offset)) }
    close()
  }

  private mutating func close() {
    precondition(bytes.count <= Self.maxBytes, "readers check the size of a vocabulary before they collect it")
    ends.append(UInt32(truncatingIfNeeded: bytes.count))
  }

  /// Where token `index` is in ``bytes``.
  @inline(__always)
  package func range(_ index: Int) -> Range<Int> {
    (index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index])
  }

  public subscript(index: Int) -> String { String(decoding: bytes[range(index)], as: UTF8.self) }

  /// Calls `body` with the bytes of token `index`.
  @inline(__always)
  package func withBytes<R>(_ index: Int, _ body: (borrowing Span<UInt8>) -> R) -> R {
    body(bytes.span.extracting(range(index)))
  }
}

extension TokenList {
  /// Why these are no tokens, where a file has them.
  enum Problem: Equatable {
    /// This token is not valid UTF-8, or has too many combining marks in a row (``FileText``).
    case noText(Int)
    /// The tokens have too many bytes, or there are too many.
    case tooLarge
  }

  /// The most tokens that a vocabulary may have.
  package static let maxCount = 1 << 24

  /// What is wrong with the tokens, if something is.
  var problem: Problem? {
    guard bytes.count < Self.maxBytes, count <= Self.maxCount else { return .tooLarge }
    // Tokens that are valid together are so one by one, where none begins inside a letter.
    let areSound = (0..<count).allSatisfy {
      let range = range($0)
      // A token that is shorter has no room for that many marks.
      return range.isEmpty || bytes[range.lowerBound] & 0xC0 != 0x80 && range.count <= 2 * FileText.maxMarks
    }
    if areSound, String(validating: bytes, as: UTF8.self) != nil { return nil }
    return (0..<count).first { String(fileText: bytes[range($0)]) == nil }.map { .noText($0) }
  }

  /// Throws where the tokens of `file` cannot be used.
  package func check(file: String?) throws(FormatError) {
    switch problem {
    case nil: return
    case .noText(let index):
      throw FormatError(
        .damaged, "token \(index) of the vocabulary \(FileText.problem(bytes[range(index)]))", file: file,
        found: hexadecimal(bytes[range(index)].prefix(16)))
    case .tooLarge:
      throw FormatError(
        .limit, "the vocabulary is too large", file: file, found: "\(count) tokens of \(bytes.count) bytes",
        expected: "at most \(Self.maxCount) tokens of \(Self.maxBytes) bytes")
    }
  }

  /// The first token that is equal to one before it, where `group` is the same for both.
  package func firstDuplicate(where group: (Int) -> Bool) -> Int? {
    var capacity = 16
    while capacity < 2 * count { capacity *= 2 }
    // Indices plus one, by hash.
    var slots = [UInt32](repeating: 0, count: capacity)
    for index in 0..<count {
      let own = range(index)
      let isInGroup = group(index)
      var slot = hash(own) & (capacity - 1)
      while slots[slot] != 0 {
        let other = Int(slots[slot]) - 1
        if group(other) == isInGroup, bytes[range(other)].elementsEqual(bytes[own]) { return index }
        slot = (slot + 1) & (capacity - 1)
      }
      slots[slot] = UInt32(truncatingIfNeeded: index + 1)
    }
    return nil
  }

  private func hash(_ range: Range<Int>) -> Int {
    var value = hashSeed
    for index in range { value = (value ^ UInt64(bytes[index])) &* 1_099_511_628_211 }
    return Int(truncatingIfNeeded: value ^ value >> 32)
  }
}
