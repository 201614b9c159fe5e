/// Text from an untrusted file.
///
/// Swift compares and hashes texts in their normal form, for which the combining marks on a letter are put in order, in a
/// time that grows with the square of their number: a name of 400,000 bytes of marks would take minutes. So no text of a
/// file has more of them in a row than Unicode's own limit, that of the stream-safe text format (UAX #15).
public enum FileText {
  /// Combining marks that may follow one another.
  public static let maxMarks = 30

  /// Why `bytes` are not valid text, as the end of a sentence whose subject contains them.
  public static func problem(_ bytes: some Collection<UInt8>) -> String {
    String(validating: bytes, as: UTF8.self) == nil
      ? "is not UTF-8" : "has more than \(maxMarks) combining marks in a row"
  }

  /// Whether a text has more combining marks in a row than ``maxMarks``.
  package static func hasTooManyMarks(_ text: String) -> Bool {
    if isASCII(text.utf8.span) { return false }
    var marks = 0
    for scalar in text.unicodeScalars {
      marks = isMark(scalar) ? marks + 1 : 0
      if marks > maxMarks { return true }
    }
    return false
  }

  /// Eight bytes at a time: all names and metadata of a file go through it.
  // Memory safety: eight bytes are loaded only where as many are left.
  private static func isASCII(_ text: Span<UInt8>) -> Bool {
    let bytes = unsafe text.bytes
    let whole = bytes.byteCount & ~7
    var all: UInt64 = 0
    for offset in stride(from: 0, to: whole, by: 8) {
      all |= unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    for offset in whole..<bytes.byteCount { all |= UInt64(text[offset]) }
    return all & 0x8080_8080_8080_8080 == 0
  }

  /// Whether normalization may move it.
  package static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    // The first combining mark is U+0300.
    scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered
  }
}

extension String {
  /// The text of `bytes`; `nil` where they are not UTF-8 or have too many combining marks in a row (``FileText``).
  public init?(fileText bytes: some Collection<UInt8>) {
    guard let text = String(validating: bytes, as: UTF8.self), !FileText.hasTooManyMarks(text) else { return nil }
    self = text
  }

  /// The text of `bytes`, in which U+FFFD stands for what is not UTF-8 and for each combining mark that is too many.
  public init(decodingFileText bytes: some Collection<UInt8>) {
    self = String(decoding: bytes, as: UTF8.self).withoutExcessMarks
  }

  /// The same with U+FFFD for each combining mark that is too many.
  package var withoutExcessMarks: String {
    guard FileText.hasTooManyMarks(self) else { return self }
    var result = String.UnicodeScalarView()
    var marks = 0
    for scalar in unicodeScalars {
      marks = FileText.isMark(scalar) ? marks + 1 : 0
      result.append(marks > FileText.maxMarks ? "\u{FFFD}" : scalar)
    }
    return String(result)
  }
}
