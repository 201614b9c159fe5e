import TensorIO

/// Readers of the files that hold a vocabulary, or the merges of a BPE.
enum VocabularyText {
  /// Bytes that such a file may have.
  static let maxBytes = 512 << 20

  /// `vocab.txt`: a token a line, whose id is its number. Lines end as in Python's text mode: LF, CR LF or CR.
  static func lines(_ path: String) throws(FormatError) -> TokenList {
    let bytes = try read(path)
    var list = TokenList()
    list.reserve(tokens: bytes.count / 8, bytes: bytes.count)
    var start = 0
    var index = 0
    let span = bytes.span
    while index < span.count {
      let byte = span[index]
      guard byte == 0x0A || byte == 0x0D else {
        index += 1
        continue
      }
      list.append(span.extracting(start..<index))
      index += byte == 0x0D && index + 1 < span.count && span[index + 1] == 0x0A ? 2 : 1
      start = index
    }
    if start < span.count { list.append(span.extracting(start..<span.count)) }
    try list.check(file: path)
    guard !list.isEmpty else { throw FormatError(.damaged, "the vocabulary is empty", file: path) }
    return list
  }

  /// `vocab.json`: `{"token": id, …}`.
  static func dictionary(_ path: String) throws(FormatError) -> TokenVocabulary {
    let (tokens, ids) = try entries(path)
    guard !tokens.isEmpty else { throw FormatError(.damaged, "the vocabulary is empty", file: path) }
    return TokenVocabulary(tokens, ids: ids)
  }

  /// The members of an object of tokens and ids.
  static func entries(_ path: String) throws(FormatError) -> (tokens: TokenList, ids: [Int32]) {
    let bytes = try read(path)
    var scanner = JSONScanner(bytes, file: path)
    var tokens = TokenList()
    var ids: [Int32] = []
    try scanner.members { (scanner, key) throws(FormatError) in
      scanner.withBytes(key) { tokens.append($0) }
      ids.append(Int32(truncatingIfNeeded: try scanner.natural("id")))
    }
    try scanner.finish()
    try tokens.check(file: path)
    return (tokens, ids)
  }

  /// `merges.txt`: two tokens a line. The first line is a version, and what is behind the last LF is nothing: that is how
  /// `transformers` reads it. Of equal merges the first one counts.
  ///
  /// - Parameter hasVersion: false where the first line is a merge unless it begins with `#version`
  static func merges(_ path: String, hasVersion: Bool = true) throws(FormatError) -> TokenList {
    let text = String(decoding: try read(path), as: UTF8.self)
    var lines = text.unicodeScalars.split(omittingEmptySubsequences: false, whereSeparator: Self.isLineEnd)[...]
    if text.unicodeScalars.contains("\r") { lines = joinedCRLF(text)[...] }
    if hasVersion {
      lines = lines.dropFirst().dropLast()
    } else if lines.last?.isEmpty ?? false {
      lines = lines.dropLast()
    }
    var merges = TokenList()
    var seen = Set<[UInt8]>()
    for (number, line) in lines.enumerated() {
      if !hasVersion, String(line).hasPrefix("#version") { continue }
      let parts = line.split { $0.properties.isWhitespace || (0x1C...0x1F).contains($0.value) }
      guard parts.count == 2 else {
        throw FormatError(
          .damaged, "line \(number + (hasVersion ? 2 : 1)) of the merges is not two tokens with a space between",
          file: path, found: String(String(line).prefix(60)))
      }
      let (left, right) = (Array(String(parts[0]).utf8), Array(String(parts[1]).utf8))
      guard seen.insert(left + [0x20] + right).inserted else { continue }
      merges.append(left.span)
      merges.append(right.span)
    }
    try merges.check(file: path)
    return merges
  }

  private static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" }

  /// The lines of a text that has CR: each CR LF, and each CR alone, ends one.
  private static func joinedCRLF(_ text: String) -> [String.UnicodeScalarView.SubSequence] {
    var lines: [String.UnicodeScalarView.SubSequence] = []
    let scalars = text.unicodeScalars
    var start = scalars.startIndex
    var index = start
    while index < scalars.endIndex {
      let scalar = scalars[index]
      var next = scalars.index(after: index)
      if scalar == "\n" || scalar == "\r" {
        lines.append(scalars[start..<index])
        if scalar == "\r", next < scalars.endIndex, scalars[next] == "\n" { next = scalars.index(after: next) }
        start = next
      }
      index = next
    }
    lines.append(scalars[start...])
    return lines
  }

  /// The bytes of a text file, checked to be UTF-8.
  static func read(_ path: String) throws(FormatError) -> [UInt8] {
    let bytes = try MappedFile.open(path)
    guard bytes.count <= maxBytes else {
      throw FormatError(
        .limit, "the vocabulary is too large", file: path, found: "\(bytes.count) bytes",
        expected: "at most \(maxBytes)")
    }
    let array = bytes.array()
    try bytes.checkIntact()
    if let offset = TokenizerDefinition.invalidUTF8(array) {
      throw FormatError(
        .damaged, "the file is not UTF-8 text", file: path, offset: UInt64(offset),
        found: hexadecimal(array[offset...].prefix(4)), advice: "Save the file as UTF-8, or download it again.")
    }
    return array
  }
}
