import TensorIO
import TestSupport
import Testing

@Suite("8-bit models as a source")
struct EightBitSourceTests {
  private static let source = fixture("heads/BertForMaskedLM")

  /// What is made of the 8-bit file is what is made of the numbers that it represents.
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
    let tensors = try SafetensorsContent(MappedFile.open(output)).tensors
    let others = try SafetensorsContent(MappedFile.open(other)).tensors
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
    #expect(result.status == 0 && result.errors.contains("written in F32 as the numbers that they represent"))
    let tensors = try SafetensorsContent(MappedFile.open(output)).tensors
    #expect(!tensors.isEmpty && !tensors.keys.contains { $0.contains("_scale ") })
  }
}
