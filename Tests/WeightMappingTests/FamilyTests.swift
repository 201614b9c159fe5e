import CheckpointReaders
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// The families other than BERT, through their tables.
@Suite struct FamilyTests {
  /// The tensors of a source as a table names them, with the values of the real writer's file.
  private func source(_ name: String) throws -> (any TensorSource, JSON) {
    let base = TestSupport.fixture("heads/\(name)")
    return (
      try CheckpointOpener().open("\(base)/model.safetensors").source,
      try JSON.parse(try FileSystem.text("\(base)/config.json"))
    )
  }

  private func fake(_ name: String) throws -> (MemorySource, JSON) {
    let (real, config) = try source(name)
    var fake = MemorySource()
    for tensor in real.tensors { fake.add(tensor.name, tensor.shape) }
    return (fake, config)
  }

  @Test(arguments: [
    ("distilbert", "distilbert.", "DistilBert"), ("roberta", "roberta.", "Roberta"), ("electra", "electra.", "Electra"),
    ("albert", "albert.", "Albert"), ("megatron-bert", "bert.", "MegatronBert"),
    ("mobilebert", "mobilebert.", "MobileBert"), ("mpnet", "mpnet.", "MPNet"),
    ("ernie", "ernie.", "Ernie"), ("data2vec-text", "data2vec_text.", "Data2VecText"),
    ("xlm-roberta-xl", "roberta.", "XLMRobertaXL"),
  ])
  func everyHeadOfTransformersIsTakenAsItIs(family: String, root: String, name: String) throws {
    for head in [
      "Model", "ForMaskedLM", "ForPreTraining", "ForNextSentencePrediction", "ForSequenceClassification",
      "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice",
    ] where FileSystem.isFile(TestSupport.fixture("heads/\(name)\(head)/config.json")) {
      let (fake, config) = try fake(name + head)
      let plan = try plan(fake, config)
      #expect(plan.family == family && plan.dialect == "transformers", "\(name)\(head)")
      #expect(plan.config["architectures"] == .strings([name + head]))
      #expect(plan.config["model_type"] == .string(family))
      let result = try convert(fake, config)
      #expect(result.infos.count == fake.tensors.count)
      for tensor in fake.tensors {
        let target = head == "Model" ? root + tensor.name : tensor.name
        #expect(result.bytes(target) == fake.bytes(tensor.name), "\(target)")
      }
      // What the config has is kept.
      for member in config.members ?? [] where !["transformers_version", "dtype"].contains(member.key) {
        #expect(plan.config[member.key] == member.value, "\(name)\(head): \(member.key)")
      }
    }
  }

  @Test(arguments: [
    ("DistilBertForMaskedLM", "vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),
    ("RobertaForMaskedLM", "lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
    ("RobertaForMaskedLM", "lm_head.decoder.bias", "lm_head.bias"),
    ("ElectraForMaskedLM", "generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),
    ("AlbertForMaskedLM", "predictions.decoder.weight", "albert.embeddings.word_embeddings.weight"),
    ("AlbertForMaskedLM", "predictions.decoder.bias", "predictions.bias"),
    ("MegatronBertForMaskedLM", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("MobileBertForMaskedLM", "cls.predictions.decoder.weight", "mobilebert.embeddings.word_embeddings.weight"),
    ("MPNetForMaskedLM", "lm_head.decoder.weight", "mpnet.embeddings.word_embeddings.weight"),
  ])
  func tiedCopiesAreLeftOutAndOtherWeightsKept(name: String, copy: String, original: String) throws {
    var (tied, config) = try fake(name)
    let shape = try #require(tied.index(ofTensor: original).map { tied.tensors[$0].shape })
    var untied = tied
    tied.add(copy, shape, seed: original)
    untied.add(copy, shape)
    #expect(try !plan(tied, config).names.contains(copy))
    // Of two biases one is taken.
    #expect(try plan(untied, config).names.contains(copy) == copy.hasSuffix(".weight"))
    tied.remove(original)
    #expect(try convert(tied, config).bytes(original) == tied.bytes(copy))
  }

  @Test func theNamesTellTheFamilyWithoutAConfig() throws {
    for (family, name) in [
      ("distilbert", "DistilBertForQuestionAnswering"), ("roberta", "RobertaForTokenClassification"),
      ("electra", "ElectraForTokenClassification"), ("albert", "AlbertForQuestionAnswering"),
      ("megatron-bert", "MegatronBertForQuestionAnswering"), ("bert", "BertForQuestionAnswering"),
      ("mpnet", "MPNetModel"), ("mpnet", "MPNetForMaskedLM"), ("ernie", "ErnieForPreTraining"),
      ("data2vec-text", "Data2VecTextForMaskedLM"), ("xlm-roberta-xl", "XLMRobertaXLModel"),
      ("xlm-roberta-xl", "XLMRobertaXLForMaskedLM"),
      ("mobilebert", "MobileBertForPreTraining"),
      ("mobilebert", "MobileBertForSequenceClassification"),
    ] {
      let (fake, _) = try fake(name)
      let recognition = try mapper().recognize(fake.tensors)
      #expect(recognition.family == family && recognition.dialect == "transformers")
      #expect(recognition.matched == fake.tensors.count)
    }
    let (fake, _) = try fake("ElectraForPreTraining")
    let plan = try plan(fake, nil)
    #expect(plan.config["architectures"] == .strings(["ElectraForPreTraining"]))
    #expect(plan.config["embedding_size"] == .int(16) && plan.config["num_hidden_layers"] == .int(2))
  }

  /// Real checkpoints of sentence models are a bare model, with the buffer that older versions saved.
  @Test func anMPNetGivesItsHeadsAndItsBuckets() throws {
    var (fake, config) = try fake("MPNetModel")
    fake.add("embeddings.position_ids", [1, 24], type: .i64)
    let plan = try plan(fake, nil)
    #expect(plan.config["num_attention_heads"] == .int(2))
    #expect(plan.config["relative_attention_num_buckets"] == .int(32))
    #expect(plan.report.dropped.map(\.cause) == [.buffer])
    #expect(plan.names.allSatisfy { $0.hasPrefix("mpnet.") })
    let wrong = config.changing("num_attention_heads", .int(4))
    #expect(
      try mapper().outline(of: fake.tensors, config: wrong).report.conflicts.map(\.kind) == [
        .value(key: "num_attention_heads")
      ])
    fake.remove("encoder.relative_attention_bias.weight")
    let report = try mapper().outline(of: fake.tensors, config: config).report
    #expect(report.missing.map(\.name) == ["encoder.relative_attention_bias.weight"])
  }

  @Test func ofTwoFamiliesWithTheSameNamesTheConfigDecides() throws {
    var (fake, config) = try fake("Data2VecTextModel")
    fake.remove("embeddings.position_embeddings.weight")
    fake.add("embeddings.position_embeddings.weight", [514, 16])
    fake.remove("embeddings.token_type_embeddings.weight")
    fake.add("embeddings.token_type_embeddings.weight", [1, 16])
    #expect(try mapper().recognize(fake.tensors).family == "roberta")
    let sizes = config.changing("max_position_embeddings", .int(514)).changing("type_vocab_size", .int(1))
    #expect(try plan(fake, sizes).family == "data2vec-text")
  }

  @Test func noShapeShowsTheDepthOfAnALBERT() throws {
    let (fake, config) = try fake("AlbertModel")
    let given = try plan(fake, config)
    #expect(given.config["num_hidden_layers"] == .int(4) && given.config["num_hidden_groups"] == .int(2))
    #expect(given.config["inner_group_num"] == .int(2))
    // Models of the same shapes differ in it: a guess would be a model that computes something else.
    #expect(failure(fake, nil).contains("no shape gives num_hidden_layers, and no config was given"))
    let lost = JSON.object((config.members ?? []).filter { $0.key != "num_hidden_layers" })
    #expect(failure(fake, lost).contains("no shape gives num_hidden_layers, and bert_config.json has none"))
    #expect(failure(fake, config.changing("num_hidden_layers", .string("4"))).contains("num_hidden_layers of"))
  }

  @Test func theInnerLayersOfAnALBERTAreCounted() throws {
    var (fake, config) = try fake("AlbertModel")
    let lost = JSON.object((config.members ?? []).filter { $0.key != "inner_group_num" })
    #expect(try plan(fake, lost).config["inner_group_num"] == .int(2))
    let one = fake.renamed { $0.contains("albert_layers.1.") ? nil : $0 }
    #expect(try plan(one, lost).config["inner_group_num"] == .int(1))
    #expect(failure(one, config).contains("inner_group_num of bert_config.json is 2, but the weights have 1"))
    #expect(failure(fake, config.changing("inner_group_num", .int(1))).contains("is 1, but the weights have 2"))
    // More than the table has names for are refused, not left out.
    for tensor in fake.tensors where tensor.name.contains("albert_layers.1.") {
      let parts = tensor.name.split(separator: ".").map(String.init)
      guard let index = parts.firstIndex(of: "albert_layers") else { continue }
      fake.add((parts[...index] + ["2"] + parts[(index + 2)...]).joined(separator: "."), tensor.shape)
    }
    #expect(failure(fake, config).contains("unexpected: encoder.albert_layer_groups.0.albert_layers.2."))
  }

  @Test func otherNamesOfARoBERTaAreKept() throws {
    let (fake, config) = try fake("RobertaForMaskedLM")
    let other = config.changing("model_type", .string("xlm-roberta"))
      .changing("architectures", .strings(["XLMRobertaForMaskedLM"]))
    let plan = try plan(fake, other)
    #expect(plan.family == "roberta" && plan.config["model_type"] == .string("xlm-roberta"))
    #expect(plan.config["architectures"] == .strings(["XLMRobertaForMaskedLM"]))
  }

  @Test func aRoBERTaIsNotMadeABERTByItsConfig() throws {
    let (fake, config) = try fake("RobertaForTokenClassification")
    let text = failure(fake, config.changing("model_type", .string("bert")))
    #expect(text.contains("model_type of bert_config.json is 'bert', but the tensors have the names of a RoBERTa"))
  }

  @Test func anELECTRANeedsItsProjectionWhereTheSizesDiffer() throws {
    var (small, config) = try fake("ElectraForMaskedLM")
    for part in ["weight", "bias"] { small.remove("electra.embeddings_project.\(part)") }
    for config in [config, nil] {
      let text = failure(small, config)
      #expect(text.contains("the tensors do not make an ELECTRA (dialect transformers): 2 missing"), "\(text)")
      #expect(text.contains("electra.embeddings_project.weight"), "\(text)")
    }
    // Of one size they need none.
    let (equal, other) = try fake("ElectraForPreTraining")
    #expect(try !plan(equal, other).names.contains { $0.contains("embeddings_project") })
  }

  @Test func aMegatronBERTWithoutItsLastNormalisationIsRefused() throws {
    var (fake, config) = try fake("MegatronBertForMaskedLM")
    for part in ["weight", "bias"] { fake.remove("bert.encoder.ln.\(part)") }
    let text = failure(fake, config)
    #expect(text.contains("the tensors do not make a Megatron-BERT (dialect transformers): 2 missing"), "\(text)")
    #expect(text.contains("bert.encoder.ln.weight"), "\(text)")
  }

  @Test func aMegatronBERTIsReadInTheOrderOfItsPass() throws {
    let (fake, config) = try fake("MegatronBertForMaskedLM")
    let names = try plan(fake, config).names
    let layer = "bert.encoder.layer.1."
    let order = [
      "attention.ln.weight", "attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
      "attention.output.dense.weight", "ln.weight", "intermediate.dense.weight", "output.dense.weight",
    ].map { layer + $0 }
    #expect(names.filter(order.contains) == order)
    let last = try #require(names.lastIndex { $0.hasPrefix(layer) })
    #expect(names[last + 1] == "bert.encoder.ln.weight")
  }

  @Test func aDialectThatTheTableLacksIsRefused() {
    var source = MemorySource()
    for part in ["q_lin", "k_lin", "v_lin", "out_lin"] {
      source.add("tf_distil_bert_model/distilbert/transformer/layer_._0/attention/\(part)/kernel:0", [6, 6])
    }
    #expect(failure(source).contains("this is a DistilBERT, but in a dialect that no table describes"))
  }

  /// The names of google-research/albert, from its modeling.py.
  @Test func anALBERTOfGoogleIsTheSameModel() throws {
    let (saved, config) = try fake("AlbertForPreTraining")
    var google = MemorySource()
    func add(_ name: String, _ shape: [Int]) { google.add(name, shape) }
    func dense(_ name: String, _ input: Int, _ output: Int) {
      add(name + "/kernel", [input, output])
      add(name + "/bias", [output])
    }
    func norm(_ name: String, _ size: Int) {
      add(name + "/gamma", [size])
      add(name + "/beta", [size])
    }
    for (name, rows) in [("word", 40), ("position", 24), ("token_type", 2)] {
      add("bert/embeddings/\(name)_embeddings", [rows, 8])
    }
    norm("bert/embeddings/LayerNorm", 8)
    dense("bert/encoder/embedding_hidden_mapping_in", 8, 16)
    let layer = "bert/encoder/transformer/group_0/inner_group_0"
    for part in ["query", "key", "value"] { dense("\(layer)/attention_1/self/\(part)", 16, 16) }
    dense("\(layer)/attention_1/output/dense", 16, 16)
    norm("\(layer)/LayerNorm", 16)
    dense("\(layer)/ffn_1/intermediate/dense", 16, 32)
    dense("\(layer)/ffn_1/intermediate/output/dense", 32, 16)
    norm("\(layer)/LayerNorm_1", 16)
    dense("bert/pooler/dense", 16, 16)
    dense("cls/predictions/transform/dense", 16, 8)
    norm("cls/predictions/transform/LayerNorm", 8)
    add("cls/predictions/output_bias", [40])
    add("cls/seq_relationship/output_weights", [2, 16])
    add("cls/seq_relationship/output_bias", [2])

    let recognition = try mapper().recognize(google.tensors)
    #expect(recognition.family == "albert" && recognition.dialect == "google-tf1")
    let plan = try plan(google, config)
    #expect(plan.config["architectures"] == .strings(["AlbertForPreTraining"]))
    let shapes = Dictionary(uniqueKeysWithValues: plan.targets.map { ($0.info.name, $0.info.shape) })
    #expect(shapes == Dictionary(uniqueKeysWithValues: saved.tensors.map { ($0.name, $0.shape) }))
    let result = try convert(google, config)
    #expect(
      result.bytes("albert.encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.weight")
        == google.bytes("\(layer)/LayerNorm_1/gamma"))
    let kernel = google.bytes("\(layer)/ffn_1/intermediate/output/dense/kernel")
    var transposed: [UInt8] = []
    for row in 0..<16 {
      for column in 0..<32 {
        let start = (column * 16 + row) * 4
        transposed += kernel[start..<(start + 4)]
      }
    }
    #expect(result.bytes("albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.weight") == transposed)
  }
}
