import CheckpointReaders
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// The error that `body` throws, as text.
private func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return "\(error)"
  }
}

/// Tensors of numbers in memory.
struct MemorySource: TensorSource {
  var list: [(info: TensorInfo, bytes: [UInt8])] = []
  var format: FormatName { .safetensors }
  var files: [SourceFile] { [SourceFile(path: "fixture.npz", size: 0)] }
  var tensors: [TensorInfo] { list.map(\.info) }

  mutating func add(_ name: String, _ type: ElementType, _ shape: [Int], _ bytes: [UInt8]) {
    if let info = TensorInfo(name: name, elementType: type, shape: shape) { list.append((info, bytes)) }
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let bytes = list[index].bytes
    return try unsafe body(bytes.span.bytes)
  }
}

@Suite("What the encoder refuses")
struct ErrorTests {
  private func config(_ key: String, _ value: JSON) -> String {
    var json = TinyModel().config
    json.set(key, value)
    return message { _ = try EncoderConfig(json, file: "config.json") }
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
      "hidden_act is not a known activation; found 'swish', expected gelu, gelu_python, gelu_new"
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
    let text = config(key, try JSON.parse(value))
    #expect(text.contains(expected), "\(text)")
    #expect(text.hasPrefix("config.json: "))
  }

  @Test(arguments: [
    ("normalization_type", "\"rms\"", "normalization_type is not a known one; found 'rms', expected 'no_norm' or"),
    ("use_bottleneck", "1", "use_bottleneck is not usable; found 1, expected true or false"),
    ("key_query_shared_bottleneck", "false", "found hidden_size 12 and intra_bottleneck_size 10, expected use_bott"),
    ("num_attention_heads", "3", "intra_bottleneck_size is not a multiple of its num_attention_heads; found 10 and 3"),
    ("num_feedforward_networks", "0", "num_feedforward_networks is out of range; found 0, expected 1 to 64"),
    ("num_feedforward_networks", "null", "the config has no num_feedforward_networks"),
  ])
  func configsOfBottlenecks(key: String, value: String, expected: String) throws {
    let model = TinyModel(
      heads: 2, family: .mobileBERT, embedding: 5, inner: 10, bottleneck: .queriesAndKeys, feedForwards: 2,
      modelType: "mobilebert")
    #expect(try EncoderConfig(model.config, file: "config.json").headSize == 5)
    var json = model.config
    json.set(key, try JSON.parse(value))
    let text = message { _ = try EncoderConfig(json, file: "config.json") }
    #expect(text.contains(expected), "\(text)")
  }

  @Test func aWeightThatTheConfigDoesNotNameIsNotLeftOut() throws {
    let model = TinyModel(
      heads: 2, prefix: "mobilebert.", family: .mobileBERT, embedding: 5, inner: 10, bottleneck: .queriesAndKeys,
      feedForwards: 2, modelType: "mobilebert")
    var fewer = model.config
    fewer.set("num_feedforward_networks", .int(1))
    let folder = TemporaryFolder()
    let text = message { _ = try Encoder(model.write(folder), config: fewer) }
    #expect(
      text.contains("'mobilebert.encoder.layer.0.ffn.0.intermediate.dense.weight': the file holds a weight"), "\(text)")
    // Transformers has the second bottleneck where nothing reads it, too: there it is no error.
    var other = model.config
    other.set("use_bottleneck_attention", .bool(true))
    let shapes = message {
      _ = try Encoder(
        model.write(folder) { list, values in
          for (index, entry) in list.enumerated() where entry.name.hasSuffix("value.weight") {
            list[index].shape = [10, 10]
            values[entry.name] = nil
          }
        }, config: other)
    }
    #expect(shapes == "no error")
  }

  @Test func embeddingsWiderThanTheLayersHaveNoMaskedLMHead() {
    let model = TinyModel(
      heads: 2, prefix: "mobilebert.", hasPrediction: true, family: .mobileBERT, embedding: 14, inner: 10,
      bottleneck: .queriesAndKeys, modelType: "mobilebert")
    let folder = TemporaryFolder()
    let text = message { _ = try Encoder(model.write(folder), config: model.config) }
    #expect(text.contains("found embeddings of 14, layers of 12, expected embeddings of at most 12"), "\(text)")
  }

  @Test func defaultsOfAConfig() throws {
    var json = TinyModel().config
    for key in ["hidden_act", "layer_norm_eps", "pad_token_id", "type_vocab_size", "model_type"] {
      json.set(key, .null)
    }
    let config = try EncoderConfig(json)
    #expect(config.activation == .gelu && config.layerNormEpsilon == 1e-12 && config.tokenTypeCount == 2)
    #expect(config.modelType == "bert" && config.paddingID == 0 && config.headSize == 4)
    #expect(message { _ = try EncoderConfig(.array([])) }.contains("not a JSON object"))
  }

  private func model(
    _ model: TinyModel = TinyModel(), config: JSON? = nil,
    _ change: (inout [(name: String, shape: [Int])], inout [String: [Float]]) -> Void
  ) -> String {
    let folder = TemporaryFolder()
    return message { _ = try Encoder(model.write(folder, changing: change), config: config ?? model.config) }
  }

  @Test func missingWeights() {
    let one = model { list, _ in list.removeAll { $0.name.hasSuffix("layer.1.output.dense.bias") } }
    #expect(one.contains("a weight is missing; expected bert.encoder.layer.1.output.dense.bias"), "\(one)")
    let layer = model { list, _ in list.removeAll { $0.name.contains("layer.1.") } }
    #expect(layer.contains("16 weights are missing") && layer.contains("and 8 more"), "\(layer)")
    let query = model { list, _ in list.removeAll { $0.name.hasSuffix("self.query.weight") } }
    #expect(query.contains("layer.0.attention.self.query.weight, bert.encoder.layer.1.attention.self.query.weight"))
    let head = model(TinyModel(hasPrediction: true)) { list, _ in list.removeAll { $0.name == "cls.predictions.bias" } }
    #expect(head.contains("a weight is missing; expected cls.predictions.bias"), "\(head)")
    let words = model { list, _ in list.removeAll { $0.name.contains("word_embeddings") } }
    #expect(words.contains("no word embeddings") && words.contains("'bert.embeddings.word_embeddings.weight' or"))
  }

  @Test func wrongShapesAndTypes() {
    func reshape(_ suffix: String, _ shape: [Int]) -> String {
      model { list, values in
        for (index, entry) in list.enumerated() where entry.name.hasSuffix(suffix) {
          list[index].shape = shape
          values[entry.name] = nil  // zeros of the new shape
        }
      }
    }
    for (suffix, shape, expected) in [
      ("layer.1.intermediate.dense.weight", [12, 20], "[20, 12]"),
      ("layer.0.attention.self.key.weight", [12, 11], "[12, 12]"),
      ("layer.0.attention.self.key.bias", [13], "[12]"), ("position_embeddings.weight", [10, 12], "[11, 12]"),
      ("token_type_embeddings.weight", [1, 12], "[2, 12]"), ("word_embeddings.weight", [24, 12], "[23, 12]"),
      ("layer.1.output.LayerNorm.weight", [12, 1], "[12]"), ("pooler.dense.weight", [12], "[12, 12]"),
    ] {
      let text = reshape(suffix, shape)
      #expect(
        text.contains("\(suffix)': the shape does not fit the config; found \(shapeText(shape)), expected \(expected)"),
        "\(text)")
    }
    let labels = model(TinyModel(labels: 0)) { _, _ in }
    #expect(labels.contains("tensor 'classifier.weight': the shape does not fit"), "\(labels)")
  }

  @Test func storageThatIsNotUsable() throws {
    let folder = TemporaryFolder()
    let tiny = TinyModel(storage: .i8)
    // The scales come last: without the last of them.
    let whole = try tiny.write(folder)
    let last = try #require(whole.header.entries.last)
    let kept = Array(whole.header.entries.dropLast())
    let data = try #require(whole.file.slice(whole.header.dataStart, last.range.lowerBound))
    let path = try folder.write(SafetensorsHeader.serialise(kept, metadata: [], alignment: 64) + data.array(), "short")
    let text = message { _ = try Encoder(NativeModel.open(path), config: tiny.config) }
    #expect(text.contains("the 8-bit tensor has no scale; expected a tensor '\(last.name)'"), "\(text)")

    var entries = try TinyModel().write(folder, "floats").header.entries
    entries[0].elementType = .i32
    let file = try NativeModel.open(folder.file("floats"))
    let rest = try #require(file.file.suffix(from: file.header.dataStart))
    let other = try folder.write(
      SafetensorsHeader.serialise(entries, metadata: [], alignment: 64) + rest.array(), "i32")
    let type = message { _ = try Encoder(NativeModel.open(other), config: TinyModel().config) }
    #expect(type.contains("cannot use weights of this type; found I32, expected F32, F16, BF16"), "\(type)")
    #expect(message { _ = try Encoder(file) }.contains("the file holds no config"))
    #expect(message { _ = try Encoder(file, config: TinyModel().config, threads: 0) }.contains("number of threads"))
  }

  @Test func inputs() throws {
    let folder = TemporaryFolder()
    let encoder = try TinyModel().encoder(folder)
    func run(_ change: (inout EncoderInput) -> Void) -> String {
      var input = TinyModel().input()
      change(&input)
      return message { _ = try encoder.run(input, outputs: ["last_hidden_state"]) }
    }
    for (got, expected) in [
      (
        run { $0.inputIDs[9] = 23 },
        "'input_ids': an id is outside the vocabulary; found 23 at row 1, column 2, expected 0 to 22"
      ),
      (run { $0.inputIDs[20] = -1 }, "found -1 at row 2, column 6"),
      (
        run { $0.tokenTypeIDs?[8] = 2 },
        "'token_type_ids': a token type is out of range; found 2 at row 1, column 1, expected 0 to 1"
      ),
      (run { $0.attentionMask?[3] = 2 }, "'attention_mask': the mask is neither 0 nor 1; found 2 at row 0, column 3"),
      (
        run { input in for index in 7..<14 { input.attentionMask?[index] = 0 } },
        "a sequence has no tokens; found only zeros in row 1"
      ),
      (
        run { $0.inputIDs.removeLast() },
        "'input_ids': the number of values does not fit the shape; found 20, expected 21 for [3, 7]"
      ),
      (run { $0.attentionMask = [1] }, "'attention_mask': the number of values"),
      (run { $0.choices = 2 }, "cannot be shared out to the choices; found 3 sequences, expected a multiple of 2"),
      (run { $0.choices = 0 }, "cannot be shared out"), (run { $0.batch = 0 }, "the input is empty"),
      (
        run { $0 = EncoderInput(batch: 1, sequence: 12, inputIDs: Array(repeating: 3, count: 12)) },
        "longer than the model's positions; found 12 columns, expected at most 11"
      ),
      (
        message { _ = try encoder.run(TinyModel().input(), outputs: ["logits"]) },
        "the model has no such output; found 'logits', expected hidden_states.0 … hidden_states.2, last_hidden_state"
      ),
    ] { #expect(got.contains(expected), "\(got)") }
  }

  @Test func inputsOfAFile() throws {
    var source = MemorySource()
    #expect(message { _ = try EncoderInput(source) }.contains("there are no input_ids; found no tensors"))
    source.add("other", .f32, [1], [0, 0, 0, 0])
    #expect(message { _ = try EncoderInput(source) }.contains("found other, expected a tensor 'input_ids'"))
    source.add("input_ids", .i16, [1, 2], [1, 0, 255, 255])
    #expect(try EncoderInput(source).inputIDs == [1, -1])
    source.add("attention_mask", .bool, [1, 2], [1, 0])
    #expect(try EncoderInput(source).attentionMask == [1, 0])
    source.add("token_type_ids", .u8, [2], [1, 0])
    #expect(message { _ = try EncoderInput(source) }.contains("not that of input_ids; found [2], expected [1, 2]"))
    source.list.removeLast()
    source.add("token_type_ids", .f32, [1, 2], Array(repeating: 0, count: 8))
    #expect(
      message { _ = try EncoderInput(source) }.contains(
        "'token_type_ids': the input is not of whole numbers; found F32"))
    var large = MemorySource()
    large.add("input_ids", .u64, [1, 1], Array(repeating: 255, count: 8))
    #expect(message { _ = try EncoderInput(large) }.contains("a value is too large; found 18446744073709551615"))
    var choices = MemorySource()
    choices.add("input_ids", .u8, [2, 3, 4], Array(repeating: 5, count: 24))
    let input = try EncoderInput(choices)
    #expect(input.batch == 6 && input.sequence == 4 && input.choices == 3 && input.file == "fixture.npz")
    var scalar = MemorySource()
    scalar.add("input_ids", .u8, [4], [1, 2, 3, 4])
    #expect(message { _ = try EncoderInput(scalar) }.contains("found [4], expected [batch, sequence]"))
  }
}
