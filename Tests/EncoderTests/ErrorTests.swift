import CheckpointFormats
import CheckpointReaders
import ModelFamilies
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

@Suite("What the encoder refuses")
struct ErrorTests {
  private func refused(
    _ kind: FormatError.Kind, _ model: TinyModel, _ key: String, _ value: String, words: String
  ) throws {
    var json = model.config
    json.set(key, try JSON.parse(value))
    let error = expectError(kind, words: [words]) { _ = try EncoderConfig(json, file: "config.json") }
    #expect(error?.file == "config.json")
  }

  @Test(arguments: [
    ("hidden_size", "13", "not a multiple of its num_attention_heads; found 13 and 3"),
    ("hidden_size", "0", "hidden_size is out of range; found 0, expected 1 to 65536"),
    ("hidden_size", "null", "the config has no hidden_size"),
    ("hidden_size", "\"12\"", "hidden_size is not usable; found \"12\", expected a whole number"),
    ("num_hidden_layers", "-1", "num_hidden_layers is out of range; found -1"),
    ("num_hidden_layers", "1000000", "num_hidden_layers is out of range"),
    ("num_attention_heads", "1.5", "num_attention_heads is not usable; found 1.5"),
    ("intermediate_size", "1e99", "intermediate_size is not usable"),
    ("vocab_size", "99999999999", "vocab_size is out of range"),
    ("max_position_embeddings", "0", "max_position_embeddings is out of range"),
    ("type_vocab_size", "0", "type_vocab_size is out of range"),
    (
      "hidden_act", "\"swish\"",
      "hidden_act is not a known activation; found 'swish', expected gelu, gelu_new, gelu_fast"
    ),
    ("hidden_act", "{}", "hidden_act is not usable; found {}, expected a string"),
    ("layer_norm_eps", "-1", "layer_norm_eps is out of range; found -1"),
    ("layer_norm_eps", "\"x\"", "layer_norm_eps is not usable"),
    ("model_type", "\"gpt2\"", "does not run models of this family; found model_type 'gpt2', expected 'bert'"),
    (
      "position_embedding_type", "\"relative_key\"",
      "kind of position embeddings; found position_embedding_type 'relative_key'"
    ),
    ("is_decoder", "true", "the encoder does not run decoders; found is_decoder true"),
  ])
  func configs(key: String, value: String, expected: String) throws {
    let isOtherModel = ["model_type", "position_embedding_type", "is_decoder"].contains(key)
    let isOtherWord = key == "hidden_act" && value != "{}"
    try refused(isOtherModel || isOtherWord ? .unsupported : .config, TinyModel(), key, value, words: expected)
  }

  /// A few weights that are computed with again and again.
  @Test func layersThatShareWeightsAreNotTooMany() throws {
    var json = TinyModel("albert") { ($0.layers, $0.groups, $0.blocks, $0.embedding) = (2, 1, 1, 5) }.config
    json.set("num_hidden_layers", .int(64))
    #expect(try EncoderConfig(json).layerCount == 64)
    json.set("num_hidden_layers", .int(65))
    expectError(.limit, words: ["found 65 layers, 1 sets", "at most 64 layers"]) { _ = try EncoderConfig(json) }
  }

  @Test func outputsThatDoNotFitIntoMemoryAreNotBegun() throws {
    let model = TinyModel {
      ($0.vocabulary, $0.hidden, $0.heads, $0.layers, $0.intermediate, $0.positions) = (100_000, 1, 1, 1, 1, 512)
      $0.parts = ["mlm"]
    }
    let encoder = try model.encoder(TemporaryFolder(), library: .plain)
    // 51 TB.
    let input = EncoderInput(batch: 250_000, sequence: 512, inputIDs: [Int](repeating: 0, count: 250_000 * 512))
    expectError(.system, words: ["not enough memory for the outputs", "requested"]) {
      _ = try encoder.run(input, outputs: ["prediction_logits"])
    }
  }

  @Test func doublesThatNoFloatHoldsAreRefused() throws {
    let model = TinyModel { $0.storage = .f64 }
    let folder = TemporaryFolder()
    let name = "bert.embeddings.word_embeddings.weight"
    let written = try model.write(folder)
    let start = Int(try #require(written.tensor(name)).bytes.offsetInFile)
    for (value, isRefused) in [(1e300, true), (-1e39, true), (3e38, false), (.infinity, false)] as [(Double, Bool)] {
      var bytes = written.file.array()
      bytes.replaceSubrange((start + 24)..<(start + 32), with: littleEndianBytes(value.bitPattern))
      let changed = try NativeModel.open(try folder.write(bytes, "changed.safetensors"))
      let error = formatErrorIfAny { _ = try Encoder(changed, config: model.config, library: .plain) }
      #expect(
        (error?.kind == .unsupported && error?.tensor == name) == isRefused, "\(value): \(String(describing: error))")
    }
  }

  private func formatErrorIfAny(_ body: () throws -> Void) -> FormatError? {
    do { try body() } catch { return error as? FormatError }
    return nil
  }

  @Test(arguments: [
    ("normalization_type", "\"rms\"", "normalization_type is not a known one; found 'rms', expected 'no_norm' or"),
    ("use_bottleneck", "1", "use_bottleneck is not usable; found 1, expected true or false"),
    ("key_query_shared_bottleneck", "false", "found hidden_size 12 and intra_bottleneck_size 10, expected use_bott"),
    ("num_attention_heads", "3", "intra_bottleneck_size is not a multiple of its num_attention_heads; found 10 and 3"),
    ("num_feedforward_networks", "0", "num_feedforward_networks is out of range; found 0, expected 1 to 4"),
    ("num_feedforward_networks", "null", "the config has no num_feedforward_networks"),
  ])
  func configsOfBottlenecks(key: String, value: String, expected: String) throws {
    let model = mobile { $0.feedForwards = 2 }
    #expect(try EncoderConfig(model.config, file: "config.json").headSize == 5)
    try refused(.config, model, key, value, words: expected)
  }

  /// A MobileBERT with a second feed-forward network where it is asked for.
  private func mobile(_ change: (inout TinyModel) -> Void = { _ in }) -> TinyModel {
    TinyModel("mobilebert") {
      ($0.heads, $0.embedding, $0.inner, $0.bottleneck) = (2, 5, 10, .queriesAndKeys)
      $0.parts = ["second_feed_forward", "pooler"]
      change(&$0)
    }
  }

  @Test func aWeightThatTheConfigDoesNotNameIsNotLeftOut() throws {
    let model = mobile { $0.feedForwards = 2 }
    var fewer = model.config
    fewer.set("num_feedforward_networks", .int(1))
    let folder = TemporaryFolder()
    let error = expectError(.mismatch, tensor: "mobilebert.encoder.layer.0.ffn.0.intermediate.dense.weight") {
      _ = try Encoder(model.write(folder), config: fewer)
    }
    #expect(error?.advice == .giveConfig)
    // Transformers has the second bottleneck where nothing reads it, too: there it is no error.
    var other = model.config
    other.set("use_bottleneck_attention", .bool(true))
    let shapes = formatError {
      _ = try Encoder(
        model.write(folder) { list, values in
          for (index, entry) in list.enumerated() where entry.name.hasSuffix("value.weight") {
            list[index].shape = [10, 10]
            values[entry.name] = nil
          }
        }, config: other)
    }
    #expect(shapes == nil)
  }

  @Test func embeddingsWiderThanTheLayersHaveNoMaskedLMHead() {
    let model = mobile {
      $0.embedding = 14
      $0.parts = ["mlm"]
    }
    let folder = TemporaryFolder()
    expectError(.config, words: ["found embeddings of 14, layers of 12, expected embeddings of at most 12"]) {
      _ = try Encoder(model.write(folder), config: model.config)
    }
  }

  @Test func defaultsOfAConfig() throws {
    var json = TinyModel().config
    for key in ["hidden_act", "layer_norm_eps", "pad_token_id", "type_vocab_size", "model_type"] {
      json.set(key, .null)
    }
    let config = try EncoderConfig(json)
    #expect(config.activation == .gelu && config.layerNormEpsilon == 1e-12 && config.tokenTypeCount == 2)
    #expect(config.modelType == "bert" && config.paddingID == 0 && config.headSize == 4)
    expectError(.config, words: ["not a JSON object"]) { _ = try EncoderConfig(.array([])) }
  }

  /// The error of a model whose file was changed.
  private func mismatch(
    _ model: TinyModel = TinyModel(), tensor: String? = nil, words: [String] = [],
    _ change: (inout [(name: String, shape: [Int])], inout [String: [Float]]) -> Void
  ) {
    let folder = TemporaryFolder()
    expectError(.mismatch, tensor: tensor, words: words) {
      _ = try Encoder(
        model.write(folder, changing: change),
        EncoderConfig(model.config, file: nil, families: FamilyCatalog([model.family])),
        threads: 1)
    }
  }

  @Test func missingWeights() {
    mismatch(words: ["a weight is missing; expected bert.encoder.layer.1.output.dense.bias"]) { list, _ in
      list.removeAll { $0.name.hasSuffix("layer.1.output.dense.bias") }
    }
    mismatch(words: ["16 weights are missing", "and 8 more"]) { list, _ in
      list.removeAll { $0.name.contains("layer.1.") }
    }
    mismatch(words: ["layer.0.attention.self.query.weight, bert.encoder.layer.1.attention.self.query.weight"]) {
      list, _ in list.removeAll { $0.name.hasSuffix("self.query.weight") }
    }
    mismatch(TinyModel { $0.parts = ["mlm"] }, words: ["a weight is missing; expected cls.predictions.bias"]) {
      list, _ in list.removeAll { $0.name == "cls.predictions.bias" }
    }
    mismatch(TinyModel("mpnet") { $0.paddingID = 1 }, words: ["expected mpnet.encoder.relative_attention_bias.weight"])
    { list, _ in
      list.removeAll { $0.name == "mpnet.encoder.relative_attention_bias.weight" }
    }
    mismatch(words: ["no word embeddings", "'bert.embeddings.word_embeddings.weight' or"]) { list, _ in
      list.removeAll { $0.name.contains("word_embeddings") }
    }
  }

  @Test(arguments: [
    ("bert.encoder.layer.1.intermediate.dense.weight", [12, 20], "[20, 12]"),
    ("bert.encoder.layer.0.attention.self.key.weight", [12, 11], "[12, 12]"),
    ("bert.encoder.layer.0.attention.self.key.bias", [13], "[12]"),
    ("bert.embeddings.position_embeddings.weight", [10, 12], "[11, 12]"),
    ("bert.embeddings.token_type_embeddings.weight", [1, 12], "[2, 12]"),
    ("bert.embeddings.word_embeddings.weight", [24, 12], "[23, 12]"),
    ("bert.encoder.layer.1.output.LayerNorm.weight", [12, 1], "[12]"),
    ("bert.pooler.dense.weight", [12], "[12, 12]"),
  ])
  func wrongShapes(name: String, shape: [Int], expected: String) {
    mismatch(tensor: name, words: ["found \(shapeText(shape)), expected \(expected)"]) { list, values in
      for (index, entry) in list.enumerated() where entry.name == name {
        list[index].shape = shape
        values[name] = nil  // zeros of the new shape
      }
    }
  }

  @Test func aClassifierWithoutLabels() {
    let model = TinyModel { $0.parts = ["classification"] }
    mismatch(model, tensor: "classifier.weight") { list, values in
      for (index, entry) in list.enumerated() where entry.name == "classifier.weight" {
        list[index].shape = [0, 12]
        values[entry.name] = nil
      }
    }
  }

  @Test func storageThatIsNotUsable() throws {
    let folder = TemporaryFolder()
    let tiny = TinyModel { $0.storage = .i8 }
    // The scales come last: without the last of them.
    let whole = try tiny.write(folder)
    let last = try #require(whole.header.entries.last)
    let kept = Array(whole.header.entries.dropLast())
    let data = try #require(whole.file.slice(whole.header.dataStart, last.range.lowerBound))
    let path = try folder.write(SafetensorsHeader.encoded(kept, metadata: [], alignment: 64) + data.array(), "short")
    expectError(.mismatch, words: ["the 8-bit tensor has no scale; expected a tensor '\(last.name)'"]) {
      _ = try Encoder(NativeModel.open(path), config: tiny.config)
    }

    var entries = try TinyModel().write(folder, "floats").header.entries
    entries[0].elementType = .i32
    let file = try NativeModel.open(folder.file("floats"))
    let rest = try #require(file.file.suffix(from: file.header.dataStart))
    let other = try folder.write(
      SafetensorsHeader.encoded(entries, metadata: [], alignment: 64) + rest.array(), "i32")
    expectError(.unsupported, words: ["found I32, expected F32, F16, BF16"]) {
      _ = try Encoder(NativeModel.open(other), config: TinyModel().config)
    }
    expectError(.config, words: ["the file has no config"]) { _ = try Encoder(file) }
    expectError(.input, words: ["number of threads"]) {
      _ = try Encoder(file, config: TinyModel().config, threads: 0)
    }
  }

  @Test func inputs() throws {
    let folder = TemporaryFolder()
    let encoder = try TinyModel().encoder(folder)
    /// The error of a run with that input, which is of the tensor where one is named.
    func refused(_ tensor: String?, _ words: String, _ change: (inout EncoderInput) -> Void) {
      var input = TinyModel().input()
      change(&input)
      expectError(.input, tensor: tensor, words: [words]) {
        _ = try encoder.run(input, outputs: ["last_hidden_state"])
      }
    }
    refused("input_ids", "an id is outside the vocabulary; found 23 at row 1, column 2, expected 0 to 22") {
      $0.inputIDs[9] = 23
    }
    refused("input_ids", "found -1 at row 2, column 6") { $0.inputIDs[20] = -1 }
    refused("token_type_ids", "a token type is out of range; found 2 at row 1, column 1, expected 0 to 1") {
      $0.tokenTypeIDs?[8] = 2
    }
    refused("attention_mask", "the mask is neither 0 nor 1; found 2 at row 0, column 3") { $0.attentionMask?[3] = 2 }
    refused("attention_mask", "a sequence has no tokens; found only zeros in row 1") {
      for index in 7..<14 { $0.attentionMask?[index] = 0 }
    }
    refused("input_ids", "the number of values does not fit the shape; found 20, expected 21 for [3, 7]") {
      $0.inputIDs.removeLast()
    }
    refused("attention_mask", "the number of values") { $0.attentionMask = [1] }
    refused("task_type_ids", "the number of values") { $0.taskTypeIDs = [1] }
    refused("input_ids", "not a multiple of the choices; found 3 sequences, expected a multiple of 2") {
      $0.choices = 2
    }
    refused("input_ids", "not a multiple of the choices") { $0.choices = 0 }
    refused("input_ids", "the input is empty") { $0.batch = 0 }
    refused("input_ids", "longer than the model's maximum length; found 12 columns, expected at most 11") {
      $0 = EncoderInput(batch: 1, sequence: 12, inputIDs: Array(repeating: 3, count: 12))
    }
    expectError(
      .input, words: ["found 'logits', expected hidden_states.0 … hidden_states.2, last_hidden_state"]
    ) { _ = try encoder.run(TinyModel().input(), outputs: ["logits"]) }
  }

  @Test func taskTypesOutOfRange() throws {
    let model = TinyModel("tasks")
    let encoder = try model.encoder(TemporaryFolder())
    var input = model.input()
    input.taskTypeIDs?[8] = 3
    expectError(.input, tensor: "task_type_ids", words: ["found 3 at row 1, column 1, expected 0 to 2"]) {
      _ = try encoder.run(input)
    }
    // A model without task types does not read them.
    #expect(try TinyModel().encoder(TemporaryFolder()).run(input).shape == [3, 7, 12])
  }

  @Test func aTableOfTooFewRelativePositions() {
    let model = TinyModel("mpnet") { $0.paddingID = 1 }
    var config = model.config
    config.set("relative_attention_num_buckets", .int(31))
    expectError(.unsupported, words: ["found 31, expected 32"]) {
      _ = try EncoderConfig(config, file: nil, families: FamilyCatalog([model.family]))
    }
  }

  @Test func inputsOfAFile() throws {
    func source(_ tensors: (name: String, type: ElementType, shape: [Int], bytes: [UInt8])...) -> MemorySource {
      var source = MemorySource(path: "fixture.npz")
      for tensor in tensors { source.add(tensor.name, tensor.shape, type: tensor.type, bytes: tensor.bytes) }
      return source
    }
    func refused(_ source: MemorySource, tensor: String? = nil, _ words: String) {
      expectError(.input, tensor: tensor, words: [words]) { _ = try EncoderInput(source) }
    }
    refused(source(), "there are no input_ids; found no tensors")
    refused(source(("other", .f32, [1], [0, 0, 0, 0])), "found other, expected a tensor 'input_ids'")
    let ids: (name: String, type: ElementType, shape: [Int], bytes: [UInt8]) = (
      "input_ids", .i16, [1, 2], [1, 0, 255, 255]
    )
    let whole = try EncoderInput(source(ids, ("attention_mask", .bool, [1, 2], [1, 0])))
    #expect(whole.inputIDs == [1, -1] && whole.attentionMask == [1, 0] && whole.tokenTypeIDs == nil)
    let tasks = try EncoderInput(source(ids, ("task_type_ids", .u8, [1, 2], [1, 0])))
    #expect(tasks.taskTypeIDs == [1, 0])
    refused(
      source(ids, ("token_type_ids", .u8, [2], [1, 0])), tensor: "token_type_ids",
      "not that of input_ids; found [2], expected [1, 2]")
    refused(
      source(ids, ("token_type_ids", .f32, [1, 2], Array(repeating: 0, count: 8))), tensor: "token_type_ids",
      "the input is not of whole numbers; found F32")
    refused(
      source(("input_ids", .u64, [1, 1], Array(repeating: 255, count: 8))),
      "a value is too large; found 18446744073709551615")
    let input = try EncoderInput(source(("input_ids", .u8, [2, 3, 4], Array(repeating: 5, count: 24))))
    #expect(input.batch == 6 && input.sequence == 4 && input.choices == 3 && input.file == "fixture.npz")
    refused(source(("input_ids", .u8, [4], [1, 2, 3, 4])), "found [4], expected [batch, sequence]")
  }
}
