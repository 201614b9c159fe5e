import TensorIO
import TestSupport
import Testing

@testable import Tokenizers

/// Whole tokenizers, one for each component, against what `tokenizers` makes of the same texts
/// (Tests/Fixtures/tokenizer-pipelines/generate.py).
@Suite struct PipelineTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let tokenizer: JSON
    let texts: [JSON]

    var testDescription: String { name }
  }

  static let cases: [Case] = (try? readCases()) ?? []

  private static func readCases() throws -> [Case] {
    let lines = try contents(fixture("tokenizer-pipelines/cases.jsonl")).split(separator: 10).map {
      try JSON.parse(Array($0))
    }
    let models = lines.first?.elements ?? []
    return lines.dropFirst().map { line in
      var tokenizer = line["tokenizer"] ?? .null
      if let index = tokenizer["model"]?.intValue, models.indices.contains(index) {
        tokenizer.set("model", models[index])
      }
      return Case(name: line["name"]?.stringValue ?? "?", tokenizer: tokenizer, texts: line["cases"]?.elements ?? [])
    }
  }

  @Test func casesAreThere() { #expect(Self.cases.count == 44) }

  private static func definition(_ json: JSON) throws -> TokenizerDefinition {
    try TokenizerDefinition(json: Array(json.text().utf8))
  }

  /// The fields of an encoding in the order of the fixture.
  private static func fields(_ encoding: Encoding) -> [JSON] {
    [
      .ints(encoding.ids.map(Int.init)), .ints(encoding.tokens.flatMap { [Int($0.start), Int($0.end)] }),
      .ints(encoding.typeIDs.map(Int.init)), .ints(encoding.specialTokensMask.map(Int.init)),
      .strings(encoding.texts), .ints(encoding.tokens.map { Int($0.word) }),
      .ints(encoding.tokens.map { Int($0.sequence) }),
    ]
  }

  @Test(arguments: cases) func encodingsAreTheOriginals(_ test: Case) throws {
    let tokenizer = try Tokenizer(Self.definition(test.tokenizer))
    #expect(test.texts.count > 40)
    for item in test.texts {
      let values = item.elements ?? []
      let text = try #require(values.first?.stringValue)
      let options = Tokenizer.Options(maxLength: values[2].intValue)
      let encoding = try tokenizer.encode(text, pair: values[1].stringValue, options: options)
      #expect(Self.fields(encoding).map { $0.text() } == values[3..<10].map { $0.text() }, "\(text)")
      if let decoded = values[10].stringValue {
        #expect(Array(tokenizer.decode(encoding.ids).utf8) == Array(decoded.utf8))
      }
      if values[1] == .null, values[2] == .null { #expect(try tokenizer.ids(of: text) == encoding.ids) }
    }
  }

  @Test(arguments: cases) func theCanonicalFormIsReadBack(_ test: Case) throws {
    let definition = try Self.definition(test.tokenizer)
    let json = definition.json()
    let again = try TokenizerDefinition(json: json)
    #expect(again == definition)
    #expect(again.json() == json)
  }

  @Test(arguments: cases.prefix(1)) func batchesAreInOrder(_ test: Case) throws {
    let tokenizer = try Tokenizer(Self.definition(test.tokenizer))
    let texts = (0..<3000).map { "text \($0) " + String(repeating: "word ", count: $0 % 90) }
    let batch = try tokenizer.encode(texts, pairs: texts.reversed(), threads: 3)
    #expect(batch.count == texts.count)
    for index in stride(from: 0, to: texts.count, by: 97) {
      let one = try tokenizer.encode(texts[index], pair: texts[texts.count - 1 - index])
      #expect(batch[index].tokens == one.tokens)
    }
    #expect(throws: FormatError.self) { _ = try tokenizer.encode(texts, pairs: ["one"]) }
  }

  @Test(arguments: cases.prefix(1)) func specialTokensGoAroundAPart(_ test: Case) throws {
    let tokenizer = try Tokenizer(Self.definition(test.tokenizer))
    let plain = try tokenizer.encode("the quick fox", options: Tokenizer.Options(addSpecialTokens: false))
    #expect(tokenizer.specialTokenCount(isPair: false) == 2)
    let part = tokenizer.addSpecialTokens(to: plain, 1..<4)
    #expect(part.ids == [2] + plain.ids[1..<4] + [3])
    #expect(part.tokens[1...3].map(\.start) == plain.tokens[1..<4].map(\.start))
    let pair = tokenizer.addSpecialTokens(to: plain, 0..<1, second: plain, 0..<2)
    #expect(pair.typeIDs == [0, 0, 0, 1, 1, 1])
    let cut = try tokenizer.encode("the quick fox", options: Tokenizer.Options(maxLength: 5))
    #expect(cut.count == 5 && cut.removedCount == plain.count - 3)
    #expect(throws: FormatError.self) { _ = try tokenizer.encode("the", options: Tokenizer.Options(maxLength: 1)) }
  }

  /// A part of a tokenizer that is not known.
  static let unknownParts: [(String, String, String)] = [
    ("normalizer", #"{"type":"Glyphs"}"#, "Glyphs"),
    ("normalizer", #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Glyphs"}]}"#, "Glyphs"),
    ("normalizer", #"{"type":"Strip","strip_left":true,"strip_right":true,"strip_middle":true}"#, "strip_middle"),
    ("normalizer", #"{"type":"Replace","pattern":{"Regex":"x*"},"content":""}"#, "Replace"),
    ("normalizer", #"{"type":"Precompiled","precompiled_charsmap":"!"}"#, "precompiled_charsmap"),
    ("pre_tokenizer", #"{"type":"Glyphs","x":1}"#, "Glyphs"),
    ("pre_tokenizer", #"{"type":"UnicodeScripts"}"#, "UnicodeScripts"),
    (
      "pre_tokenizer", #"{"type":"Split","pattern":{"Regex":"\\p{Greek}"},"behavior":"Isolated","invert":false}"#,
      "Greek"
    ),
    ("pre_tokenizer", #"{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated","invert":false}"#, #"\1"#),
    ("pre_tokenizer", #"{"type":"Split","pattern":{"Regex":"a"},"behavior":"Joined","invert":false}"#, "behavior"),
    ("post_processor", #"{"type":"Glyphs"}"#, "Glyphs"),
    ("decoder", #"{"type":"CTC","pad_token":"","word_delimiter_token":"|","cleanup":true}"#, "CTC"),
    ("padding", #"{"strategy":"Longest"}"#, "strategy"),
    ("version", #""2.0""#, "2.0"),
    ("glyphs", #"{}"#, "glyphs"),
  ]

  @Test(arguments: unknownParts) func unknownPartsAreRefusedByName(_ part: String, _ json: String, _ name: String)
    throws
  {
    var tokenizer = try #require(Self.cases.first).tokenizer
    tokenizer.set(part, try JSON.parse(json))
    let error = #expect(throws: FormatError.self) { _ = try Tokenizer(Self.definition(tokenizer)) }
    #expect(error?.description.contains(name) == true, "\(error?.description ?? "")")
  }

  /// What took a time that grows with the square of the length would take minutes.
  @Test(arguments: cases) func longTextsTakeLittleTime(_ test: Case) throws {
    let tokenizer = try Tokenizer(Self.definition(test.tokenizer))
    let texts = [
      String(repeating: "a", count: 200_000), String(repeating: " ", count: 200_000) + "x",
      "e" + String(repeating: "\u{301}\u{323}", count: 50_000), String(repeating: "0123456789,.", count: 10_000),
      String(repeating: "中文", count: 30_000), String(repeating: "a b\n", count: 40_000),
    ]
    let clock = ContinuousClock()
    for text in texts {
      let time = try clock.measure { _ = try tokenizer.encode(text) }
      #expect(time < .seconds(20))
    }
  }
}
