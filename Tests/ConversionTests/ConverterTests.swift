import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

@Suite struct ConverterTests {
  @Test(arguments: ["google-tf1", "transformers"])
  func exportIsTheWayBack(dialect: String) throws {
    let google = googleTensors()
    let sink = try convert(google)
    var native = MemorySource()
    for info in sink.infos { native.add(info.name, info.shape) }
    let back = try mapper().exportPlan(
      for: native.tensors, file: "model.safetensors", config: config, family: "bert", dialect: dialect)
    let out = MemorySink()
    try Converter.write(back, from: native, to: out, progress: nil)
    if dialect == "transformers" {
      #expect(out.infos.map(\.name) == native.tensors.map(\.name))
      return
    }
    let shapes = Dictionary(uniqueKeysWithValues: google.tensors.map { ($0.name, $0.shape) })
    #expect(Dictionary(uniqueKeysWithValues: out.infos.map { ($0.name, $0.shape) }) == shapes)
    // Converted again, what was exported is the model.
    var exported = MemorySource()
    for info in out.infos { exported.add(info.name, info.shape) }
    let again = try plan(exported)
    #expect(again.names == native.tensors.map(\.name))
    let weight = native.bytes("bert.encoder.layer.0.output.dense.weight")
    let kernel = out.bytes("bert/encoder/layer_0/output/dense/kernel")
    #expect(weight != kernel && weight.count == kernel.count)
    #expect(kernel[4..<8] == weight[(Size.inner * 4)..<(Size.inner * 4 + 4)])
  }

  /// google-research/bert has four words: its gelu is the tanh form today and was the other one before.
  @Test(arguments: [
    ("gelu_new", "gelu"), ("gelu_pytorch_tanh", "gelu"), ("gelu_fast", "gelu"), ("gelu", "gelu"),
    ("gelu_python", "gelu"),
    ("relu", "relu"), ("tanh", "tanh"), ("linear", "linear"), ("silu", nil), ("quick_gelu", nil),
  ]) func exportWritesTheWordsOfTheProgram(word: String, expected: String?) throws {
    var config = config
    config.set("hidden_act", .string(word))
    func exported() throws -> JSON {
      try mapper().exportPlan(
        for: transformersTensors().tensors, file: "m", config: config, family: "bert", dialect: "google-tf1"
      ).config
    }
    if let expected {
      #expect(try exported()["hidden_act"] == .string(expected))
    } else {
      let error = #expect(throws: FormatError.self) { try exported() }
      #expect(error?.kind == .unsupported && error?.problem.contains("no word for hidden_act '\(word)'") == true)
    }
  }

  @Test func exportRefusesWhatADialectHasNoNameFor() throws {
    var native = transformersTensors()
    native.add("stray", [1])
    #expect(throws: FormatError.self) {
      try mapper().exportPlan(for: native.tensors, file: "m", config: config, family: "bert", dialect: "google-tf1")
    }
    #expect(throws: FormatError.self) {
      try mapper().exportPlan(for: [], file: "m", config: config, family: "bert", dialect: "klingon")
    }
  }
}
