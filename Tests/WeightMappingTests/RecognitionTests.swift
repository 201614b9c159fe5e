import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

@Suite struct RecognitionTests {
  private func infos(_ names: [String], shape: [Int] = [4, 4]) -> [TensorInfo] {
    names.compactMap { TensorInfo(name: $0, elementType: .f32, shape: shape) }
  }

  @Test(arguments: [
    ("ulmfit", ["0.encoder.weight", "0.rnns.0.layers.0.linear.weight"]),
    ("gpt", ["tokens_embed.weight", "h.0.attn.c_attn.weight"]),
    ("gpt2", ["transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"]),
    ("distilbert", ["distilbert.transformer.layer.3.attention.q_lin.weight"]),
    ("roberta", ["roberta.embeddings.word_embeddings.weight", "roberta.encoder.layer.0.output.dense.weight"]),
    ("albert", ["albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"]),
    ("albert", ["bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel"]),
    ("megatron-bert", ["bert.encoder.layer.7.attention.ln.weight"]),
    ("electra", ["electra/embeddings/word_embeddings"]),
    ("codertimo", ["bert.transformer_blocks.0.attention.linear_layers.0.weight"]),
    ("t5", ["encoder.block.0.layer.0.SelfAttention.q.weight"]),
    ("mobilebert", ["bert/embeddings/embedding_transformation/kernel"]),
    ("mobilebert", ["embeddings.embedding_transformation.weight"]),
    ("llama", ["model.layers.31.self_attn.q_proj.weight", "model.layers.31.mlp.gate_proj.weight"]),
    ("layoutlm", ["layoutlm.embeddings.x_position_embeddings.weight"]),
    ("visual_bert", ["visual_bert.embeddings.visual_projection.weight"]),
    ("tapas", ["tapas.embeddings.token_type_embeddings_6.weight"]),
    ("lxmert", ["encoder.x_layers.2.visual_attention.att.query.weight"]),
    ("markuplm", ["embeddings.xpath_embeddings.inner2emb.weight"]),
    ("bros", ["bros.bbox_embeddings.bbox_projection.weight"]),
    ("luke", ["luke.entity_embeddings.entity_embeddings.weight"]),
    ("splinter", ["splinter_qass.start_classifier.weight"]),
    ("roformer", ["roformer.encoder.embed_positions.weight", "roformer.encoder.layer.3.attention.self.query.weight"]),
    ("longformer", ["longformer.encoder.layer.11.attention.self.query_global.weight"]),
    ("nystromformer", ["nystromformer.encoder.layer.1.attention.self.conv.weight"]),
    ("convbert", ["convbert.encoder.layer.0.attention.self.conv_kernel_layer.weight"]),
    ("ibert", ["ibert.encoder.layer.0.attention.self.query.weight_integer"]),
    ("canine", ["char_embeddings.HashBucketCodepointEmbedder_7.weight"]),
  ])
  func otherFamiliesAreNamed(family: String, names: [String]) throws {
    let recognition = try mapper().recognize(infos(names))
    #expect(recognition.family == family)
    #expect(recognition.dialect == nil)
    #expect(recognition.description != nil)
  }

  @Test func aFamilyWithoutATableIsRefusedInOneSentence() {
    var source = MemorySource()
    for name in ["transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"] { source.add(name, [4, 4]) }
    let text = failure(source)
    #expect(text.contains("this is a GPT-2: no table converts"))
    #expect(text.split(separator: "\n").count < 4)
  }

  /// Several families have the names of a BART; the config shows which it is.
  @Test func theConfigNamesAFamilyWithoutATable() {
    var source = MemorySource()
    for name in ["model.encoder.layers.0.self_attn.q_proj.weight", "model.decoder.layers.0.encoder_attn.q_proj.weight"]
    {
      source.add(name, [4, 4])
    }
    #expect(failure(source, nil).contains("this is a BART"))
    #expect(failure(source, .object([.init("model_type", .string("bart"))])).contains("this is a BART"))
    let whisper = failure(source, .object([.init("model_type", .string("whisper"))]))
    #expect(whisper.contains("model_type 'whisper', which is not converted") && !whisper.contains("BART"))
  }

  /// All the names of a BERT, and one more: it computes something else, whatever may be left out.
  @Test func aBERTWithMoreIsNotTakenForABERT() {
    var source = transformersTensors(heads: false)
    source.add("bert.embeddings.x_position_embeddings.weight", [Size.positions, Size.hidden])
    for allowed in [[], ["*x_position*"]] {
      let text = failure(source, nil, allow: allowed)
      #expect(text.contains("this is a LayoutLM") && !text.contains("Unexpected tensors can be left out"), "\(text)")
    }
  }

  @Test func aRoBERTaWithoutPrefixIsNotTakenForABERT() throws {
    var source = transformersTensors(heads: false).renamed { String($0.dropFirst(5)) }
    source.remove("embeddings.position_embeddings.weight")
    source.remove("embeddings.token_type_embeddings.weight")
    source.add("embeddings.position_embeddings.weight", [514, Size.hidden])
    source.add("embeddings.token_type_embeddings.weight", [1, Size.hidden])
    #expect(try mapper().recognize(source.tensors).family == "roberta")
  }

  @Test func whatNobodyKnowsIsNotGuessed() throws {
    let recognition = try mapper().recognize(infos(["a.weight", "classifier.weight", "classifier.bias"]))
    #expect(recognition.family == nil && recognition.matched == 0)
    var source = MemorySource()
    source.add("classifier.weight", [2, 2])
    #expect(failure(source).contains("no table knows these tensors"))
    #expect(failure(MemorySource()).contains("no tensors"))
  }

  @Test func aBERTIsABERT() throws {
    let recognition = try mapper().recognize(googleTensors(scope: "module/").tensors)
    #expect(recognition.family == "bert" && recognition.matched == googleTensors().tensors.count)
  }

  /// Some optimizers keep their state under the weights' own names in a scope of theirs, which sorts first.
  @Test func aScopeOfCopiesIsNotTheModel() throws {
    for scope in ["optimizer/m/", "a/copy/"] {
      var source = MemorySource()
      for name in ["bert/embeddings/word_embeddings", "bert/pooler/dense/bias"] {
        source.add(scope + name, try #require(googleTensors().tensors.first { $0.name == name }).shape)
      }
      let copies = source.tensors.map(\.name)
      for tensor in googleTensors().tensors { source.add(tensor.name, tensor.shape) }
      let report = try mapper().outline(of: source.tensors, config: nil).report
      #expect(report.scope.isEmpty && report.mapped.count == googleTensors().tensors.count)
      // A table's drop rule knows the first, and nobody the second.
      #expect(report.dropped.map(\.name) == (scope == "optimizer/m/" ? copies : []))
      #expect(report.unexpected.map(\.name) == (scope == "optimizer/m/" ? [] : copies))
    }
  }

  @Test func theFullNamesOfAnObjectGraphCount() throws {
    let tensors = googleTensors().tensors.enumerated().map { index, info in
      var info = info
      info.fullName = info.name
      info.name = "variables/\(index)/.ATTRIBUTES/VARIABLE_VALUE"
      return info
    }
    #expect(try mapper().recognize(tensors).dialect == "google-tf1")
  }
}
