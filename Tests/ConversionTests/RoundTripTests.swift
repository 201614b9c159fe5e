import CheckpointReaders
import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Every family and head there and back, bit for bit.
@Suite struct RoundTripTests {
  /// A model with the tensors and the config that transformers saved, as a conversion makes it.
  private func native(_ name: String) throws -> (model: MemorySource, config: JSON, family: String) {
    let base = TestSupport.fixture("heads/\(name)")
    var saved = MemorySource()
    for tensor in try CheckpointOpener().open("\(base)/model.safetensors").source.tensors {
      saved.add(tensor.name, tensor.shape)
    }
    let plan = try plan(saved, try JSON.parse(try FileSystem.text("\(base)/config.json")))
    let sink = MemorySink()
    try Converter.write(plan, from: saved, to: sink, progress: nil)
    return (source(sink), plan.config, plan.family)
  }

  private func source(_ sink: MemorySink) -> MemorySource {
    var source = MemorySource()
    for (info, data) in zip(sink.infos, sink.data) { source.add(info.name, info.shape, bytes: data) }
    return source
  }

  private func exported(_ model: MemorySource, _ config: JSON, _ family: String, _ dialect: String) throws
    -> MemorySource
  {
    let back = try mapper().exportPlan(
      for: model.tensors, file: "m", config: config, family: family, dialect: dialect)
    let sink = MemorySink()
    try Converter.write(back, from: model, to: sink, progress: nil)
    return source(sink)
  }

  private func expectSame(_ a: MemorySource, _ b: MemorySource, _ name: String) {
    #expect(a.tensors.map(\.name) == b.tensors.map(\.name), "\(name)")
    for tensor in a.tensors { #expect(a.bytes(tensor.name) == b.bytes(tensor.name), "\(name): \(tensor.name)") }
  }

  /// Every family with each of its heads.
  static let all = ((try? FileSystem.names(inFolder: TestSupport.fixture("heads"))) ?? []).sorted()

  /// Those that google-research has names for.
  static let google = [
    "BertModel", "BertForMaskedLM", "BertForNextSentencePrediction", "BertForSequenceClassification",
    "BertForTokenClassification", "BertForMultipleChoice", "BertForQuestionAnswering", "ElectraForPreTraining",
    "ElectraForMaskedLM", "AlbertModel", "AlbertForMaskedLM", "AlbertForPreTraining",
    "AlbertForSequenceClassification", "AlbertForQuestionAnswering",
  ]

  /// Some of those that it has none for.
  static let others = [
    "DistilBertForMaskedLM", "DistilBertForSequenceClassification", "DistilBertForQuestionAnswering", "RobertaModel",
    "RobertaForMaskedLM", "RobertaForSequenceClassification", "RobertaForTokenClassification",
    "RobertaForQuestionAnswering", "ElectraForSequenceClassification", "ElectraForTokenClassification",
    "ElectraForQuestionAnswering", "ElectraForMultipleChoice",
  ]

  @Test func theFixturesAreThere() {
    #expect(Self.all.count >= 75)
    #expect(Set(Self.google + Self.others).isSubset(of: Self.all))
  }

  @Test(arguments: all)
  func asTransformersNamesIt(name: String) throws {
    let (model, config, family) = try native(name)
    let out = try exported(model, config, family, "transformers")
    expectSame(out, model, name)
    let again = try convert(out, config)
    expectSame(source(again), model, name)
  }

  @Test(arguments: google)
  func asGoogleNamesIt(name: String) throws {
    let (model, config, family) = try native(name)
    let out = try exported(model, config, family, "google-tf1")
    #expect(out.tensors.allSatisfy { !$0.name.contains(".") })
    let again = try plan(out, config)
    #expect(again.dialect == (name == "ElectraForMaskedLM" ? "google-tf1-generator" : "google-tf1"))
    #expect(again.config == config)
    expectSame(source(try convert(out, config)), model, name)
  }

  @Test(arguments: others)
  func whatGoogleHasNoNamesForIsRefused(name: String) throws {
    let (model, config, family) = try native(name)
    do {
      _ = try exported(model, config, family, "google-tf1")
      Issue.record("\(name) was written")
    } catch let error as FormatError {
      let reason =
        ["distilbert", "roberta"].contains(family)
        ? "in the names of google-tf1: it cannot be exported in this format"
        : "has no name for it"
      #expect(error.description.contains(reason), "\(error)")
    }
  }

  // MARK: ELECTRA

  /// The names of google-research/electra's pretraining: run_pretraining.py, model/modeling.py.
  private func pretraining() -> MemorySource {
    var source = MemorySource()
    func dense(_ name: String, _ from: Int, _ to: Int) {
      source.add(name + "/kernel", [from, to])
      source.add(name + "/bias", [to])
    }
    func norm(_ name: String, _ size: Int) {
      source.add(name + "/LayerNorm/gamma", [size])
      source.add(name + "/LayerNorm/beta", [size])
    }
    for (name, rows) in [("word", 21), ("position", 12), ("token_type", 2)] {
      source.add("electra/embeddings/\(name)_embeddings", [rows, 8])
    }
    norm("electra/embeddings", 8)
    for (scope, h) in [("generator", 4), ("electra", 16)] {
      dense("\(scope)/embeddings_project", 8, h)
      for layer in 0..<2 {
        let prefix = "\(scope)/encoder/layer_\(layer)"
        for part in ["query", "key", "value"] { dense("\(prefix)/attention/self/\(part)", h, h) }
        dense("\(prefix)/attention/output/dense", h, h)
        norm("\(prefix)/attention/output", h)
        dense("\(prefix)/intermediate/dense", h, 4 * h)
        dense("\(prefix)/output/dense", 4 * h, h)
        norm("\(prefix)/output", h)
      }
    }
    dense("generator_predictions/dense", 4, 8)
    norm("generator_predictions", 8)
    source.add("generator_predictions/output_bias", [21])
    dense("discriminator_predictions/dense", 16, 16)
    dense("discriminator_predictions/dense_1", 16, 1)
    source.add("electra/embeddings/word_embeddings/adam_m", [21, 8])
    source.add("global_step", [], type: .i64, bytes: [0, 0, 0, 0, 0, 0, 0, 0])
    return source
  }

  @Test func ofAPretrainingTheDiscriminatorIsConverted() throws {
    let source = pretraining()
    for config in [nil, JSON.object(["architectures": .strings(["ElectraForPreTraining"])])] {
      let plan = try plan(source, config)
      #expect(plan.family == "electra" && plan.dialect == "google-tf1")
      #expect(plan.config["architectures"] == .strings(["ElectraForPreTraining"]))
      #expect(plan.config["hidden_size"] == .int(16) && plan.config["embedding_size"] == .int(8))
      let dropped = plan.report.dropped.filter { $0.name.hasPrefix("generator") }
      #expect(dropped.count == 34 + 5 + 0 && dropped.allSatisfy { $0.reason.contains("ElectraForMaskedLM") })
      #expect(plan.report.dropped.count == dropped.count + 2)
      #expect(plan.targets.count == 5 + 34 + 4)
    }
    let made = try convert(source, nil)
    // [16, 1] and [1, 16] are the same bytes.
    #expect(
      made.bytes("discriminator_predictions.dense_prediction.weight")
        == source.bytes("discriminator_predictions/dense_1/kernel"))
    #expect(
      made.bytes("electra.encoder.layer.1.output.LayerNorm.bias")
        == source.bytes("electra/encoder/layer_1/output/LayerNorm/beta"))
  }

  @Test func theGeneratorIsConvertedWhenTheConfigAsksForIt() throws {
    let source = pretraining()
    let config = JSON.object(["architectures": .strings(["ElectraForMaskedLM"])])
    let plan = try plan(source, config)
    #expect(plan.dialect == "google-tf1-generator")
    #expect(plan.config["hidden_size"] == .int(4) && plan.config["embedding_size"] == .int(8))
    #expect(plan.targets.count == 5 + 34 + 5)
    #expect(plan.report.dropped.count { $0.reason.contains("discriminator's") } == 34 + 4)
    let made = try convert(source, config)
    #expect(made.bytes("generator_lm_head.bias") == source.bytes("generator_predictions/output_bias"))
    #expect(
      made.bytes("electra.encoder.layer.0.attention.self.query.bias")
        == source.bytes("generator/encoder/layer_0/attention/self/query/bias"))
    #expect(
      made.bytes("electra.embeddings.word_embeddings.weight") == source.bytes("electra/embeddings/word_embeddings"))
  }
}
