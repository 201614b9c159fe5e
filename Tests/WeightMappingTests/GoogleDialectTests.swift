import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

@Suite struct GoogleDialectTests {
  @Test func aPreTrainingCheckpointHasExactlyTheTensorsThatTransformersSaves() throws {
    let plan = try plan(googleTensors())
    #expect(plan.family == "bert")
    #expect(plan.dialect == "google-tf1")
    #expect(Set(plan.names) == Set(transformersTensors().tensors.map(\.name)))
    let shapes = Dictionary(uniqueKeysWithValues: transformersTensors().tensors.map { ($0.name, $0.shape) })
    for target in plan.targets { #expect(target.info.shape == shapes[target.info.name], "\(target.info.name)") }
    #expect(plan.report.isComplete)
    #expect(plan.report.mapped.count == googleTensors().tensors.count)
  }

  @Test(arguments: ["generator", "discriminator"])
  func ofTwoModelsInOneFileTheUserChooses(_ wanted: String) throws {
    var source = MemorySource()
    for scope in ["generator", "discriminator"] {
      for tensor in googleTensors(scope: scope + "/", heads: false).tensors { source.add(tensor.name, tensor.shape) }
    }
    let other = wanted == "generator" ? "discriminator" : "generator"
    #expect(failure(source).contains("unexpected"))
    let plan = try plan(source, allow: [other + "/*"])
    #expect(plan.report.mapped.allSatisfy { $0.name.hasPrefix(wanted + "/") })
    #expect(plan.report.dropped.count == source.tensors.count / 2)
  }

  @Test func aHeadWithoutItsPoolerIsReported() throws {
    var source = googleTensors()
    source.remove("bert/pooler/dense/kernel")
    source.remove("bert/pooler/dense/bias")
    #expect(try plan(source).notes.contains { $0.kind == .missingPart(group: "pooler") })
    #expect(try !plan(googleTensors()).notes.contains { $0.kind == .missingPart(group: "pooler") })
  }

  @Test func adafactorAndKerasOptimizerStateIsDropped() throws {
    var source = googleTensors()
    let names = [
      "output_weights_slot_vr", "output_weights_slot_vc", "output_bias_slot_v", "bert/pooler/dense/bias_slot_v",
      "optimizer/_variables/3/.ATTRIBUTES/VARIABLE_VALUE",
    ]
    for name in names { source.add(name, [3]) }
    let plan = try plan(source)
    #expect(Set(plan.report.dropped.map(\.name)) == Set(names))
  }

  @Test func targetsAreInForwardOrder() throws {
    let names = try plan(googleTensors()).names
    #expect(names[0] == "bert.embeddings.word_embeddings.weight")
    let start = try #require(names.firstIndex(of: "bert.encoder.layer.1.attention.self.query.weight"))
    let tails = ["query.weight", "key.weight", "value.weight", "query.bias", "key.bias", "value.bias"]
    #expect(Array(names[start..<(start + 6)]) == tails.map { "bert.encoder.layer.1.attention.self." + $0 })
    #expect(names[start - 1] == "bert.encoder.layer.0.output.LayerNorm.bias")
    #expect(names.last == "cls.seq_relationship.bias")
  }

  @Test func kernelsAreTransposedExactlyAndTheRestIsKeptBitForBit() throws {
    let source = googleTensors()
    let sink = try convert(source)
    let kernel = source.bytes("bert/encoder/layer_1/intermediate/dense/kernel")
    var expected: [UInt8] = []
    for column in 0..<Size.inner {
      for row in 0..<Size.hidden {
        let start = (row * Size.inner + column) * 4
        expected += kernel[start..<(start + 4)]
      }
    }
    #expect(sink.bytes("bert.encoder.layer.1.intermediate.dense.weight") == expected)
    // These weights are [out, in] in the source already.
    #expect(sink.bytes("cls.seq_relationship.weight") == source.bytes("cls/seq_relationship/output_weights"))
    #expect(sink.bytes("bert.embeddings.word_embeddings.weight") == source.bytes("bert/embeddings/word_embeddings"))
    #expect(sink.bytes("bert.embeddings.LayerNorm.bias") == source.bytes("bert/embeddings/LayerNorm/beta"))
  }

  @Test(arguments: ["module/", "model/", "foo/bar/", ""])
  func anythingMayStandInFront(scope: String) throws {
    var source = googleTensors(scope: scope)
    source.add("output_weights", [3, Size.hidden])
    source.add("output_bias", [3])
    let plan = try plan(source)
    #expect(plan.names.contains("bert.pooler.dense.weight"))
    #expect(plan.names.contains("classifier.weight"))
    #expect(plan.report.scope == scope)
    #expect(try mapper().recognize(source.tensors).dialect == "google-tf1")
  }

  @Test func theRootMayBeAbsent() throws {
    let source = googleTensors(heads: false).renamed { "encoder_model/" + $0.dropFirst("bert/".count) }
    #expect(try plan(source).names == plan(googleTensors(heads: false)).names)
  }

  @Test func optimizerStateIsDroppedByRule() throws {
    var source = googleTensors()
    let slots = [
      "adam_m", "adam_v", "AdamWeightDecayOptimizer", "AdamWeightDecayOptimizer_1", "Adam", "Adam_1", "LAMBOptimizer",
      "BERTAdam", "BERTAdam_1", "lamb_m", "lamb_v", "Momentum", "x_slot_vr", "x_slot_vc", "x_slot_v",
      "ExponentialMovingAverage",
    ]
    for slot in slots { source.add("bert/embeddings/word_embeddings/" + slot, [Size.vocabulary, Size.hidden]) }
    let counts = [
      "beta1_power", "training/beta2_power", "loss_scale", "good_steps", "current_loss_scale", "save_counter",
    ]
    for name in counts { source.add(name, []) }
    source.add("global_step", [], type: .i64)
    let plan = try plan(source)
    #expect(plan.report.dropped.count == slots.count + counts.count + 1)
    #expect(plan.report.dropped.allSatisfy { !$0.rule.isEmpty && !$0.reason.isEmpty })
    #expect(plan.targets.count == googleTensors().tensors.count)
  }

  @Test func movingAveragesAloneAreTheWeights() throws {
    let names = try plan(googleTensors()).names
    let averages = try plan(googleTensors().renamed { $0 + "/ExponentialMovingAverage" })
    #expect(averages.names == names)
    #expect(averages.notes.contains { $0.kind == .secondForms && $0.text.contains("the file has no other weights") })
  }

  @Test func movingAveragesOfSomeWeightsAloneAreNoModel() {
    var source = googleTensors().renamed { $0 + "/ExponentialMovingAverage" }
    source.add("bert/pooler/dense/bias", [Size.hidden])
    #expect(failure(source).contains("a moving average whose weight is not in the file"))
  }

  @Test func fineTunedHeads() throws {
    var classifier = googleTensors(heads: false)
    classifier.add("output_weights", [3, Size.hidden])
    classifier.add("output_bias", [3])
    var made = try plan(classifier)
    #expect(made.names.suffix(2) == ["classifier.weight", "classifier.bias"])
    #expect(made.config["architectures"] == .strings(["BertForSequenceClassification"]))
    #expect(made.config["id2label"]?["2"] == .string("LABEL_2"))
    #expect(made.config["label2id"]?["LABEL_1"] == .int(1))
    #expect(made.notes.contains { $0.kind == .architecture && $0.text.contains("BertForTokenClassification") })
    made = try plan(classifier, config.changing("architectures", .strings(["BertForTokenClassification"])))
    #expect(made.config["architectures"] == .strings(["BertForTokenClassification"]))

    var squad = googleTensors(heads: false)
    squad.add("cls/squad/output_weights", [2, Size.hidden])
    squad.add("cls/squad/output_bias", [2])
    made = try plan(squad)
    #expect(made.names.suffix(2) == ["qa_outputs.weight", "qa_outputs.bias"])
    #expect(made.config["architectures"] == .strings(["BertForQuestionAnswering"]))
  }

  @Test func architecturesFollowTheHeads() throws {
    func architecture(without words: [String]) throws -> String? {
      let source = googleTensors().renamed { name in words.contains { name.contains($0) } ? nil : name }
      return try plan(source).config["architectures"]?.elements?.first?.stringValue
    }
    #expect(try architecture(without: []) == "BertForPreTraining")
    #expect(try architecture(without: ["seq_relationship"]) == "BertForMaskedLM")
    #expect(try architecture(without: ["predictions"]) == "BertForNextSentencePrediction")
    #expect(try architecture(without: ["cls/"]) == "BertModel")
    #expect(try architecture(without: ["cls/", "pooler"]) == "BertModel")
  }
}
