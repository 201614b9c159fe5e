import CheckpointReaders
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// What a MobileBERT's table asks for depends on its config.
@Suite struct MobileBERTTests {
  private func fake(_ head: String) throws -> (MemorySource, JSON) {
    let base = TestSupport.fixture("heads/MobileBert\(head)")
    var fake = MemorySource()
    for tensor in try CheckpointOpener().open("\(base)/model.safetensors").source.tensors {
      fake.add(tensor.name, tensor.shape)
    }
    return (fake, try JSON.parse(try FileSystem.text("\(base)/config.json")))
  }

  /// The source with another shape of one tensor.
  private func bent(_ source: MemorySource, _ name: String, _ shape: [Int]) -> MemorySource {
    var source = source
    source.remove(name)
    source.add(name, shape)
    return source
  }

  @Test func withoutAConfigTheShapesTellTheSizes() throws {
    let (fake, config) = try fake("ForPreTraining")
    let plan = try plan(fake, nil)
    for key in [
      "vocab_size", "hidden_size", "embedding_size", "true_hidden_size", "intra_bottleneck_size", "intermediate_size",
      "num_hidden_layers", "num_feedforward_networks", "max_position_embeddings", "type_vocab_size", "trigram_input",
      "use_bottleneck", "use_bottleneck_attention", "key_query_shared_bottleneck", "normalization_type", "hidden_act",
    ] {
      #expect(plan.config[key] == config[key], "\(key)")
    }
    #expect(plan.notes.contains { $0.text.contains("no shape gives normalization_type: assumed no_norm") })
  }

  @Test func aLayerIsReadInTheOrderOfItsPass() throws {
    let (fake, config) = try fake("ForPreTraining")
    let names = try plan(fake, config).names
    let layer = "mobilebert.encoder.layer.1."
    let order = [
      "bottleneck.input.dense.weight", "bottleneck.attention.dense.weight", "attention.self.query.weight",
      "attention.self.key.weight", "attention.self.value.weight", "attention.output.dense.weight",
      "ffn.0.intermediate.dense.weight", "ffn.2.output.dense.weight", "intermediate.dense.weight",
      "output.dense.weight", "output.bottleneck.dense.weight",
    ].map { layer + $0 }
    #expect(names.filter(order.contains) == order)
  }

  @Test func bottlenecksAreThereWhereTheConfigHasThem() throws {
    let (whole, config) = try fake("ForPreTraining")
    let layer = "mobilebert.encoder.layer.1."
    let open = whole.renamed { $0.contains("output.bottleneck") ? nil : $0 }
    let missing = failure(open, config)
    #expect(missing.contains("missing: \(layer)output.bottleneck.dense.weight"), "\(missing)")
    let apart = whole.renamed { $0.contains("bottleneck.attention") ? nil : $0 }
    #expect(failure(apart, config).contains("missing: \(layer)bottleneck.attention.dense.weight"))
    let unshared = config.changing("key_query_shared_bottleneck", .bool(false))
    #expect(try plan(apart, unshared).config["key_query_shared_bottleneck"] == .bool(false))
    let contradiction = failure(whole, unshared)
    #expect(
      contradiction.contains(
        "key_query_shared_bottleneck is false, but 'mobilebert.encoder.layer.0.bottleneck.attention.dense.weight' "
          + "belongs to models where it is true"), "\(contradiction)")
    #expect(failure(whole, config.changing("use_bottleneck", .bool(false))).contains("use_bottleneck is false, but"))
    #expect(
      failure(whole, config.changing("use_bottleneck", .string("yes"))).contains("is \"yes\", not true or false"))
  }

  @Test func sizesThatNoKeyGivesAreOneOfThoseThatCanBe() throws {
    let (fake, config) = try fake("ForNextSentencePrediction")
    let name = "mobilebert.embeddings.embedding_transformation.weight"
    // trigram_input is for the encoder to hold against the shape: both are forms of the family.
    #expect(try plan(bent(fake, name, [16, 24]), config).names.contains(name))
    let odd = failure(bent(fake, name, [16, 20]), config)
    #expect(odd.contains("1 wrong shape") && odd.contains("\(name)") && odd.contains("[16, 8 or 24]"), "\(odd)")
    let value = "mobilebert.encoder.layer.1.attention.self.value.weight"
    #expect(failure(bent(fake, value, [12, 13]), config).contains(value))
  }

  @Test func feedForwardNetworksAreCounted() throws {
    var (fake, config) = try fake("ForPreTraining")
    let two = fake.renamed { $0.contains("ffn.1.") || $0.contains("ffn.2.") ? nil : $0 }
    #expect(failure(two, config).contains("num_feedforward_networks of bert_config.json is 4, but the weights have 2"))
    #expect(
      try plan(two, config.changing("num_feedforward_networks", .int(2))).config["num_feedforward_networks"] == .int(2))
    fake.add("mobilebert.encoder.layer.0.ffn.3.intermediate.dense.bias", [32])
    #expect(failure(fake, config).contains("unexpected: mobilebert.encoder.layer.0.ffn.3.intermediate.dense.bias"))
  }

  @Test func aPoolerThatNothingReadsIsKept() throws {
    var (fake, config) = try fake("ForPreTraining")
    fake.add("mobilebert.pooler.dense.weight", [16, 16])
    fake.add("mobilebert.pooler.dense.bias", [16])
    #expect(try plan(fake, config).names.contains("mobilebert.pooler.dense.weight"))
  }
}
