import TensorIO

/// The first stage, ready for use: the normalizer of a definition as steps that are carried out one after the other.
struct Normalizers: Sendable {
  private enum Step: Sendable {
    case map(CharacterMap)
    /// A map that does for most texts what the steps behind it do for all.
    case fastMap(CharacterMap, exactly: [Step])
    case normalize(Normalization)
    case strip(left: Bool, right: Bool)
    case replace(TextPattern, [UInt32])
    case prepend([UInt32])
    case precompiled(PrecompiledMap)
    case byteLevel
    case sentencePiece(SentencePieceNormalizer)
  }

  private var steps: [Step] = []

  var isEmpty: Bool { steps.isEmpty }

  init(_ normalizer: TokenizerDefinition.Normalizer?) throws(FormatError) {
    if let normalizer { try add(normalizer) }
  }

  private mutating func add(_ normalizer: TokenizerDefinition.Normalizer) throws(FormatError) {
    switch normalizer {
    case .bert(let cleanText, let handleChineseChars, let stripAccents, let lowercase):
      addBERT(cleanText, handleChineseChars, stripAccents ?? lowercase, lowercase)
    case .nfc: steps.append(.normalize(Normalization(isCompatible: false, isComposed: true)))
    case .nfd: steps.append(.normalize(Normalization(isCompatible: false, isComposed: false)))
    case .nfkc: steps.append(.normalize(Normalization(isCompatible: true, isComposed: true)))
    case .nfkd: steps.append(.normalize(Normalization(isCompatible: true, isComposed: false)))
    case .lowercase: steps.append(.map(Self.lowercase))
    case .stripAccents: steps.append(.map(Self.removing(.mark)))
    case .strip(let left, let right): steps.append(.strip(left: left, right: right))
    case .replace(let pattern, let content):
      let pattern = try TextPattern(pattern)
      guard !pattern.matchesEmpty else {
        throw FormatError(.unsupported, "the normalizer 'Replace' has a pattern that matches without a character")
      }
      steps.append(.replace(pattern, content.unicodeScalars.map(\.value)))
    case .prepend(let text): steps.append(.prepend(text.unicodeScalars.map(\.value)))
    case .precompiled(let bytes): steps.append(.precompiled(try PrecompiledMap(bytes)))
    case .nmt: steps.append(.map(Self.nmt))
    case .byteLevel: steps.append(.byteLevel)
    case .sentencePiece(let rules): steps.append(.sentencePiece(try SentencePieceNormalizer(rules)))
    case .sequence(let parts):
      for part in parts { try add(part) }
    }
  }

  // MARK: BERT

  private mutating func addBERT(_ cleans: Bool, _ spacesChinese: Bool, _ strips: Bool, _ lowers: Bool) {
    var changes: [CodePointKind.Flag] = []
    if cleans { changes += [.removedByBert, .whitespace] }
    if strips { changes += [.hasNFD, .nonspacingMark, .isReordered] }
    if lowers { changes.append(.hasLowercase) }
    let fast = CharacterMap(changing: changes, isChinese: spacesChinese) { code, results in
      var code = code
      if cleans {
        let kind = CodePointKind(of: code)
        if kind.has(.removedByBert) { return true }
        if kind.has(.whitespace) { code = 0x20 }
      }
      let isSpaced = spacesChinese && isChineseCharacter(code)
      if isSpaced { results.append(0x20) }
      var isClear = true
      func add(_ part: UInt32) {
        if strips {
          let kind = CodePointKind(of: part)
          if kind.has(.nonspacingMark) { return }
          // A mark that stays may change places with its neighbors.
          if kind.has(.isReordered) { isClear = false }
        }
        if lowers { Self.appendLowercase(part, to: &results) } else { results.append(part) }
      }
      if strips { Self.decompose(code, add) } else { add(code) }
      if isSpaced { results.append(0x20) }
      return isClear
    }
    guard strips else {
      steps.append(.map(fast))
      return
    }
    let first = CharacterMap(changing: cleans ? [.removedByBert, .whitespace] : [], isChinese: spacesChinese) {
      code, results in
      let kind = CodePointKind(of: code)
      if cleans, kind.has(.removedByBert) { return true }
      if cleans, kind.has(.whitespace) {
        results.append(0x20)
      } else if spacesChinese, isChineseCharacter(code) {
        results += [0x20, code, 0x20]
      } else {
        results.append(code)
      }
      return true
    }
    var exactly: [Step] = [
      .map(first), .normalize(Normalization(isCompatible: false, isComposed: false)),
      .map(Self.removing(.nonspacingMark)),
    ]
    if lowers { exactly.append(.map(Self.lowercase)) }
    steps.append(.fastMap(fast, exactly: exactly))
  }

  private static func decompose(_ code: UInt32, _ body: (UInt32) -> Void) {
    if Hangul.syllables.contains(code) {
      Hangul.decompose(code, body)
    } else if let mapping = CodePointMapping(.nfd, of: code) {
      for index in 0..<mapping.count { body(mapping[index]) }
    } else {
      body(code)
    }
  }

  // MARK: Maps

  private static func appendLowercase(_ code: UInt32, to results: inout [UInt32]) {
    guard let mapping = CodePointMapping(.lowercase, of: code) else {
      results.append(code)
      return
    }
    for index in 0..<mapping.count { results.append(mapping[index]) }
  }

  private static let lowercase = CharacterMap(changing: [.hasLowercase]) { code, results in
    appendLowercase(code, to: &results)
    return true
  }

  private static func removing(_ flag: CodePointKind.Flag) -> CharacterMap {
    CharacterMap(changing: [flag]) { code, results in
      if !CodePointKind(of: code).has(flag) { results.append(code) }
      return true
    }
  }

  /// `tokenizers/src/normalizers/unicode.rs`, `do_nmt`. All that it changes is a control, a format character, a space or
  /// one of two symbols.
  private static let nmt = CharacterMap(changing: [.removedByBert, .whitespace], others: [0x2581]) { code, results in
    switch code {
    case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
    case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: results.append(0x20)
    default: results.append(code)
    }
    return true
  }

  // MARK: Work

  /// Normalizes all pieces that are text, each for itself.
  func apply(to rewriter: inout Rewriter, scratch: inout PatternScratch) {
    for step in steps { Self.apply(step, to: &rewriter, scratch: &scratch) }
  }

  private static func apply(_ step: Step, to rewriter: inout Rewriter, scratch: inout PatternScratch) {
    switch step {
    case .map(let map): _ = map.apply(to: &rewriter)
    case .fastMap(let map, let exactly):
      if !map.apply(to: &rewriter) {
        for step in exactly { apply(step, to: &rewriter, scratch: &scratch) }
      }
    case .normalize(let normalization): normalization.apply(to: &rewriter)
    case .strip(let left, let right): rewriter.withPieces { strip(&$0, left: left, right: right) }
    case .replace(let pattern, let content): replace(pattern, content, in: &rewriter, &scratch)
    case .prepend(let codes): prepend(codes, to: &rewriter)
    case .precompiled(let map): map.apply(to: &rewriter)
    case .byteLevel: ByteLevel.mapToAlphabet(&rewriter)
    case .sentencePiece(let normalizer): normalizer.apply(to: &rewriter)
    }
  }

  private static func strip(_ buffer: inout TextBuffer, left: Bool, right: Bool) {
    for index in buffer.pieces.indices where buffer.pieces[index].isText {
      var (start, end) = (buffer.pieces[index].start, buffer.pieces[index].end)
      while left, start < end {
        let (code, length) = buffer.codePoint(at: start)
        guard CodePointKind(of: code).has(.whitespace) else { break }
        start += length
      }
      while right, end > start {
        let last = buffer.codePointStart(before: end)
        guard CodePointKind(of: buffer.codePoint(at: last).code).has(.whitespace) else { break }
        end = last
      }
      buffer.pieces[index].start = start
      buffer.pieces[index].end = end
    }
    buffer.pieces.removeAll { $0.start == $0.end }
  }

  private static func replace(
    _ pattern: TextPattern, _ content: [UInt32], in rewriter: inout Rewriter, _ scratch: inout PatternScratch
  ) {
    scratch.removeAll()
    for piece in rewriter.source.pieces where piece.isText {
      pattern.find(in: rewriter.source, piece.range, into: &scratch.matches)
    }
    guard !scratch.matches.isEmpty else { return }
    var next = 0
    rewriter.rewrite { (rewriter, piece) in
      while next < scratch.matches.count, scratch.matches[next].upperBound <= piece.end {
        let match = scratch.matches[next]
        rewriter.copy(to: match.lowerBound)
        rewriter.skip(to: match.upperBound)
        for code in content { rewriter.emit(code, change: 1) }
        next += 1
      }
      rewriter.copy(to: piece.end)
      return true
    }
  }

  private static func prepend(_ codes: [UInt32], to rewriter: inout Rewriter) {
    guard !codes.isEmpty else { return }
    rewriter.rewrite { (rewriter, piece) in
      for code in codes { rewriter.prepend(code) }
      rewriter.copy(to: piece.end)
      return true
    }
  }
}

/// Memory that searches reuse.
struct PatternScratch {
  var matches: [Range<Int>] = []
  var pieces: [Piece] = []

  mutating func removeAll() { matches.removeAll(keepingCapacity: true) }
}
