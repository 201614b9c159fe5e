import TensorIO

/// What a special token is for: the attributes of `transformers`' tokenizers, in their order.
enum SpecialRole: String, CaseIterable, Sendable {
  case beginning = "bos_token"
  case end = "eos_token"
  case unknown = "unk_token"
  case separator = "sep_token"
  case padding = "pad_token"
  case classifier = "cls_token"
  case mask = "mask_token"
}

/// A token as the files give it: a text, or a text with its options.
enum TokenValue: Equatable, Sendable {
  case text(String)
  /// The id in it is not used.
  case token(TokenizerDefinition.AddedToken)

  var content: String {
    switch self {
    case .text(let text): text
    case .token(let token): token.content
    }
  }

  static let additionalName = "additional_special_tokens"

  /// A value of `tokenizer_config.json` or `special_tokens_map.json`.
  init(_ json: JSON, isSpecial: Bool, name: String, file: String?) throws(FormatError) {
    if let text = json.stringValue {
      self = .text(text)
      return
    }
    guard json.members != nil, let content = json["content"]?.stringValue else {
      throw FormatError(
        .damaged, "'\(name)' is no token", file: file, found: String(json.text().prefix(60)),
        expected: "a text, or an object with 'content'")
    }
    let special = isSpecial || json["special"]?.boolValue ?? false
    // A special token is searched for in the text as given, where nothing else is said.
    let isRole = SpecialRole(rawValue: name) != nil || name == Self.additionalName
    self = .token(
      TokenizerDefinition.AddedToken(
        id: 0, content: content, singleWord: json["single_word"]?.boolValue ?? false,
        stripsLeft: json["lstrip"]?.boolValue ?? false, stripsRight: json["rstrip"]?.boolValue ?? false,
        normalized: json["normalized"]?.boolValue ?? !(special || isRole), special: special))
  }
}

/// The special and added tokens that the files next to a vocabulary name, put together as `transformers` 4.57 does
/// (`PreTrainedTokenizerBase._from_pretrained`).
struct SpecialTokens: Sendable {
  /// What the files say of each role; `nil` inside for an explicit null.
  var roles: [SpecialRole: TokenValue?] = [:]
  /// `additional_special_tokens`; `nil` where no file has it.
  var additional: [TokenValue]?
  /// Tokens that are added in any case, by their ids.
  private(set) var added: [TokenizerDefinition.AddedToken] = []
  private var indices: [Int: Int] = [:]

  /// - Parameters:
  ///   - config: `tokenizer_config.json`
  ///   - map: `special_tokens_map.json`
  ///   - addedTokens: `added_tokens.json`, in its order
  ///   - definition: the `added_tokens` of a `tokenizer.json`
  init(
    config: SettingsFile?, map: SettingsFile?, addedTokens: [(content: String, id: Int)],
    definition: [TokenizerDefinition.AddedToken]
  ) throws(FormatError) {
    if let config { try read(config, isSpecial: false) }
    if let decoder = config?.json["added_tokens_decoder"], decoder != .null {
      try readDecoder(decoder, config?.path)
    } else {
      if let map { try read(map, isSpecial: true) }
      addLegacy(addedTokens)
      for token in definition { set(token) }
    }
    added.sort { $0.id < $1.id }
    // A text that is an added token has its options.
    var known: [[UInt8]: TokenizerDefinition.AddedToken] = [:]
    for token in added { known[Array(token.content.utf8)] = token }
    for (role, value) in roles {
      if case .text(let text)? = value, let token = known[Array(text.utf8)] { roles[role] = .token(token) }
    }
  }

  private mutating func read(_ file: SettingsFile, isSpecial: Bool) throws(FormatError) {
    for role in SpecialRole.allCases {
      guard let json = file.json[role.rawValue] else { continue }
      if json == .null || json.boolValue == false {
        if !isSpecial { roles[role] = .some(nil) }
      } else {
        roles[role] = try TokenValue(json, isSpecial: isSpecial, name: role.rawValue, file: file.path)
      }
    }
    let name = TokenValue.additionalName
    guard let list = file.json[name], list != .null else { return }
    guard let elements = list.elements else {
      throw FormatError(.damaged, "'\(name)' is no list", file: file.path, found: String(list.text().prefix(60)))
    }
    var tokens = additional ?? []
    var seen = Set(tokens.map { Array($0.content.utf8) })
    for element in elements {
      let token = try TokenValue(element, isSpecial: isSpecial, name: name, file: file.path)
      if seen.insert(Array(token.content.utf8)).inserted { tokens.append(token) }
    }
    additional = tokens
  }

  private mutating func readDecoder(_ json: JSON, _ file: String?) throws(FormatError) {
    guard let members = json.members else {
      throw FormatError(.damaged, "'added_tokens_decoder' is no object", file: file)
    }
    for member in members {
      guard let id = Int(member.key), id >= 0, id <= Int(Int32.max),
        case .token(var token) = try TokenValue(
          member.value, isSpecial: false, name: "added_tokens_decoder", file: file)
      else {
        throw FormatError(
          .damaged, "'added_tokens_decoder' has an entry that is no token with an id", file: file, found: member.key)
      }
      token.id = id
      set(token)
    }
  }

  private mutating func addLegacy(_ tokens: [(content: String, id: Int)]) {
    let special = Set(
      (roles.values.compactMap { $0?.content } + (additional ?? []).map(\.content)).map { Array($0.utf8) })
    for (content, id) in tokens {
      let isSpecial = special.contains(Array(content.utf8))
      set(
        TokenizerDefinition.AddedToken(id: id, content: content, normalized: !isSpecial, special: isSpecial))
    }
  }

  /// Of tokens with one id the last one counts.
  private mutating func set(_ token: TokenizerDefinition.AddedToken) {
    if let index = indices[token.id] {
      added[index] = token
    } else {
      indices[token.id] = added.count
      added.append(token)
    }
  }
}

/// A JSON object of settings, and where it comes from.
struct SettingsFile: Sendable {
  var path: String
  var json: JSON

  /// The file of that name in `folder`, if it is there.
  init?(folder: String, name: String) throws(FormatError) {
    let path = FileSystem.join(folder, name)
    guard FileSystem.isFile(path) else { return nil }
    try self.init(path: path)
  }

  init(path: String) throws(FormatError) {
    self.path = path
    json = try JSON.parse(try FileSystem.text(path), file: path)
    guard json.members != nil else {
      throw FormatError(.damaged, "the settings of the tokenizer are no object", file: path)
    }
  }

  /// A setting that is true or false; `nil` where it is missing or null.
  func flag(_ name: String) throws(FormatError) -> Bool? {
    guard let value = json[name], value != .null else { return nil }
    guard let flag = value.boolValue else {
      throw FormatError(
        .damaged, "'\(name)' is neither true nor false", file: path, found: String(value.text().prefix(60)))
    }
    return flag
  }
}

// MARK: Adding

/// The added tokens of a tokenizer while it is put together, with the ids that `tokenizers` gives them
/// (src/tokenizer/added_vocabulary.rs, `add_tokens`).
struct AddedTokenList: Sendable {
  private var tokens: [TokenizerDefinition.AddedToken]
  private var indices: [[UInt8]: Int] = [:]
  private let modelSize: Int
  private let modelIDs: [[UInt8]: Int]

  /// - Parameter contents: all that may be added
  init(_ tokens: [TokenizerDefinition.AddedToken], model: ModelDefinition, contents: [String]) {
    self.tokens = tokens
    modelSize = model.distinctTokenCount
    modelIDs = model.ids(of: contents)
    for (index, token) in tokens.enumerated() { indices[Array(token.content.utf8)] = index }
  }

  /// The id of a token of the model or an added one.
  func id(of content: String) -> Int? {
    let bytes = Array(content.utf8)
    return indices[bytes].map { tokens[$0].id } ?? modelIDs[bytes]
  }

  /// Adds tokens at once: ids behind the last one are counted from before the first of them.
  mutating func add(_ batch: [TokenizerDefinition.AddedToken]) {
    var next = max((tokens.map(\.id).max() ?? -1) + 1, modelSize)
    for token in batch where !token.content.isEmpty {
      var token = token
      let bytes = Array(token.content.utf8)
      if let index = indices[bytes] {
        token.id = tokens[index].id
        // The options are those of the last one, but a special token is searched for as it was at first.
        if tokens[index].special { token.normalized = tokens[index].normalized }
        tokens[index] = token
        continue
      }
      if let id = modelIDs[bytes] {
        token.id = id
      } else {
        token.id = next
        next += 1
      }
      indices[bytes] = tokens.count
      tokens.append(token)
    }
  }

  /// In the order of their ids.
  var sorted: [TokenizerDefinition.AddedToken] { tokens.sorted { $0.id < $1.id } }
}

extension ModelDefinition {
  /// `get_vocab_size` of `tokenizers`: a Unigram's list counts as it is, in a dictionary each token is there once.
  var distinctTokenCount: Int {
    switch self {
    case .wordPiece(let model): model.vocabulary.distinctCount
    case .wordLevel(let model): model.vocabulary.distinctCount
    case .bpe(let model): model.vocabulary.distinctCount
    case .unigram, .sentencePiece: tokenCount
    }
  }

  /// The ids of several tokens in one pass.
  func ids(of contents: [String]) -> [[UInt8]: Int] {
    switch self {
    case .wordPiece(let model): model.vocabulary.ids(of: contents)
    case .wordLevel(let model): model.vocabulary.ids(of: contents)
    case .bpe(let model): model.vocabulary.ids(of: contents)
    case .unigram(let model): TokenVocabulary(model.tokens).ids(of: contents)
    case .sentencePiece(let model): TokenVocabulary(model.tokens).ids(of: contents)
    }
  }
}

extension TokenVocabulary {
  var distinctCount: Int { tokens.hasDuplicates ? makeTrie().count : count }

  /// The ids of several tokens in one pass; of equal tokens the last one counts.
  func ids(of contents: [String]) -> [[UInt8]: Int] {
    let wanted = Set(contents.map { Array($0.utf8) })
    let lengths = Set(wanted.map(\.count))
    let firsts = Set(wanted.compactMap(\.first))
    var result: [[UInt8]: Int] = [:]
    for index in 0..<count {
      let range = tokens.range(index)
      guard lengths.contains(range.count), let first = tokens.bytes[range].first, firsts.contains(first) else {
        continue
      }
      let token = Array(tokens.bytes[range])
      if wanted.contains(token) { result[token] = id(at: index) }
    }
    return result
  }
}

extension TokenList {
  var hasDuplicates: Bool { firstDuplicate(where: { _ in true }) != nil }
}
