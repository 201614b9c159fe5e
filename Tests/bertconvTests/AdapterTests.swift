import TensorIO
import TestSupport
import Testing

@Suite("Adapters and renamed names, end to end") struct AdapterTests {
  /// The merged model computes what PEFT's does, and is compared with the base and the adapter.
  @Test(arguments: ["lora", "rank-stabilized", "dora", "biases-of-lora", "all-biases"])
  func aMergedAdapterComputesWhatPEFTComputes(name: String) throws {
    let folder = TemporaryFolder()
    let output = folder.file("out.safetensors")
    let base = fixture("adapters/\(name)/base")
    let adapter = ["--adapter", fixture("adapters/\(name)/adapter")]
    let converted = try Program.run(["convert", "auto-to-native", base, "-o", output] + adapter)
    #expect(converted.status == 0 && converted.both.contains("merged the adapter"), "\(converted.both)")
    let verified = try Program.run(
      ["verify", output, "--fixtures", fixture("adapters/\(name)/reference.npz"), "--tolerance", "1e-5"])
    #expect(verified.status == 0, "\(verified.both)")
    #expect(try Program.run(["verify", output, "--against", base] + adapter).status == 0)
    let alone = try Program.run(["verify", output, "--against", base])
    #expect(alone.status == 2 && alone.both.contains("--adapter"), "\(alone.both)")
    #expect(try Program.run(["diff", base, output] + adapter).status == 0)
    #expect(try Program.run(["inspect", base] + adapter).both.contains("every tensor is accounted for"))
  }

  /// As a folder is in which a training has left both.
  @Test func theAdapterCountsWhereItsBaseLiesNextToIt() throws {
    let folder = TemporaryFolder()
    for path in [
      "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "base/model.safetensors", "base/config.json",
    ] {
      _ = try folder.copy(fixture("adapters/lora/\(path)"))
    }
    let output = folder.file("out.safetensors")
    let base = fixture("adapters/lora/base")
    let converted = try Program.run("convert", "auto-to-native", base, "-o", output, "--adapter", folder.path)
    #expect(converted.status == 0 && converted.both.contains("adapter_model.safetensors: 4 weights changed"))
    #expect(
      try Program.run("verify", output, "--fixtures", fixture("adapters/lora/reference.npz"), "--tolerance", "1e-5")
        .status == 0)
    let alone = try Program.run("convert", "auto-to-native", folder.path, "-o", folder.file("alone"))
    #expect(
      alone.status == 0 && alone.both.contains("adapter_model.safetensors is an adapter (PEFT), which is not merged"))
  }

  @Test func anAdapterAloneAsksForItsBase() throws {
    let folder = TemporaryFolder()
    let adapter = fixture("adapters/lora/adapter")
    let result = try Program.run(["convert", "auto-to-native", adapter, "-o", folder.file("x")])
    #expect(result.status == 2 && result.both.contains("LoRA adapter") && result.both.contains("--adapter"))
    #expect(try Program.run(["inspect", adapter]).both.contains("lora"))
  }

  /// The options of a conversion are in the file, so that a comparison does not need them again.
  @Test func whatWasRequestedIsKept() throws {
    let folder = TemporaryFolder()
    let output = folder.file("out.safetensors")
    let source = fixture("heads/BertForTokenClassification")
    let options = ["--rename", "encoder=middle", "--rename", "middle=encoder", "--allow-unexpected", "classifier.*"]
    let converted = try Program.run(["convert", "auto-to-native", source, "-o", output, "--family", "bert"] + options)
    #expect(converted.status == 0 && converted.both.contains("renamed on request: encoder=middle"), "\(converted.both)")
    #expect(try Program.run(["verify", output, "--against", source]).status == 0)
    for (arguments, word) in [
      (["--rename", "nothing=x"], "no tensor's name has the part"), (["--family", "berd"], "no table of the family"),
      (["--adapter", source], "adapter_config.json"),
    ] {
      let result = try Program.run(["convert", "auto-to-native", source, "-o", folder.file("x")] + arguments)
      #expect(result.status == 2 && result.both.contains(word), "\(result.both)")
    }
    #expect(try Program.run(["inspect", source, "--rename", "x"]).status == 64)
    let two = try Program.run(["inspect", source, "--adapter", "a", "--adapter", "b"])
    #expect(two.status == 64 && two.both.contains("One adapter"), "\(two.both)")
  }
}
