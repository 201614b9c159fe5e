import CheckpointFormats
import TensorIO
import TestSupport
import Testing

/// Vocabularies of many languages: their bytes are the model's, whatever a program could take for the end of a line.
@Suite("Vocabularies of many languages")
struct VocabularyTests {
  /// Tokens that a careless reader splits, joins, trims or normalizes; each is one token.
  private static let hard = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "中", "##國", "日本語", "한국어", "각", "é", "e\u{301}", "\u{301}", "नमस्ते",
    "עִבְרִית", "ﷺ",
    "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇨🇳", "a\u{2028}b", "a\u{2029}b", "a\u{85}b", "\u{A0}", "\u{3000}", "\u{200B}", "\u{FEFF}", "a\u{0B}b",
    "a\u{0C}b", "a\u{1C}b", "a\rb", "\r", "\"", "\\", "\u{0}", "\u{7F}", "\u{E000}", "\u{1F600}", "\u{10FFFF}", "",
  ]

  private static func text(_ count: Int, _ ending: String = "\n") -> [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<count {
      // Multilingual vocabularies are mostly letters beyond Latin-1.
      let token =
        index < hard.count
        ? hard[index] : "\(Unicode.Scalar(UInt32(0x4E00 + index % 0x5000)) ?? "x")\(index)\u{308}"
      bytes += Array(token.utf8) + Array(ending.utf8)
    }
    return bytes
  }

  /// The vocabulary that a native file carries.
  private func carried(_ path: String) throws -> [UInt8]? {
    try SafetensorsHeader(try MappedFile.open(path)).value("bertconv.vocab").map { Array($0.utf8) }
  }

  /// As many tokens as the multilingual BERT has, there and back byte for byte.
  @Test func theWholeVocabularyOfMultilingualBERT() throws {
    let size = 119_547
    let folder = TemporaryFolder()
    let source = try TinyBERT.maskedLM(vocabulary: size, hidden: 4).write(to: folder)
    let vocabulary = Self.text(size)
    _ = try folder.write(vocabulary, "vocab.txt")
    let native = folder.file("native.safetensors")
    let converted = try Program.run("convert", "safetensors-to-native", source, "-o", native)
    #expect(converted.status == 0, "\(converted.both)")
    #expect(!converted.errors.contains("rows"), "\(converted.errors)")
    #expect(try carried(native) == vocabulary)
    #expect(try Program.run("inspect", native).output.contains("in the file, 119,547 tokens"))
    #expect(try Program.run("verify", native).status == 0)
    let back = TemporaryFolder()
    let exported = try Program.run("convert", "native-to-tf", native, "-o", back.file("bert_model.ckpt"))
    #expect(exported.status == 0, "\(exported.both)")
    #expect(try contents(back.file("vocab.txt")) == vocabulary)
    let again = folder.file("again.safetensors")
    #expect(try Program.run("convert", "tf-to-native", back.path, "-o", again).status == 0)
    #expect(try carried(again) == vocabulary)
  }

  /// The number of tokens is compared with the model's, for every way in which a file may end its lines.
  @Test(
    arguments: [
      ("\n", 40, 0, nil), ("\r\n", 40, 0, nil), ("\n", 39, 0, "39 tokens and the model 40 rows"),
      ("\r\n", 41, 0, "41 tokens but the model only 40 rows"), ("\n", 40, 1, nil), ("\r\n", 40, 2, nil),
      ("\r\n", 0, 0, "0 tokens and the model 40 rows"),
    ] as [(String, Int, Int, String?)])
  func tokensAreCounted(ending: String, count: Int, cut: Int, warning: String?) throws {
    let folder = TemporaryFolder()
    let source = try TinyBERT.maskedLM().write(to: folder)
    let vocabulary = Array(Self.text(count, ending).dropLast(cut))
    let path = try folder.write(vocabulary, "tokens.txt")
    let native = folder.file("native.safetensors")
    let result = try Program.run("convert", "safetensors-to-native", source, "-o", native, "--vocab", path)
    #expect(result.status == 0, "\(result.both)")
    if let warning {
      #expect(result.errors.contains(warning), "\(result.errors)")
    } else {
      #expect(!result.errors.contains("rows"), "\(result.errors)")
    }
    #expect(try carried(native) == vocabulary)
    #expect(try Program.run("inspect", native).output.contains("in the file, \(count) tokens"))
    let listed = try JSON.parse(try Program.run("inspect", native, "--json").output)
    #expect(listed["metadata"]?["bertconv.vocab"]?.stringValue.map { Array($0.utf8) } == vocabulary)
  }

  /// The rows of tokens that files next to the vocabulary name are no padding.
  @Test(arguments: [
    ("added_tokens.json", #"{"<a>": 38, "<b>": 39}"#),
    ("tokenizer.json", #"{"added_tokens": [{"id": 38, "content": "<a>"}, {"id": 39, "content": "<b>"}]}"#),
    (
      "tokenizer_config.json",
      #"{"added_tokens_decoder": {"0": {"content": "[PAD]"}, "38": {"content": "<a>"}, "39": {"content": "<b>"}}}"#
    ),
  ])
  func addedTokensHaveTheirRows(name: String, content: String) throws {
    let folder = TemporaryFolder()
    let source = try TinyBERT.maskedLM().write(to: folder)
    _ = try folder.write(Self.text(38), "vocab.txt")
    let output = folder.file("native.safetensors")
    #expect(try Program.run("convert", "safetensors-to-native", source, "-o", output).errors.contains("38 tokens"))
    _ = try folder.write(Array(content.utf8), name)
    let result = try Program.run("convert", "safetensors-to-native", source, "-o", output, "--force")
    #expect(result.status == 0 && !result.errors.contains("38 tokens"), "\(result.errors)")
  }

  /// The case of the vocabulary is compared with the setting of the tokenizer.
  @Test(
    arguments: [
      (
        ["The", "##ING", "and"], #"{"do_lower_case": true}"#,
        "is cased (2 of 3 tokens have a capital): lower-case text"
      ),
      (["The", "##ING", "and"], #"{"do_lower_case": false}"#, nil),
      (["The", "##ING", "and"], "{}", "note: the vocabulary is cased (2 of 3 tokens have a capital)"),
      (["The", "##ING", "and"], nil, "note: the vocabulary is cased (2 of 3 tokens have a capital)"),
      (["Édith", "und"], #"{"do_lower_case": true}"#, "is cased (1 of 2 tokens have a capital)"),
      (["the", "and", "é"], #"{"do_lower_case": false}"#, "no token of the vocabulary has a capital"),
      (["the", "and", "é"], #"{"do_lower_case": true}"#, nil), (["the", "and", "é"], nil, nil),
      (["中", "##國", "12"], #"{"do_lower_case": false}"#, nil), (["中", "##國", "12"], #"{"do_lower_case": true}"#, nil),
      (["The"], "{", "the tokenizer config cannot be read"),
    ] as [([String], String?, String?)])
  func casingIsComparedWithTheTokenizer(tokens: [String], settings: String?, message: String?) throws {
    let folder = TemporaryFolder()
    let source = try TinyBERT.maskedLM(vocabulary: tokens.count + 2).write(to: folder)
    let vocabulary = ["[PAD]", "[UNK]"] + tokens
    _ = try folder.write(Array((vocabulary.joined(separator: "\n") + "\n").utf8), "vocab.txt")
    if let settings { _ = try folder.write(Array(settings.utf8), "tokenizer_config.json") }
    let result = try Program.run("convert", "safetensors-to-native", source, "-o", folder.file("native.safetensors"))
    #expect(result.status == 0, "\(result.both)")
    if let message {
      #expect(result.errors.contains(message), "\(result.errors)")
    } else {
      #expect(!result.errors.contains("capital") && !result.errors.contains("do_lower_case"), "\(result.errors)")
    }
  }

  /// A native file's metadata are JSON, which has no form for bytes of another encoding: reported, with the offset.
  @Test(
    arguments: [
      (Array("一\nGr".utf8) + [0xFC, 0xDF, 0x65, 0x0A], 6, "fc df 65"), ([0xFF, 0xFE, 0x5B, 0x00], 0, "ff fe 5b 00"),
      (Array("a\nb\n".utf8) + [0xE4, 0xB8], 4, "e4 b8"), ([0xED, 0xA0, 0x80, 0x0A], 0, "ed a0 80"),
    ] as [([UInt8], Int, String)])
  func anotherEncodingIsRefused(vocabulary: [UInt8], offset: Int, found: String) throws {
    let folder = TemporaryFolder()
    let source = try TinyBERT.maskedLM().write(to: folder)
    let path = try folder.write(vocabulary, "vocab.txt")
    let result = try Program.run("convert", "safetensors-to-native", source, "-o", folder.file("native.safetensors"))
    #expect(result.status == 2)
    #expect(result.errors.contains("\(path): at byte \(offset): the file is not UTF-8 text"), "\(result.errors)")
    #expect(result.errors.contains(found) && result.errors.contains("save the file as UTF-8"), "\(result.errors)")
    #expect(FileSystem.kind(of: folder.file("native.safetensors")) == nil)
  }
}
