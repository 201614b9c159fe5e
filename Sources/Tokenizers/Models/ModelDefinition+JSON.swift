import TensorIO

// The `model` of a `tokenizer.json` (tokenizers/src/models/*/serialization.rs).

extension ModelDefinition {
  /// The `model` of a `tokenizer.json`; the scanner is before the value and afterwards behind it.
  init(_ scanner: inout JSONScanner) throws(FormatError) {
    var fields = ModelFields()
    try scanner.members { (scanner, key) throws(FormatError) in
      let name = try scanner.text(key)
      try fields.read(name, &scanner)
    }
    self = try fields.model(scanner)
  }
}

/// The members of a model, in whatever order they come: its `type` may be missing, or come last.
private struct ModelFields {
  var type: String?
  var tokens = TokenList()
  var ids: [Int32]?
  var scores: [Double]?
  var pieceTypes: [SentencePieceModel.PieceType] = []
  var merges: TokenList?
  var hasVocabulary = false
  var texts: [String: String] = [:]
  var flags: [String: Bool] = [:]
  var numbers: [String: Int] = [:]

  private static let textNames: Set = [
    "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "algorithm",
  ]
  private static let flagNames: Set = ["fuse_unk", "byte_fallback", "ignore_merges"]
  private static let numberNames: Set = ["max_input_chars_per_word", "unk_id"]

  mutating func read(_ name: String, _ scanner: inout JSONScanner) throws(FormatError) {
    switch name {
    case "type": type = try scanner.readText()
    case "vocab": try readVocabulary(&scanner)
    case "merges": try readMerges(&scanner)
    case "dropout": try readDropout(&scanner)
    case _ where Self.textNames.contains(name):
      if try !scanner.isNull() { texts[name] = try scanner.readText() }
    case _ where Self.flagNames.contains(name):
      if try !scanner.isNull() { flags[name] = try scanner.bool(name) }
    case _ where Self.numberNames.contains(name):
      if try !scanner.isNull() { numbers[name] = try scanner.natural(name) }
    default:
      throw scanner.error(
        "the option '\(name)' of the tokenizer's model is not known", kind: .unsupported,
        expected: "the options of tokenizers 0.22")
    }
  }

  private mutating func readDropout(_ scanner: inout JSONScanner) throws(FormatError) {
    if try scanner.isNull() { return }
    let number = try scanner.number()
    guard scanner.withBytes(number, { ScoreText.value($0) }) == 0 else {
      throw scanner.error(
        "a BPE model with dropout gives other tokens each time", kind: .unsupported,
        found: scanner.withBytes(number) { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) },
        expected: "null or 0")
    }
  }

  private mutating func readVocabulary(_ scanner: inout JSONScanner) throws(FormatError) {
    hasVocabulary = true
    tokens = TokenList()
    if scanner.peek() == UInt8(ascii: "[") { return try readScores(&scanner) }
    var list = TokenList()
    var numbers: [Int32] = []
    try scanner.members { (scanner, key) throws(FormatError) in
      try list.append(key, scanner)
      numbers.append(Int32(truncatingIfNeeded: try scanner.natural("vocab")))
    }
    tokens = list
    ids = numbers
  }

  /// `[["token", score], …]`, and a type behind the score in a SentencePiece model.
  private mutating func readScores(_ scanner: inout JSONScanner) throws(FormatError) {
    var list = TokenList()
    var values: [Double] = []
    var types: [SentencePieceModel.PieceType] = []
    try scanner.elements { (scanner) throws(FormatError) in
      var index = 0
      try scanner.elements { (scanner) throws(FormatError) in
        switch index {
        case 0: try list.append(try scanner.string(), scanner)
        case 1:
          let number = try scanner.number()
          guard let value = scanner.withBytes(number, { ScoreText.value($0) }) else {
            throw scanner.error("a score of the tokenizer's vocabulary is too large for a double")
          }
          values.append(value)
        case 2:
          let value = try scanner.natural("type")
          guard let type = UInt8(exactly: value).flatMap(SentencePieceModel.PieceType.init(rawValue:)) else {
            throw scanner.error("a piece has an unknown type", found: "\(value)", expected: "1 to 6")
          }
          types.append(type)
        default: throw scanner.error("an entry of the vocabulary is too long", expected: "a token and its score")
        }
        index += 1
      }
      guard index >= 2 else {
        throw scanner.error("an entry of the vocabulary is too short", expected: "a token and its score")
      }
    }
    tokens = list
    scores = values
    pieceTypes = types
  }

  /// `[["a", "b"], …]`, or `["a b", …]` in older files.
  private mutating func readMerges(_ scanner: inout JSONScanner) throws(FormatError) {
    var list = TokenList()
    try scanner.elements { (scanner) throws(FormatError) in
      guard scanner.peek() == UInt8(ascii: "[") else {
        let line = try scanner.string()
        var bytes: [UInt8] = []
        scanner.append(line, to: &bytes)
        if bytes.starts(with: "#version".utf8) { return }
        let parts = bytes.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2 else {
          throw scanner.error(
            "merge \(list.count / 2 + 1) of the tokenizer's BPE model is not two tokens with a space between",
            found: String(decoding: bytes, as: UTF8.self))
        }
        for part in parts { list.append(part.span) }
        return
      }
      var index = 0
      try scanner.elements { (scanner) throws(FormatError) in
        try list.append(try scanner.string(), scanner)
        index += 1
      }
      guard index == 2 else {
        throw scanner.error(
          "a merge of the tokenizer's BPE model is not a pair", found: "\(index) tokens", expected: "2")
      }
    }
    merges = list
  }

  // MARK: The model

  func model(_ scanner: JSONScanner) throws(FormatError) -> ModelDefinition {
    guard hasVocabulary else {
      throw scanner.error("the tokenizer's model has no vocabulary", expected: "the member 'vocab'")
    }
    try tokens.check(file: scanner.file)
    try merges?.check(file: scanner.file)
    let type = type ?? untagged
    switch type {
    case "WordPiece":
      return .wordPiece(
        WordPieceDefinition(
          vocabulary: try vocabulary(scanner), unknownToken: try text("unk_token", scanner),
          continuingSubwordPrefix: try text("continuing_subword_prefix", scanner),
          maxInputCharsPerWord: try number("max_input_chars_per_word", scanner)))
    case "BPE":
      guard let merges else { throw missing("merges", scanner) }
      return .bpe(
        BPEDefinition(
          vocabulary: try vocabulary(scanner), merges: merges, unknownToken: texts["unk_token"],
          continuingSubwordPrefix: texts["continuing_subword_prefix"] ?? "",
          endOfWordSuffix: texts["end_of_word_suffix"] ?? "", fuseUnknown: flags["fuse_unk"] ?? false,
          byteFallback: flags["byte_fallback"] ?? false, ignoreMerges: flags["ignore_merges"] ?? false))
    case "WordLevel":
      return .wordLevel(
        WordLevelDefinition(vocabulary: try vocabulary(scanner), unknownToken: try text("unk_token", scanner)))
    case "Unigram":
      guard let scores else { throw missing("vocab with scores", scanner) }
      return .unigram(
        UnigramDefinition(
          tokens: tokens, scores: scores, unknownID: numbers["unk_id"], byteFallback: flags["byte_fallback"] ?? false))
    case "SentencePiece": return .sentencePiece(try sentencePiece(scanner))
    default:
      throw scanner.error(
        "the tokenizer has a model of an unknown type", kind: .unsupported, found: "model '\(type)'",
        expected: "WordPiece, BPE, Unigram or WordLevel")
    }
  }

  /// The type of a file that does not say it: the first of these whose members are all there.
  private var untagged: String {
    if merges != nil { return "BPE" }
    if scores != nil { return "Unigram" }
    return numbers["max_input_chars_per_word"] != nil && texts["continuing_subword_prefix"] != nil
      ? "WordPiece" : "WordLevel"
  }

  private func sentencePiece(_ scanner: JSONScanner) throws(FormatError) -> SentencePieceDefinition {
    guard let scores, pieceTypes.count == tokens.count else { throw missing("vocab with scores and types", scanner) }
    let algorithm = try text("algorithm", scanner)
    guard algorithm == "unigram" || algorithm == "bpe" else {
      throw scanner.error(
        "the SentencePiece model has an unknown algorithm", kind: .unsupported, found: algorithm,
        expected: "unigram or bpe")
    }
    return SentencePieceDefinition(
      tokens: tokens, scores: scores.map { Float($0) }, types: pieceTypes,
      algorithm: algorithm == "bpe" ? .bpe : .unigram, byteFallback: flags["byte_fallback"] ?? false)
  }

  private func vocabulary(_ scanner: JSONScanner) throws(FormatError) -> TokenVocabulary {
    guard let ids else { throw missing("vocab with ids", scanner) }
    return TokenVocabulary(tokens, ids: ids)
  }

  private func text(_ name: String, _ scanner: JSONScanner) throws(FormatError) -> String {
    guard let text = texts[name] else { throw missing(name, scanner) }
    return text
  }

  private func number(_ name: String, _ scanner: JSONScanner) throws(FormatError) -> Int {
    guard let number = numbers[name] else { throw missing(name, scanner) }
    return number
  }

  private func missing(_ name: String, _ scanner: JSONScanner) -> FormatError {
    scanner.error("the tokenizer's model is incomplete", expected: "the member '\(name)'")
  }
}

extension TokenList {
  /// Appends a string that was read.
  fileprivate mutating func append(_ slice: JSONScanner.Slice, _ scanner: JSONScanner) throws(FormatError) {
    guard count < Self.maxCount, bytes.count + slice.count < Self.maxBytes else {
      throw scanner.error(
        "the vocabulary is too large", kind: .limit,
        expected: "at most \(Self.maxCount) tokens of \(Self.maxBytes) bytes")
    }
    scanner.withBytes(slice) { append($0) }
  }
}

// MARK: Writing

extension ModelDefinition {
  /// Appends the canonical JSON of the model, its members in the order of `tokenizers`.
  func write(to out: inout JSONText) {
    switch self {
    case .wordPiece(let model):
      out.raw("{\"type\":\"WordPiece\",\"unk_token\":")
      out.string(model.unknownToken)
      out.raw(",\"continuing_subword_prefix\":")
      out.string(model.continuingSubwordPrefix)
      out.raw(",\"max_input_chars_per_word\":")
      out.number(model.maxInputCharsPerWord)
      out.raw(",\"vocab\":")
      model.vocabulary.write(to: &out)
    case .bpe(let model): Self.write(model, to: &out)
    case .unigram(let model):
      out.raw("{\"type\":\"Unigram\",\"unk_id\":")
      if let id = model.unknownID { out.number(id) } else { out.raw("null") }
      out.raw(",\"vocab\":")
      Self.write(model.tokens, model.scores, types: nil, to: &out)
      out.raw(",\"byte_fallback\":")
      out.bool(model.byteFallback)
    case .wordLevel(let model):
      out.raw("{\"type\":\"WordLevel\",\"vocab\":")
      model.vocabulary.write(to: &out)
      out.raw(",\"unk_token\":")
      out.string(model.unknownToken)
    case .sentencePiece(let model):
      out.raw("{\"type\":\"SentencePiece\",\"algorithm\":")
      out.string(model.algorithm == .bpe ? "bpe" : "unigram")
      out.raw(",\"vocab\":")
      Self.write(model.tokens, model.scores.map { Double($0) }, types: model.types, to: &out)
      out.raw(",\"byte_fallback\":")
      out.bool(model.byteFallback)
    }
    out.raw("}")
  }

  private static func write(_ model: BPEDefinition, to out: inout JSONText) {
    out.raw("{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":")
    if let token = model.unknownToken { out.string(token) } else { out.raw("null") }
    out.raw(",\"continuing_subword_prefix\":")
    out.string(model.continuingSubwordPrefix)
    out.raw(",\"end_of_word_suffix\":")
    out.string(model.endOfWordSuffix)
    out.raw(",\"fuse_unk\":")
    out.bool(model.fuseUnknown)
    out.raw(",\"byte_fallback\":")
    out.bool(model.byteFallback)
    out.raw(",\"ignore_merges\":")
    out.bool(model.ignoreMerges)
    out.raw(",\"vocab\":")
    model.vocabulary.write(to: &out)
    out.raw(",\"merges\":[")
    for index in 0..<model.merges.count {
      out.raw(index == 0 ? "[" : index % 2 == 0 ? "],[" : ",")
      out.string(bytes: model.merges.bytes[model.merges.range(index)])
    }
    out.raw(model.merges.isEmpty ? "]" : "]]")
  }

  private static func write(
    _ tokens: TokenList, _ scores: [Double], types: [SentencePieceModel.PieceType]?, to out: inout JSONText
  ) {
    out.raw("[")
    for index in 0..<min(tokens.count, scores.count) {
      out.raw(index == 0 ? "[" : ",[")
      out.string(bytes: tokens.bytes[tokens.range(index)])
      out.raw(",")
      for digit in ScoreText.text(scores[index]).utf8 { out.byte(digit) }
      if let types {
        out.raw(",")
        out.number(Int(types[index].rawValue))
      }
      out.raw("]")
    }
    out.raw("]")
  }
}

extension TokenVocabulary {
  fileprivate func write(to out: inout JSONText) {
    out.raw("{")
    for index in 0..<count {
      if index > 0 { out.raw(",") }
      out.string(bytes: tokens.bytes[tokens.range(index)])
      out.raw(":")
      out.number(id(at: index))
    }
    out.raw("}")
  }
}
