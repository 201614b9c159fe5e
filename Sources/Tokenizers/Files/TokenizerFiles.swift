import TensorIO

/// The files of a tokenizer next to a checkpoint, and what `transformers` makes of them.
///
/// The class of the tokenizer decides, as it does for `AutoTokenizer`: `tokenizer_class` of `tokenizer_config.json`, then of
/// `config.json`, then the `model_type`. Where nothing names one, the files show what they are.
public struct TokenizerFiles: Sendable {
  /// Where the vocabulary is.
  public let folder: String
  private let settings: SettingsFile?
  private let map: SettingsFile?
  private let config: SettingsFile?
  private let keras: SettingsFile?

  /// What a tokenizer can be made of, the first that is there.
  private enum Source: String, CaseIterable {
    case json = "tokenizer.json"
    case words = "vocab.txt"
    case kerasWords = "vocabulary.txt"
    case dictionary = "vocab.json"
    case kerasDictionary = "vocabulary.json"
    case openAI = "encoder_bpe_40000.json"
    case albert = "spiece.model"
    case fairseq = "sentencepiece.bpe.model"
    case deberta = "spm.model"
    case remBERT = "sentencepiece.model"
    case kerasPieces = "vocabulary.spm"
    case pieces = "tokenizer.model"

    var isSentencePiece: Bool { rawValue.hasSuffix(".model") || self == .kerasPieces }
  }

  /// The names of the files that this looks for.
  public static let fileNames: [String] =
    Source.allCases.map(\.rawValue) + [
      "merges.txt", "vocab_40000.bpe", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    ]

  /// The tokenizer files of a folder, or of `assets/tokenizer` in it, where KerasHub has them.
  ///
  /// - Throws: a ``FormatError`` where settings cannot be read
  public init(folder: String) throws(FormatError) {
    let nested = FileSystem.join(FileSystem.join(folder, "assets"), "tokenizer")
    let isKeras = Self.sources(in: folder).allSatisfy { $0 == .json } && FileSystem.isFolder(nested)
    self.folder = isKeras ? nested : folder
    settings = try SettingsFile(folder: folder, name: "tokenizer_config.json")
    map = try SettingsFile(folder: folder, name: "special_tokens_map.json")
    config = try SettingsFile(folder: folder, name: "config.json")
    let hasKerasNames = Self.sources(in: self.folder).contains {
      $0 == .kerasWords || $0 == .kerasDictionary || $0 == .kerasPieces
    }
    keras = isKeras || hasKerasNames ? try SettingsFile(folder: folder, name: "tokenizer.json") : nil
  }

  private static func sources(in folder: String) -> [Source] {
    Source.allCases.filter { FileSystem.isFile(FileSystem.join(folder, $0.rawValue)) }
  }

  /// Whether there is a vocabulary at all.
  public var isEmpty: Bool { Self.sources(in: folder).isEmpty }

  private func path(_ name: String) -> String { FileSystem.join(folder, name) }

  // MARK: The tokenizer

  /// The tokenizer of the files.
  ///
  /// - Parameter modelType: the model's `model_type`, where the caller knows it better than `config.json`
  /// - Throws: a ``FormatError`` that names what is missing, damaged, or not supported
  public func definition(modelType: String? = nil) throws(FormatError) -> TokenizerDefinition {
    try refuseWhatNobodyCanCompute()
    let sources = Self.sources(in: folder).filter { $0 != .json || keras == nil }
    let kind = try tokenizerClass(modelType, hasJSON: sources.contains(.json))
    if sources.contains(.json) { return try definition(of: .json, kind: kind) }
    guard let source = sources.first(where: { source in kind.map { Self.fits(source, $0) } ?? true }) else {
      throw missing(kind)
    }
    return try definition(of: source, kind: kind)
  }

  /// The tokenizer of one file: a `tokenizer.json`, a vocabulary, or a SentencePiece model. A `tokenizer.json` and a
  /// SentencePiece model are read alone, as they are; a vocabulary with the settings next to it.
  public static func definition(file path: String) throws(FormatError) -> TokenizerDefinition {
    let bytes = try MappedFile.open(path)
    let head = bytes.slice(0, min(bytes.count, 64))?.array() ?? []
    if path.hasSuffix(".model") || path.hasSuffix(".spm") || looksLikeModel(head) {
      return try inFile(path) { () throws(FormatError) in try SentencePieceModel(bytes).exactDefinition() }
    }
    let first = head.first {
      $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 && $0 != 0xEF && $0 != 0xBB && $0 != 0xBF
    }
    let files = try TokenizerFiles(folder: FileSystem.folder(of: path))
    if first == UInt8(ascii: "{"), !path.hasSuffix(".txt") {
      let isVocabulary = [Source.dictionary, .kerasDictionary, .openAI].contains {
        $0.rawValue == FileSystem.baseName(path)
      }
      guard isVocabulary else { return try json(path) }
      return try files.definition(
        of: Source(rawValue: FileSystem.baseName(path)) ?? .dictionary,
        kind: try files.tokenizerClass(nil, hasJSON: false))
    }
    let named = try? files.tokenizerClass(nil, hasJSON: true)
    let kind = named.flatMap { $0 }.flatMap { fits(.words, $0) ? $0 : nil }
    return try files.wordPiece(path, kind)
  }

  /// A SentencePiece model begins with a piece: field 1, its size, and in it field 1, a text.
  private static func looksLikeModel(_ head: [UInt8]) -> Bool {
    head.count > 3 && head[0] == 0x0A && head[1] > 2 && head[1] < 0x80 && head[2] == 0x0A && head[3] < head[1]
  }

  private static func json(_ path: String) throws(FormatError) -> TokenizerDefinition {
    try TokenizerDefinition(json: try VocabularyText.read(path), file: path)
  }

  private static func inFile<T>(_ path: String, _ body: () throws(FormatError) -> T) throws(FormatError) -> T {
    do throws(FormatError) { return try body() } catch { throw error.inFile(path) }
  }

  private static func fits(_ source: Source, _ kind: TokenizerClass) -> Bool {
    switch kind.form {
    case .wordPiece: source == .words || source == .kerasWords
    case .byteBPE, .herbert: source == .dictionary || source == .kerasDictionary
    case .gpt: source == .dictionary || source == .openAI
    case .sentencePiece: source.isSentencePiece
    case .json: false
    }
  }

  private func missing(_ kind: TokenizerClass?) -> FormatError {
    let wanted: String =
      switch kind?.form {
      case .wordPiece: "tokenizer.json or vocab.txt"
      case .byteBPE, .herbert: "tokenizer.json, or vocab.json and merges.txt"
      case .gpt: "tokenizer.json, vocab.json and merges.txt, or encoder_bpe_40000.json and vocab_40000.bpe"
      case .sentencePiece: "tokenizer.json, or the vocabulary as spiece.model, sentencepiece.bpe.model or spm.model"
      case .json: "tokenizer.json"
      case nil: "tokenizer.json, vocab.txt, vocab.json and merges.txt, or a SentencePiece .model"
      }
    return FormatError(
      .input, "there is no vocabulary of a tokenizer" + (kind.map { " '\($0.name)'" } ?? ""), file: folder,
      expected: wanted, advice: "Put the tokenizer's files into the same folder as the model.")
  }

  // MARK: The class

  /// The class that the settings, the config or the type of the model name; `nil` where none does.
  private func tokenizerClass(_ modelType: String?, hasJSON: Bool) throws(FormatError) -> TokenizerClass? {
    let ofKeras = keras?.json["class_name"]?.stringValue?.split(separator: ">").last.map(String.init)
    let named =
      settings?.json["tokenizer_class"]?.stringValue ?? ofKeras.map {
        $0 == "DebertaV3Tokenizer" ? "DebertaV2Tokenizer" : $0
      }
      ?? config?.json["tokenizer_class"]?.stringValue
    let type = modelType ?? config?.json["model_type"]?.stringValue
    guard let name = named ?? type.flatMap({ TokenizerClass.forModelType($0) }) else { return nil }
    let base = TokenizerClass.baseName(name)
    if let reason = TokenizerClass.refused[base] {
      throw FormatError(
        .unsupported, "the tokenizer '\(base)Tokenizer' is not supported: it needs \(reason)",
        file: named == nil ? folder : settings?.path ?? config?.path,
        advice: "Make the ids with the original tokenizer.")
    }
    if let kind = TokenizerClass.named(base) { return kind }
    // A tokenizer.json says all that a class without rules of its own can compute.
    if hasJSON { return TokenizerClass.named("PreTrained") }
    throw FormatError(
      .unsupported, "the tokenizer '\(name)' is not known, and there is no tokenizer.json",
      file: settings?.path ?? folder,
      advice: "Save it with the library that has it, so that there is a tokenizer.json.")
  }

  /// Refuses tokenizers that are code, or that cut text with a morphological analyzer.
  private func refuseWhatNobodyCanCompute() throws(FormatError) {
    if let file = settings, let code = file.json["auto_map"]?["AutoTokenizer"], code != .null {
      throw FormatError(
        .unsupported, "the tokenizer is code of the checkpoint, which is never run", file: file.path,
        found: "auto_map \(code.text())")
    }
    for file in [settings, config].compactMap(\.self) {
      func refuse(_ name: String, unless isFine: (JSON) -> Bool, _ expected: String) throws(FormatError) {
        guard let value = file.json[name], value != .null, !isFine(value) else { return }
        throw FormatError(
          .unsupported, "the tokenizer's setting '\(name)' is not supported", file: file.path, found: value.text(),
          expected: expected, advice: "Make the ids with the original tokenizer.")
      }
      try refuse("word_tokenizer_type", unless: { $0.stringValue == "basic" }, "\"basic\"")
      try refuse("subword_tokenizer_type", unless: { $0.stringValue == "wordpiece" }, "\"wordpiece\"")
      try refuse("do_subword_tokenize", unless: { $0.boolValue == true }, "true")
      try refuse("do_word_tokenize", unless: { $0.boolValue == true }, "true")
    }
    let pickled = ["tokenizer.pkl", "tiktoken.pkl"].first { FileSystem.isFile(path($0)) }
    if let pickled, isEmpty {
      throw FormatError(
        .unsupported, "the tokenizer is a pickled tiktoken encoding, which is not supported", file: path(pickled),
        expected: "a tokenizer.json")
    }
  }

  // MARK: By source

  private func assembly(
    _ kind: TokenizerClass, _ tokens: [TokenizerDefinition.AddedToken] = [], lowercase: Bool? = nil
  ) throws(FormatError) -> TokenizerAssembly {
    let added = path("added_tokens.json")
    var entries: [(content: String, id: Int)] = []
    if FileSystem.isFile(added) {
      let (list, ids) = try VocabularyText.entries(added)
      entries = (0..<list.count).map { (list[$0], Int(ids[$0])) }
    }
    let special = try SpecialTokens(config: settings, map: map, addedTokens: entries, definition: tokens)
    return TokenizerAssembly(
      kind: kind, settings: settings, special: special, lowercase: lowercase ?? kind.lowercase)
  }

  private func definition(of source: Source, kind: TokenizerClass?) throws(FormatError) -> TokenizerDefinition {
    let file = path(source.rawValue)
    switch source {
    case .json:
      let definition = try Self.json(file)
      guard let kind else { return definition }
      return try assembly(kind, definition.addedTokens).json(definition)
    case .words, .kerasWords: return try wordPiece(file, kind)
    case .dictionary, .kerasDictionary, .openAI: return try bpe(source, kind)
    case .albert, .fairseq, .deberta, .remBERT, .kerasPieces, .pieces:
      return try Self.inFile(file) { () throws(FormatError) in
        let model = try SentencePieceModel(path: file)
        guard let kind, case .sentencePiece(let family) = kind.form else { return try model.exactDefinition() }
        return try assembly(kind).sentencePiece(model, family)
      }
    }
  }

  private func wordPiece(_ file: String, _ kind: TokenizerClass?) throws(FormatError) -> TokenizerDefinition {
    let tokens = try VocabularyText.lines(file)
    var template = TokenizerClass.Template.bert
    if case .wordPiece(let own)? = kind?.form { template = own }
    guard let kind = kind ?? TokenizerClass.named("Bert") else { throw missing(nil) }
    // Where no settings are there at all, the vocabulary shows whether it has capitals.
    let ofKeras = keras?.json["config"]?["lowercase"]?.boolValue
    let lowercase = ofKeras ?? (settings == nil ? CasedTokens(tokens).casing != .cased : kind.lowercase)
    return try Self.inFile(file) { () throws(FormatError) in
      try assembly(kind, lowercase: lowercase).wordPiece(tokens, template)
    }
  }

  private func bpe(_ source: Source, _ kind: TokenizerClass?) throws(FormatError) -> TokenizerDefinition {
    let file = path(source.rawValue)
    let vocabulary = try VocabularyText.dictionary(file)
    let mergesFile = path(source == .openAI ? "vocab_40000.bpe" : "merges.txt")
    guard FileSystem.isFile(mergesFile) else {
      throw FormatError(
        .input, "the vocabulary of a BPE has no merges in the same folder", file: file,
        expected: FileSystem.baseName(mergesFile))
    }
    let merges = try VocabularyText.merges(mergesFile, hasVersion: source != .kerasDictionary && kind?.form != .herbert)
    guard let kind = kind ?? (source == .openAI ? TokenizerClass.named("OpenAIGPT") : Self.guess(vocabulary)) else {
      throw missing(nil)
    }
    return try Self.inFile(file) { () throws(FormatError) in
      if case .byteBPE(let template) = kind.form {
        return try assembly(kind).byteBPE(vocabulary, merges, template)
      }
      return try assembly(kind).wordEndBPE(vocabulary, merges)
    }
  }

  /// The class of a `vocab.json` that no file names.
  private static func guess(_ vocabulary: TokenVocabulary) -> TokenizerClass? {
    let known = vocabulary.ids(of: ["<s>", "<|endoftext|>", "e</w>"])
    if known[Array("e</w>".utf8)] != nil { return TokenizerClass.named("OpenAIGPT") }
    let isGPT2 = known[Array("<|endoftext|>".utf8)] != nil && known[Array("<s>".utf8)] == nil
    return TokenizerClass.named(isGPT2 ? "GPT2" : "Roberta")
  }
}

extension TokenizerDefinition {
  /// A vocabulary of whole words between spaces: fastai's `itos.pkl`, codertimo's pickled vocabulary. The words of a text are
  /// what is between its spaces; what fastai's own rules make of a text before that is not computed.
  ///
  /// - Parameters:
  ///   - words: in the order of their ids
  ///   - unknown: the word for all others
  ///   - beginning: put in front of a text; `nil` for none
  ///   - end: put behind each text
  public init(words: [String], unknown: String, beginning: String? = nil, end: String? = nil) throws(FormatError) {
    let vocabulary = TokenVocabulary(TokenList(words))
    let specials = [unknown, beginning, end].compactMap(\.self)
    let ids = vocabulary.ids(of: specials)
    for token in specials where ids[Array(token.utf8)] == nil {
      throw FormatError(
        .mismatch, "a vocabulary of words has no special token of this name", found: "no '\(token)'",
        expected: "the names that the vocabulary has")
    }
    func pieces(_ tokens: [String?]) -> [TemplatePiece] {
      tokens.compactMap(\.self).map {
        $0 == "A" || $0 == "B" ? .sequence(isSecond: $0 == "B", typeID: 0) : .special($0, typeID: 0)
      }
    }
    let template: PostProcessor? =
      beginning == nil && end == nil
      ? nil
      : .template(
        single: pieces([beginning, "A", end]), pair: pieces([beginning, "A", end, "B", end]),
        tokens: Set([beginning, end].compactMap(\.self)).sorted().map {
          TemplateToken(key: $0, ids: [ids[Array($0.utf8)] ?? 0], tokens: [$0])
        })
    self.init(
      model: .wordLevel(WordLevelDefinition(vocabulary: vocabulary, unknownToken: unknown)),
      preTokenizer: .whitespaceSplit, postProcessor: template)
  }
}
