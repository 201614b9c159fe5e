import CheckpointFormats
import TensorIO
import TestSupport
import Testing

private let tiny = fixture("tensorflow/bert-tiny/bert_model.ckpt")
private let reference = fixture("tensorflow/bert-tiny/reference.npz")

@Suite("The program, end to end")
struct EndToEndTests {
  /// Each kind of checkpoint becomes exactly the tensors that transformers saves for the same model.
  @Test(arguments: [
    "bert-tiny", "bert-training", "bert-squad", "bert-hub", "bert-sharded", "bert-partitioned", "bert-ema",
  ])
  func convertsBitForBit(_ name: String) throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    let source = fixture("tensorflow/\(name)")
    let result = try Program.run("convert", "tf-to-native", source, "-o", output)
    #expect(result.status == 0, "\(result.both)")
    let expected = try SafetensorsContent(MappedFile.open(fixture("tensorflow/\(name)/expected.safetensors")))
    let actual = try SafetensorsContent(MappedFile.open(output))
    #expect(actual.tensors == expected.tensors)
    #expect(try Program.run("verify", output, "--against", source).status == 0)
  }

  /// The folder that pytorch-pretrained-BERT of 2018 left, as it is: a stream of pickles, `bert_config.json`, `vocab.txt`,
  /// and layer norms with gamma and beta.
  @Test(arguments: ["", "/pytorch_model.bin"])
  func theFolderOf2018(_ name: String) throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    let source = fixture("torch/bert-2018" + name)
    let result = try Program.run("convert", "pytorch-to-native", source, "-o", output, "--json")
    #expect(result.status == 0, "\(result.both)")
    let report = try JSON.parse(result.output)
    #expect(report["format"]?.stringValue == "pytorch-legacy" && report["dialect"]?.stringValue == "transformers")
    #expect(report["warnings"]?.elements?.isEmpty == true, "\(result.output)")
    let expected = try SafetensorsContent(MappedFile.open(fixture("torch/bert-2018/expected.safetensors")))
    let actual = try SafetensorsContent(MappedFile.open(output))
    #expect(!actual.tensors.isEmpty && actual.tensors == expected.tensors)
    #expect(!actual.tensors.keys.contains { $0.contains("gamma") || $0.contains("decoder.weight") })
    // The config and the vocabulary in the same folder.
    let given = try JSON.parse(try FileSystem.text(fixture("torch/bert-2018/bert_config.json")))
    for key in ["hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "hidden_act"] {
      #expect(report["config"]?[key] == given[key], "\(key)")
    }
    let header = try SafetensorsHeader(try MappedFile.open(output))
    #expect(try header.value("bertconv.vocab") == FileSystem.text(fixture("torch/bert-2018/vocab.txt")))
    #expect(try Program.run("verify", output, "--against", source).status == 0)
    #expect(try Program.run("diff", source, output).status == 0)
  }

  /// A folder that Flax's save_pretrained wrote, and a state of training as flax.serialization writes it.
  @Test(arguments: [("flax/bert", ""), ("flax/train-state", "/state.msgpack")])
  func flaxConvertsBitForBit(_ name: String, _ file: String) throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    let source = fixture(name + file)
    let result = try Program.run("convert", "flax-to-native", source, "-o", output, "--json")
    #expect(result.status == 0, "\(result.both)")
    let report = try JSON.parse(result.output)
    #expect(report["format"]?.stringValue == "flax-msgpack" && report["dialect"]?.stringValue == "flax")
    #expect(report["warnings"]?.elements?.isEmpty == true, "\(result.output)")
    let expected = try SafetensorsContent(MappedFile.open(fixture(name + "/expected.safetensors")))
    let actual = try SafetensorsContent(MappedFile.open(output))
    #expect(!actual.tensors.isEmpty && actual.tensors == expected.tensors)
    #expect(try Program.run("verify", output, "--against", source).status == 0)
    #expect(try Program.run("diff", source, output).status == 0)
    let reference = fixture(name + "/reference.npz")
    if FileSystem.isFile(reference) {
      let verified = try Program.run("verify", output, "--fixtures", reference)
      #expect(verified.status == 0, "\(verified.both)")
    }
  }

  @Test func theWholePath() throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", output).status == 0)
    let verified = try Program.run("verify", output, "--fixtures", reference, "--json")
    #expect(verified.status == 0)
    let report = try JSON.parse(verified.output)
    #expect(report["passed"]?.boolValue == true)
    #expect(report["outputs"]?.elements?.count == 7)
    for item in report["outputs"]?.elements ?? [] {
      let error = try #require(item["max_abs_error"]?.doubleValue)
      #expect(error > 0 && error < 2e-5)
    }
    let ran = try Program.run(
      "run", output, "--inputs", reference, "-o", folder.file("o.npz"), "--repeat", "2", "--json")
    #expect(ran.status == 0)
    #expect(try JSON.parse(ran.output)["sequences"]?.intValue == 3)
    let asFixture = try Program.run("inspect", folder.file("o.npz"), "--json")
    #expect(try JSON.parse(asFixture.output)["tensors"]?.elements?.count == 4)
  }

  /// Every smaller type is proved to be the source rounded, compared by value, and exported.
  @Test(arguments: [("int8", "I8"), ("f16", "F16"), ("bf16", "BF16")])
  func smallerTypesAreComparedByValueAndExported(type: String, name: String) throws {
    let folder = TemporaryFolder()
    let (full, small) = (folder.file("f.safetensors"), folder.file("s.safetensors"))
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", full).status == 0)
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", small, "--dtype", type).status == 0)
    let verified = try Program.run("verify", small, "--against", tiny, "--json")
    #expect(verified.status == 0)
    let reduced = try #require(try JSON.parse(verified.output)["reduced"]?.elements?.first)
    #expect(reduced["stored"] == .string(name) && reduced["max_abs_error"]?.doubleValue ?? 0 > 0)
    let diff = try Program.run("diff", full, small)
    #expect(
      diff.status == 1 && diff.output.contains("All tensors that differ are stored in another type."), "\(diff.both)")
    #expect(diff.output.contains("bert.embeddings.word_embeddings.weight  ") && diff.output.contains("F32 → \(name)"))
    #expect(!diff.output.contains("_scale"))
    #expect(try Program.run("diff", full, small, "--tolerance", "0.1").status == 0)
    #expect(try Program.run("verify", small, "--against", fixture("tensorflow/bert-training")).status == 1)
    for (route, output) in [("native-to-tf", folder.file("x.ckpt")), ("native-to-pytorch", folder.file("x.bin"))] {
      let exported = try Program.run("convert", route, small, "-o", output, "--force")
      #expect(exported.status == 0, "\(exported.both)")
      #expect(exported.errors.contains("stored in 8 bits") == (type == "int8"))
      // The types are kept but for 8 bits, which others have no form of.
      let same = try Program.run("diff", small, output, "--tolerance", "1e-30", "--json")
      #expect(same.status == 0, "\(same.both)")
      let wide = try Program.run("convert", route, small, "-o", output, "--force", "--dtype", "f32")
      #expect(wide.status == 0, "\(wide.both)")
      let listing = try JSON.parse(try Program.run("inspect", output, "--json").output)
      #expect(listing["tensors"]?.elements?.allSatisfy { $0["dtype"] == .string("F32") } == true)
    }
    #expect(try Program.run("convert", "native-to-tf", small, "-o", folder.file("y"), "--dtype", "int8").status == 64)
  }

  @Test func theSameInputGivesTheSameFile() throws {
    let folder = TemporaryFolder()
    for name in ["a", "b"] {
      #expect(try Program.run("convert", "tf-to-native", tiny, "-o", folder.file(name)).status == 0)
    }
    #expect(try contents(folder.file("a")) == contents(folder.file("b")))
  }

  @Test func toleranceDecides() throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", output).status == 0)
    let strict = try Program.run("verify", output, "--fixtures", reference, "--tolerance", "0")
    #expect(strict.status == 1)
    #expect(strict.output.contains("FAIL"))
  }

  @Test func anotherModelIsNotTheSource() throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", fixture("tensorflow/bert-hub"), "-o", output).status == 0)
    let result = try Program.run("verify", output, "--against", fixture("tensorflow/bert-sharded"))
    #expect(result.status == 1)
    #expect(result.output.contains("bert.encoder.layer.0"))
  }

  /// What cannot work: arguments, a word of the message, and the exit status.
  @Test(arguments: [
    (["inspect", "/nowhere/model"], "/nowhere/model", 2),
    (["inspect", "/dev/null"], "neither a file nor a folder", 2),
    (["convert", "tf-to-native", "SRC", "-o", "/nowhere/m.safetensors"], "does not exist", 2),
    (["convert", "tf-to-native", "SRC", "-o", "/dev/null"], "not a regular file", 2),
    (["convert", "tf-to-native", "SRC", "-o", "SRC.index"], "is one of the files that are read", 2),
    (["convert", "tf-to-native", "SRC", "-o", "OUT", "--config", "/nowhere.json"], "/nowhere.json", 2),
    (["convert", "safetensors-to-native", "SRC", "-o", "OUT"], "another format", 2),
    (["convert", "flax-to-native", "SRC", "-o", "OUT"], "another format", 2),
    (["convert", "sideways", "SRC", "-o", "OUT"], "tf-to-native", 64),
    (["convert", "tf-to-native", "SRC"], "--output", 64),
    (["verify", "SRC.index"], "header", 2),
    (["run", "SRC.index", "--inputs", "SRC", "-o", "x.txt"], ".npz or .safetensors", 64),
    (["verify", "SRC.index", "--tolerance", "-1"], "tolerance", 64),
    ([], "SUBCOMMANDS", 0),
    (["--version"], "0.1", 0),
  ])
  func whatCannotWorkIsReported(_ arguments: [String], _ word: String, _ status: Int32) throws {
    let folder = TemporaryFolder()
    let before = try contents(tiny + ".index")
    let result = try Program.run(
      arguments.map { $0 == "SRC" ? tiny : $0 == "OUT" ? folder.file("out") : $0 == "SRC.index" ? tiny + ".index" : $0 }
    )
    #expect(result.status == status, "\(result.both)")
    #expect(result.both.contains(word), "\(result.both)")
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
    #expect(try contents(tiny + ".index") == before)
  }

  /// A config that names fewer layers than the file has would give another model's outputs.
  @Test func aConfigWithTooFewLayersIsRefused() throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", output).status == 0)
    var config = try JSON.parse(try FileSystem.text(fixture("tensorflow/bert-tiny/bert_config.json")))
    config.set("num_hidden_layers", .int(1))
    config.set("model_type", .string("bert"))
    let path = try folder.write(Array(config.text().utf8), "config.json")
    let result = try Program.run("verify", output, "--fixtures", reference, "--config", path)
    #expect(result.status == 2)
    #expect(result.errors.contains("encoder.layer.1"), "\(result.errors)")
  }

  @Test func aConfigOfTheWrongKindIsRefused() throws {
    let folder = TemporaryFolder()
    var config = try JSON.parse(try FileSystem.text(fixture("tensorflow/bert-tiny/bert_config.json")))
    config.set("layer_norm_eps", .string("tiny"))
    let path = try folder.write(Array(config.text().utf8), "config.json")
    let result = try Program.run("convert", "tf-to-native", tiny, "-o", folder.file("m"), "--config", path)
    #expect(result.status == 2)
    #expect(result.errors.contains("layer_norm_eps"))
    #expect(FileSystem.kind(of: folder.file("m")) == nil)
  }

  /// Google's checkpoints have no output weights of their own, whatever the config sets.
  @Test func aConfigThatUntiesWhatIsTiedIsPutRight() throws {
    let folder = TemporaryFolder()
    var config = try JSON.parse(try FileSystem.text(fixture("tensorflow/bert-tiny/bert_config.json")))
    config.set("tie_word_embeddings", .bool(false))
    let path = try folder.write(Array(config.text().utf8), "config.json")
    let output = folder.file("m.safetensors")
    let result = try Program.run("convert", "tf-to-native", tiny, "-o", output, "--config", path)
    #expect(result.errors.contains("tie_word_embeddings"))
    #expect(try Program.run("verify", output, "--fixtures", reference).status == 0)
  }

  @Test func aTableOfNestedAliasesIsRefusedSoon() throws {
    let folder = TemporaryFolder()
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1..<10 {
      let before = "*a\(level - 1)"
      text += "a\(level): &a\(level) [\(Array(repeating: before, count: 10).joined(separator: ", "))]\n"
    }
    let path = try folder.write(Array(text.utf8), "bomb.yaml")
    let result = try Program.run("inspect", tiny, "--table", path)
    #expect(result.status == 2)
    #expect(result.errors.contains("more than 200,000 values"))
  }

  @Test func thereAndBackIsBitForBit() throws {
    let folder = TemporaryFolder()
    let native = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", tiny, "-o", native).status == 0)
    #expect(try Program.run("convert", "native-to-tf", native, "-o", folder.file("back")).status == 0)
    #expect(try Program.run("diff", folder.file("back"), tiny).status == 0)
    #expect(try Program.run("convert", "native-to-pytorch", native, "-o", folder.file("back.bin")).status == 0)
    let different = try Program.run("diff", folder.file("back.bin"), fixture("torch/bert-2018"))
    #expect(different.status == 1 || different.status == 2)
    #expect(try Program.run("convert", "native-to-tf", native, "-o", folder.file("back")).status == 2)
    let again = folder.file("again.safetensors")
    let config = fixture("tensorflow/bert-tiny/bert_config.json")
    #expect(
      try Program.run("convert", "pytorch-to-native", folder.file("back.bin"), "-o", again, "--config", config).status
        == 0)
    #expect(try Program.run("diff", again, native).status == 0)
  }

  /// Positions counted from padding 0, an activation, the heads and the family itself are in the pickle alone.
  @Test(arguments: ["roberta-module", "distilbert-state"]) func theConfigInAPickleCounts(name: String) throws {
    let folder = TemporaryFolder()
    let source = try folder.copy(fixture("torch/configs/\(name).pt"))
    let output = folder.file("out.safetensors")
    let converted = try Program.run("convert", "pytorch-to-native", source, "-o", output)
    #expect(converted.status == 0 && !converted.both.contains("assumed"), "\(converted.both)")
    let verified = try Program.run(
      "verify", output, "--fixtures", fixture("torch/configs/\(name).npz"), "--tolerance", "1e-5")
    #expect(verified.status == 0, "\(verified.both)")
    let inspected = try JSON.parse(try Program.run("inspect", source, "--json").output)
    #expect(inspected["conflicts"]?.elements?.isEmpty == true && inspected["notes"]?.elements?.isEmpty == true)
    if name.hasPrefix("roberta") { #expect(inspected["model_config"]?["id2label"]?["2"]?.stringValue == "I") }
    // A config that is given goes first.
    let other = try folder.write(Array(#"{"model_type": "electra"}"#.utf8), "other.json")
    #expect(try Program.run("convert", "auto-to-native", source, "-o", folder.file("x"), "--config", other).status == 2)
  }

  @Test func aHostilePickleIsRefusedAndNothingRuns() throws {
    let folder = TemporaryFolder()
    for name in ["system-zip.pt", "system-legacy.pt"] {
      let path = fixture("torch/hostile/\(name)")
      let result = try Program.run("convert", "pytorch-to-native", path, "-o", folder.file("out"))
      #expect(result.status == 2)
      #expect(result.errors.contains("posix.system"))
      let listed = try Program.run("inspect", path, "--json")
      #expect(listed.status == 0)
      #expect(listed.output.contains(#""verdict": "dangerous""#))
    }
    #expect(FileSystem.kind(of: "pwned") == nil)
  }

  @Test func anOutputIsKeptWhenTheSourceIsDamaged() throws {
    let folder = TemporaryFolder()
    for suffix in ["index", "data-00000-of-00001"] { _ = try folder.copy("\(tiny).\(suffix)") }
    var data = try contents(folder.file("bert_model.ckpt.data-00000-of-00001"))
    data[data.count - 200] ^= 1
    _ = try folder.write(data, "bert_model.ckpt.data-00000-of-00001")
    let output = try folder.write(Array("precious".utf8), "out")
    let result = try Program.run("convert", "tf-to-native", folder.file("bert_model.ckpt"), "-o", output, "--force")
    #expect(result.status == 2)
    #expect(result.errors.contains("checksum"))
    #expect(try contents(output) == Array("precious".utf8))
    #expect(try FileSystem.names(inFolder: folder.path).count == 3)
  }

  /// The fixtures of heads that have reference outputs.
  private static let heads = ((try? FileSystem.names(inFolder: fixture("heads"))) ?? []).sorted()
    .filter { FileSystem.isFile(fixture("heads/\($0)/reference.npz")) }

  @Test func theFixturesOfHeadsAreThere() { #expect(Self.heads.count >= 40) }

  @Test(.exhaustive, arguments: heads)
  func plainSafetensorsFilesAreUsableAndReportedAsPlain(name: String) throws {
    let folder = TemporaryFolder()
    let plain = try Program.run(
      "verify", fixture("heads/\(name)/model.safetensors"), "--fixtures", fixture("heads/\(name)/reference.npz"))
    #expect(plain.status == 0, "\(plain.both)")
    #expect(plain.errors.contains("plain safetensors"))
    let output = folder.file("m.safetensors")
    let converted = try Program.run("convert", "auto-to-native", fixture("heads/\(name)"), "-o", output)
    #expect(converted.status == 0, "\(converted.both)")
    let native = try Program.run("verify", output, "--fixtures", fixture("heads/\(name)/reference.npz"))
    #expect(native.status == 0, "\(native.both)")
  }
}

/// Names, shapes, types and bytes of a safetensors file.
struct SafetensorsContent {
  let tensors: [String: [UInt8]]

  init(_ file: Bytes) throws {
    let header = try SafetensorsHeader(file)
    var tensors: [String: [UInt8]] = [:]
    for entry in header.entries {
      let key = "\(entry.name) \(entry.elementType.rawValue) \(entry.shape)"
      tensors[key] = file.slice(header.dataStart + entry.range.lowerBound, entry.range.count)?.array()
    }
    self.tensors = tensors
  }
}
