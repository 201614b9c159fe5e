import CheckpointReaders
import ModelFamilies
import TensorIO
import TestSupport
import Testing
import WeightMapping

@testable import Conversion

/// What the graphs of TensorFlow show of a model, each written by TensorFlow with settings that nobody would assume.
@Suite struct GraphSettingsTests {
  private func observed(_ path: String) throws -> [ConfigSetting: ObservedSetting] {
    let settings = try CheckpointOpener().open(fixture(path)).observedSettings
    return Dictionary(settings.map { ($0.setting, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The words of the functions that a graph can show are in `shared.yaml`, under the names of their patterns.
  @Test(
    arguments: [
      (GraphFlow.Function.erf, "gelu"), (.tanhOfCubic, "gelu_new"), (.scaledGate, "quick_gelu"), (.gate, "silu"),
      (.relu, "relu"), (.tanh, nil), (.sigmoid, nil), (.other, nil),
    ] as [(GraphFlow.Function, String?)])
  func theWordOfAPattern(function: GraphFlow.Function, word: String?) {
    #expect(SharedDefinitions.activation(named: function.rawValue, in: .graph) == word)
  }

  @Test(arguments: [
    ("tensorflow/graph-v1/model.ckpt", "model.ckpt.meta"), ("tensorflow/graph-v1/frozen.pb", "frozen.pb"),
  ])
  func aGraphOfTensorFlow1(path: String, file: String) throws {
    let found = try observed(path)
    #expect(found[.headCount] == ObservedSetting(.headCount, .int(4), size: 8, origin: "the graph in \(file)"))
    #expect(found[.layerNormEpsilon]?.value.doubleValue == 1e-5)
    #expect(found[.activation]?.value == .string("gelu_new"))
    #expect(found[.layerCount]?.value == .int(2))
  }

  @Test func aSavedModelWithItsGraphInFunctions() throws {
    let found = try observed("tensorflow/graph-v2")
    #expect(found[.headCount] == ObservedSetting(.headCount, .int(2), size: 8, origin: "the graph in saved_model.pb"))
    #expect(found[.layerNormEpsilon]?.value.doubleValue == 1e-3)
    #expect(found[.activation]?.value == .string("gelu"))
  }

  @Test func aConversionTakesThem() throws {
    let model = try SourceModel(fixture("tensorflow/graph-v1/model.ckpt"))
    let plan = try model.plan()
    #expect(plan.config["num_attention_heads"] == .int(4))
    #expect(plan.config["hidden_act"] == .string("gelu_new"))
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-5)
    #expect(!plan.notes.contains { if case .assumed = $0.kind { true } else { false } })
  }

  /// The frozen graph has the same weights, and a constant of the test's own.
  @Test func theConstantsOfAFrozenGraphAreItsWeights() throws {
    var options = SourceOptions()
    options.allowUnexpected = ["ones"]
    let frozen = try SourceModel(fixture("tensorflow/graph-v1/frozen.pb"), options: options)
    let checkpoint = try SourceModel(fixture("tensorflow/graph-v1/model.ckpt"))
    let plan = try frozen.plan()
    #expect(plan.targets.map(\.info.name) == (try checkpoint.plan()).targets.map(\.info.name))
    for tensor in checkpoint.tensors.tensors {
      let index = try #require(frozen.tensors.index(ofTensor: tensor.name))
      let own = try #require(checkpoint.tensors.index(ofTensor: tensor.name))
      let bytes = try frozen.tensors.withBytes(ofTensorAt: index) { $0.array() }
      #expect(try checkpoint.tensors.withBytes(ofTensorAt: own) { $0.array() } == bytes)
      #expect(frozen.tensors.tensors[index].location != nil)
    }
  }

  /// An operator that is not on the list of harmless ones is named; what a saver does by itself is not.
  @Test func operatorsThatReachOutOfAGraphAreNamed() throws {
    let code = try CheckpointOpener().open(fixture("tensorflow/graph-code")).source.code
    #expect(
      Set(code.map(\.name)) == ["WriteFile", "PrintV2", "Save", "EagerPyFunc"]
        || Set(code.map(\.name)) == ["WriteFile", "PrintV2", "Save", "PyFunc"])
    #expect(code.allSatisfy { $0.verdict == .dangerous && $0.kind == .tensorFlowGraph })
    for path in [
      "tensorflow/graph-v1/model.ckpt", "tensorflow/graph-v1/frozen.pb", "tensorflow/graph-v2",
      "tensorflow/saved-model",
    ] {
      #expect(try CheckpointOpener().open(fixture(path)).source.code == [])
    }
  }
}
