import CheckpointReaders
import Encoder
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Verification

private let hidden: Set<String> = ["hidden_states.0", "hidden_states.1", "hidden_states.2", "hidden_states.3"]

@Suite("Verification")
struct VerificationTests {
  let folder = TemporaryFolder()

  // MARK: Pass and fail

  @Test func aModelAgreesWithItself() throws {
    let model = SmallModel()
    let report = try model.verify(try model.fixture(folder), folder)
    #expect(report.passed && report.firstDivergence == nil && report.warnings.isEmpty)
    #expect(
      report.outputs.map(\.name) == [
        "hidden_states.0", "hidden_states.1", "hidden_states.2", "hidden_states.3", "last_hidden_state",
        "pooler_output",
        "prediction_logits", "seq_relationship_logits",
      ])
    #expect(report.sequences == 3 && report.tokens == 14)
    for output in report.outputs {
      #expect(output.passed && output.maxAbsError == 0 && output.argmaxAgreement == 1)
      #expect((output.cosine - 1).magnitude < 1e-12)
    }
    #expect(report.outputs[0].count == 14 * 12)
    #expect(report.text().contains("All 8 outputs agree within 0.0001 over 14 tokens in 3 sequences."))
  }

  @Test func whatTheMaskHidesIsNotCompared() throws {
    let model = SmallModel()
    var source = try model.fixture(folder, outputs: ["last_hidden_state"])
    let values = (0..<(21 * 12)).map { SmallModel.mask[$0 / 12] == 0 ? Float.nan : 0 }
    let encoder = try Encoder(model.open(folder), config: model.config)
    let truth = try encoder.run(EncoderInput(source), outputs: ["last_hidden_state"])[0].values
    source.add("last_hidden_state", [3, 7, 12], floats: zip(values, truth).map { $0 + $1 })
    #expect(try model.verify(source, folder).passed)
  }

  @Test func theNumbersOfAFailure() throws {
    let model = SmallModel()
    var source = try model.fixture(folder, outputs: ["last_hidden_state", "seq_relationship_logits"])
    let index = (7 + 2) * 12 + 5  // row 1, column 2, index 5
    func change(_ change: (Float) -> Float) {
      source.changeFloats("last_hidden_state") { $0[index] = change($0[index]) }
    }
    change { $0 + 100 }
    let report = try model.verify(source, folder)
    let output = report.outputs[0]
    #expect(!report.passed && !output.passed && report.outputs[1].passed)
    #expect((output.maxAbsError - 100).magnitude < 1e-4)
    #expect((output.meanAbsError - 100.0 / (14 * 12)).magnitude < 1e-4)
    #expect(output.cosine < 0.5)
    #expect(output.argmaxAgreement == 13.0 / 14 || output.argmaxAgreement == 1)
    #expect(output.worst?.row == 1 && output.worst?.column == 2 && output.worst?.index == 5)
    #expect(report.text().contains("last_hidden_state is worst at row 1, column 2, index 5: "))
    #expect(report.text().contains("1 of 2 outputs is off by more than 0.0001"))
    #expect(try model.verify(source, folder, tolerance: 101).passed)

    // A number that is none never passes, whatever the tolerance.
    for odd: Float in [.nan, .infinity, -.infinity] {
      change { _ in odd }
      let report = try model.verify(source, folder, tolerance: 1e30)
      #expect(!report.passed && report.outputs[0].maxAbsError.isNaN)
      #expect(report.outputs[0].worst?.index == 5)
      #expect(report.json()["outputs"]?.elements?.first?["max_abs_error"] == .null)
      #expect(report.text().contains("not finite"))
      _ = try JSON.parse(report.json().text())
    }
  }

  @Test func pooledOutputsAreComparedByRow() throws {
    let model = SmallModel()
    var source = try model.fixture(folder, outputs: ["pooler_output"])
    source.changeFloats("pooler_output") { $0[2 * 12 + 3] -= 0.5 }
    let worst = try model.verify(source, folder).outputs[0].worst
    #expect(worst?.row == 2 && worst?.column == nil && worst?.index == 3)
  }

  @Test func theJSONThatChecksRelyOn() throws {
    let model = SmallModel()
    let json = try model.verify(try model.fixture(folder, outputs: ["prediction_logits"]), folder).json()
    #expect(json["passed"] == .bool(true) && json["first_divergence"] == .null)
    let output = try #require(json["outputs"]?.elements?.first)
    #expect(
      output.members?.map(\.key).prefix(6) == [
        "name", "max_abs_error", "mean_abs_error", "cosine", "argmax_agreement", "passed",
      ])
    #expect(output["argmax_agreement"]?.doubleValue == 1)
  }

  @Test func otherTypesOfReference() throws {
    let model = SmallModel()
    var source = try model.fixture(folder, outputs: ["hidden_states.1"])
    let values = source.floats("hidden_states.1")
    func add(_ type: ElementType, _ bytes: [UInt8]) {
      source.add("hidden_states.1", [3, 7, 12], type: type, bytes: bytes)
    }
    add(.f64, littleEndianBytes(values.map(Double.init)))
    #expect(try model.verify(source, folder).outputs[0].maxAbsError == 0)
    add(.bf16, bfloat16Bytes(values))
    let report = try model.verify(source, folder, tolerance: 0.05)
    #expect(report.passed && report.outputs[0].maxAbsError > 1e-4)
    add(.f16, Array(repeating: 0, count: 504))
    let zeros = try model.verify(source, folder).outputs[0]
    #expect(!zeros.passed && zeros.cosine == 0)
  }

  // MARK: Where it diverges

  /// The divergence that is reported when `bend` was done to the model after the fixture was made.
  private func divergence(
    outputs: Set<String>? = nil, _ bend: (inout SmallModel) -> Void
  ) throws -> String {
    var model = SmallModel()
    let source = try model.fixture(folder, outputs: outputs)
    bend(&model)
    let report = try model.verify(source, folder)
    #expect(!report.passed)
    #expect(report.json()["first_divergence"] == report.firstDivergence.map { .string($0) } ?? .null)
    return report.firstDivergence ?? "nothing"
  }

  @Test(
    arguments: 0..<SmallModel.layers, ["attention.self.key.weight", "intermediate.dense.weight", "output.dense.bias"])
  func aLayerIsNamed(layer: Int, weight: String) throws {
    let text = try divergence { $0.bend("bert.encoder.layer.\(layer).\(weight)") }
    #expect(
      text.hasPrefix(
        "hidden_states.\(layer + 1) (layer \(layer) output; its input hidden_states.\(layer) agrees; the error starts in "
          + "layer \(layer), off by "), "\(text)")
    #expect(
      text.hasSuffix(
        " on the reference's hidden_states.\(layer). Check its weights, and num_attention_heads (3), hidden_act (gelu), "
          + "layer_norm_eps (1e-12))"), "\(text)")
  }

  @Test func theLastNormalizationOfALayerIsNamed() throws {
    for name in ["weight", "bias"] {
      let text = try divergence { $0.bend("bert.encoder.layer.1.output.LayerNorm.\(name)") }
      #expect(
        text.contains("starts in layer 1,")
          && text.contains("Check its weights, output.LayerNorm among them, and num_"),
        "\(text)")
    }
  }

  @Test func embeddingsAreNamed() throws {
    let all = try divergence { $0.bend("bert.embeddings.LayerNorm.bias") }
    #expect(all == "hidden_states.0 (the embeddings, computed with layer_norm_eps (1e-12))")
    let attended = SmallModel.ids.indices.filter { SmallModel.mask[$0] == 1 }
    let id = SmallModel.ids[4]
    #expect(attended.contains(4))
    let word = try divergence { $0.bend("bert.embeddings.word_embeddings.weight", rows: [id]) }
    #expect(word.hasPrefix("hidden_states.0 (the embeddings"))
    let position = try divergence { $0.bend("bert.embeddings.position_embeddings.weight", rows: [1]) }
    #expect(position == "hidden_states.0 (the embeddings; only those in the columns 1 are off)", "\(position)")
  }

  @Test func headsAreNamed() throws {
    let prediction = try divergence { $0.bend("cls.predictions.bias") }
    #expect(prediction == "prediction_logits (the LM head; every hidden state agrees)")
    let pooler = try divergence { $0.bend("bert.pooler.dense.weight") }
    #expect(pooler == "pooler_output (the pooler; every hidden state agrees)")
    let sentence = try divergence { $0.bend("cls.seq_relationship.bias") }
    #expect(sentence == "seq_relationship_logits (the next sentence head; every hidden state agrees)")
    let either = try divergence(outputs: hidden.union(["seq_relationship_logits"])) {
      $0.bend("bert.pooler.dense.weight")
    }
    #expect(either == "seq_relationship_logits (the pooler or the next sentence head; every hidden state agrees)")
    let short = try divergence(outputs: ["hidden_states.1", "prediction_logits"]) { $0.bend("cls.predictions.bias") }
    #expect(
      short == "prediction_logits (layers 1 to 2 or the LM head; "
        + "hidden_states.1, the last hidden state there is, agrees)")
  }

  @Test func hiddenStatesWithGaps() throws {
    let between = try divergence(outputs: ["hidden_states.1", "last_hidden_state"]) {
      $0.bend("bert.encoder.layer.2.output.dense.weight")
    }
    #expect(
      between.hasPrefix(
        "last_hidden_state (layers 1 to 2; their input hidden_states.1 agrees; the error starts in layers 1 to 2, off by "
      ),
      "\(between)")
    #expect(between.contains("on the reference's hidden_states.1. Check their weights, and num_"), "\(between)")
    let none = try divergence(outputs: ["hidden_states.2"]) { $0.bend("bert.encoder.layer.0.output.dense.weight") }
    #expect(none == "hidden_states.2 (the embeddings or layers 0 to 1; the fixture has no earlier hidden state)")
    let heads = try divergence(outputs: ["prediction_logits"]) { $0.bend("cls.predictions.bias") }
    #expect(heads == "nothing")
  }

  @Test func anErrorThatGrewIsNotTheLayers() throws {
    // The embeddings pass at this tolerance; what layer 0 makes of their error, being a layer of large numbers, does not.
    var model = SmallModel()
    model.bend("bert.encoder.layer.0.output.LayerNorm.weight", by: 5)
    let source = try model.fixture(folder, outputs: hidden)
    model.bend("bert.embeddings.LayerNorm.bias", by: 1e-3)
    let first = try model.verify(source, folder, tolerance: 1e9).outputs
    let errors = first.map(\.maxAbsError)
    let largest = try #require(errors.indices.max { errors[$0] < errors[$1] })
    try #require(largest > 0)
    let before = errors[..<largest].max() ?? 0
    let report = try model.verify(source, folder, tolerance: (before + errors[largest]) / 2)
    let text = try #require(report.firstDivergence)
    #expect(text.hasPrefix("hidden_states.\(largest) "), "\(text)")
    #expect(text.hasSuffix("agrees: a small error of the input grew)"), "\(text)")
  }

  // MARK: Errors

  @Test func fixturesThatCannotBeUsed() throws {
    let model = SmallModel()
    let inputs = try model.fixture(folder, outputs: [])
    /// The error of the inputs with one more tensor.
    func refused(tensor: String? = nil, words: String, _ change: (inout MemorySource) -> Void = { _ in }) {
      var source = inputs
      change(&source)
      let error = expectError(.input, tensor: tensor, words: [words]) { _ = try model.verify(source, folder) }
      #expect(error?.file == "fixture.npz")
    }
    refused(words: "the fixture has no output to compare")
    refused(tensor: "logits", words: "the model does not compute this output") {
      $0.add("logits", [3, 2], floats: [Float](repeating: 0, count: 6))
    }
    refused(tensor: "hidden_states.9", words: "the model does not compute") {
      $0.add("hidden_states.9", [3, 7, 12], floats: [Float](repeating: 0, count: 252))
    }
    refused(tensor: "hidden_states.1", words: "found [3, 7, 11], expected [3, 7, 12]") {
      $0.add("hidden_states.1", [3, 7, 11], floats: [Float](repeating: 0, count: 231))
    }
    refused(tensor: "hidden_states.1", words: "the output is not of floating point numbers; found I64") {
      $0.add("hidden_states.1", [3, 7, 12], integers: [Int](repeating: 0, count: 252))
    }
    refused(words: "there are no input_ids") { $0.remove("input_ids") }
    let whole = try model.fixture(folder)
    for tolerance in [-1, Double.nan, .infinity] {
      expectError(.input, words: ["the tolerance is not usable"]) {
        _ = try model.verify(whole, folder, tolerance: tolerance)
      }
    }
  }

  @Test func tensorsThatAreNoOutputAreReported() throws {
    var source = try SmallModel().fixture(folder, outputs: [])
    source.add("hidden_states.01", floats: [0])
    source.add("loss", floats: [0])
    #expect(
      try Fixture(source).warnings == [
        "not used, because no input and no output has such a name: hidden_states.01, loss"
      ])
  }

  /// By the names of google-research and of TF Garden the inputs are the same.
  @Test(arguments: [
    ["input_ids", "input_mask", "segment_ids"], ["input_word_ids", "input_mask", "input_type_ids"],
  ])
  func otherNamesOfInputs(names: [String]) throws {
    let source = try SmallModel().fixture(folder, outputs: [])
    let usual = ["input_ids", "attention_mask", "token_type_ids"]
    var other = MemorySource(path: "fixture.npz")
    for (name, values) in zip(names, [SmallModel.ids, SmallModel.mask, SmallModel.types]) {
      other.add(name, [SmallModel.batch, SmallModel.sequence], integers: values)
    }
    let (a, b) = (try Fixture(source).input, try Fixture(other).input)
    #expect(a.inputIDs == b.inputIDs && a.attentionMask == b.attentionMask && a.tokenTypeIDs == b.tokenTypeIDs)
    #expect(b.attentionMask != nil && b.tokenTypeIDs != nil)
    #expect(try Fixture(other).warnings.isEmpty)
    // Two of one kind do not show which is meant.
    for (name, second) in zip(usual, names) where name != second {
      var both = other
      both.add(name, [SmallModel.batch, SmallModel.sequence], integers: SmallModel.ids)
      expectError(.input, words: ["an input is given under two names"]) { _ = try Fixture(both) }
    }
  }

  /// What would change the numbers is refused, and what is no input is named.
  @Test(arguments: [
    ("attention_masks", "Did you mean 'attention_mask'?"), ("input_idss", "Did you mean 'input_ids'?"),
    ("segment_id", "Did you mean 'segment_ids'?"), ("position_ids", "an input that is not supported"),
    ("inputs_embeds", "an input that is not supported"), ("head_mask", "an input that is not supported"),
  ])
  func inputsThatAreNotTakenAreRefused(name: String, words: String) throws {
    var source = try SmallModel().fixture(folder, outputs: [])
    source.add(name, [SmallModel.batch, SmallModel.sequence], integers: SmallModel.ids)
    expectError(.input, tensor: name, words: [words]) { _ = try Fixture(source) }
  }

  @Test func arraysThatAreNoInputAreNamed() throws {
    var source = try SmallModel().fixture(folder, outputs: [])
    for name in ["labels", "unique_ids", "special_tokens_mask"] { source.add(name, floats: [0]) }
    #expect(
      try Fixture(source).warnings == [
        "not used, because no input and no output has such a name: labels, unique_ids, special_tokens_mask"
      ])
  }

  // MARK: Against transformers

  @Test(arguments: [
    "BertModel", "BertForMaskedLM", "BertForNextSentencePrediction", "BertForSequenceClassification",
    "BertForTokenClassification", "BertForQuestionAnswering", "BertForMultipleChoice",
    "DistilBertForMaskedLM", "DistilBertForSequenceClassification", "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering", "DistilBertForMultipleChoice",
    "RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification", "RobertaForTokenClassification",
    "RobertaForQuestionAnswering", "RobertaForMultipleChoice",
    "ElectraForMaskedLM", "ElectraForPreTraining", "ElectraForSequenceClassification", "ElectraForTokenClassification",
    "ElectraForQuestionAnswering", "ElectraForMultipleChoice",
    "AlbertModel", "AlbertForMaskedLM", "AlbertForPreTraining", "AlbertForSequenceClassification",
    "AlbertForTokenClassification", "AlbertForQuestionAnswering", "AlbertForMultipleChoice",
    "MegatronBertModel", "MegatronBertForMaskedLM", "MegatronBertForPreTraining",
    "MegatronBertForNextSentencePrediction", "MegatronBertForSequenceClassification",
    "MegatronBertForTokenClassification", "MegatronBertForQuestionAnswering", "MegatronBertForMultipleChoice",
    "MobileBertModel", "MobileBertForMaskedLM", "MobileBertForPreTraining", "MobileBertForNextSentencePrediction",
    "MobileBertForSequenceClassification", "MobileBertForTokenClassification", "MobileBertForQuestionAnswering",
    "MobileBertForMultipleChoice",
    "MPNetModel", "MPNetForMaskedLM", "MPNetForSequenceClassification", "MPNetForTokenClassification",
    "MPNetForQuestionAnswering", "MPNetForMultipleChoice",
  ])
  func headsOfTransformers(name: String) throws {
    let base = TestSupport.fixture("heads/\(name)")
    try verifyReference(
      "\(base)/model.safetensors", config: try JSON.parse(try FileSystem.text("\(base)/config.json")),
      "\(base)/reference.npz")
  }

  @Test func pretrainingOfTransformers() throws {
    let base = TestSupport.fixture("tensorflow/bert-tiny")
    var config = try JSON.parse(try FileSystem.text("\(base)/bert_config.json"))
    config.set("model_type", .string("bert"))
    try verifyReference("\(base)/expected.safetensors", config: config, "\(base)/reference.npz")
  }

  private func verifyReference(_ path: String, config: JSON, _ reference: String) throws {
    let fixture = try Fixture(try CheckpointOpener().open(reference).source)
    #expect(fixture.references.count >= 4 && fixture.warnings.isEmpty)
    let model = try NativeModel.open(path)
    let report = try Verifier.verify(model, config: config, fixture: fixture, tolerance: 2e-5)
    #expect(report.passed && report.outputs.count == fixture.references.count, "\(report.text())")
  }
}
