import TensorIO
import TestSupport
import Testing

@Suite("Checkpoints of Megatron-LM")
struct MegatronCommandTests {
  private static let folder = fixture("torch/megatron-lm/")

  @Test(arguments: ["unversioned.pt", "version-0.pt", "version-1.pt", "version-2.pt", "version-3.pt"])
  func isConvertedAndProved(_ name: String) throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    let source = Self.folder + name
    let converted = try Program.run("convert", "pytorch-to-native", source, "-o", output)
    #expect(converted.status == 0, "\(converted.both)")
    #expect(converted.errors.contains("has no checkpoint_version") == (name == "unversioned.pt"))
    let expected = SafetensorsContent(try MappedFile.open(Self.folder + "expected.safetensors"))
    let made = SafetensorsContent(try MappedFile.open(output))
    #expect(!made.tensors.isEmpty && made.tensors == expected.tensors)
    let verified = try Program.run(
      "verify", output, "--against", source, "--fixtures", Self.folder + "reference.npz")
    #expect(verified.status == 0, "\(verified.both)")
    let diff = try Program.run("diff", source, output, "--json")
    #expect(diff.status == 0, "\(diff.both)")
    #expect(try JSON.parse(diff.output)["matched_by"]?.stringValue == "table")
    let unmapped = try Program.run("inspect", source, "--unmapped", "--json")
    #expect(try JSON.parse(unmapped.output)["mapping"]?["complete"]?.boolValue == true)
  }

  @Test func withoutAConfigOneVersionHasItAllAndAnotherIsRefused() throws {
    let folder = TemporaryFolder()
    let output = folder.file("m.safetensors")
    for (name, status) in [("version-3.pt", 0), ("version-2.pt", 2)] {
      let source = try folder.write(try contents(Self.folder + name), name)
      let result = try Program.run("convert", "auto-to-native", source, "-o", output, "--force")
      #expect(result.status == status, "\(result.both)")
      #expect(result.errors.contains("num_attention_heads"))
    }
    let listing = try JSON.parse(try Program.run("inspect", output, "--json").output)
    #expect(listing["family"]?.stringValue == "megatron-bert" && listing["dialect"]?.stringValue == "transformers")
  }
}

@Suite("8-bit models as a source")
struct EightBitSourceTests {
  private static let source = fixture("heads/BertForMaskedLM")

  /// What is made of the 8-bit file is what is made of the numbers that it stands for.
  @Test(arguments: ["f32", "bf16", "f16", "int8"])
  func isConvertedToEveryType(_ type: String) throws {
    let folder = TemporaryFolder()
    let (small, wide, output) = (folder.file("s.safetensors"), folder.file("w.bin"), folder.file("o.safetensors"))
    #expect(
      try Program.run("convert", "safetensors-to-native", Self.source, "-o", small, "--dtype", "int8").status == 0)
    #expect(try Program.run("convert", "native-to-pytorch", small, "-o", wide).status == 0)
    let result = try Program.run("convert", "safetensors-to-native", small, "-o", output, "--dtype", type)
    #expect(result.status == 0, "\(result.both)")
    #expect(result.errors.contains("note: ") && result.errors.contains("are stored in 8 bits"))
    let other = folder.file("p.safetensors")
    #expect(try Program.run("convert", "pytorch-to-native", wide, "-o", other, "--dtype", type).status == 0)
    let tensors = SafetensorsContent(try MappedFile.open(output)).tensors
    let others = SafetensorsContent(try MappedFile.open(other)).tensors
    #expect(!tensors.isEmpty && tensors == others)
    #expect(tensors.keys.contains { $0.contains("_scale ") } == (type == "int8"))
    #expect(try Program.run("verify", output, "--against", small).status == 0)
  }

  @Test func withoutATypeItsNumbersAreF32() throws {
    let folder = TemporaryFolder()
    let (small, output) = (folder.file("s.safetensors"), folder.file("o.safetensors"))
    #expect(
      try Program.run("convert", "safetensors-to-native", Self.source, "-o", small, "--dtype", "int8").status == 0)
    let result = try Program.run("convert", "auto-to-native", small, "-o", output)
    #expect(result.status == 0 && result.errors.contains("written as the numbers that they stand for, in F32"))
    let tensors = SafetensorsContent(try MappedFile.open(output)).tensors
    #expect(!tensors.isEmpty && !tensors.keys.contains { $0.contains("_scale ") })
  }
}

@Suite("Configs that cannot be right")
struct ConfigLimitTests {
  private func convert(_ key: String, _ value: JSON) throws -> Program.Result {
    let folder = TemporaryFolder()
    let model = PlainModel()
    let path = try model.write(folder)
    var config = try JSON.parse(model.config)
    config.set(key, value)
    let own = try folder.write(Array(config.text().utf8), "own.json")
    return try Program.run("convert", "auto-to-native", path, "-o", folder.file("o"), "--config", own)
  }

  @Test(arguments: [
    ("hidden_act", JSON.string("geluu"), "not one of gelu, gelu_new"), ("hidden_act", .string("geluu"), "'gelu'?"),
    ("hidden_act", .int(1), "not a word"),
    ("layer_norm_eps", .number("-1e-12"), "layer_norm_eps of"),
    ("layer_norm_eps", .int(1), "at least 0.0 and below 1.0"),
    ("layer_norm_eps", .number("1e300"), "is 1e300, not"), ("layer_norm_eps", .string("x"), "not a number"),
  ])
  func areRefusedBeforeAnythingIsWritten(key: String, value: JSON, message: String) throws {
    let result = try convert(key, value)
    #expect(result.status == 2 && result.errors.contains(message), "\(result.both)")
  }

  @Test func whatOthersComputeIsConvertedWithAWarning() throws {
    let result = try convert("hidden_act", .string("silu"))
    #expect(result.status == 0, "\(result.both)")
    #expect(result.errors.contains("warning: 'bertconv run' cannot compute this model"), "\(result.both)")
    #expect(result.errors.contains("hidden_act is not a known activation; found 'silu'"), "\(result.both)")
    #expect(try !convert("layer_norm_eps", .int(0)).errors.contains("warning"))
  }
}
