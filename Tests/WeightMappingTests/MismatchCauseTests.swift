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
    // A config alone says nothing of floating-point weights.
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

  @Test func piecesForTensorParallelism() throws {
    let inside = ["query.weight", "query.bias", "key.weight", "key.bias", "value.weight", "value.bias"]
    let rows = inside.map { "attention.self." + $0 } + ["intermediate.dense.weight", "intermediate.dense.bias"]
    var source = replacing(rows) { [$0[0] / 2] + $0.dropFirst() }
    source = replacing(["attention.output.dense.weight", "output.dense.weight"], in: source) { [$0[0], $0[1] / 2] }
    let error = try #require(refusal(source))
    #expect(error.problem.contains("one of 2 pieces"), "\(error)")
    #expect(error.advice?.text.contains("Join the pieces") == true)
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
    #expect(error.problem.contains("'longformer' model, which is not converted"))
    guard case .all(let advice) = error.advice else {
      Issue.record("\(error)")
      return
    }
    #expect(advice.contains(.chooseFamily(["bert"])))
    source.add("bert.encoder.layer.0.attention.self.query_global.weight", [h, h])
    error = try #require(refusal(source, longformer))
    #expect(error.kind == .unrecognized && error.advice == nil)
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

  @Test func aChosenFamilyIsTakenWhateverTheConfigSays() throws {
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
    // Names that somebody gave are no defaults.
    let given = JSON.object([.init("0", .string("no")), .init("1", .string("yes"))])
    #expect(refusal(source, old.changing("id2label", given))?.kind == .mismatch)
  }
}
