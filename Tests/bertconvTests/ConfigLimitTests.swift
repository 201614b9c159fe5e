import TensorIO
import TestSupport
import Testing

@Suite("Configs that cannot be right")
struct ConfigLimitTests {
  private func convert(_ key: String, _ value: JSON) throws -> Program.Result {
    let folder = TemporaryFolder()
    let model = TinyBERT.maskedLM()
    let path = try model.write(to: folder)
    var config = model.config
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

  @Test(arguments: ["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu"])
  func whatTheEncoderComputesIsTakenWithoutAWord(activation: String) throws {
    let result = try convert("hidden_act", .string(activation))
    #expect(result.status == 0 && !result.errors.contains("warning"), "\(result.both)")
  }

  @Test func whatOthersComputeIsConvertedWithAWarning() throws {
    let result = try convert("hidden_act", .string("silu"))
    #expect(result.status == 0, "\(result.both)")
    #expect(result.errors.contains("warning: 'bertconv run' cannot compute this model"), "\(result.both)")
    #expect(result.errors.contains("hidden_act is not a known activation; found 'silu'"), "\(result.both)")
    #expect(try !convert("layer_norm_eps", .int(0)).errors.contains("warning"))
  }
}
