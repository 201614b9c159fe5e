import CheckpointReaders
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Names that programs give to the tensors of models that are known under others, and second forms of weights.
@Suite("Names of programs")
struct ProgramNamesTests {
  private let names: [String]

  init() throws { names = try plan(transformersTensors()).names }

  // MARK: Second forms

  @Test func copiesInF32AreTheWeightsOfHalfPrecision() throws {
    var source = MemorySource()
    for tensor in googleTensors().tensors {
      source.add(tensor.name, tensor.shape, type: .f16)
      source.add(tensor.name + "/shadow", tensor.shape)
      source.add(tensor.name + "/adam_m", tensor.shape)
    }
    let plan = try plan(source)
    #expect(Set(plan.names) == Set(names))
    #expect(plan.targets.allSatisfy { $0.info.elementType == .f32 })
    #expect(plan.report.dropped.count { $0.cause == .derived } == names.count)
    #expect(plan.notes.contains { $0.kind == .secondForms })
  }

  @Test func copiesNextToWeightsOfFullPrecisionAreDropped() throws {
    var source = googleTensors()
    for tensor in googleTensors().tensors { source.add(tensor.name + "/shadow", tensor.shape) }
    let plan = try plan(source)
    #expect(plan.report.dropped.count == names.count)
    #expect(plan.report.dropped.allSatisfy { $0.cause == .optimizer })
  }

  @Test(arguments: [true, false])
  func averagesAreTakenOnRequest(asked: Bool) throws {
    var source = googleTensors()
    for tensor in googleTensors().tensors { source.add(tensor.name + "/ExponentialMovingAverage", tensor.shape) }
    let plan = try averaged(source, asked)
    #expect(Set(plan.names) == Set(names))
    let taken = plan.targets.map { source.tensors[$0.sources[0]].name }
    #expect(taken.allSatisfy { $0.hasSuffix("ExponentialMovingAverage") == asked })
    #expect(plan.report.dropped.count == names.count)
  }

  @Test(arguments: [true, false])
  func averagedModelsOfTorchAreTakenOnRequest(asked: Bool) throws {
    var source = transformersTensors().renamed { "model." + $0 }
    for tensor in transformersTensors().tensors { source.add("ema_model." + tensor.name, tensor.shape) }
    let plan = try averaged(source, asked)
    #expect(Set(plan.names) == Set(names))
    #expect(plan.targets.allSatisfy { source.tensors[$0.sources[0]].name.hasPrefix("ema_model.") == asked })
  }

  private func averaged(_ source: MemorySource, _ asked: Bool) throws -> MappingPlan {
    try Mapper(tables: try MappingTable.builtIn()).plan(
      for: source.tensors, file: "m", config: nil, configFile: nil, allowUnexpected: [], takesAverages: asked)
  }

  // MARK: Names

  @Test(arguments: ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"])
  func wrappersAreNoPartOfANameWhereverTheyAre(wrapper: String) throws {
    let source = transformersTensors().renamed {
      $0.replacing("encoder.layer.0.", with: "encoder.layer.0.\(wrapper).").replacing(
        "bert.pooler", with: "bert.\(wrapper).pooler")
    }
    let plan = try plan(source)
    #expect(Set(plan.names) == Set(names))
    #expect(plan.notes.contains { $0.kind == .wrappers && $0.text.contains("'\(wrapper)'") })
  }

  @Test func denseLayersOfNVIDIAHaveTheirActivation() throws {
    let source = transformersTensors().renamed { name in
      ["intermediate.dense.", "pooler.dense.", "transform.dense."].reduce(name) { name, part in
        name.replacing(part, with: part.dropLast() + "_act.")
      }
    }
    #expect(Set(try plan(source).names) == Set(names))
  }

  @Test func normalizationsOfKerasAreCountedThroughTheModel() throws {
    var number = 0
    let source = googleTensors().renamed { name in
      guard name.contains("LayerNorm") else { return name }
      if name.hasSuffix("gamma") { number += 1 }
      return name.replacing(
        "LayerNorm", with: number == 1 ? "layer_normalization" : "layer_normalization_\(number - 1)")
    }
    let plan = try plan(source, nil)
    #expect(Set(plan.names) == Set(names))
    #expect(plan.dialect == "google-tf1-keras-norm")
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-3)
    #expect(plan.notes.contains { $0.text.contains("1e-3") })
  }

  @Test(arguments: ["decoder.sentence_encoder", "encoder.sentence_encoder"], [false, true])
  func robertasOfFairseq(encoder: String, isFused: Bool) throws {
    let base = TestSupport.fixture("heads/RobertaForMaskedLM")
    let real = try CheckpointOpener().open("\(base)/model.safetensors").source
    let parts = [
      ("roberta.embeddings.word_embeddings", "\(encoder).embed_tokens"),
      ("roberta.embeddings.position_embeddings", "\(encoder).embed_positions"),
      ("roberta.embeddings.LayerNorm", "\(encoder).emb_layer_norm"), ("roberta.encoder.layer", "\(encoder).layers"),
      ("attention.self.query", "self_attn.q_proj"), ("attention.self.key", "self_attn.k_proj"),
      ("attention.self.value", "self_attn.v_proj"), ("attention.output.dense", "self_attn.out_proj"),
      ("attention.output.LayerNorm", "self_attn_layer_norm"), ("intermediate.dense", "fc1"),
      ("output.dense", "fc2"), ("output.LayerNorm", "final_layer_norm"),
      ("lm_head", encoder.replacing("sentence_encoder", with: "lm_head")),
    ]
    var source = MemorySource()
    for tensor in real.tensors where !tensor.name.contains("token_type") && !tensor.name.contains("decoder") {
      let name = "model." + parts.reduce(tensor.name) { $0.replacing($1.0, with: $1.1) }
      guard isFused, name.contains("_proj"), !name.contains("out_proj") else {
        source.add(name, tensor.shape)
        continue
      }
      guard name.contains("q_proj") else { continue }
      let fused = name.replacing("q_proj.", with: "in_proj_")
      source.add(fused, [3 * tensor.shape[0]] + tensor.shape.dropFirst())
    }
    let plan = try plan(source, try JSON.parse(try FileSystem.text("\(base)/config.json")))
    #expect(plan.family == "roberta" && plan.dialect == (isFused ? "fairseq-in-proj" : "fairseq"))
    #expect(plan.notes.contains { if case .zeros = $0.kind { true } else { false } })
    let wanted = real.tensors.map(\.name).filter { !$0.contains("lm_head.decoder") }
    #expect(Set(plan.names) == Set(wanted))
    let made = try #require(plan.targets.first { $0.info.name.contains("token_type") })
    #expect(made.operation == .zeros && made.info.shape == [1, 16])
  }

  @Test func numbersOfKerasCountAnewWithinWhatPrecedesThem() throws {
    let tensors = try CheckpointOpener().open(
      TestSupport.fixture("programs/bert4keras/h5-mlm/best_model.h5")
    ).source.tensors
    // Another process would have counted on.
    let later = tensors.map { tensor in
      var tensor = tensor
      tensor.fullName = tensor.fullName?.replacing("/dense_1/", with: "/dense_31/").replacing(
        "/dense/", with: "/dense_7/"
      )
      .replacing("/dense_2/", with: "/dense_32/").replacing("/dense_3/", with: "/dense_33/")
      return tensor
    }
    let mapper = Mapper(tables: try MappingTable.builtIn())
    for tensors in [tensors, later] {
      let outline = mapper.outline(of: tensors, config: nil)
      #expect(outline.recognition.dialect == "bert4keras")
      #expect(outline.report.isComplete, "\(outline.report.unexpected.map(\.name))")
    }
  }

  // MARK: What a word means

  @Test func anExportWritesTheWordOfTheProgramThatReadsIt() throws {
    let base = TestSupport.fixture("heads/AlbertForMaskedLM")
    var config = try JSON.parse(try FileSystem.text("\(base)/config.json"))
    let model = try convert(
      try MemorySource(copying: try CheckpointOpener().open("\(base)/model.safetensors").source), config)
    let mapper = Mapper(tables: try MappingTable.builtIn())
    func exported(_ word: String) throws -> MappingPlan {
      config.set("hidden_act", .string(word))
      return try mapper.exportPlan(
        for: model.infos, file: "m", config: config, family: "albert", dialect: "google-tf1")
    }
    #expect(try exported("gelu_new").config["hidden_act"] == .string("gelu"))
    #expect(try exported("gelu_fast").config["hidden_act"] == .string("gelu"))
    #expect(throws: FormatError.self) { try exported("gelu") }
  }

  @Test func bothMeaningsOfAWordAreNoted() throws {
    let plan = try plan(googleTensors(), .object(["hidden_act": .string("gelu"), "num_attention_heads": .int(2)]))
    #expect(plan.config["hidden_act"] == .string("gelu"))
    #expect(plan.notes.contains { $0.kind == .twoMeanings(key: "hidden_act") })
  }
}
