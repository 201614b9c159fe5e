import CheckpointReaders
import TensorIO
import TestSupport
import Testing

@Suite("tokenize")
struct TokenizeTests {
  private let folder = TemporaryFolder()
  private static let tokens = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "are", "you", "##rs", "?", "naive",
  ]

  private func vocabulary() throws -> String {
    try folder.write(Array(Self.tokens.joined(separator: "\n").utf8), "vocab.txt")
  }

  private func json(_ arguments: String...) throws -> JSON {
    let result = try Program.run(["tokenize"] + arguments + ["--json"])
    #expect(result.status == 0, "\(result.both)")
    return try JSON.parse(result.output)
  }

  @Test func textsOnTheCommandLine() throws {
    let found = try json(try vocabulary(), "How are yours?", "Naïve [MASK] xyz")
    #expect(found["tokenizer"] == .string("wordpiece") && found["seconds"]?.doubleValue != nil)
    let first = found["texts"]?.elements?.first
    #expect(first?["tokens"] == .strings(["[CLS]", "how", "are", "you", "##rs", "?", "[SEP]"]))
    #expect(first?["input_ids"] == .ints([2, 5, 6, 7, 8, 9, 3]))
    #expect(first?["token_type_ids"] == .ints([0, 0, 0, 0, 0, 0, 0]))
    #expect(first?["special_tokens_mask"] == .ints([1, 0, 0, 0, 0, 0, 1]))
    #expect(first?["offsets"]?.elements?.dropFirst(3).first == .ints([8, 11]))
    #expect(found["texts"]?.elements?.last?["input_ids"] == .ints([2, 10, 4, 1, 3]))
  }

  @Test func pairsAndFiles() throws {
    let model = try vocabulary()
    let pair = try json(model, "how", "--pair", "are you")["texts"]?.elements?.first
    #expect(pair?["input_ids"] == .ints([2, 5, 3, 6, 7, 3]) && pair?["token_type_ids"] == .ints([0, 0, 0, 1, 1, 1]))
    let lines = try folder.write(
      Array("{\"text\": \"how\", \"text_pair\": \"are you\"}\n{\"text\": \"you\"}\n".utf8), "texts.jsonl")
    let found = try json(model, "--input", lines)["texts"]?.elements
    #expect(found?.count == 2 && found?.first == pair && found?.last?["input_ids"] == .ints([2, 7, 3]))
  }

  @Test func whatIsCutIsReported() throws {
    let result = try Program.run("tokenize", try vocabulary(), "how are you how are you", "--max-length", "4")
    #expect(result.status == 0 && result.output.contains("[CLS]") && result.output.contains("  6"))
    #expect(result.errors.contains("1 text was cut to 4 tokens: 4 tokens left out"))
  }

  @Test func idsBecomeText() throws {
    let model = try vocabulary()
    #expect(try Program.run("tokenize", model, "--decode", "2", "5", "7", "8", "3").output == "how yours\n")
    let unknown = try Program.run("tokenize", model, "--decode", "99")
    #expect(unknown.status == 2 && unknown.errors.contains("below 11"))
  }

  @Test func theInputsOfRun() throws {
    let texts = try folder.write(Array("how are you\nyou\n".utf8), "texts.txt")
    let output = folder.file("ids.npz")
    #expect(try Program.run("tokenize", try vocabulary(), "--input", texts, "-o", output).status == 0)
    let source = try CheckpointOpener().openFile(output)
    #expect(source.tensors.map(\.name) == ["input_ids", "attention_mask", "token_type_ids"])
    #expect(source.tensors.allSatisfy { $0.shape == [2, 5] && $0.elementType == .i64 })
    let ids = try source.withBytes(ofTensorAt: 0) { span in (0..<10).map { span.littleEndian(Int64.self, at: $0 * 8) } }
    #expect(ids == [2, 5, 6, 7, 3, 2, 7, 3, 0, 0])
  }

  @Test(arguments: [[], ["x", "--decode", "1"], ["x", "y", "--pair", "z"], ["x", "--max-length", "0"]])
  func wrongUsage(arguments: [String]) throws {
    #expect(try Program.run(["tokenize", try vocabulary()] + arguments).status == 64)
  }

  @Test func badInputsPrintNothing() throws {
    let model = try vocabulary()
    let bad = try folder.write(Array("good\n".utf8) + [0xFF, 0x0A], "bad.txt")
    for arguments in [["--input", bad], ["--input", folder.file("none.txt")]] {
      let result = try Program.run(["tokenize", model] + arguments + ["--json"])
      #expect(result.status == 2 && result.output.isEmpty)
    }
    let none = TemporaryFolder()
    _ = try none.write(Array(#"{"model_type": "roberta"}"#.utf8), "config.json")
    let missing = try Program.run("tokenize", none.path, "x")
    #expect(missing.status == 2 && missing.errors.contains("vocab.json"))
  }

  /// One file goes from text to ids.
  @Test func theNativeFileCarriesIt() throws {
    let source = TemporaryFolder()
    _ = try TinyBERT.maskedLM(vocabulary: Self.tokens.count).write(to: source)
    _ = try source.write(Array(Self.tokens.joined(separator: "\n").utf8), "vocab.txt")
    let (one, two) = (folder.file("one.safetensors"), folder.file("two.safetensors"))
    let converted = try Program.run("convert", "auto-to-native", source.path, "-o", one)
    #expect(converted.status == 0 && converted.errors.contains("tokenizer: WordPiece, 11 tokens, uncased"))
    #expect(try Program.run("convert", "auto-to-native", one, "-o", two).status == 0)
    for path in [one, two] {
      #expect(try json(path, "How are yours?")["texts"]?.elements?.first?["input_ids"] == .ints([2, 5, 6, 7, 8, 9, 3]))
      let verified = try Program.run("verify", path)
      #expect(verified.status == 0 && verified.output.contains("its tokenizer can be used"))
    }
    let inspected = try JSON.parse(try Program.run("inspect", one, "--json").output)
    #expect(inspected["tokenizer"]?["kind"] == .string("wordpiece") && inspected["tokenizer"]?["tokens"] == .int(11))
    #expect(inspected["tokenizer"]?["mask_token"] == .string("[MASK]"))
    #expect(try Program.run("inspect", one).output.contains("WordPiece, 11 tokens, uncased; [PAD] 0, [UNK] 1"))
  }

  @Test func aRefusedKindIsANoteOfAConversionAndAnErrorHere() throws {
    let source = TemporaryFolder()
    _ = try TinyBERT.maskedLM(vocabulary: Self.tokens.count).write(to: source)
    _ = try source.write(Array(Self.tokens.joined(separator: "\n").utf8), "vocab.txt")
    _ = try source.write(Array(#"{"word_tokenizer_type": "mecab"}"#.utf8), "tokenizer_config.json")
    let converted = try Program.run("convert", "auto-to-native", source.path, "-o", folder.file("m.safetensors"))
    #expect(converted.status == 0 && converted.errors.contains("note: no tokenizer: "))
    #expect(converted.errors.contains("mecab"))
    for path in [source.path, folder.file("m.safetensors")] {
      #expect(try Program.run("tokenize", path, "x").status == 2)
    }
  }
}
