import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// The families that are no BERT of transformers, and configs that belong to another one.
@Suite struct OtherFamiliesTests {
  /// An ULMFiT of three layers as fastai 2 saves it, its raw weights by `raw`.
  private func ulmfit(raw: String, copies: Bool = true, alias: String? = "0.encoder_dp.emb.weight") -> MemorySource {
    let (vocabulary, size, hidden, layers) = (11, 6, 10, 3)
    var source = MemorySource()
    source.add("0.encoder.weight", [vocabulary, size])
    if let alias { source.add(alias, [vocabulary, size], seed: "0.encoder.weight") }
    for layer in 0..<layers {
      let (input, output) = (layer == 0 ? size : hidden, layer == layers - 1 ? size : hidden)
      let name = "0.rnns.\(layer)."
      source.add(name + raw, [4 * output, output])
      if copies { source.add(name + "module.weight_hh_l0", [4 * output, output]) }
      source.add(name + "module.weight_ih_l0", [4 * output, input])
      source.add(name + "module.bias_ih_l0", [4 * output])
      source.add(name + "module.bias_hh_l0", [4 * output])
    }
    source.add("1.decoder.weight", [vocabulary, size], seed: "0.encoder.weight")
    return source
  }

  @Test func whatWeightDropLeftIsNotTheWeight() throws {
    let source = ulmfit(raw: "weight_hh_l0_raw")
    let plan = try plan(source, nil)
    #expect(plan.dialect == "fastai" && plan.config["architectures"] == .strings(["SequentialRNN"]))
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    for layer in 0..<3 {
      #expect(sink.bytes("0.rnns.\(layer).module.weight_hh_l0") == source.bytes("0.rnns.\(layer).weight_hh_l0_raw"))
    }
    #expect(plan.report.dropped.count == 5)
    #expect(plan.config["n_hid"] == .int(10) && plan.config["emb_sz"] == .int(6))
  }

  @Test func fastaiBeforeItsFirstVersion() throws {
    let source = ulmfit(raw: "module.weight_hh_l0_raw", copies: false, alias: "0.encoder_with_dropout.embed.weight")
    #expect(try plan(source, nil).dialect == "fastai-0.7")
  }

  @Test func aSavedEncoder() throws {
    let encoder = ulmfit(raw: "weight_hh_l0_raw").renamed { $0.hasPrefix("0.") ? String($0.dropFirst(2)) : nil }
    let plan = try plan(encoder, nil)
    #expect(plan.config["architectures"] == .strings(["AWD_LSTM"]))
    #expect(plan.names.contains("0.rnns.2.module.weight_hh_l0"))
  }

  @Test func theCopyOfTheEmbeddingsMustBeOne() {
    var source = ulmfit(raw: "weight_hh_l0_raw")
    source.remove("0.encoder_dp.emb.weight")
    source.add("0.encoder_dp.emb.weight", [11, 6])
    #expect(failure(source, nil).contains("an alias of 0.encoder.weight has different values"))
  }

  @Test func aConfigOfAnotherFamilyIsRecognized() {
    let bert = JSON.object(config.members?.filter { $0.key != "vocab_size" } ?? [])
    let text = failure(ulmfit(raw: "weight_hh_l0_raw"), bert)
    #expect(text.contains("do not make an ULMFiT (AWD-LSTM) language model"))
    #expect(text.contains("bert_config.json has the keys of a BERT (hidden_size, "))
    #expect(text.contains("but the tensors have the names of an ULMFiT (AWD-LSTM) language model"))
    let other = failure(
      googleTensors(), .object(["emb_sz": .int(400), "n_hid": .int(1152), "n_layers": .int(3), "vocab_sz": .int(9)]))
    #expect(other.contains("has the keys of an ULMFiT (AWD-LSTM) language model (emb_sz, n_hid, n_layers, vocab_sz)"))
    // A config whose keys are not sizes belongs to no family.
    #expect(failure(googleTensors(), .object(["n_hid": .int(1), "hidden_act": .string("gelu")])) == "no error")
  }

  /// OpenAI's GPT of 2018 in torch, whose words and positions are one table.
  private func oldGPT() -> MemorySource {
    var source = MemorySource()
    let size = 6
    source.add("transformer.embed.weight", [20, size])
    for layer in 0..<2 {
      let name = "transformer.h.\(layer)."
      source.add(name + "attn.b", [1, 1, 8, 8])
      for (part, input, output) in [
        ("attn.c_attn", size, 3 * size), ("attn.c_proj", size, size), ("mlp.c_fc", size, 4 * size),
        ("mlp.c_proj", 4 * size, size),
      ] {
        source.add("\(name)\(part).w", [input, output])
        source.add("\(name)\(part).b", [output])
      }
      for norm in ["ln_1", "ln_2"] {
        source.add("\(name)\(norm).g", [size])
        source.add("\(name)\(norm).b", [size])
      }
    }
    source.add("lm_head.decoder.weight", [20, size], seed: "transformer.embed.weight")
    return source
  }

  @Test(arguments: [("n_positions", 8), ("n_ctx", 8), ("vocab_size", 12)])
  func oneSizeShowsWhereTheTableIsCut(key: String, value: Int) throws {
    let source = oldGPT()
    let plan = try plan(source, .object([key: .int(value), "n_head": .int(2)]))
    #expect(plan.config["vocab_size"] == .int(12) && plan.config["n_positions"] == .int(8))
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    let whole = source.bytes("transformer.embed.weight")
    #expect(sink.bytes("transformer.tokens_embed.weight") == Array(whole.prefix(12 * 24)))
    #expect(sink.bytes("transformer.positions_embed.weight") == Array(whole.suffix(8 * 24)))
  }

  @Test(arguments: [nil, 20, 30])
  func withoutAnyHintItIsRefused(positions: Int?) {
    var config = JSON.object(["n_head": .int(2)])
    if let positions { config.set("n_positions", .int(positions)) }
    let text = failure(oldGPT(), config)
    #expect(text.contains("'transformer.embed.weight' of shape [20, 6] holds vocab_size and n_positions together"))
  }

  @Test func headsOfAPickledModule() throws {
    var source = MemorySource()
    let size = 8
    source.add("bert.embedding.token.weight", [11, size])
    source.add("bert.embedding.position.pe", [1, 9, size])
    source.add("bert.embedding.segment.weight", [3, size])
    for part in [
      "attention.linear_layers.0", "attention.linear_layers.1", "attention.linear_layers.2", "attention.output_linear",
    ] {
      source.add("bert.transformer_blocks.0.\(part).weight", [size, size])
      source.add("bert.transformer_blocks.0.\(part).bias", [size])
    }
    for (part, rows, columns) in [("w_1", 32, size), ("w_2", size, 32)] {
      source.add("bert.transformer_blocks.0.feed_forward.\(part).weight", [rows, columns])
      source.add("bert.transformer_blocks.0.feed_forward.\(part).bias", [rows])
    }
    for norm in ["input_sublayer", "output_sublayer"] {
      source.add("bert.transformer_blocks.0.\(norm).norm.a_2", [size])
      source.add("bert.transformer_blocks.0.\(norm).norm.b_2", [size])
    }
    func heads(_ metadata: [(key: String, value: String)]) throws -> JSON? {
      try mapper().plan(
        for: source.tensors, metadata: metadata, file: "m", config: nil, configFile: nil, allowUnexpected: []
      ).config["num_attention_heads"]
    }
    #expect(try heads([("attn_heads", "4")]) == .int(4))
    #expect(try heads([("bert.attn_heads", "2")]) == .int(2))
    // Two modules with different numbers show nothing.
    #expect(try heads([("bert.attn_heads", "2"), ("other.attn_heads", "4")]) == .int(8))
    #expect(try heads([]) == .int(8))
  }
}
