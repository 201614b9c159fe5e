import TensorIO

/// Puts a tokenizer together as a class of `transformers` 4.57 does: the stages from a vocabulary or a `tokenizer.json`, then
/// the special and added tokens that the settings name (`PreTrainedTokenizerFast.__init__`).
struct TokenizerAssembly {
  let kind: TokenizerClass
  let settings: SettingsFile?
  let special: SpecialTokens
  /// `do_lower_case` where no setting says it.
  let lowercase: Bool

  // MARK: From a vocabulary

  func wordPiece(_ tokens: TokenList, _ template: TokenizerClass.Template) throws(FormatError) -> TokenizerDefinition {
    var definition = TokenizerDefinition(
      model: .wordPiece(
        WordPieceDefinition(vocabulary: TokenVocabulary(tokens), unknownToken: content(.unknown) ?? "[UNK]")),
      normalizer: try bertNormalizer(), preTokenizer: .bert, decoder: .wordPiece(prefix: "##", cleanup: true))
    try addTokens(to: &definition, isJSON: false)
    switch template {
    case .funnel: try setTemplate("@cls:2 A:0 @sep:0", "@cls:2 A:0 @sep:0 B:1 @sep:1", in: &definition)
    case .mpnet: try setTemplate("@cls:0 A:0 @sep:0", "@cls:0 A:0 @sep:0 @sep:0 B:1 @sep:1", in: &definition)
    default: try setTemplate("@cls:0 A:0 @sep:0", "@cls:0 A:0 @sep:0 B:1 @sep:1", in: &definition)
    }
    return definition
  }

  private func bertNormalizer() throws(FormatError) -> TokenizerDefinition.Normalizer {
    .bert(
      cleanText: true, handleChineseChars: try settings?.flag("tokenize_chinese_chars") ?? true,
      stripAccents: try settings?.flag("strip_accents"), lowercase: try settings?.flag("do_lower_case") ?? lowercase)
  }

  func byteBPE(
    _ vocabulary: TokenVocabulary, _ merges: TokenList, _ template: TokenizerClass.Template
  ) throws(FormatError) -> TokenizerDefinition {
    let addsSpace = try addsPrefixSpace
    var definition = TokenizerDefinition(
      model: .bpe(BPEDefinition(vocabulary: vocabulary, merges: merges)),
      preTokenizer: .byteLevel(addPrefixSpace: addsSpace, trimOffsets: true, usesRegex: true),
      decoder: .byteLevel(addPrefixSpace: true, trimOffsets: true, usesRegex: true))
    try addTokens(to: &definition, isJSON: false)
    switch template {
    case .roberta:
      definition.postProcessor = .roberta(
        separator: try specialToken(.separator, definition), classifier: try specialToken(.classifier, definition),
        trimOffsets: try settings?.flag("trim_offsets") ?? true, addPrefixSpace: addsSpace)
    case .deberta: try setTemplate("[CLS]:0 A:0 [SEP]:0", "[CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1", in: &definition)
    default:
      if try settings?.flag("add_bos_token") ?? false {
        try setTemplate("@bos:0 A:0", "@bos:0 A:0 B:1", in: &definition)
      } else {
        definition.postProcessor = .byteLevel(addPrefixSpace: true, trimOffsets: false, usesRegex: true)
      }
    }
    return definition
  }

  private var addsPrefixSpace: Bool {
    get throws(FormatError) { try settings?.flag("add_prefix_space") ?? kind.addsPrefixSpace }
  }

  /// OpenAI's GPT, and HerBERT, whose words end in `</w>` too.
  func wordEndBPE(_ vocabulary: TokenVocabulary, _ merges: TokenList) throws(FormatError) -> TokenizerDefinition {
    let isGPT = kind.form == .gpt
    var definition = TokenizerDefinition(
      model: .bpe(
        BPEDefinition(
          vocabulary: vocabulary, merges: merges, unknownToken: content(.unknown) ?? "<unk>", endOfWordSuffix: "</w>")),
      normalizer: .bert(
        cleanText: true, handleChineseChars: true, stripAccents: isGPT ? nil : false, lowercase: isGPT),
      preTokenizer: .bert, decoder: .bpe(suffix: "</w>"))
    try addTokens(to: &definition, isJSON: false)
    if !isGPT {
      definition.postProcessor = .bert(
        separator: try specialToken(.separator, definition), classifier: try specialToken(.classifier, definition))
    }
    return definition
  }

  func sentencePiece(
    _ model: SentencePieceModel, _ family: TokenizerClass.SentencePieceFamily
  ) throws(FormatError) -> TokenizerDefinition {
    let keepsAccents = try settings?.flag("keep_accents") ?? (family == .fnet || family == .remBERT)
    let splitsPunctuation = try settings?.flag("split_by_punct") ?? false
    var definition = TokenizerDefinition(
      model: try model.model(of: family),
      normalizer: family.normalizer(
        charsMap: model.normalization.charsMap, lowercase: try settings?.flag("do_lower_case") ?? kind.lowercase,
        keepsAccents: keepsAccents),
      preTokenizer: family.preTokenizer(splitsPunctuation: splitsPunctuation),
      decoder: .metaspace(replacement: "▁", prependScheme: .always, split: true))
    try addTokens(to: &definition, isJSON: false, first: model.addedTokens)
    if var (single, pair) = family.template {
      if family == .mBART, let language = settings?.json["src_lang"]?.stringValue {
        guard TokenizerClass.mBARTLanguages.contains(language) else {
          throw FormatError(
            .unsupported, "the source language of the tokenizer is not known", file: settings?.path, found: language,
            expected: TokenizerClass.mBARTLanguages.joined(separator: ", "))
        }
        single = "A:0 </s>:0 \(language):0"
        pair = "A:0 B:0 </s>:0 \(language):0"
      }
      try setTemplate(single, pair, in: &definition)
    }
    return definition
  }

  // MARK: From a tokenizer.json

  /// The tokenizer of a `tokenizer.json`, changed as the settings next to it say.
  func json(_ definition: TokenizerDefinition) throws(FormatError) -> TokenizerDefinition {
    var definition = definition
    try addTokens(to: &definition, isJSON: true)
    if case .byteLevel(let addsSpace, let trims, let usesRegex)? = definition.preTokenizer {
      let wanted = try addsPrefixSpace
      if wanted != addsSpace {
        definition.preTokenizer = .byteLevel(addPrefixSpace: wanted, trimOffsets: trims, usesRegex: usesRegex)
      }
    }
    switch kind.overrides {
    case .none: break
    case .bertNormalizer, .bertNormalizerWithoutChinese: try overrideNormalizer(of: &definition)
    case .postProcessor: try overridePostProcessor(of: &definition)
    }
    return definition
  }

  private func overrideNormalizer(of definition: inout TokenizerDefinition) throws(FormatError) {
    guard case .bert(let cleans, let chinese, let strips, let lowers)? = definition.normalizer else {
      // The settings of one Lowercase or StripAccents cannot differ; a Sequence has none.
      return
    }
    let wantsChinese =
      kind.overrides == .bertNormalizer ? try settings?.flag("tokenize_chinese_chars") ?? true : chinese
    let wantsStrips = try settings?.flag("strip_accents")
    let wantsLowers = try settings?.flag("do_lower_case") ?? kind.lowercase
    if wantsChinese != chinese || wantsStrips != strips || wantsLowers != lowers {
      definition.normalizer = .bert(
        cleanText: cleans, handleChineseChars: wantsChinese, stripAccents: wantsStrips, lowercase: wantsLowers)
    }
  }

  private func overridePostProcessor(of definition: inout TokenizerDefinition) throws(FormatError) {
    let addsSpace = try addsPrefixSpace
    let trims = try settings?.flag("trim_offsets") ?? true
    switch definition.postProcessor {
    case .roberta(let separator, let classifier, _, _):
      definition.postProcessor = .roberta(
        separator: separator, classifier: classifier, trimOffsets: trims, addPrefixSpace: addsSpace)
    case .byteLevel(_, _, let usesRegex):
      definition.postProcessor = .byteLevel(addPrefixSpace: addsSpace, trimOffsets: trims, usesRegex: usesRegex)
    default: break
    }
  }

  // MARK: Special tokens

  /// The token of a role: what the files say, or the class.
  private func value(_ role: SpecialRole, isJSON: Bool = false) -> TokenValue? {
    if let value = special.roles[role] { return value }
    let tokens = isJSON ? kind.tokensOfJSON ?? kind.tokens : kind.tokens
    return tokens[role].map { .text($0) }
  }

  private func content(_ role: SpecialRole) -> String? { value(role)?.content }

  /// Adds the tokens of the settings, then the special ones that are not there.
  ///
  /// - Parameters:
  ///   - isJSON: whether the definition is that of a `tokenizer.json`, whose tokens are there already
  ///   - first: tokens that the model's file names
  private func addTokens(
    to definition: inout TokenizerDefinition, isJSON: Bool, first: [TokenizerDefinition.AddedToken] = []
  ) throws(FormatError) {
    let values = specialValues(isJSON: isJSON)
    let specialContents = Set(values.map { Array($0.content.utf8) })
    let contents =
      first.map(\.content) + special.added.map(\.content) + values.map(\.content) + ["[CLS]", "[SEP]", "<s>", "</s>"]
      + ["<sep>", "<cls>"] + TokenizerClass.mBARTLanguages
    var list = AddedTokenList(definition.addedTokens, model: definition.model, contents: contents)
    if kind.form == .gpt, let unknown = content(.unknown), list.id(of: unknown) != nil {
      list.add([TokenizerDefinition.AddedToken(id: 0, content: unknown, special: true)])
    }
    list.add(first)
    let present = Set((list.sorted + special.added).map { Array($0.content.utf8) })
    var batch = special.added
    for value in values {
      switch value {
      case .text(let text):
        if !present.contains(Array(text.utf8)) {
          batch.append(TokenizerDefinition.AddedToken(id: 0, content: text, special: true))
        }
      case .token(let token): batch.append(token)
      }
    }
    for index in batch.indices {
      batch[index].special = batch[index].special || specialContents.contains(Array(batch[index].content.utf8))
    }
    list.add(batch)
    definition.addedTokens = list.sorted
  }

  /// The special tokens, each text once, in the order of `transformers`; those that the class gives options have them.
  private func specialValues(isJSON: Bool) -> [TokenValue] {
    var values: [TokenValue] = []
    var seen = Set<[UInt8]>()
    func add(_ value: TokenValue) {
      if seen.insert(Array(value.content.utf8)).inserted { values.append(value) }
    }
    for role in SpecialRole.allCases {
      guard let value = value(role, isJSON: isJSON) else { continue }
      guard case .text(let text) = value else {
        add(value)
        continue
      }
      let ofMask = isJSON ? kind.maskOptionsOfJSON : kind.maskOptions
      let others = isJSON ? .plain : kind.ownOptions[role] ?? kind.options
      let options = role == .mask ? ofMask : others
      if options == .plain {
        add(value)
      } else {
        add(
          .token(
            TokenizerDefinition.AddedToken(
              id: 0, content: text, stripsLeft: options.stripsLeft, normalized: options.normalized)))
      }
    }
    for value in special.additional ?? kind.additional.map({ .text($0) }) { add(value) }
    return values
  }

  private func specialToken(
    _ role: SpecialRole, _ definition: TokenizerDefinition
  ) throws(FormatError) -> TokenizerDefinition.SpecialToken {
    guard let content = content(role) else {
      throw FormatError(
        .damaged, "the tokenizer has no \(role.rawValue), which its post-processor puts in", file: settings?.path,
        expected: "a token, as '\(kind.tokens[role] ?? "</s>")'")
    }
    return TokenizerDefinition.SpecialToken(content, try id(of: content, definition))
  }

  private func id(of content: String, _ definition: TokenizerDefinition) throws(FormatError) -> Int {
    let bytes = Array(content.utf8)
    if let token = definition.addedTokens.first(where: { $0.content.utf8.elementsEqual(bytes) }) { return token.id }
    if let id = definition.model.ids(of: [content])[bytes] { return id }
    // `transformers` takes the unknown token for it.
    if let unknown = self.content(.unknown), unknown != content { return try id(of: unknown, definition) }
    throw FormatError(
      .damaged, "a special token is not in the vocabulary", file: settings?.path, found: "no '\(content)'",
      advice: "Vocabulary and tokenizer settings have to be of the same model.")
  }

  /// Sets a template: `@cls` and the like are the tokens of these roles, `A` and `B` the texts, numbers the types.
  private func setTemplate(_ single: String, _ pair: String, in definition: inout TokenizerDefinition)
    throws(FormatError)
  {
    var tokens: [TokenizerDefinition.TemplateToken] = []
    func pieces(_ template: String) throws(FormatError) -> [TokenizerDefinition.TemplatePiece] {
      var pieces: [TokenizerDefinition.TemplatePiece] = []
      for part in template.split(separator: " ") {
        let halves = part.split(separator: ":")
        let type = halves.count > 1 ? Int(halves[1]) ?? 0 : 0
        let name = String(halves[0])
        if name == "A" || name == "B" {
          pieces.append(.sequence(isSecond: name == "B", typeID: type))
          continue
        }
        var content = name
        if name.hasPrefix("@"), let role = SpecialRole(rawValue: name.dropFirst() + "_token") {
          content = try specialToken(role, definition).content
        }
        if !tokens.contains(where: { $0.key.utf8.elementsEqual(content.utf8) }) {
          tokens.append(
            TokenizerDefinition.TemplateToken(key: content, ids: [try id(of: content, definition)], tokens: [content]))
        }
        pieces.append(.special(content, typeID: type))
      }
      return pieces
    }
    let one = try pieces(single)
    let two = try pieces(pair)
    definition.postProcessor = .template(single: one, pair: two, tokens: tokens)
  }
}
