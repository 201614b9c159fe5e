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
    let expected = try SafetensorsContent(MappedFile.open(Self.folder + "expected.safetensors"))
    let made = try SafetensorsContent(MappedFile.open(output))
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
