import CheckpointFormats
import CheckpointReaders
import NativeFormat
import TensorIO
import Tokenizers
import WeightMapping

/// The tokenizer that belongs to a model, and where it was found.
///
/// ```swift
/// let found = try ModelTokenizer(for: "model.safetensors")
/// let ids = try found.tokenizer().ids(of: "How are you?")
/// ```
public struct ModelTokenizer: Sendable {
  /// Where a tokenizer is.
  public enum Origin: Equatable, Sendable {
    /// In the metadata of this native file.
    case native(String)
    /// In this file.
    case file(String)
    /// In files of this folder.
    case folder(String)

    /// The path of the file or folder.
    public var path: String {
      switch self {
      case .native(let path), .file(let path), .folder(let path): path
      }
    }
  }

  public let definition: TokenizerDefinition
  public let origin: Origin
  /// What the tokenizer does not do as the program that it comes from, and which of several files counts.
  public let notes: [String]
  /// Whether the model takes token types: `token_type_ids` of BERT. Its tokenizer may number texts all the same.
  public let hasTokenTypes: Bool

  private init(
    _ definition: TokenizerDefinition, _ origin: Origin, hasTokenTypes: Bool = true, notes: [String] = []
  ) {
    self.definition = definition
    self.origin = origin
    self.hasTokenTypes = hasTokenTypes
    self.notes = notes
  }

  /// The tokenizer, ready to use. Making it takes tens of milliseconds for a large vocabulary.
  ///
  /// - Throws: a `FormatError` that names what cannot be computed
  public func tokenizer() throws(FormatError) -> Tokenizer {
    do throws(FormatError) { return try Tokenizer(definition) } catch { throw error.inFile(origin.path) }
  }

  // MARK: Of a path

  /// The tokenizer of whatever a user gives as a model: a native file, a checkpoint with tokenizer files next to it, their
  /// folder, or one such file alone (`tokenizer.json`, `vocab.txt`, a SentencePiece `.model`, …).
  ///
  /// - Throws: `FormatError` of kind `input` where there is none, `unsupported` where it is of a kind that is refused, and what
  ///   a reader finds
  public init(for path: String) throws {
    if FileSystem.isFile(path) {
      if Self.isTokenizerFile(path) {
        self.init(try TokenizerFiles.definition(file: path), .file(path))
        return
      }
      if let words = try PickledVocabulary(path: path) {
        try self.init(words, path: path)
        return
      }
    }
    if FileSystem.isFolder(path), try Self.namesItsClass(path) {
      try self.init(TokenizerFiles(folder: path), modelType: nil, config: nil)
      return
    }
    let checkpoint: OpenedCheckpoint
    do {
      checkpoint = try CheckpointOpener().open(path)
    } catch {
      // A folder of tokenizer files alone is as good.
      guard FileSystem.isFolder(path) else { throw error }
      try self.init(in: [path], vocabulary: nil, modelType: nil)
      return
    }
    let config = try? ConfigFile(for: checkpoint, given: nil).json
    let modelType =
      config?["model_type"]?.stringValue
      ?? (try? Mapper(tablesAt: []).recognize(checkpoint.source.tensors).family)
    guard let found = try ModelTokenizer(of: checkpoint, modelType: modelType) else {
      throw Self.missing(checkpoint)
    }
    self = found
  }

  /// Whether a file is one of a tokenizer, by its name. A `.model` may be a checkpoint of PyTorch.
  private static func isTokenizerFile(_ path: String) -> Bool {
    let name = FileSystem.baseName(path)
    if name.hasSuffix(".txt") || name.hasSuffix(".spm") { return true }
    if name.hasSuffix(".json") { return !name.hasSuffix(".index.json") && !notTokenizers.contains(name) }
    guard name.hasSuffix(".model"), let file = try? MappedFile.open(path) else { return false }
    // A zip, or a pickle of protocol 2 or later.
    return file.byte(at: 0) != 0x80 && file.slice(0, 2)?.array() != Array("PK".utf8)
  }

  private static let notTokenizers: Set = ["config.json", "bert_config.json", "params_shapes.json"]

  /// Whether the files of a folder say what tokenizer they are, so that the checkpoint is not asked.
  private static func namesItsClass(_ folder: String) throws(FormatError) -> Bool {
    guard try !TokenizerFiles(folder: folder).isEmpty else { return false }
    func value(_ file: String, _ key: String) -> JSON? {
      let path = FileSystem.join(folder, file)
      guard FileSystem.isFile(path), let text = try? FileSystem.text(path, limit: 16 << 20) else { return nil }
      return (try? JSON.parse(text, file: path))?[key]
    }
    return value("tokenizer_config.json", "tokenizer_class")?.stringValue != nil
      || value("config.json", "model_type")?.stringValue != nil
      || FileSystem.isFile(FileSystem.join(folder, "tokenizer.json"))
  }

  private static func missing(_ checkpoint: OpenedCheckpoint) -> FormatError {
    let isNative = checkpoint.source.format == .native
    return FormatError(
      .input, isNative ? "the native file has no tokenizer" : "there are no files of a tokenizer next to the model",
      file: checkpoint.path,
      expected: "tokenizer.json, vocab.txt, vocab.json and merges.txt, or a SentencePiece .model",
      advice: isNative
        ? "Convert the model again from a folder with its tokenizer's files, or put them next to this file."
        : "Put the tokenizer's files into the same folder as the model.")
  }

  // MARK: Of a checkpoint

  /// The tokenizer of an opened checkpoint: the vocabulary given, else the one in a native file, else that of the files next to
  /// it; `nil` where there is none.
  ///
  /// - Parameters:
  ///   - vocabulary: path of a file to use instead of those next to the checkpoint
  ///   - modelType: the model's `model_type`, for files that name no class
  /// - Throws: `FormatError` of kind `unsupported` where the tokenizer is of a kind that is refused, and what a reader finds
  public init?(
    of checkpoint: OpenedCheckpoint, vocabulary: String? = nil, modelType: String? = nil
  ) throws(FormatError) {
    if vocabulary == nil, let text = Self.embedded(in: checkpoint.source) {
      let config = checkpoint.source.metadata.first { $0.key == NativeKey.config }?.value
      try self.init(
        embedded: text, in: checkpoint.path, config: try config.map { text throws(FormatError) in try JSON.parse(text) }
      )
      return
    }
    let files = vocabulary ?? checkpoint.vocabularyPath
    guard try Self.isThere(in: checkpoint.folders, vocabulary: files) else { return nil }
    try self.init(
      in: vocabulary == nil ? checkpoint.folders : [], vocabulary: files, modelType: modelType)
  }

  /// The tokenizer that a native file has; `nil` where it has none.
  public init?(of model: NativeModel) throws(FormatError) {
    guard let text = model.tokenizer else { return nil }
    try self.init(embedded: text, in: model.path, config: model.config)
  }

  /// The text for a native file: the JSON form of `tokenizer.json`, in which the strings of a header may lie.
  package var embeddedText: String { String(decoding: definition.json(), as: UTF8.self).escapingExcessMarks }

  /// The text of the tokenizer that a native file carries.
  package static func embedded(in source: any TensorSource) -> String? {
    source.metadata.first { $0.key == NativeKey.tokenizer }?.value
  }

  private init(embedded text: String, in path: String, config: JSON?) throws(FormatError) {
    do throws(FormatError) {
      self.init(
        try TokenizerDefinition(json: Array(text.utf8)), .native(path), hasTokenTypes: Self.takesTypes(config))
    } catch {
      var error = error
      error.problem = "the tokenizer in the native file (\(NativeKey.tokenizer)): \(error.problem)"
      // It is one of the value, not of the file.
      error.offset = nil
      throw error.inFile(path)
    }
  }

  // MARK: Of folders

  private static func isThere(in folders: [String], vocabulary: String?) throws(FormatError) -> Bool {
    if vocabulary != nil { return true }
    for folder in folders {
      if try !TokenizerFiles(folder: folder).isEmpty { return true }
      if try pickledVocabulary(in: folder) != nil { return true }
    }
    return false
  }

  /// Of the first folder that has one; else of a vocabulary that has a name of its own, as `NAME-vocab.txt`.
  private init(in folders: [String], vocabulary: String?, modelType: String?) throws(FormatError) {
    for folder in folders {
      let files = try TokenizerFiles(folder: folder)
      if !files.isEmpty {
        try self.init(files, modelType: modelType, config: nil)
        return
      }
      if let words = try Self.pickledVocabulary(in: folder) {
        try self.init(words.vocabulary, path: words.path)
        return
      }
    }
    if let vocabulary {
      self.init(try TokenizerFiles.definition(file: vocabulary), .file(vocabulary))
      return
    }
    // It names what is missing.
    self.init(try TokenizerFiles(folder: folders[0]).definition(modelType: modelType), .folder(folders[0]))
  }

  private init(_ files: TokenizerFiles, modelType: String?, config: JSON?) throws(FormatError) {
    let definition = try files.definition(modelType: modelType)
    self.init(
      definition, .folder(files.folder), hasTokenTypes: TokenTypes.areTaken(in: files.folder, modelType, definition))
  }

  /// Whether a model of this config has more than one token type.
  private static func takesTypes(_ config: JSON?) -> Bool { (config?["type_vocab_size"]?.intValue ?? 0) > 1 }

  // MARK: Whole words

  /// The pickled vocabulary of a folder: fastai's `itos.pkl` and `itos_wt103.pkl`, codertimo's `vocab.small` and the like.
  private static func pickledVocabulary(
    in folder: String
  ) throws(FormatError) -> (vocabulary: PickledVocabulary, path: String)? {
    for name in (try? FileSystem.names(inFolder: folder)) ?? [] {
      let isNamed = name.hasPrefix("itos") || name.hasSuffix("itos.pkl") || name.hasPrefix("vocab")
      let isText = [".txt", ".json", ".bpe", ".model", ".spm"].contains { name.hasSuffix($0) }
      let path = FileSystem.join(folder, name)
      guard isNamed, !isText, FileSystem.isFile(path), let vocabulary = try PickledVocabulary(path: path) else {
        continue
      }
      return (vocabulary, path)
    }
    return nil
  }

  private init(_ vocabulary: PickledVocabulary, path: String) throws(FormatError) {
    do throws(FormatError) {
      switch vocabulary.program {
      case .fastai:
        // Since version 1, and before it.
        let names = ["xxunk", "_unk_"].filter(vocabulary.words.contains)
        let unknown = names.first ?? "xxunk"
        let beginning = vocabulary.words.contains("xxbos") ? "xxbos" : nil
        self.init(
          try TokenizerDefinition(words: vocabulary.words, unknown: unknown, beginning: beginning), .file(path),
          notes: [
            "fastai's own rules are not applied: give it the text as fastai's tokenizer leaves it, words between spaces"
          ])
      case .bertPyTorch:
        var definition = try TokenizerDefinition(
          words: vocabulary.words, unknown: "<unk>", beginning: "<sos>", end: "<eos>")
        definition.countTypesFromOne()
        self.init(definition, .file(path))
      }
    } catch {
      throw error.inFile(path)
    }
  }
}

extension TokenizerDefinition {
  /// Gives the first text the type 1 and the second one 2: BERT-pytorch has 0 for padding.
  fileprivate mutating func countTypesFromOne() {
    guard case .template(let single, let pair, let tokens)? = postProcessor else { return }
    func typed(_ pieces: [TemplatePiece]) -> [TemplatePiece] {
      var type = 1
      return pieces.map { piece in
        switch piece {
        case .sequence(let isSecond, _):
          type = isSecond ? 2 : 1
          return .sequence(isSecond: isSecond, typeID: type)
        case .special(let key, _): return .special(key, typeID: type)
        }
      }
    }
    postProcessor = .template(single: typed(single), pair: typed(pair), tokens: tokens)
  }
}

extension String {
  /// The text of a JSON value in which each combining mark beyond those that a text of a file may have in a row
  /// (``FileText``) is written as an escape. They are all in strings.
  fileprivate var escapingExcessMarks: String {
    guard FileText.hasTooManyMarks(self) else { return self }
    var result = String.UnicodeScalarView()
    var marks = 0
    for scalar in unicodeScalars {
      marks = FileText.isMark(scalar) ? marks + 1 : 0
      guard marks > FileText.maxMarks else {
        result.append(scalar)
        continue
      }
      for unit in String(scalar).utf16 {
        result.append(contentsOf: "\\u\(hexadecimal(unit, digits: 4))".unicodeScalars)
      }
    }
    return String(result)
  }
}
