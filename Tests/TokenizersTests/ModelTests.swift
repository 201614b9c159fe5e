import TensorIO
import TestSupport
import Testing

@testable import Tokenizers

/// Models against the tokens that the original libraries make (Tests/Fixtures/tokenizer-files/generate.py).
@Suite struct ModelTests {
  static func fixtureJSON(_ name: String) throws -> JSON {
    let path = fixture("tokenizer-files/" + name)
    return try JSON.parse(contents(path), file: path)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let model: JSON
    let words: [String]
    /// Id, first byte and end of each token; `nil` for an error.
    let tokens: [[[Int]]?]

    var testDescription: String { name }

    init(_ json: JSON) {
      name = json["name"]?.stringValue ?? "?"
      model = json["model"] ?? .null
      words = (json["words"]?.elements ?? []).compactMap(\.stringValue)
      tokens = (json["tokens"]?.elements ?? []).map {
        $0.elements?.map { ($0.elements ?? []).compactMap(\.intValue) }
      }
    }
  }

  static let cases = (try? fixtureJSON("models.json"))?.elements?.map(Case.init) ?? []

  @Test func casesAreThere() { #expect(Self.cases.count == 21) }

  static func definition(_ json: JSON) throws -> ModelDefinition {
    var scanner = JSONScanner(Array(json.text().utf8), file: nil)
    return try ModelDefinition(&scanner)
  }

  static func tokens(_ model: any TokenModel, _ word: String) -> [[Int]]? {
    var scratch = ModelScratch()
    return tokens(model, Array(word.utf8), &scratch)
  }

  static func tokens(_ model: any TokenModel, _ word: [UInt8], _ scratch: inout ModelScratch) -> [[Int]]? {
    var tokens: [ModelToken] = []
    do { try model.tokenize(word.span, scratch: &scratch, into: &tokens) } catch { return nil }
    return tokens.map { [Int($0.id), Int($0.start), Int($0.end)] }
  }

  @Test(arguments: cases) func tokensAreTheOriginals(_ test: Case) throws {
    #expect(test.words.count == test.tokens.count && test.words.count >= 80)
    let model = try Self.definition(test.model).makeModel(overBytes: false)
    // One scratch for all words, as in a thread.
    var scratch = ModelScratch()
    for (word, expected) in zip(test.words, test.tokens) {
      #expect(Self.tokens(model, Array(word.utf8), &scratch) == expected, "\(word)")
    }
  }

  @Test(arguments: cases) func jsonComesBackTheSame(_ test: Case) throws {
    let definition = try Self.definition(test.model)
    var out = JSONText()
    definition.write(to: &out)
    var scanner = JSONScanner(out.bytes, file: nil)
    let again = try ModelDefinition(&scanner)
    #expect(again == definition)
    // A file that does not name its type.
    var untyped = test.model
    if case .object(let members) = untyped { untyped = .object(members.filter { $0.key != "type" }) }
    #expect(try Self.definition(untyped) == definition)
  }

  @Test func rawBytesAreTheAlphabetOfByteLevel() throws {
    let letters = ByteAlphabet.scalars.map { String($0) }
    #expect(Set(letters).count == 256)
    #expect(letters[0x20] == "Ġ" && letters[0x0A] == "Ċ" && letters[0xAD] == "Ń" && letters[0x41] == "A")
    var tokens = TokenList(letters)
    for token in ["Ġt", "Ġth", "é"] { tokens.append(token) }
    tokens.append(letters[0xC3] + letters[0xA9])
    let merges = TokenList(["Ġ", "t", "Ġt", "h", letters[0xC3], letters[0xA9]])
    for ignoresMerges in [false, true] {
      let definition = ModelDefinition.bpe(
        BPEDefinition(vocabulary: TokenVocabulary(tokens), merges: merges, ignoreMerges: ignoresMerges))
      let raw = try definition.makeModel(overBytes: true)
      #expect(Self.tokens(raw, " thé") == [[257, 0, 3], [259, 3, 5]])
      let mapped = try definition.makeModel(overBytes: false)
      #expect(Self.tokens(mapped, "Ġth")?.map { $0[0] } == [257])
    }
    // Without the letter of one byte, as text in the alphabet: that byte leaves no token.
    let few = BPEDefinition(
      vocabulary: TokenVocabulary(TokenList(letters.filter { $0 != "h" })), merges: TokenList(["Ġ", "t"]))
    expectError(.damaged, words: ["merge 1"]) { _ = try ModelDefinition.bpe(few).makeModel(overBytes: true) }
    var single = few
    single.merges = TokenList()
    let model = try ModelDefinition.bpe(single).makeModel(overBytes: true)
    #expect(Self.tokens(model, "tht")?.count == 2)
    single.unknownToken = "A"
    #expect(
      Self.tokens(try ModelDefinition.bpe(single).makeModel(overBytes: true), " h")?.map { $0[1...2] } == [
        [0, 1], [1, 2],
      ])
  }

  @Test(arguments: ["a", "ab", "é"]) func longWordsTakeNoQuadraticTime(_ unit: String) throws {
    let word = Array(String(repeating: unit, count: 200_000).utf8)
    for test in Self.cases where test.name == "bpe" || test.name == "unigram" || test.name == "wordpiece" {
      let model = try Self.definition(test.model).makeModel(overBytes: false)
      var scratch = ModelScratch()
      let clock = ContinuousClock()
      let time = clock.measure { #expect(Self.tokens(model, word, &scratch) != nil) }
      #expect(time < .seconds(20), "\(test.name)")
    }
  }

  enum Damage: String, CaseIterable {
    case noVocabulary = #"{"type":"BPE","merges":[]}"#
    case noMerges = #"{"type":"BPE","vocab":{"a":0}}"#
    case scoresForIDs =
      #"{"type":"WordPiece","unk_token":"a","continuing_subword_prefix":"","max_input_chars_per_word":9,"vocab":[["a",1]]}"#
    case noScore = #"{"type":"Unigram","vocab":[["a"]]}"#
    case longEntry = #"{"type":"Unigram","vocab":[["a",1,1,1]]}"#
    case hugeScore = #"{"type":"Unigram","vocab":[["a",1e999]]}"#
    case negativeID = #"{"type":"WordLevel","unk_token":"a","vocab":{"a":-1}}"#
    case hugeID = #"{"type":"WordLevel","unk_token":"a","vocab":{"a":4294967296}}"#
    case shortMerge = #"{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}"#
    case badMerge = #"{"type":"BPE","vocab":{"a":0},"merges":["a"]}"#
    case noUnknown = #"{"type":"WordLevel","vocab":{"a":0}}"#
  }

  @Test(arguments: Damage.allCases) func damageIsRefused(_ damage: Damage) {
    expectError(.damaged) {
      var scanner = JSONScanner(Array(damage.rawValue.utf8), file: nil)
      _ = try ModelDefinition(&scanner)
    }
  }

  @Test(arguments: [
    (#"{"type":"Glyphs","vocab":{}}"#, "Glyphs"),
    (#"{"type":"WordLevel","unk_token":"a","vocab":{"a":0},"twist":1}"#, "twist"),
    (#"{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}"#, "dropout"),
  ]) func whatIsUnknownIsRefusedByName(_ text: String, _ word: String) {
    expectError(.unsupported, words: [word]) {
      var scanner = JSONScanner(Array(text.utf8), file: nil)
      _ = try ModelDefinition(&scanner)
    }
  }

  @Test func wrongIDsAndMergesAreRefusedWhenTheModelIsMade() {
    let list = TokenList(["a", "b"])
    expectError(.damaged, words: ["unk_id"]) {
      _ = try ModelDefinition.unigram(UnigramDefinition(tokens: list, scores: [0, 0], unknownID: 2)).makeModel(
        overBytes: false)
    }
    expectError(.damaged, words: ["merge 1"]) {
      _ = try ModelDefinition.bpe(
        BPEDefinition(vocabulary: TokenVocabulary(list), merges: TokenList(["a", "b"]))
      ).makeModel(overBytes: false)
    }
  }

  // MARK: Vocabularies

  @Test func trieFindsWhatADictionaryFinds() {
    var random = SeededRandom(3)
    for size in [0, 1, 2, 300, 5000] {
      var list = TokenList()
      var known: [[UInt8]: Int32] = [:]
      for index in 0..<size {
        let token = (0..<Int.random(in: 0..<9, using: &random)).map { _ in
          UInt8.random(in: size > 2 ? 0...255 : 97...98, using: &random)
        }
        list.append(token.span)
        known[token] = Int32(index)
      }
      let trie = TokenTrie(list)
      #expect(trie.count == known.count)
      for (token, id) in known { #expect(trie.id(of: token.span) == id) }
      for _ in 0..<2000 {
        let token = (0..<Int.random(in: 0..<5, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        #expect(trie.id(of: token.span) == known[token])
      }
    }
  }

  @Test func vocabularyKeepsEachTokenOnceInTheOrderOfItsID() {
    let vocabulary = TokenVocabulary(TokenList(["b", "a", "b", "e\u{301}", "é", "a"]), ids: [5, 7, 2, 3, 4, 7])
    #expect(vocabulary.count == 4)
    #expect((0..<4).map { vocabulary.tokens[$0].unicodeScalars.count } == [1, 2, 1, 1])
    #expect((0..<4).map { vocabulary.id(at: $0) } == [2, 3, 4, 7])
    #expect(vocabulary.id(of: "a") == 7 && vocabulary.id(of: "b") == 2 && vocabulary.id(of: "c") == nil)
    #expect(TokenVocabulary(TokenList(["x", "y"]), ids: [0, 1]) == TokenVocabulary(TokenList(["x", "y"])))
  }

  @Test(arguments: [
    -3.4012345, -1.0 / 3, Double(Float(-7.1234567)), Double(Float(-12.3456)), -1e-7, 1e22, -0.0, -1e-20, 123456.5,
  ])
  func scoresComeBackFromTheirDigits(_ score: Double) {
    var random = SeededRandom(9)
    for value in [score] + (0..<300).map({ _ in Double(Float.random(in: -20...0, using: &random)) }) {
      let text = ScoreText.text(value)
      #expect(ScoreText.value(text.utf8.span) == value, "\(text)")
    }
  }

  /// Numbers as `serde_json` reads them: digits as a whole number, rounded, and then divided.
  @Test(arguments: [
    ("-5.0", -5.0), ("0.1", 0.1), ("1e3", 1000), ("12E-1", 1.2), ("-0", 0),
    ("12345678901234567890123", 1.2345678901234568e22),
    ("0.00000000000000000000000000001e29", 1), ("1e-400", 0), ("3.0000000000000000000000000000001", 3),
  ]) func numbersAreRead(_ text: String, _ value: Double) {
    #expect(ScoreText.value(text.utf8.span) == value)
  }
}
