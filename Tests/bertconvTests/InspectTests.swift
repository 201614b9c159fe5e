import CheckpointFormats
import CheckpointWriters
import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What `inspect` shows, and how, beyond the golden listings.
@Suite("Inspecting")
struct InspectTests {
  private func inspect(_ arguments: String...) throws -> String {
    let result = try Program.run(["inspect"] + arguments)
    #expect(result.status == 0, "\(result.errors)")
    return result.output
  }

  private func json(_ arguments: String...) throws -> JSON {
    let result = try Program.run(["inspect"] + arguments + ["--json"])
    #expect(result.status == 0, "\(result.errors)")
    return try JSON.parse(result.output)
  }

  private let training = fixture("tensorflow/bert-training")

  @Test func expandGivesEachTensorALine() throws {
    let folded = try inspect(fixture("tensorflow/bert-tiny"))
    #expect(folded.contains("layer_{0,1}/output/dense/bias") && !folded.contains("layer_1/output"))
    #expect(folded.contains("46 tensors in 30 lines"))
    let whole = try inspect(fixture("tensorflow/bert-tiny"), "--expand")
    #expect(whole.contains("layer_0/output/dense/bias") && whole.contains("layer_1/output/dense/bias"))
    #expect(!whole.contains("{0,1}"))
  }

  @Test func theTreeHasSizesAndShares() throws {
    let text = try inspect(fixture("tensorflow/bert-tiny"), "--tree")
    #expect(text.contains("├─ encoder/layer_{0,1}"))
    #expect(text.contains("100") || text.contains(" %"))
    #expect(!text.contains("--expand"))
  }

  @Test func tensorsAreChosenByTypeAndShape() throws {
    func names(_ arguments: String...) throws -> [String] {
      let result = try Program.run(["inspect", training, "--json"] + arguments)
      return (try JSON.parse(result.output)["tensors"]?.elements ?? []).compactMap { $0["name"]?.stringValue }
    }
    #expect(try names("--dtype", "i64") == ["global_step"])
    #expect(try names("--shape", "[]") == ["global_step"])
    #expect(try names("--shape", "*,32", "--filter", "*kernel") == ["bert/encoder/layer_0/intermediate/dense/kernel"])
    #expect(try names("--filter", "*pooler*bias", "--filter", "global*") == ["bert/pooler/dense/bias", "global_step"])
    #expect(try Program.run("inspect", training, "--dtype", "F31").status == 64)
    #expect(try Program.run("inspect", training, "--shape", "a,b").status == 64)
  }

  @Test func sizeOrdersLinesByWhatTheyTake() throws {
    let lines = try inspect(fixture("tensorflow/bert-tiny"), "--sort", "size").split(separator: "\n")
    let header = try #require(lines.firstIndex { $0.hasPrefix("tensor ") })
    // Two layers of 21 KiB are more than word embeddings of 18.9.
    #expect(lines[header + 1].contains("layer_{0,1}/intermediate/dense/kernel"))
  }

  @Test func theFirstValues() throws {
    let text = try inspect(
      fixture("tensorflow/dtypes/dtypes"), "--values", "2", "--filter", "types/{bool,int64,uint64,string,complex64}")
    #expect(text.contains("types/bool [2, 3]  "))
    let all = try json(fixture("tensorflow/dtypes/dtypes"), "--values", "1000000")
    for tensor in all["tensors"]?.elements ?? [] {
      let count = (tensor["shape"]?.elements ?? []).reduce(1) { $0 * ($1.intValue ?? 0) }
      #expect(tensor["values"]?.elements?.count == count, "\(tensor["name"]?.stringValue ?? "")")
    }
    let few = try json(fixture("tensorflow/dtypes/dtypes"), "--values", "3", "--filter", "types/float32")
    let wanted = try expectedTensors(fixture("tensorflow/dtypes/expected.json")).first { $0.name == "types/float32" }
    let bytes = Bytes(try #require(wanted?.bytes))
    let values = few["tensors"]?.elements?.first?["values"]?.elements?.compactMap(\.doubleValue).map { Float($0) }
    #expect(values == bytes.withSpan { Array($0.floats().prefix(3)) })
    #expect(try Program.run("inspect", training, "--values", "0").status == 64)
  }

  @Test func whatIsUnusualIsReported() throws {
    let folder = TemporaryFolder()
    let file = folder.file("odd.npz")
    let tensors: [(String, [Float])] = [
      ("empty", [0, 0, 0]), ("one", [1, 2, 3]), ("other", [1, 2, 3]), ("broken", [1, .nan, 3]),
      ("far", [.infinity, 1, 2]),
      ("ones", [1, 1, 1]), ("also", [1, 1, 1]),
    ]
    var source = MemorySource()
    for (name, values) in tensors { source.add(name, floats: values) }
    try source.write(to: NpzWriter(path: file, overwrites: true))
    let text = try inspect(file, "--stats")
    #expect(text.contains("nan    NaN in 1 tensor: broken"))
    #expect(text.contains("inf    infinities in 1 tensor: far"))
    #expect(text.contains("zeros  only zeros in 1 tensor: empty"))
    #expect(text.contains("same   the same values in 2 tensors: one, other"))
    let findings = try json(file, "--stats")["findings"]?.elements ?? []
    #expect(findings.compactMap { $0["kind"]?.stringValue } == ["nan", "inf", "zeros", "same"])
  }

  @Test func theSummaryDescribesTheModel() throws {
    let found = try json(training)
    #expect(found["model_config"]?["hidden_size"]?.intValue == 16)
    let parts = found["parts"]?.members ?? []
    #expect(parts.map(\.key) == ["embeddings", "encoder", "heads", "optimizer", "other"])
    let bytes = parts.reduce(0) { $0 + ($1.value["bytes"]?.intValue ?? 0) }
    #expect(bytes == found["bytes"]?.intValue)
    let types = (found["dtypes"]?.members ?? []).reduce(0) { $0 + ($1.value["tensors"]?.intValue ?? 0) }
    #expect(types == found["tensors"]?.elements?.count)
    let optimizer = (found["tensors"]?.elements ?? []).filter { $0["part"]?.stringValue == "optimizer" }
    #expect(optimizer.allSatisfy { $0["name"]?.stringValue?.contains("adam") == true } && optimizer.count == 50)
    let tiny = try json(fixture("tensorflow/bert-tiny"))
    #expect(tiny["vocabulary_tokens"]?.intValue == 101 && tiny["casing"]?.stringValue == "uncased")
    #expect(tiny["tied"]?.elements?.first?["kind"]?.stringValue == "absent")
  }

  /// Without a config the shapes give the sizes, and what they cannot give is reported as assumed.
  @Test func withoutAConfigTheShapesTell() throws {
    let folder = TemporaryFolder()
    for name in ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"] {
      _ = try folder.write(try contents(fixture("tensorflow/bert-tiny/\(name)")), name)
    }
    let text = try inspect(folder.path)
    #expect(text.contains("model    2 layers, hidden size 48"))
    #expect(text.contains("config   not found in the same folder: inferred from the shapes"))
    #expect(text.contains("no shape gives num_attention_heads: assumed"))
  }

  @Test func aConfigThatContradictsIsReported() throws {
    let folder = TemporaryFolder()
    for name in ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"] {
      _ = try folder.write(try contents(fixture("tensorflow/bert-tiny/\(name)")), name)
    }
    let config = String(decoding: try contents(fixture("tensorflow/bert-tiny/bert_config.json")), as: UTF8.self)
    let wrong = config.split(separator: "\"hidden_size\": 48", omittingEmptySubsequences: false).joined(
      separator: "\"hidden_size\": 64")
    #expect(wrong != config)
    _ = try folder.write(Array(wrong.utf8), "bert_config.json")
    #expect(
      try inspect(folder.path).contains("conflict  hidden_size of bert_config.json is 64, but the weights have 48"))
  }

  @Test func eightBitWeightsAndTheirScalesAreOneTensor() throws {
    let folder = TemporaryFolder()
    let small = folder.file("small.safetensors")
    let made = try Program.run(
      "convert", "tf-to-native", fixture("tensorflow/bert-tiny"), "-o", small, "--dtype", "int8")
    #expect(made.status == 0, "\(made.errors)")
    let text = try inspect(small)
    #expect(text.contains("0 dropped by rules: every tensor is accounted for"))
    #expect(try json(small)["parts"]?.members?.map(\.key) == ["embeddings", "encoder", "heads"])
  }

  /// Colors and the width of the terminal; here set by variables, since tests have no terminal.
  @Test func colorsAndWidth() throws {
    func run(_ variables: String, _ arguments: String) throws -> String {
      let folder = TemporaryFolder()
      let command = "env -u NO_COLOR \(variables) '\(Program.path)' inspect \(arguments) > '\(folder.file("out"))' 2>&1"
      #expect(unsafe system(command) == 0)
      return String(decoding: try contents(folder.file("out")), as: UTF8.self)
    }
    #expect(try !run("TERM=xterm", training).contains("\u{1B}"))
    #expect(try run("CLICOLOR_FORCE=1", training).contains("\u{1B}[1mtensor\u{1B}[0m"))
    #expect(try !run("CLICOLOR_FORCE=1 NO_COLOR=1", training).contains("\u{1B}"))
    // A file is as wide as it takes.
    #expect(try !run("COLUMNS=60", training).contains("…"))
    let narrow = try run("COLUMNS=60 CLICOLOR_FORCE=1 NO_COLOR=1", training).split(separator: "\n")
    let header = try #require(narrow.firstIndex { $0.hasPrefix("tensor ") })
    #expect(narrow[header...].allSatisfy { $0.count <= 60 })
    #expect(narrow[header...].contains { $0.contains("…") })
  }

  /// Names, metadata and config that would color, move the cursor, turn the text round or begin a line of their own.
  @Test(arguments: [[], ["--expand"], ["--tree"], ["--stats", "--values", "2"], ["--unmapped"], ["--json"]])
  func textOfAFileCannotControlTheTerminal(options: [String]) throws {
    let evil = "a\u{1B}[31mb\u{7}\u{9B}1mc\u{202E}d\r\ne\u{2028}f"
    let names = ["\(evil).layer.0.w", "\(evil).layer.1.w", "bert.\(evil)"]
    let entries = names.indices.map {
      SafetensorsHeader.Entry(name: names[$0], elementType: .f32, shape: [1], range: (4 * $0)..<(4 * $0 + 4))
    }
    let header = SafetensorsHeader.encoded(entries, metadata: [(evil, evil)], alignment: 8)
    let config = JSON.object([
      .init("model_type", .string(evil)), .init("hidden_size", .string(evil)), .init(evil, .string(evil)),
    ])
    let folder = TemporaryFolder()
    let path = try folder.write(header + [UInt8](repeating: 0, count: 4 * names.count), "model.safetensors")
    _ = try folder.write(Array(config.text().utf8), "config.json")
    for arguments in [["inspect", path] + options, ["convert", "auto-to-native", path, "-o", folder.file("out")]] {
      let text = try Program.run(arguments).both
      #expect(text.contains("31mb") && printable(text, keepingNewlines: true) == text, "\(printable(text))")
      #expect(!text.contains("\ne"))
    }
  }

  @Test(arguments: [
    ["--tree", "--stats"], ["--tree", "--expand"], ["--unmapped", "--filter", "x"], ["--unmapped", "--dtype", "F32"],
  ])
  func whatDoesNotGoTogether(_ options: [String]) throws {
    #expect(try Program.run(["inspect", training] + options).status == 64)
  }

  /// What is wrong apart from the weights is reported on the terminal and in JSON.
  @Test func whatIsWrongApartFromTheWeightsIsReported() throws {
    let folder = TemporaryFolder()
    let model = try TinyBERT.maskedLM().write(to: folder)
    _ = try folder.write(Array("[PAD]\nword\n".utf8), "vocab.txt")
    let result = try Program.run("inspect", model)
    #expect(result.status == 0 && result.errors.contains("the vocabulary has 2 tokens and the model 40 rows"))
    let first = try json(model)["warnings"]?.elements?.first?.stringValue
    #expect(first?.contains("2 tokens") == true)
    _ = try folder.write(Array("{".utf8), "config.json")
    let broken = try Program.run("inspect", model)
    #expect(broken.status == 0 && broken.output.contains("which cannot be used"))
    #expect(broken.errors.contains("the config cannot be used: ") && broken.errors.contains("config.json"))
  }

  /// A file may have any amount of metadata.
  @Test func onlySomeOfTheMetadataIsShown() throws {
    let folder = TemporaryFolder()
    let pairs = (0..<500).map { "\"k\($0)\":\"v\"" }.joined(separator: ",")
    let header = Array("{\"__metadata__\":{\(pairs)}}".utf8)
    let length = littleEndianBytes(UInt64(header.count))
    let file = try folder.write(length + header, "nameless.safetensors")
    let text = try inspect(file)
    #expect(text.contains("and 476 more: --json lists them") && text.split(separator: "\n").count < 45)
    #expect(try json(file)["metadata"]?.members?.count == 500)
  }
}
