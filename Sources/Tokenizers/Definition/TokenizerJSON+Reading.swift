import TensorIO

// The reader of `tokenizer.json`: a specialized pass for the vocabulary, trees for the small parts. Each component takes the
// keys that `tokenizers` writes for it; any other key or value is refused by name, since it could change what is computed.

extension TokenizerDefinition {
  /// Reads a `tokenizer.json`.
  ///
  /// - Parameter file: its path, for errors
  /// - Throws: a ``FormatError`` that names what is damaged, or which component is not supported
  public init(json: [UInt8], file: String? = nil) throws(FormatError) {
    do throws(FormatError) {
      try self.init(scanning: json, file: file)
    } catch {
      guard let file else { throw error }
      throw error.inFile(file)
    }
  }

  private init(scanning json: [UInt8], file: String?) throws(FormatError) {
    guard let problem = Self.invalidUTF8(json) else {
      try self.init(scanningText: json, file: file)
      return
    }
    throw FormatError(
      .damaged, "not valid JSON: the text is not UTF-8", file: file, offset: UInt64(problem))
  }

  /// The offset of the first byte that is not UTF-8; `nil` where there is none.
  static func invalidUTF8(_ bytes: [UInt8]) -> Int? {
    let span = bytes.span
    do {
      _ = try UTF8Span(validating: span)
      return nil
    } catch {
      return error.byteOffsets.lowerBound
    }
  }

  private init(scanningText json: [UInt8], file: String?) throws(FormatError) {
    var scanner = JSONScanner(json, file: file)
    var model: ModelDefinition?
    var parts: [String: JSON] = [:]
    try scanner.members { (scanner, slice) throws(FormatError) in
      let key = try scanner.text(slice)
      if key == "model" {
        guard model == nil else { throw scanner.error("the key 'model' appears twice") }
        model = try ModelDefinition(&scanner)
        return
      }
      guard parts[key] == nil else { throw scanner.error("the key '\(key)' appears twice") }
      parts[key] = try scanner.value()
    }
    try scanner.finish()
    guard let model else {
      throw FormatError(.damaged, "a tokenizer.json without a model", file: file, expected: "the key 'model'")
    }
    self.init(model: model)
    try read(parts)
  }

  private mutating func read(_ parts: [String: JSON]) throws(FormatError) {
    for (key, value) in parts.sorted(by: { $0.key < $1.key }) {
      if value == .null { continue }
      switch key {
      case "version":
        guard value.stringValue == "1.0" else {
          throw FormatError(
            .unsupported, "the version of the tokenizer is not known", found: value.text(), expected: "\"1.0\"")
        }
      case "truncation": truncation = try Truncation(Component("truncation", value))
      case "padding": padding = try Padding(Component("padding", value))
      case "added_tokens":
        guard let elements = value.elements else {
          throw FormatError(.damaged, "the added_tokens of the tokenizer are not a list")
        }
        for element in elements { addedTokens.append(try AddedToken(Component("added_tokens", element))) }
      case "normalizer": normalizer = try Normalizer(Component(key, value))
      case "pre_tokenizer": preTokenizer = try PreTokenizer(Component(key, value))
      case "post_processor": postProcessor = try PostProcessor(Component(key, value))
      case "decoder": decoder = try Decoder(Component(key, value))
      default: throw FormatError(.unsupported, "the tokenizer has a part that is not known", found: "'\(key)'")
      }
    }
  }
}

/// An object of the file that describes a component; it counts which of its keys were asked for.
private struct Component {
  /// `normalizer`, `pre_tokenizer` and so on.
  let part: String
  let type: String
  private let value: JSON
  private var unread: Set<String>

  init(_ part: String, _ value: JSON, depth: Int = 0) throws(FormatError) {
    self.part = part
    self.value = value
    guard let members = value.members else {
      throw FormatError(
        .damaged, "the \(part) of the tokenizer is not an object", found: String(value.text().prefix(60)))
    }
    type = value["type"]?.stringValue ?? ""
    unread = Set(members.map(\.key))
    unread.remove("type")
  }

  private var name: String { type.isEmpty ? part : "\(part) '\(type)'" }

  func wrong(_ key: String, _ expected: String) -> FormatError {
    FormatError(
      .unsupported, "the \(name) has another '\(key)'",
      found: value[key].map { String($0.text().prefix(60)) } ?? "none", expected: expected)
  }

  var unknownType: FormatError {
    FormatError(.unsupported, "the \(part) \(type.isEmpty ? "has no type" : "'\(type)' is not supported")")
  }

  mutating func json(_ key: String) -> JSON? {
    unread.remove(key)
    return value[key]
  }

  mutating func bool(_ key: String, default fallback: Bool? = nil) throws(FormatError) -> Bool {
    guard let value = json(key) else {
      if let fallback { return fallback }
      throw wrong(key, "true or false")
    }
    guard let bool = value.boolValue else { throw wrong(key, "true or false") }
    return bool
  }

  mutating func optionalBool(_ key: String) throws(FormatError) -> Bool? {
    guard let value = json(key), value != .null else { return nil }
    guard let bool = value.boolValue else { throw wrong(key, "true, false or null") }
    return bool
  }

  mutating func string(_ key: String, default fallback: String? = nil) throws(FormatError) -> String {
    guard let value = json(key) else {
      if let fallback { return fallback }
      throw wrong(key, "a text")
    }
    guard let text = value.stringValue else { throw wrong(key, "a text") }
    return text
  }

  mutating func natural(_ key: String, default fallback: Int? = nil) throws(FormatError) -> Int {
    guard let value = json(key) else {
      if let fallback { return fallback }
      throw wrong(key, "a whole number")
    }
    guard let number = value.intValue, number >= 0, number <= Int(Int32.max) else { throw wrong(key, "a whole number") }
    return number
  }

  mutating func scalar(_ key: String) throws(FormatError) -> Unicode.Scalar {
    let scalars = try string(key).unicodeScalars
    guard let scalar = scalars.first, scalars.count == 1 else { throw wrong(key, "one character") }
    return scalar
  }

  mutating func choice<T: RawRepresentable & CaseIterable>(
    _ key: String, default fallback: T? = nil
  ) throws(FormatError) -> T where T.RawValue == String {
    guard let value = json(key) else {
      if let fallback { return fallback }
      throw wrong(key, T.allCases.map(\.rawValue).joined(separator: ", "))
    }
    guard let text = value.stringValue, let choice = T(rawValue: text) else {
      throw wrong(key, T.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return choice
  }

  mutating func list(_ key: String) throws(FormatError) -> [JSON] {
    guard let elements = json(key)?.elements else { throw wrong(key, "a list") }
    return elements
  }

  mutating func pattern(_ key: String) throws(FormatError) -> TokenizerDefinition.Pattern {
    guard let value = json(key), let members = value.members, members.count == 1 else {
      throw wrong(key, "{\"String\": …} or {\"Regex\": …}")
    }
    if let text = value["String"]?.stringValue { return .string(text) }
    if let text = value["Regex"]?.stringValue { return .regex(text) }
    throw wrong(key, "{\"String\": …} or {\"Regex\": …}")
  }

  mutating func parts<T>(
    _ key: String, _ make: (Component) throws(FormatError) -> T
  ) throws(FormatError) -> [T] {
    var parts: [T] = []
    for element in try list(key) { parts.append(try make(try Component(part, element))) }
    return parts
  }

  /// Refuses keys that nobody asked for.
  func finish() throws(FormatError) {
    guard let key = unread.min() else { return }
    throw FormatError(.unsupported, "the \(name) has an option that is not supported", found: "'\(key)'")
  }
}

extension TokenizerDefinition.Truncation {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    self.init(
      maxLength: try component.natural("max_length"), strategy: try component.choice("strategy"),
      stride: try component.natural("stride"), direction: try component.choice("direction", default: .right))
    try component.finish()
  }
}

extension TokenizerDefinition.Padding {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    var fixedLength: Int?
    let strategy = component.json("strategy")
    if let length = strategy?["Fixed"]?.intValue, length >= 0, length <= Int(Int32.max) {
      fixedLength = length
    } else if strategy?.stringValue != "BatchLongest" {
      throw component.wrong("strategy", "\"BatchLongest\" or {\"Fixed\": …}")
    }
    let multiple = component.json("pad_to_multiple_of")
    self.init(
      fixedLength: fixedLength, direction: try component.choice("direction"),
      padToMultipleOf: multiple == nil || multiple == .null ? nil : try component.natural("pad_to_multiple_of"),
      padID: try component.natural("pad_id"), padTypeID: try component.natural("pad_type_id"),
      padToken: try component.string("pad_token"))
    try component.finish()
  }
}

extension TokenizerDefinition.AddedToken {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    self.init(
      id: try component.natural("id"), content: try component.string("content"),
      singleWord: try component.bool("single_word"), stripsLeft: try component.bool("lstrip"),
      stripsRight: try component.bool("rstrip"), normalized: try component.bool("normalized"),
      special: try component.bool("special"))
    try component.finish()
  }
}

extension TokenizerDefinition.Normalizer {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    switch component.type {
    case "BertNormalizer":
      self = .bert(
        cleanText: try component.bool("clean_text"), handleChineseChars: try component.bool("handle_chinese_chars"),
        stripAccents: try component.optionalBool("strip_accents"), lowercase: try component.bool("lowercase"))
    case "NFC": self = .nfc
    case "NFD": self = .nfd
    case "NFKC": self = .nfkc
    case "NFKD": self = .nfkd
    case "Lowercase": self = .lowercase
    case "StripAccents": self = .stripAccents
    case "Strip": self = .strip(left: try component.bool("strip_left"), right: try component.bool("strip_right"))
    case "Replace": self = .replace(try component.pattern("pattern"), content: try component.string("content"))
    case "Prepend": self = .prepend(try component.string("prepend"))
    case "Precompiled":
      guard let bytes = Base64.decode(try component.string("precompiled_charsmap")) else {
        throw component.wrong("precompiled_charsmap", "base64")
      }
      self = .precompiled(bytes)
    case "Nmt": self = .nmt
    case "ByteLevel": self = .byteLevel
    case "SentencePiece": self = .sentencePiece(try Self.sentencePiece(&component))
    case "Sequence":
      self = .sequence(try component.parts("normalizers") { (part) throws(FormatError) in try Self(part) })
    default: throw component.unknownType
    }
    try component.finish()
  }
}

extension TokenizerDefinition.Normalizer {
  private static func sentencePiece(_ component: inout Component) throws(FormatError) -> SentencePieceNormalization {
    guard let charsMap = Base64.decode(try component.string("precompiled_charsmap")) else {
      throw component.wrong("precompiled_charsmap", "base64")
    }
    let symbols = try component.list("user_defined_symbols").map(\.stringValue)
    guard !symbols.contains(nil) else { throw component.wrong("user_defined_symbols", "a list of texts") }
    return SentencePieceNormalization(
      charsMap: charsMap, addsDummyPrefix: try component.bool("add_dummy_prefix"),
      removesExtraWhitespaces: try component.bool("remove_extra_whitespaces"),
      escapesWhitespaces: try component.bool("escape_whitespaces"),
      treatsWhitespaceAsSuffix: try component.bool("treat_whitespace_as_suffix"),
      userDefined: symbols.compactMap { $0 })
  }
}

extension TokenizerDefinition.PreTokenizer {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    switch component.type {
    case "BertPreTokenizer": self = .bert
    case "ByteLevel":
      self = .byteLevel(
        addPrefixSpace: try component.bool("add_prefix_space"), trimOffsets: try component.bool("trim_offsets"),
        usesRegex: try component.bool("use_regex", default: true))
    case "CharDelimiterSplit": self = .charDelimiterSplit(try component.scalar("delimiter"))
    case "Digits": self = .digits(individual: try component.bool("individual_digits"))
    case "FixedLength":
      let length = try component.natural("length", default: 5)
      guard length > 0 else { throw component.wrong("length", "a number above 0") }
      self = .fixedLength(length)
    case "Metaspace":
      let metaspace = try Metaspace(&component)
      self = .metaspace(
        replacement: metaspace.replacement, prependScheme: metaspace.prependScheme, split: metaspace.split)
    case "Punctuation": self = .punctuation(try component.choice("behavior", default: .isolated))
    case "Split":
      self = .split(
        try component.pattern("pattern"), try component.choice("behavior"), invert: try component.bool("invert"))
    case "Whitespace": self = .whitespace
    case "WhitespaceSplit": self = .whitespaceSplit
    case "Sequence":
      self = .sequence(try component.parts("pretokenizers") { (part) throws(FormatError) in try Self(part) })
    default: throw component.unknownType
    }
    try component.finish()
  }
}

/// The options of `Metaspace`, which is a pre-tokenizer and a decoder.
private struct Metaspace {
  let replacement: Unicode.Scalar
  let prependScheme: TokenizerDefinition.PrependScheme
  let split: Bool

  init(_ component: inout Component) throws(FormatError) {
    replacement = try component.scalar("replacement")
    let scheme: TokenizerDefinition.PrependScheme = try component.choice("prepend_scheme", default: .always)
    let hasScheme = component.json("prepend_scheme") != nil
    let addPrefixSpace = try component.optionalBool("add_prefix_space")
    if addPrefixSpace == false {
      guard !hasScheme || scheme == .never else {
        throw component.wrong("add_prefix_space", "none beside this prepend_scheme")
      }
      prependScheme = .never
    } else {
      prependScheme = scheme
    }
    _ = component.json("str_rep")
    split = try component.optionalBool("split") ?? true
  }
}

extension TokenizerDefinition.PostProcessor {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    switch component.type {
    case "TemplateProcessing":
      self = .template(
        single: try Self.template("single", &component), pair: try Self.template("pair", &component),
        tokens: try Self.tokens(&component))
    case "BertProcessing":
      self = .bert(
        separator: try Self.special("sep", &component), classifier: try Self.special("cls", &component))
    case "RobertaProcessing":
      self = .roberta(
        separator: try Self.special("sep", &component), classifier: try Self.special("cls", &component),
        trimOffsets: try component.bool("trim_offsets"), addPrefixSpace: try component.bool("add_prefix_space"))
    case "ByteLevel":
      self = .byteLevel(
        addPrefixSpace: try component.bool("add_prefix_space"), trimOffsets: try component.bool("trim_offsets"),
        usesRegex: try component.bool("use_regex", default: true))
    case "Sequence":
      self = .sequence(try component.parts("processors") { (part) throws(FormatError) in try Self(part) })
    default: throw component.unknownType
    }
    try component.finish()
  }

  private static func template(
    _ key: String, _ component: inout Component
  ) throws(FormatError) -> [TokenizerDefinition.TemplatePiece] {
    var pieces: [TokenizerDefinition.TemplatePiece] = []
    for element in try component.list(key) {
      if let sequence = element["Sequence"], let typeID = sequence["type_id"]?.intValue,
        let id = sequence["id"]?.stringValue, id == "A" || id == "B"
      {
        pieces.append(.sequence(isSecond: id == "B", typeID: typeID))
      } else if let special = element["SpecialToken"], let typeID = special["type_id"]?.intValue,
        let id = special["id"]?.stringValue
      {
        pieces.append(.special(id, typeID: typeID))
      } else {
        throw component.wrong(key, "a list of {\"Sequence\": …} and {\"SpecialToken\": …}")
      }
    }
    return pieces
  }

  private static func tokens(_ component: inout Component) throws(FormatError) -> [TokenizerDefinition.TemplateToken] {
    let expected = "an object of special tokens with 'ids' and 'tokens'"
    guard let members = component.json("special_tokens")?.members else {
      throw component.wrong("special_tokens", expected)
    }
    var tokens: [TokenizerDefinition.TemplateToken] = []
    for member in members {
      let ids = (member.value["ids"]?.elements ?? []).map(\.intValue)
      let texts = (member.value["tokens"]?.elements ?? []).map(\.stringValue)
      guard ids.count == texts.count, !ids.contains(nil), !texts.contains(nil) else {
        throw component.wrong("special_tokens", expected)
      }
      tokens.append(
        TokenizerDefinition.TemplateToken(
          key: member.key, ids: ids.compactMap { $0 }, tokens: texts.compactMap { $0 }))
    }
    return tokens
  }

  private static func special(
    _ key: String, _ component: inout Component
  ) throws(FormatError) -> TokenizerDefinition.SpecialToken {
    guard let pair = component.json(key)?.elements, pair.count == 2, let text = pair[0].stringValue,
      let id = pair[1].intValue
    else { throw component.wrong(key, "a token and its id") }
    return TokenizerDefinition.SpecialToken(text, id)
  }
}

extension TokenizerDefinition.Decoder {
  fileprivate init(_ component: Component) throws(FormatError) {
    var component = component
    switch component.type {
    case "BPEDecoder": self = .bpe(suffix: try component.string("suffix"))
    case "ByteFallback": self = .byteFallback
    case "ByteLevel":
      self = .byteLevel(
        addPrefixSpace: try component.bool("add_prefix_space"), trimOffsets: try component.bool("trim_offsets"),
        usesRegex: try component.bool("use_regex", default: true))
    case "Fuse": self = .fuse
    case "Metaspace":
      let metaspace = try Metaspace(&component)
      self = .metaspace(
        replacement: metaspace.replacement, prependScheme: metaspace.prependScheme, split: metaspace.split)
    case "Replace": self = .replace(try component.pattern("pattern"), content: try component.string("content"))
    case "Strip":
      self = .strip(
        content: try component.scalar("content"), start: try component.natural("start"),
        stop: try component.natural("stop"))
    case "WordPiece":
      self = .wordPiece(prefix: try component.string("prefix"), cleanup: try component.bool("cleanup"))
    case "Sequence":
      self = .sequence(try component.parts("decoders") { (part) throws(FormatError) in try Self(part) })
    default: throw component.unknownType
    }
    try component.finish()
  }
}
