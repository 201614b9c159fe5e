import CheckpointReaders
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Each cause has a message of its own, with advice that leads somewhere.
@Suite struct MismatchCauseTests {
  private let h = Size.hidden

  /// What the plan throws for a BERT in the names of `transformers`.
  private func refusal(_ source: MemorySource = transformersTensors(), _ json: JSON? = config) -> FormatError? {
    formatError { _ = try plan(source, json) }
  }

  private func replacing(
    _ endings: [String], in source: MemorySource = transformersTensors(), _ shape: ([Int]) -> [Int]
  )
    -> MemorySource
  {
    var copy = source
    for info in source.tensors where endings.contains(where: info.name.hasSuffix) {
      copy.remove(info.name)
      copy.add(info.name, shape(info.shape))
    }
    return copy
  }

  @Test func placeholdersOfZeRO() throws {
    let empty = replacing([""]) { _ in [0] }
    let error = try #require(refusal(empty))
    #expect(error.kind == .unsupported && error.problem.contains("empty placeholders"))
    #expect(error.advice?.text.contains("zero_to_fp32.py") == true)
  }

  @Test func quantizedWeights() throws {
    var source = transformersTensors()
    let name = "bert.encoder.layer.0.output.dense.weight"
    source.remove(name)
    source.add(name, [h, Size.inner], type: .i8)
    source.add("bert.encoder.layer.0.output.dense.SCB", [h])
    #expect(try #require(refusal(source)).problem.contains("quantized by bitsandbytes"))
    let config = config.changing("quantization_config", .object([.init("quant_method", .string("gptq"))]))
    #expect(try #require(refusal(source, config)).problem.contains("quantized by gptq"))
    // A config alone shows nothing about floating-point weights.
    #expect(refusal(transformersTensors(), config) == nil)
  }

  @Test func prunedHeads() throws {
    let inside = ["query.weight", "query.bias", "key.weight", "key.bias", "value.weight", "value.bias"]
    var source = replacing(inside.map { "layer.0.attention.self." + $0 }) { [4] + $0.dropFirst() }
    source = replacing(["layer.0.attention.output.dense.weight"], in: source) { [$0[0], 4] }
    #expect(try #require(refusal(source)).problem.contains("query matrices of 4, 6 rows in a model of width 6"))
    let named = config.changing("pruned_heads", .object([.init("0", .array([.int(1)]))]))
    #expect(try #require(refusal(source, named)).problem.contains("pruned_heads of bert_config.json"))
  }

  @Test func aPrunedFeedForward() throws {
    let inside = ["intermediate.dense.weight", "intermediate.dense.bias"]
    var source = replacing(inside.map { "layer.0." + $0 }) { [$0[0] - 3] + $0.dropFirst() }
    source = replacing(["layer.0.output.dense.weight"], in: source) { [$0[0], $0[1] - 3] }
    let error = try #require(refusal(source))
    #expect(error.problem.contains("inner sizes of \(Size.inner - 3), \(Size.inner)"), "\(error)")
  }

  @Test(arguments: [
    (["weight_orig", "weight_mask"], "prune.remove"), (["weight_g", "weight_v"], "remove_weight_norm"),
    (["weight_orig", "weight_u"], "remove_spectral_norm"),
    (["parametrizations.weight.original0", "parametrizations.weight.original1"], "remove_parametrizations"),
    (["parametrizations.weight.original", "parametrizations.weight.0.mask"], "remove_parametrizations"),
  ])
  func weightsThatTorchComputes(endings: [String], function: String) throws {
    let module = "bert.encoder.layer.1.intermediate.dense."
    var source = transformersTensors()
    source.remove(module + "weight")
    for ending in endings { source.add(module + ending, [Size.inner, h]) }
    let error = try #require(refusal(source))
    #expect(error.kind == .unsupported && error.problem.contains(endings[0]), "\(error)")
    #expect(error.advice?.text.contains(function) == true)
  }

  @Test func aModuleThatTorchQuantized() throws {
    var source = transformersTensors()
    let module = "bert.encoder.layer.1.intermediate.dense."
    for part in ["weight", "bias"] { source.remove(module + part) }
    source.add(module + "_packed_params._packed_params.0", [Size.inner, h])
    source.add(module + "_packed_params._packed_params.1", [Size.inner])
    #expect(try #require(refusal(source)).problem.contains("quantized by torch"))
  }

  @Test func shardsForTensorParallelism() throws {
    let inside = ["query.weight", "query.bias", "key.weight", "key.bias", "value.weight", "value.bias"]
    let rows = inside.map { "attention.self." + $0 } + ["intermediate.dense.weight", "intermediate.dense.bias"]
    var source = replacing(rows) { [$0[0] / 2] + $0.dropFirst() }
    source = replacing(["attention.output.dense.weight", "output.dense.weight"], in: source) { [$0[0], $0[1] / 2] }
    let error = try #require(refusal(source))
    #expect(error.problem.contains("one of 2 shards"), "\(error)")
    #expect(error.advice?.text.contains("Join the shards") == true)
  }

  @Test(arguments: [
    ("use_relative_position", JSON.bool(true)), ("max_relative_position", .int(64)),
    ("position_embedding_type", .string("relative_key")),
  ])
  func relativePositions(key: String, value: JSON) throws {
    var source = transformersTensors()
    source.remove("bert.embeddings.position_embeddings.weight")
    #expect(try #require(refusal(source, config.changing(key, value))).problem.contains("relative positions (\(key)"))
  }

  @Test func aModelOfNoFamilyHere() throws {
    let longformer = config.changing("model_type", .string("longformer"))
    var source = transformersTensors()
    // The tensors are a BERT's: whoever knows that it computes as one may say so.
    var error = try #require(refusal(source, longformer))
    #expect(error.problem.contains("model_type 'longformer', which is not converted"))
    guard case .all(let advice) = error.advice else {
      Issue.record("\(error)")
      return
    }
    #expect(advice.contains(.chooseFamily(["bert"])))
    source.add("bert.encoder.layer.0.attention.self.query_global.weight", [h, h])
    error = try #require(refusal(source, longformer))
    #expect(error.kind == .unrecognized && error.advice == nil)
  }

  @Test(arguments: ["BigBirdModel", "YosoForMaskedLM", "TFRoFormerModel", "LayoutLMForTokenClassification"])
  func aClassOfNoFamilyHere(name: String) throws {
    func naming(_ names: String...) -> JSON { config.changing("architectures", .strings(names)) }
    let error = try #require(refusal(transformersTensors(), naming(name)))
    #expect(error.kind == .unrecognized && error.problem.contains("names the class \(name)"), "\(error)")
    guard case .all(let advice) = error.advice else {
      Issue.record("\(error)")
      return
    }
    #expect(advice.contains(.chooseFamily(["bert"])))
    let chosen = try mapper().restricted(to: "bert").plan(
      for: transformersTensors().tensors, file: "x", config: naming(name), configFile: nil, allowUnexpected: [])
    #expect(chosen.family == "bert")
    // A model_type is stronger; classes of users are named after the model, or like no class of transformers.
    #expect(refusal(transformersTensors(), naming(name).changing("model_type", .string("bert"))) == nil)
    for other in ["BertForEntities", "TFBertForMaskedLM", "SentimentClassifier", "Model"] {
      #expect(refusal(transformersTensors(), naming(other)) == nil, "\(other)")
    }
    #expect(refusal(transformersTensors(), naming(name, "BertModel")) == nil)
  }

  @Test(arguments: [
    ("a model with layers of LoRA", ["bert.a.base_layer.weight", "bert.a.lora_A.default.weight"]),
    ("a LoHa adapter", ["m.a.hada_w1_a", "m.a.hada_w1_b", "m.a.hada_w2_a", "m.a.hada_w2_b"]),
    ("a LoKr adapter", ["m.a.lokr_w1", "m.a.lokr_w2_a"]), ("an IA3 adapter", ["m.a.ia3_l"]),
    ("an OFT or BOFT adapter", ["m.a.oft_r"]), ("a VeRA adapter", ["m.a.vera_lambda_b", "m.a.vera_lambda_d"]),
    ("the learned prompt", ["prompt_embeddings", "base_model.model.classifier.weight"]),
    ("the state of an optimizer", ["state.0.step", "state.0.exp_avg", "state.0.exp_avg_sq", "state.1.exp_avg"]),
    ("a frozen program of TorchScript", ["CONSTANTS.c0", "CONSTANTS.c17"]),
    ("FSDP", ["_fsdp_wrapped_module._flat_param", "_fsdp_wrapped_module.encoder.layer.0._flat_param"]),
  ])
  func whatIsNoModelByItselfIsNamed(description: String, names: [String]) throws {
    var source = MemorySource()
    for name in names { source.add(name, [h, 2]) }
    let error = try #require(refusal(source, nil))
    #expect(error.problem.contains(description), "\(error)")
    #expect(error.advice != nil && error.advice != .giveTable)
  }

  @Test func anAdapterIsNamed() throws {
    var source = MemorySource()
    for part in ["A", "B"] {
      source.add("base_model.model.bert.encoder.layer.0.attention.self.query.lora_\(part).weight", [h, 2])
    }
    let error = try #require(refusal(source, nil))
    #expect(error.problem.contains("LoRA adapter") && error.advice == .giveBaseModel)
  }

  // MARK: Families of the same names

  private func bare(positions: Int, types: Int) -> MemorySource {
    var source = transformersTensors(heads: false).renamed { String($0.dropFirst(5)) }
    source = replacing(["position_embeddings.weight"], in: source) { [positions] + $0.dropFirst() }
    return replacing(["token_type_embeddings.weight"], in: source) { [types] + $0.dropFirst() }
  }

  @Test(arguments: [258, 514, 8194]) func aBareRoBERTaIsKnownByItsPositions(positions: Int) throws {
    #expect(try plan(bare(positions: positions, types: 1), nil).family == "roberta")
  }

  @Test(arguments: [(512, 1), (514, 2)]) func whereTwoFamiliesFitBothAreNamed(positions: Int, types: Int) throws {
    let source = bare(positions: positions, types: types)
    let error = try #require(refusal(source, nil))
    #expect(error.kind == .unrecognized && error.problem.contains("a BERT or of a RoBERTa"))
    #expect(try mapper().recognize(source.tensors).family == nil)
    for family in ["bert", "roberta"] {
      let plan = try mapper().restricted(to: family).plan(
        for: source.tensors, file: "x", config: nil, configFile: nil, allowUnexpected: [])
      #expect(plan.family == family)
    }
    // Each of these decides it.
    for (family, key, value) in [
      ("roberta", "architectures", JSON.array([.string("RobertaModel")])), ("bert", "model_type", .string("bert")),
      ("roberta", "model_type", .string("xlm-roberta")), ("bert", "pad_token_id", .int(0)),
    ] { #expect(try plan(source, .object([.init(key, value)])).family == family, "\(key)") }
  }

  @Test func aPlainBERTNeedsNoDecision() throws {
    #expect(try plan(bare(positions: 512, types: 2), nil).family == "bert")
    // A RoBERTa has no such head.
    var source = bare(positions: 514, types: 2)
    for part in ["weight", "bias"] { source.add("cls.seq_relationship.\(part)", part == "bias" ? [2] : [2, h]) }
    #expect(try plan(source, nil).family == "bert")
    // Where the names leave it open, recognition asks the config.
    let roberta = JSON.object([.init("model_type", .string("roberta"))])
    #expect(try mapper().recognize(bare(positions: 40, types: 1).tensors, config: roberta).family == "roberta")
    let mpnet = try CheckpointOpener().open(fixture("heads/MPNetModel")).source.tensors
    #expect(try mapper().recognize(mpnet).family == "mpnet")
  }

  @Test func aChosenFamilyOverridesTheConfig() throws {
    let mapper = try mapper().restricted(to: "bert")
    let made = try mapper.plan(
      for: transformersTensors().tensors, file: "x", config: config.changing("model_type", .string("strange")),
      configFile: "config.json", allowUnexpected: [])
    #expect(made.family == "bert" && made.notes.contains { $0.kind == .familyChosen })
    let error = formatError { _ = try mapper.restricted(to: "robert") }
    #expect(error?.kind == .input)
  }

  // MARK: What is no model

  @Test func aFewNamesMakeNoFamily() throws {
    var source = MemorySource()
    for name in ["word_embeddings", "position_embeddings", "token_type_embeddings"] {
      source.add("bert.embeddings.\(name).weight", [8, h])
    }
    for index in 0..<9 { source.add("bert.v_encoder.v_layer.\(index).weight", [h, h]) }
    #expect(try mapper().recognize(source.tensors).family == nil)
  }

  @Test func aTableIsAdvisedForModelsAlone() throws {
    var source = MemorySource()
    #expect(refusal(source, nil)?.advice != .giveTable)
    source.add("w", [2, 2])
    #expect(refusal(source, nil)?.advice != .giveTable)
    for index in 0..<9 { source.add("net.block\(index).kernel", [h, h]) }
    #expect(refusal(source, nil)?.advice == .giveTable)
  }

  @Test func labelsThatHaveOnlyTheDefaultNames() throws {
    var source = transformersTensors(heads: false)
    source.add("classifier.weight", [4, h])
    source.add("classifier.bias", [4])
    let names = JSON.object([.init("0", .string("LABEL_0")), .init("1", .string("LABEL_1"))])
    let old = config.changing("id2label", names).changing("num_labels", .int(4))
    let made = try plan(source, old)
    #expect(made.config["id2label"]?.members?.count == 4)
    #expect(made.notes.contains { $0.kind == .unnamedLabels })
    // The names that label2id alone has are the labels'.
    let ids = JSON.object([.init("d", .int(3)), .init("b", .int(1)), .init("a", .int(0)), .init("c", .int(2))])
    let labels = try plan(source, config.changing("label2id", ids)).config["id2label"]
    #expect(labels?.members?.map(\.key) == ["0", "1", "2", "3"])
    #expect(labels?.members?.compactMap(\.value.stringValue) == ["a", "b", "c", "d"])
    // Names that somebody gave are no defaults.
    let given = JSON.object([.init("0", .string("no")), .init("1", .string("yes"))])
    #expect(refusal(source, old.changing("id2label", given))?.kind == .mismatch)
  }
}
