import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// What something other than config and tensors shows: it comes after the config and before any assumption.
@Suite struct ObservedSettingTests {
  private static let origin = "the graph in model.ckpt.meta"
  private let source = googleTensors()

  private func plan(_ observed: [ObservedSetting], config: JSON?) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, observed: observed, file: "model.ckpt", config: config, configFile: "bert_config.json",
      allowUnexpected: [])
  }

  private var settings: [ObservedSetting] {
    [
      ObservedSetting(.headCount, .int(2), size: Size.hidden, origin: Self.origin),
      ObservedSetting(.activation, .string("gelu_new"), origin: Self.origin),
      ObservedSetting(.layerNormEpsilon, .double(1e-5), origin: Self.origin),
    ]
  }

  @Test func anObservedValueIsTakenBeforeAnyAssumption() throws {
    let plan = try plan(settings, config: nil)
    #expect(plan.config["num_attention_heads"] == .int(2))
    #expect(plan.config["hidden_act"] == .string("gelu_new"))
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-5)
    let note = try #require(plan.notes.first { if case .takenFromCheckpoint = $0.kind { true } else { false } })
    #expect(note.text.hasPrefix("taken from \(Self.origin): num_attention_heads 2, hidden_act gelu_new"))
    #expect(!plan.notes.contains { if case .assumed = $0.kind { true } else { false } })
  }

  @Test func valuesThatDisagreeAreNotTaken() throws {
    let other = ObservedSetting(.layerNormEpsilon, .double(1e-3), origin: "another file")
    let plan = try plan(settings + [other], config: nil)
    #expect(plan.notes.contains { $0.kind == .programDefault(key: "layer_norm_eps") })
  }

  /// A checkpoint may hold two models, as ELECTRA's generator and discriminator.
  @Test func headsOfAnotherModelsSizeAreNotTaken() throws {
    let other = ObservedSetting(.headCount, .int(4), size: Size.hidden * 2, origin: Self.origin)
    #expect(try plan([other], config: nil).notes.contains { $0.kind == .assumed(key: "num_attention_heads") })
    #expect(try plan([other] + settings, config: nil).config["num_attention_heads"] == .int(2))
  }

  @Test func aNumberOfHeadsThatContradictsTheConfigIsRefused() throws {
    let error = #expect(throws: FormatError.self) { try plan(settings, config: config) }
    #expect(error?.description.contains("num_attention_heads of \(Self.origin) is 2") == true)
  }

  @Test func theWordGeluIsSettledByWhatWasObserved() throws {
    let config = config.changing("num_attention_heads", .int(2))
    let made = try plan(settings, config: config)
    #expect(made.config["hidden_act"] == .string("gelu_new"))
    let note = try #require(made.notes.first { $0.kind == .reworded(key: "hidden_act") })
    #expect(note.text.contains("'gelu' of bert_config.json") && note.text.contains("'gelu_new' in \(Self.origin)"))
    // Any other word has one meaning: the config's is taken, and the other is reported.
    let relu = try plan(settings, config: config.changing("hidden_act", .string("relu")))
    #expect(relu.config["hidden_act"] == .string("relu"))
    #expect(relu.notes.contains { $0.kind == .configPreferred(key: "hidden_act") })
    // Two words for one function agree.
    let same = try plan(settings, config: config.changing("hidden_act", .string("gelu_pytorch_tanh")))
    #expect(same.config["hidden_act"] == .string("gelu_pytorch_tanh"))
    #expect(!same.notes.contains { $0.kind == .configPreferred(key: "hidden_act") })
  }

  @Test func theConfigsEpsilonIsPreferredAndTheOtherReported() throws {
    let config = config.changing("num_attention_heads", .int(2)).changing("layer_norm_eps", .double(1e-12))
    let plan = try plan(settings, config: config)
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-12)
    #expect(plan.notes.contains { $0.kind == .configPreferred(key: "layer_norm_eps") })
  }

  // MARK: Pickled modules

  private func plan(attributes: [(key: String, value: String)]) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, metadata: attributes, file: "model.pt", config: nil, configFile: nil, allowUnexpected: [])
  }

  @Test func theAttributesOfAPickledModuleAreItsSettings() throws {
    let plan = try plan(attributes: [
      ("bert.encoder.layer.0.attention.self.num_attention_heads", "2"),
      ("bert.encoder.layer.1.attention.self.num_attention_heads", "2"),
      ("bert.embeddings.LayerNorm.eps", "1e-05"), ("bert.encoder.layer.0.output.LayerNorm.eps", "1e-05"),
      ("bert.encoder.layer.0.intermediate.intermediate_act_fn", "transformers.activations.NewGELUActivation"),
      ("bert.pooler.activation", "torch.nn.modules.activation.Tanh"),
    ])
    #expect(plan.config["num_attention_heads"] == .int(2))
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-5)
    #expect(plan.config["hidden_act"] == .string("gelu_new"))
  }

  /// Functions under the names that programs pickle them by; of torch's GELU an attribute selects the form.
  @Test(
    arguments: [
      ("torch.nn.functional.relu", nil, "relu"), ("torch._C._nn.gelu", nil, "gelu"),
      ("pytorch_pretrained_bert.modeling.gelu", nil, "gelu"), ("transformers.modeling_bert.gelu_new", nil, "gelu_new"),
      ("transformers.activations.QuickGELUActivation", nil, "quick_gelu"),
      ("torch.nn.modules.activation.GELU", nil, "gelu"), ("torch.nn.modules.activation.GELU", "none", "gelu"),
      ("torch.nn.modules.activation.GELU", "tanh", "gelu_pytorch_tanh"), ("mish", nil, "mish"),
      ("torch.nn.modules.activation.GELU", "other", nil), ("somebody.gelu", nil, nil), ("somebodys", nil, nil),
    ] as [(String, String?, String?)])
  func theFunctionOfAPickledModule(name: String, form: String?, word: String?) throws {
    let path = "bert.encoder.layer.0.intermediate.intermediate_act_fn"
    let made = try plan(
      attributes: [(path, name)] + (form.map { [("\(path).approximate", $0)] } ?? []))
    #expect(made.config["hidden_act"] == .string(word ?? "gelu"))
    let isTaken = made.notes.contains { $0.kind == .takenFromCheckpoint(keys: ["hidden_act"]) }
    #expect(isTaken == (word != nil), "\(made.notes)")
  }

  // MARK: Keras

  private func plan(layers: String, config: JSON? = nil) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, metadata: [("model_config", layers)], file: "model.h5", config: config, configFile: nil,
      allowUnexpected: [])
  }

  @Test func theLayersOfAKerasModelAreItsSettings() throws {
    let layers = """
      {"class_name": "Functional", "config": {"layers": [
        {"class_name": "LayerNormalization", "config": {"name": "norm", "epsilon": 1e-05}},
        {"class_name": "MultiHeadAttention", "config": {"heads": 2, "head_size": 3, "activation": "linear"}},
        {"class_name": "FeedForward", "config": {"units": 10, "activation": ["gelu_tanh"]}}]}}
      """
    let made = try plan(layers: layers)
    #expect(made.config["num_attention_heads"] == .int(2))
    #expect(made.config["layer_norm_eps"]?.doubleValue == 1e-5)
    #expect(made.config["hidden_act"] == .string("gelu_new"))
    // A word that programs mean two functions by stays one of the dialect's.
    let word = try plan(layers: layers.replacing("gelu_tanh", with: "gelu"))
    #expect(word.config["hidden_act"] == .string("gelu"))
    // Layers that disagree, and one whose epsilon is its program's own, show nothing.
    let other = try plan(
      layers: layers.replacing("1e-05", with: "null").replacing("\"head_size\": 3", with: "\"num_heads\": 3"))
    #expect(other.notes.contains { $0.kind == .assumed(key: "num_attention_heads") })
    #expect(other.config["layer_norm_eps"]?.doubleValue == 1e-12)
  }

  @Test func aConfigOfKerasHubIsNoConfigOfTransformers() throws {
    let config = try JSON.parse(
      #"{"module": "keras_hub.src.models.bert.bert_backbone", "class_name": "BertBackbone", "config": {"num_heads": 2}}"#
    )
    let made = try mapper().plan(
      for: source.tensors, file: "model.h5", config: config, configFile: "config.json", allowUnexpected: [])
    #expect(made.config["num_attention_heads"] == .int(2))
    #expect(made.config["class_name"] == nil && made.config["config"] == nil)
  }

  @Test func aFunctionOfAnUnknownProgramIsNotTaken() throws {
    let plan = try plan(attributes: [
      ("encoder.layer.0.intermediate.intermediate_act_fn", "my_model.gelu"),
      ("encoder.layer.0.attention.self.num_attention_heads", "2"),
      ("teacher.layer.0.attention.self.num_attention_heads", "3"),
    ])
    #expect(plan.notes.contains { $0.kind == .assumed(key: "hidden_act") })
    #expect(plan.notes.contains { $0.kind == .assumed(key: "num_attention_heads") })
  }
}
