import TensorIO
import TestSupport
import Testing

/// `--precision`, through the built program. A machine without oneDNN or without the instructions refuses.
@Suite("Precisions")
struct PrecisionTests {
  private let folder = TemporaryFolder()

  private func model() throws -> String {
    let output = folder.file("m.safetensors")
    let result = try Program.run("convert", "auto-to-native", fixture("heads/BertModel"), "-o", output)
    try #require(result.status == 0, "\(result.both)")
    return output
  }

  @Test(arguments: ["f32", "bf16", "int8"]) func aModelRunsInEach(precision: String) throws {
    let reference = fixture("heads/BertModel/reference.npz")
    let result = try Program.run(
      "run", try model(), "--inputs", reference, "-o", folder.file("out.npz"), "--precision", precision, "--threads",
      "2", "--json")
    if result.status == 2, precision != "f32" {
      #expect(result.errors.contains("precision \(precision)") && result.errors.contains("precision f32"))
      #expect(FileSystem.kind(of: folder.file("out.npz")) == nil)
      return
    }
    let json = try JSON.parse(result.output, file: nil)
    #expect(json["precision"]?.stringValue == precision && json["threads"]?.intValue == 2)
    // What a smaller precision costs is shown, and it costs something.
    let checked = try Program.run(
      "verify", folder.file("m.safetensors"), "--fixtures", reference, "--precision", precision, "--json")
    #expect(checked.status == (precision == "f32" ? 0 : 1), "\(checked.both)")
    if precision != "f32" { #expect(checked.output.contains("computed in \(precision)")) }
    let errors = try JSON.parse(checked.output, file: nil)["outputs"]?.elements?.compactMap {
      $0["cosine"]?.doubleValue
    }
    #expect(errors?.allSatisfy { $0 > 0.98 } == true)
  }

  @Test func anotherPrecisionIsWrongUsage() throws {
    let result = try Program.run("verify", try model(), "--precision", "int4")
    #expect(result.status == 64 && result.errors.contains("f32"))
  }
}
