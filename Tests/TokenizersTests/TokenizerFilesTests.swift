import TensorIO
import TestSupport
import Testing

@testable import Tokenizers

/// Tokenizer files against what `transformers` and `sentencepiece` make of them (Tests/Fixtures/tokenizer-files/generate.py).
@Suite struct TokenizerFilesTests {
  struct Folder: Sendable, CustomTestStringConvertible {
    let name: String
    let files: [(name: String, content: String)]
    let ids: [[Int]]
    let offsets: [[[Int]]]
    let types: [[Int]]
    let pair: [Int]
    let pairTypes: [Int]

    var testDescription: String { name }

    init(_ json: JSON) {
      func ints(_ json: JSON?) -> [Int] { (json?.elements ?? []).compactMap(\.intValue) }
      name = json["name"]?.stringValue ?? "?"
      files = (json["files"]?.members ?? []).map { ($0.key, $0.value.stringValue ?? "") }
      ids = (json["ids"]?.elements ?? []).map { ints($0) }
      offsets = (json["offsets"]?.elements ?? []).map { ($0.elements ?? []).map { ints($0) } }
      types = (json["types"]?.elements ?? []).map { ints($0) }
      pair = ints(json["pair"])
      pairTypes = ints(json["pair_types"])
    }

    /// Writes the files; those that end in `.model` are copied from the fixtures.
    func write() throws -> TemporaryFolder {
      let folder = TemporaryFolder()
      for (name, content) in files {
        if name.hasSuffix(".model") {
          _ = try folder.copy(fixture("tokenizer-files/" + content), as: name)
        } else {
          _ = try folder.write(Array(content.utf8), name)
        }
      }
      return folder
    }
  }

  static let json = try? ModelTests.fixtureJSON("folders.json")
  static let texts = (json?["texts"]?.elements ?? []).compactMap(\.stringValue)
  static let folders = (json?["folders"]?.elements ?? []).map(Folder.init)

  @Test func foldersAreThere() { #expect(Self.folders.count == 26 && Self.texts.count == 13) }

  static func check(_ tokenizer: Tokenizer, _ folder: Folder) throws {
    for (index, text) in texts.enumerated() {
      let encoding = try tokenizer.encode(text)
      #expect(encoding.ids.map { Int($0) } == folder.ids[index], "\(text)")
      #expect(encoding.offsets.map { [$0.lowerBound, $0.upperBound] } == folder.offsets[index], "\(text)")
      #expect(encoding.typeIDs.map { Int($0) } == folder.types[index], "\(text)")
    }
    let pair = try tokenizer.encode("the of", pair: "and to")
    #expect(pair.ids.map { Int($0) } == folder.pair)
    #expect(pair.typeIDs.map { Int($0) } == folder.pairTypes)
  }

  @Test(arguments: folders) func folderMakesTheTokensOfTransformers(_ folder: Folder) throws {
    let files = try folder.write()
    let definition = try TokenizerFiles(folder: files.path).definition()
    try Self.check(try Tokenizer(definition), folder)
    // The canonical form says the same.
    let again = try TokenizerDefinition(json: definition.json())
    #expect(again == definition)
    try Self.check(try Tokenizer(again), folder)
  }

  @Test func vocabularyAloneIsCasedWhereItHasCapitals() throws {
    for (name, lowercase) in [("bert", true), ("bert, cased", false)] {
      let folder = try #require(Self.folders.first { $0.name == name })
      let files = TemporaryFolder()
      let vocabulary = try #require(folder.files.first { $0.name == "vocab.txt" })
      let path = try files.write(Array(vocabulary.content.utf8), "vocab.txt")
      let definition = try TokenizerFiles.definition(file: path)
      #expect(
        definition.normalizer
          == .bert(cleanText: true, handleChineseChars: true, stripAccents: nil, lowercase: lowercase))
      try Self.check(try Tokenizer(definition), folder)
    }
  }

  @Test func otherNamesOfTheSameFiles() throws {
    let folder = try #require(Self.folders.first { $0.name == "openai-gpt" })
    let files = TemporaryFolder()
    for (name, content) in folder.files where name != "config.json" {
      _ = try files.write(Array(content.utf8), name == "vocab.json" ? "encoder_bpe_40000.json" : "vocab_40000.bpe")
    }
    try Self.check(try Tokenizer(try TokenizerFiles(folder: files.path).definition()), folder)
    // KerasHub: the vocabulary in assets/tokenizer, the class in its own tokenizer.json.
    let bert = try #require(Self.folders.first { $0.name == "bert" })
    let keras = TemporaryFolder()
    keras.makeFolder("assets")
    keras.makeFolder("assets/tokenizer")
    let vocabulary = try #require(bert.files.first { $0.name == "vocab.txt" })
    _ = try keras.write(Array(vocabulary.content.utf8), "assets/tokenizer/vocabulary.txt")
    _ = try keras.write(
      Array(#"{"module":"keras_hub","class_name":"keras_hub>BertTokenizer","config":{"lowercase":true}}"#.utf8),
      "tokenizer.json")
    try Self.check(try Tokenizer(try TokenizerFiles(folder: keras.path).definition()), bert)
  }

  // MARK: SentencePiece alone

  @Test func modelAloneIsSentencePieceItself() throws {
    let json = try ModelTests.fixtureJSON("sentencepiece.json")
    let texts = (json["texts"]?.elements ?? []).compactMap(\.stringValue)
    let models = json["models"]?.elements ?? []
    #expect(texts.count == 59 && models.count == 7)
    for model in models {
      let file = try #require(model["file"]?.stringValue)
      let definition = try TokenizerFiles.definition(file: fixture("tokenizer-files/" + file))
      let again = try TokenizerDefinition(json: definition.json())
      #expect(again == definition)
      for definition in [definition, again] {
        let tokenizer = try Tokenizer(definition)
        for (text, ids) in zip(texts, model["ids"]?.elements ?? []) {
          let expected = (ids.elements ?? []).compactMap(\.intValue)
          #expect(try tokenizer.encode(text).ids.map { Int($0) } == expected, "\(file): \(text.debugDescription)")
        }
      }
    }
  }

  @Test(arguments: ["unigram", "bpe", "bytes"]) func damagedModelIsReadOrRefused(_ name: String) throws {
    let bytes = try contents(fixture("tokenizer-files/\(name).model"))
    var random = SeededRandom(11)
    var refused = 0
    for round in 0..<400 {
      var damaged = bytes
      let position = Int.random(in: 0..<min(bytes.count, round % 2 == 0 ? 400 : bytes.count), using: &random)
      switch round % 4 {
      case 0: damaged.removeSubrange(position...)
      case 1: damaged[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2: damaged[position] = 0xFF
      default: damaged.insert(contentsOf: bytes.prefix(300), at: position)
      }
      do {
        let model = try SentencePieceModel(Bytes(damaged, file: "damaged.model"))
        let definition = try model.exactDefinition()
        _ = try Tokenizer(definition).encode("the  of \u{1F600}")
        _ = try model.model(of: .xlmRoBERTa).makeModel(overBytes: false)
      } catch {
        #expect(!error.problem.isEmpty)
        refused += 1
      }
    }
    #expect(refused > 50)
  }

  // MARK: Refusals

  @Test(arguments: [
    (#"{"word_tokenizer_type":"mecab","tokenizer_class":"BertJapaneseTokenizer"}"#, "mecab"),
    (#"{"word_tokenizer_type":"jumanpp"}"#, "jumanpp"),
    (#"{"do_subword_tokenize":false}"#, "do_subword_tokenize"),
    (#"{"subword_tokenizer_type":"character"}"#, "character"),
    (#"{"tokenizer_class":"BertweetTokenizer"}"#, "Bertweet"),
    (#"{"tokenizer_class":"PhobertTokenizer"}"#, "Phobert"),
    (#"{"tokenizer_class":"CTRLTokenizer"}"#, "CTRL"),
    (#"{"tokenizer_class":"SomebodysTokenizer"}"#, "Somebodys"),
    (#"{"auto_map":{"AutoTokenizer":["own.Tokenizer",null]}}"#, "own.Tokenizer"),
  ]) func whatCannotBeComputedIsRefusedByName(_ settings: String, _ word: String) throws {
    let folder = TemporaryFolder()
    _ = try folder.write(Array("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n".utf8), "vocab.txt")
    _ = try folder.write(Array(settings.utf8), "tokenizer_config.json")
    expectError(.unsupported, words: [word]) { _ = try TokenizerFiles(folder: folder.path).definition() }
  }

  @Test func missingFilesAreNamed() throws {
    let folder = TemporaryFolder()
    #expect(try TokenizerFiles(folder: folder.path).isEmpty)
    _ = try folder.write(Array(#"{"model_type":"roberta"}"#.utf8), "config.json")
    expectError(.input, words: ["vocab.json", "merges.txt"]) {
      _ = try TokenizerFiles(folder: folder.path).definition()
    }
    _ = try folder.write(Array(#"{"<s>":0}"#.utf8), "vocab.json")
    expectError(.input, words: ["merges.txt"]) { _ = try TokenizerFiles(folder: folder.path).definition() }
    _ = try folder.write(Array("#version\na b c\n".utf8), "merges.txt")
    expectError(.damaged, words: ["line 2"]) { _ = try TokenizerFiles(folder: folder.path).definition() }
    let pickled = TemporaryFolder()
    _ = try pickled.write([0x80, 0x04, 0x2E], "tokenizer.pkl")
    expectError(.unsupported, words: ["tiktoken"]) { _ = try TokenizerFiles(folder: pickled.path).definition() }
  }

  @Test func wordsAreWhatIsBetweenSpaces() throws {
    let definition = try TokenizerDefinition(
      words: ["<pad>", "<unk>", "<eos>", "<sos>", "the", "of"], unknown: "<unk>", beginning: "<sos>", end: "<eos>")
    let tokenizer = try Tokenizer(definition)
    #expect(definition.kind == .words)
    #expect(try tokenizer.encode("the  of x").ids == [3, 4, 5, 1, 2])
    #expect(try tokenizer.encode("the", pair: "of").ids == [3, 4, 2, 5, 2])
    expectError(.mismatch, words: ["<none>"]) { _ = try TokenizerDefinition(words: ["a"], unknown: "<none>") }
  }
}
