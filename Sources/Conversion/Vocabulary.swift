import CheckpointFormats
import CheckpointReaders
import ModelFamilies
import NativeFormat
import TensorIO

/// The vocabulary that belongs to a checkpoint.
public struct Vocabulary: Sendable {
  /// `nil` for one inside the checkpoint.
  public let path: String?
  /// One token per line.
  public let text: String
  private let casedTokens: Lazy<CasedTokens>

  package init(path: String?, text: String) {
    self.path = path
    self.text = text
    casedTokens = Lazy { CasedTokens(text) }
  }

  /// The vocabulary given, else the one in the checkpoint's folder, else the one in the checkpoint; `nil` where there is
  /// none.
  package init?(for checkpoint: OpenedCheckpoint, given: String?) throws {
    if let path = given ?? checkpoint.vocabularyPath {
      self.init(path: path, text: try FileSystem.text(path))
    } else if let own = Self.embedded(in: checkpoint.source) {
      self.init(path: nil, text: own)
    } else {
      return nil
    }
  }

  /// The text of the vocabulary that a native file carries.
  package static func embedded(in source: any TensorSource) -> String? {
    source.metadata.first { $0.key == NativeKey.vocabulary }?.value
  }

  /// Bytes are counted: to a `String` a CRLF is one character and no newline. Nothing but a newline ends a line: a lone
  /// CR, U+2028 and the like are tokens, or parts of them, in vocabularies of many languages.
  public var tokenCount: Int {
    let bytes = text.utf8.span
    var newlines = 0
    for index in bytes.indices { newlines += bytes[index] == UInt8(ascii: "\n") ? 1 : 0 }
    return bytes.isEmpty || bytes[bytes.count - 1] == UInt8(ascii: "\n") ? newlines : newlines + 1
  }

  /// Whether the tokens have capitals; `nil` where they do not show it.
  public var casing: Casing? { casedTokens.value.casing }

  public enum Casing: String, Sendable { case cased, uncased }

  /// Where the vocabulary contradicts the config: their sizes. `added` are the ids of ``addedTokens()``, where they are known
  /// already.
  public func findings(config: JSON, added: Set<Int>? = nil) -> [VocabularyFinding] {
    let tokens = tokenCount
    guard let rows = config.value(of: .vocabularySize)?.intValue, tokens != rows else { return [] }
    guard tokens < rows else { return [.moreTokensThanRows(tokens: tokens, rows: rows)] }
    let added = (added ?? addedTokens()).count { $0 < rows }
    return tokens + added < rows ? [.fewerTokensThanRows(tokens: tokens, added: added, rows: rows)] : []
  }

  /// The ids of the tokens that files in its folder add behind its own, which are read for it: `added_tokens.json`
  /// (`{"token": id}`), `added_tokens_decoder` of `tokenizer_config.json` (`{"id": …}`), and `added_tokens` of `tokenizer.json`. A file that cannot be read adds none.
  public func addedTokens() -> Set<Int> {
    guard let path else { return [] }
    func json(_ name: String) -> JSON? {
      let file = FileSystem.join(FileSystem.folder(of: path), name)
      guard FileSystem.isFile(file), let text = try? FileSystem.text(file, limit: 256 << 20) else { return nil }
      return try? JSON.parse(text, file: file)
    }
    let listed = (json("added_tokens.json")?.members ?? []).map(\.value.intValue)
    // The keys are the ids there; those of the vocabulary itself are listed too.
    let ofConfig = (json("tokenizer_config.json")?["added_tokens_decoder"]?.members ?? []).map { Int($0.key) }
    let ofTokenizer = (json("tokenizer.json")?["added_tokens"]?.elements ?? []).map { $0["id"]?.intValue }
    let own = tokenCount
    return Set((listed + ofConfig + ofTokenizer).compactMap(\.self).filter { $0 >= own })
  }

  /// Where the vocabulary contradicts the `tokenizer_config.json` in its folder: whether text is made lower-case before it
  /// is looked up. A wrong setting gives wrong ids without any error.
  public var tokenizerFindings: [VocabularyFinding] {
    let tokens = casedTokens.value
    guard let path, let casing = tokens.casing else { return [] }
    var findings: [VocabularyFinding] = []
    let file = FileSystem.join(FileSystem.folder(of: path), "tokenizer_config.json")
    var makesLowerCase: Bool?
    if FileSystem.isFile(file) {
      do {
        makesLowerCase = try ConfigFile.read(file)["do_lower_case"]?.boolValue
      } catch {
        findings.append(.unreadableTokenizerConfig("\(error)"))
      }
    }
    switch (makesLowerCase, casing) {
    case (true, .cased):
      findings.append(.lowersCasedVocabulary(file: file, capitals: tokens.capitals, tokens: tokens.count))
    case (false, .uncased): findings.append(.keepsCapitalsOfUncasedVocabulary(file: file))
    case (nil, .cased): findings.append(.casedWithoutSetting(capitals: tokens.capitals, tokens: tokens.count))
    default: break
    }
    return findings
  }
}

/// What is notable about a vocabulary.
public enum VocabularyFinding: Sendable, Equatable {
  /// `added` are named by other files than the vocabulary.
  case fewerTokensThanRows(tokens: Int, added: Int, rows: Int)
  case moreTokensThanRows(tokens: Int, rows: Int)
  /// `tokenizer_config.json` cannot be read, for this reason.
  case unreadableTokenizerConfig(String)
  /// The tokenizer config sets `do_lower_case` to true, but tokens have capitals.
  case lowersCasedVocabulary(file: String, capitals: Int, tokens: Int)
  /// The tokenizer config sets `do_lower_case` to false, but no token has a capital.
  case keepsCapitalsOfUncasedVocabulary(file: String)
  /// Tokens have capitals, and nothing sets `do_lower_case`, which tokenizers take to be true.
  case casedWithoutSetting(capitals: Int, tokens: Int)

  /// Whether something is wrong now, rather than worth knowing.
  public var isWarning: Bool { if case .casedWithoutSetting = self { false } else { true } }

  /// The finding in a sentence.
  public var text: String {
    func share(_ capitals: Int, _ tokens: Int) -> String {
      "\(grouped(capitals)) of \(grouped(tokens)) tokens have a capital"
    }
    switch self {
    case .fewerTokensThanRows(let tokens, let added, let rows):
      let named = grouped(tokens) + " tokens" + (added > 0 ? ", \(grouped(added)) are added," : "")
      return "the vocabulary has \(named) and the model \(grouped(rows)) rows: the rest is padding"
    case .moreTokensThanRows(let tokens, let rows):
      return "the vocabulary has \(grouped(tokens)) tokens but the model only \(grouped(rows)) rows: "
        + "it may belong to another model"
    case .unreadableTokenizerConfig(let reason): return "the tokenizer config cannot be read: \(reason)"
    case .lowersCasedVocabulary(let file, let capitals, let tokens):
      return "\(file) sets do_lower_case to true, but the vocabulary is cased (\(share(capitals, tokens))): "
        + "lower-case text gets different ids than in training; set it to false"
    case .keepsCapitalsOfUncasedVocabulary(let file):
      return
        "\(file) sets do_lower_case to false, but no token of the vocabulary has a capital: each word with a capital "
        + "becomes [UNK]; set it to true"
    case .casedWithoutSetting(let capitals, let tokens):
      return
        "the vocabulary is cased (\(share(capitals, tokens))): tokenize with do_lower_case set to false, which is not "
        + "the default of BERT tokenizers"
    }
  }
}

/// The tokens of a vocabulary counted by the case of their letters, without the special ones.
private struct CasedTokens {
  /// Tokens with a capital.
  private(set) var capitals = 0
  /// Tokens with another cased letter, and no capital.
  private(set) var small = 0
  private(set) var count = 0

  init(_ text: String) {
    let bytes = text.utf8.span
    var start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
      if end > start { add(bytes.extracting(start..<end)) }
      start = end + 1
    }
  }

  private mutating func add(_ token: borrowing Span<UInt8>) {
    func text() -> String { String(decoding: token.indices.map { token[$0] }, as: UTF8.self) }
    guard token[0] != UInt8(ascii: "[") && token[0] != UInt8(ascii: "<") || !Self.isSpecial(text()) else { return }
    count += 1
    var hasCapital = false
    var hasLetter = false
    var isASCII = true
    for index in token.indices {
      let byte = token[index]
      hasCapital = hasCapital || byte >= 0x41 && byte <= 0x5A
      hasLetter = hasLetter || byte >= 0x61 && byte <= 0x7A
      isASCII = isASCII && byte < 0x80
    }
    if !isASCII, !hasCapital {
      for scalar in text().unicodeScalars where !scalar.isASCII {
        // A capital is what lower-casing changes: the double-struck ℝ of mathematics stays as it is.
        let lower = scalar.properties.lowercaseMapping.unicodeScalars
        if !lower.elementsEqual(CollectionOfOne(scalar)) {
          hasCapital = true
        } else if scalar.properties.isLowercase {
          hasLetter = true
        }
      }
    }
    if hasCapital { capitals += 1 } else if hasLetter { small += 1 }
  }

  private static let special: Set = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]", "[BLANK]", "<pad>", "<unk>", "<s>", "</s>",
    "<mask>",
    "<cls>", "<sep>", "<S>", "<T>", "<PAD>", "<UNK>", "<MASK>",
  ]
  private static let reserved = ["[unused", "[UNUSED", "<unused", "<extra_id_"]

  /// `[CLS]` and the like, and reserved tokens; `[C@H]` is a token of a chemist's language.
  private static func isSpecial(_ token: String) -> Bool {
    let trimmed = token.hasSuffix("\r") ? String(token.dropLast()) : token
    return special.contains(trimmed) || reserved.contains { trimmed.hasPrefix($0) }
  }

  /// Fewer capitals than one in a thousand tokens are slips; between that and one in a hundred they show nothing.
  var casing: Vocabulary.Casing? {
    if capitals > 0, capitals * 1000 >= count { return capitals * 100 >= count ? .cased : nil }
    return small > 0 && small * 100 >= count ? .uncased : nil
  }
}
