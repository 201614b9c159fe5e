import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// What a config of Keras would make Keras run or import.
@Suite struct KerasCodeTests {
  private func code(_ text: String) -> [String] {
    KerasCode.code(inConfigs: [text]).map { "\($0.name) \($0.verdict.rawValue)" }
  }

  @Test func manyUnknownClassesHideNoLambda() {
    let many = (0..<1001).map { #"{"class_name": "Custom>C\#($0)", "config": {}}"# }
    let found = code("[" + (many + [#"{"class_name": "Lambda", "config": {}}"#]).joined(separator: ",") + "]")
    #expect(found.count == 1001 && found.last == "Lambda dangerous")
  }

  @Test(arguments: [
    (#"{"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAA==", null, null]}}"#, "Lambda dangerous"),
    (
      #"{"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}"#,
      "Lambda dangerous"
    ),
    (
      #"{"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__", "config": {}}}}"#,
      "__lambda__ dangerous"
    ),
    (#"{"class_name": "function", "module": "os", "config": "system"}"#, "os.system dangerous"),
    (#"{"class_name": "function", "module": "builtins", "config": "exec"}"#, "builtins.exec dangerous"),
    (#"{"class_name": "function", "module": "builtins", "config": "my_loss"}"#, "my_loss unknown"),
    (#"{"class_name": "function", "module": "keras.utils", "config": "get_file"}"#, "keras.utils.get_file unknown"),
    (#"{"class_name": "Custom>Mine", "config": {}}"#, "Mine unknown"),
    (#"{"module": "mine.layers", "class_name": "Mine", "config": {}}"#, "mine.layers.Mine unknown"),
    (#"{"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}"#, "tf.io.write_file dangerous"),
    (#"{"class_name": "TensorFlowOpLayer", "config": {"node_def": "{\"op\": \"ReadFile\"}"}}"#, "ReadFile dangerous"),
    (#"{"class_name": "TFSMLayer", "config": {"filepath": "elsewhere"}}"#, "TFSMLayer dangerous"),
  ])
  func codeIsNamed(config: String, expected: String) {
    #expect(code(#"{"class_name": "Functional", "config": {"layers": [\#(config)]}}"#) == [expected])
  }

  @Test(arguments: [
    #"{"class_name": "Dense", "config": {"kernel_initializer": {"class_name": "GlorotUniform", "config": {}}, "activation": "gelu"}}"#,
    #"{"module": "keras_hub.src.layers.modeling.transformer_encoder", "class_name": "TransformerEncoder", "config": {"activation": {"module": "builtins", "class_name": "function", "config": "gelu_approximate", "registered_name": "keras_hub>gelu_approximate"}}}"#,
    #"{"class_name": "MultiHeadSelfAttention", "config": {"head_num": 12}}"#,
    #"{"class_name": "TFOpLambda", "config": {"function": "math.add"}}"#,
    #"{"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": "Mul"}}}"#,
    "not JSON",
  ])
  func whatIsHarmlessIsNot(config: String) { #expect(code(config) == []) }

  /// `keras_metadata.pb` next to a SavedModel has the configs of its layers.
  @Test func aLambdaOfASavedModelIsNamed() throws {
    let folder = TemporaryFolder()
    folder.makeFolder("variables")
    for name in ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"] {
      _ = try folder.copy(fixture("tensorflow/graph-v2/\(name)"), as: name)
    }
    let config = Array(#"{"class_name": "Lambda", "config": {"name": "mine"}}"#.utf8)
    let object = [0x2A, UInt8(config.count)] + config
    _ = try folder.write([0x0A, UInt8(object.count)] + object, "keras_metadata.pb")
    let source = try CheckpointOpener().open(folder.path).source
    #expect(source.code.map(\.name) == ["Lambda"])
    #expect(source.warnings.contains { $0.contains("Lambda") })
  }
}
