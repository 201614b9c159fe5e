import TensorIO

/// Tokens to text, ready for use: `tokenizers/src/decoders`.
struct Decoders: Sendable {
  private enum Step: Sendable {
    case bpe(suffix: [UInt8])
    case byteFallback
    case byteLevel
    case fuse
    case metaspace(replacement: [UInt8], isPrepended: Bool)
    case replace(TextPattern, [UInt8])
    case strip(UInt32, start: Int, stop: Int)
    case wordPiece(prefix: [UInt8], cleanup: Bool)
  }

  private var steps: [Step]?

  init(_ decoder: TokenizerDefinition.Decoder?) throws(FormatError) {
    guard let decoder else { return }
    steps = []
    try add(decoder)
  }

  private mutating func add(_ decoder: TokenizerDefinition.Decoder) throws(FormatError) {
    switch decoder {
    case .bpe(let suffix): steps?.append(.bpe(suffix: Array(suffix.utf8)))
    case .byteFallback: steps?.append(.byteFallback)
    case .byteLevel: steps?.append(.byteLevel)
    case .fuse: steps?.append(.fuse)
    case .metaspace(let replacement, let scheme, _):
      steps?.append(.metaspace(replacement: Array(String(replacement).utf8), isPrepended: scheme != .never))
    case .replace(let pattern, let content):
      steps?.append(.replace(try TextPattern(pattern), Array(content.utf8)))
    case .strip(let content, let start, let stop): steps?.append(.strip(content.value, start: start, stop: stop))
    case .wordPiece(let prefix, let cleanup):
      steps?.append(.wordPiece(prefix: Array(prefix.utf8), cleanup: cleanup))
    case .sequence(let parts):
      for part in parts { try add(part) }
    }
  }

  /// The text of tokens; without a decoder they are joined by spaces.
  func decode(_ tokens: [[UInt8]]) -> String {
    guard let steps else { return String(decoding: Array(tokens.joined(separator: [0x20])), as: UTF8.self) }
    var tokens = tokens
    for step in steps { tokens = Self.apply(step, to: tokens) }
    return String(decoding: Array(tokens.joined()), as: UTF8.self)
  }

  private static func apply(_ step: Step, to tokens: [[UInt8]]) -> [[UInt8]] {
    switch step {
    case .bpe(let suffix):
      return tokens.enumerated().map { (index, token) in
        replacing(suffix, in: token, by: index == tokens.count - 1 ? [] : [0x20])
      }
    case .byteFallback: return byteFallback(tokens)
    case .byteLevel: return [byteLevel(tokens)]
    case .fuse: return [Array(tokens.joined())]
    case .metaspace(let replacement, let isPrepended):
      return tokens.enumerated().map { (index, token) in
        replacing(replacement, in: token, by: index == 0 && isPrepended ? [] : [0x20])
      }
    case .replace(let pattern, let content): return tokens.map { replace(pattern, in: $0, by: content) }
    case .strip(let code, let start, let stop): return tokens.map { strip($0, code, start, stop) }
    case .wordPiece(let prefix, let cleanup): return wordPiece(tokens, prefix, cleanup: cleanup)
    }
  }

  private static func replacing(_ needle: [UInt8], in text: [UInt8], by content: [UInt8]) -> [UInt8] {
    replace(.bytes(needle), in: text, by: content)
  }

  private static func replace(_ pattern: TextPattern, in text: [UInt8], by content: [UInt8]) -> [UInt8] {
    guard !text.isEmpty else { return text }
    var buffer = TextBuffer()
    buffer.load(text.span)
    var matches: [Range<Int>] = []
    pattern.find(in: buffer, 0..<text.count, into: &matches)
    guard !matches.isEmpty else { return text }
    var result: [UInt8] = []
    var position = 0
    for match in matches {
      result += text[position..<match.lowerBound]
      result += content
      position = match.upperBound
    }
    return result + text[position...]
  }

  /// Runs of `<0x41>` and the like become text, or a replacement character each.
  private static func byteFallback(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var bytes: [UInt8] = []
    func flush() {
      guard !bytes.isEmpty else { return }
      if String(validating: bytes, as: UTF8.self) != nil {
        result.append(bytes)
      } else {
        result += Array(repeating: [0xEF, 0xBF, 0xBD], count: bytes.count)
      }
      bytes.removeAll()
    }
    for token in tokens {
      if token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">"),
        let byte = UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
      {
        bytes.append(byte)
      } else {
        flush()
        result.append(token)
      }
    }
    flush()
    return result
  }

  private static let bytesOfAlphabet: [UInt32: UInt8] = Dictionary(
    uniqueKeysWithValues: ByteAlphabet.scalars.enumerated().map { ($1.value, UInt8($0)) })

  private static func byteLevel(_ tokens: [[UInt8]]) -> [UInt8] {
    var result: [UInt8] = []
    for token in tokens {
      let bytes = String(decoding: token, as: UTF8.self).unicodeScalars.map { bytesOfAlphabet[$0.value] }
      // A token with a character of another alphabet stays as it is.
      result += bytes.contains(nil) ? token : bytes.compactMap { $0 }
    }
    return result
  }

  private static func strip(_ token: [UInt8], _ code: UInt32, _ start: Int, _ stop: Int) -> [UInt8] {
    var scalars = Array(String(decoding: token, as: UTF8.self).unicodeScalars)[...]
    let count = scalars.prefix(while: { $0.value == code }).count
    let tail = scalars.reversed().prefix(while: { $0.value == code }).count
    let (first, last) = (min(count, start), min(tail, stop))
    scalars = first + last <= scalars.count ? scalars.dropFirst(first).dropLast(last) : []
    return Array(String(String.UnicodeScalarView(scalars)).utf8)
  }

  private static let cleanups: [([UInt8], [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.utf8), Array($1.utf8)) }

  private static func wordPiece(_ tokens: [[UInt8]], _ prefix: [UInt8], cleanup: Bool) -> [[UInt8]] {
    tokens.enumerated().map { (index, token) in
      var token = token
      if index > 0 {
        if token.starts(with: prefix) { token.removeFirst(prefix.count) } else { token.insert(0x20, at: 0) }
      }
      if cleanup {
        for (needle, content) in cleanups { token = replacing(needle, in: token, by: content) }
      }
      return token
    }
  }
}
