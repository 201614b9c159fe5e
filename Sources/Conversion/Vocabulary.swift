import CheckpointFormats
import CheckpointReaders
import ModelFamilies
import NativeFormat
import TensorIO
import Tokenizers

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

  public typealias Casing = VocabularyCasing

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
