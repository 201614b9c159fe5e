import TensorIO

/// What a vocabulary says of itself beside a config.
enum Vocabulary {
  /// One token a line. Bytes are counted, since to a `String` a CRLF is one character and no newline; nothing but a
  /// newline ends a line: a lone CR, U+2028 and the like are tokens, or parts of them, in vocabularies of many languages.
  static func tokenCount(_ text: String) -> Int {
    let newlines = text.utf8.count { $0 == UInt8(ascii: "\n") }
    return text.utf8.last == nil || text.utf8.last == UInt8(ascii: "\n") ? newlines : newlines + 1
  }

  static func warnings(_ text: String, config: JSON) -> [String] {
    let lines = tokenCount(text)
    guard let size = config["vocab_size"]?.intValue, lines != size else { return [] }
    if lines < size {
      return ["the vocabulary has \(grouped(lines)) tokens and the model \(grouped(size)) rows: the rest is padding"]
    }
    return [
      "the vocabulary has \(grouped(lines)) tokens but the model only \(grouped(size)) rows: it may belong to another model"
    ]
  }

  /// Whether text is to be made lower-case before it is looked up: the vocabulary shows it, and `tokenizer_config.json`
  /// beside it may say something else, which gives wrong ids without a word.
  struct Casing {
    /// What goes wrong as things stand.
    private(set) var warnings: [String] = []
    /// What nothing says, and a tokenizer will get wrong by itself.
    private(set) var note: String?
    /// `nil` where the tokens do not tell.
    let kind: Kind?

    enum Kind: String { case cased, uncased }

    /// `path` is the vocabulary's, `nil` for one inside a file.
    init(_ text: String, path: String?) {
      let (capitals, letters, tokens) = Self.count(text)
      // Less than one in a hundred is a slip, and tells nothing.
      let isCased = capitals * 100 >= tokens && capitals > 0
      let isUncased = capitals == 0 && letters * 100 >= tokens && letters > 0
      kind = isCased ? .cased : isUncased ? .uncased : nil
      guard let path, kind != nil else { return }
      let file = FileSystem.join(FileSystem.folder(of: path), "tokenizer_config.json")
      var lowers: Bool?
      if FileSystem.isFile(file) {
        do {
          lowers = try loadConfig(file)?["do_lower_case"]?.boolValue
        } catch {
          warnings.append("what it says of the tokenizer is not known: \(error)")
        }
      }
      let share = "\(grouped(capitals)) of \(grouped(tokens)) tokens have a capital"
      switch (lowers, isCased) {
      case (true, true):
        warnings.append(
          "\(file) says do_lower_case true, but the vocabulary is cased (\(share)): text in lower case gets other ids than "
            + "the model was trained with; set it to false")
      case (false, false):
        warnings.append(
          "\(file) says do_lower_case false, but no token of the vocabulary has a capital: each word with one becomes "
            + "[UNK]; set it to true")
      case (nil, true):
        note =
          "the vocabulary is cased (\(share)): make ids with do_lower_case false, which is not what tokenizers of BERT do "
          + "by themselves"
      default: break
      }
    }

    /// Tokens with a capital, tokens with another cased letter, and all, without those in brackets ([CLS], <s>).
    private static func count(_ text: String) -> (capitals: Int, letters: Int, tokens: Int) {
      var (capitals, letters, tokens) = (0, 0, 0)
      for token in text.utf8.split(separator: UInt8(ascii: "\n")) {
        if let first = token.first, first == UInt8(ascii: "[") || first == UInt8(ascii: "<") { continue }
        tokens += 1
        var hasCapital = false
        var hasLetter = false
        var isASCII = true
        for byte in token {
          hasCapital = hasCapital || (0x41...0x5A).contains(byte)
          hasLetter = hasLetter || (0x61...0x7A).contains(byte)
          isASCII = isASCII && byte < 0x80
        }
        if !isASCII, !hasCapital {
          for scalar in String(decoding: token, as: UTF8.self).unicodeScalars
          where !scalar.isASCII && scalar.properties.isCased {
            if scalar.properties.isUppercase { hasCapital = true } else { hasLetter = true }
          }
        }
        if hasCapital { capitals += 1 } else if hasLetter { letters += 1 }
      }
      return (capitals, letters, tokens)
    }
  }
}
