import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// `--precision`, through the built program.
@Suite("Precisions")
struct PrecisionTests {
  private let reference = fixture("heads/BertModel/reference.npz")
  private let folder = TemporaryFolder()

  private func model() throws -> String {
    let output = folder.file("m.safetensors")
    let result = try Program.run("convert", "auto-to-native", fixture("heads/BertModel"), "-o", output)
    try #require(result.status == 0, "\(result.both)")
    return output
  }

  /// No precision is refused for the processor, whatever the environment leaves of it.
  @Test(arguments: Precision.allCases, ProcessorLevel.allCases)
  func aModelRunsInEach(precision: Precision, level: ProcessorLevel) throws {
    let limit = "BERTCONV_MAX_ISA=\(level.rawValue)"
    let result = try Program.run(
      [
        "run", try model(), "--inputs", reference, "-o", folder.file("out.npz"), "--precision", precision.rawValue,
        "--threads", "2", "--json",
      ], prefix: limit)
    #expect(result.status == 0, "\(result.both)")
    let json = try JSON.parse(result.output, file: nil)
    #expect(json["precision"]?.stringValue == precision.rawValue && json["threads"]?.intValue == 2)
    if level < .avx512 {
      let isOwn = precision != .f32 || ProcessorLevel.lowered(to: level) > .plain
      #expect(json["library"]?.stringValue?.hasPrefix(isOwn ? "own kernels" : "OpenBLAS") == true, "\(result.output)")
      #expect(json["level"]?.stringValue == ProcessorLevel.lowered(to: level).rawValue)
    } else {
      #expect(json["library"]?.stringValue?.isEmpty == false && json["level"]?.stringValue?.isEmpty == false)
    }
    // What a smaller precision costs is shown, and it costs something.
    let checked = try Program.run(
      [
        "verify", folder.file("m.safetensors"), "--fixtures", reference, "--precision", precision.rawValue, "--json",
      ], prefix: limit)
    #expect(checked.status == (precision == .f32 ? 0 : 1), "\(checked.both)")
    if precision != .f32 { #expect(checked.output.contains("rounding to \(precision)")) }
    let outputs = try #require(try JSON.parse(checked.output, file: nil)["outputs"]?.elements)
    #expect(!outputs.isEmpty && outputs.allSatisfy { $0["cosine"]?.doubleValue ?? 0 > 0.98 })
  }

  @Test func withoutOpenBLASOnlyWhatMultipliesIsRefused() throws {
    let model = try model()
    // The loader finds this first, and it is no library.
    let broken = TemporaryFolder()
    _ = try broken.write(Array("not a library\n".utf8), "libopenblas.so.0")
    let commands = [
      ["verify", model, "--fixtures", reference], ["run", model, "--inputs", reference, "-o", folder.file("out.npz")],
    ]
    for command in commands {
      let result = try Program.run(command, libraries: broken.path)
      #expect(result.status == 2, "\(result.both)")
      #expect(
        result.errors.contains("OpenBLAS (libopenblas.so.0) cannot be loaded: \(broken.file("libopenblas.so.0"))"))
      #expect(result.errors.contains("libopenblas0"))
    }
    #expect(FileSystem.kind(of: folder.file("out.npz")) == nil)
    #expect(try Program.run(["inspect", model], libraries: broken.path).status == 0)
    #expect(
      try Program.run(["verify", model, "--against", fixture("heads/BertModel")], libraries: broken.path).status == 0)
  }

  @Test func aLevelThatDoesNotExistIsAnError() throws {
    let model = try model()
    for command in [["verify", model, "--fixtures", reference], ["--version"]] {
      let result = try Program.run(command, prefix: "BERTCONV_MAX_ISA=sse9")
      #expect(result.status == 2 && result.output.isEmpty, "\(result.both)")
      #expect(result.errors.contains("BERTCONV_MAX_ISA") && result.errors.contains("'sse9'"))
      #expect(result.errors.contains("plain, avx2, avx2_vnni, avx512"))
    }
    // What computes nothing does not read it.
    #expect(try Program.run(["inspect", model], prefix: "BERTCONV_MAX_ISA=sse9").status == 0)
  }

  @Test func anotherPrecisionIsWrongUsage() throws {
    let result = try Program.run("verify", try model(), "--precision", "int4")
    #expect(result.status == 64 && result.errors.contains("f32"))
  }
}
