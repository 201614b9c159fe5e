import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

@Suite struct ProblemTests {
  @Test func anUnexpectedTensorIsRefusedWithTheNearestName() {
    var source = googleTensors()
    source.add("bert/encoder/layer_1/attention/self/querry/kernel", [Size.hidden, Size.hidden])
    let text = failure(source)
    #expect(text.contains("unexpected: bert/encoder/layer_1/attention/self/querry/kernel"))
    #expect(text.contains("nearest known name: bert/encoder/layer_1/attention/self/query/kernel"))
    let error = formatError { _ = try plan(source) }
    #expect(error?.kind == .mismatch)
    // Weights of the layers are not to be left out.
    #expect(error?.advice?.text.contains("part of a computation that is not a BERT's") == true)
    source.add("cls/other/kernel", [2, Size.hidden])
    source.remove("bert/encoder/layer_1/attention/self/querry/kernel")
    #expect(formatError { _ = try plan(source) }?.advice == .all([.allowUnexpected("cls/other/kernel")]))
  }

  @Test func unexpectedTensorsAreDroppedOnRequest() throws {
    var source = googleTensors()
    source.add("answer_type_output_bias", [5])
    #expect(failure(source).contains("answer_type_output_bias"))
    let made = try plan(source, allow: ["answer_type_*"])
    #expect(made.report.dropped.map(\.name) == ["answer_type_output_bias"])
    #expect(made.report.dropped.map(\.cause) == [.allowed(glob: "answer_type_*")])
    #expect(made.names == (try plan(googleTensors()).names))
  }

  @Test func aMissingTensorIsNamedAsTheSourceWouldNameIt() {
    var source = googleTensors(scope: "module/")
    source.remove("module/bert/encoder/layer_0/output/dense/bias")
    let text = failure(source)
    #expect(text.contains("missing: module/bert/encoder/layer_0/output/dense/bias"))
    #expect(text.contains("(bert.encoder.layer.0.output.dense.bias)"))
    #expect(text.contains("1 missing"))
  }

  @Test func theEmbeddingsThatShowTheScopeMayBeMissingToo() {
    var source = googleTensors(scope: "module/")
    source.remove("module/bert/embeddings/word_embeddings")
    #expect(failure(source).contains("missing: module/bert/embeddings/word_embeddings"))
  }

  @Test func aHeadIsThereAsAWholeOrNotAtAll() {
    var source = googleTensors()
    source.remove("cls/seq_relationship/output_bias")
    #expect(failure(source).contains("missing: cls/seq_relationship/output_bias"))
  }

  @Test func aWrongShapeIsShownAsTheSourceHasIt() {
    var source = googleTensors()
    source.remove("bert/encoder/layer_0/intermediate/dense/kernel")
    source.add("bert/encoder/layer_0/intermediate/dense/kernel", [Size.inner, Size.hidden])
    let text = failure(source)
    let name = "bert/encoder/layer_0/intermediate/dense/kernel"
    #expect(text.contains("wrong shape: \(name): found F32 [10, 6], expected [6, 10]"))
    #expect(text.contains("1 wrong shape") && !text.contains("missing"))
  }

  @Test func weightsAreFloatingPoint() {
    var source = googleTensors()
    source.remove("bert/pooler/dense/bias")
    source.add("bert/pooler/dense/bias", [Size.hidden], type: .i32)
    #expect(failure(source).contains("wrong shape: bert/pooler/dense/bias: found I32 [6], expected floating-point"))
  }

  @Test(arguments: [
    ("hidden_size", 72, "6"), ("intermediate_size", 99, "10"), ("num_hidden_layers", 3, "2 (0 to 1)"),
    ("vocab_size", 30522, "11"), ("max_position_embeddings", 512, "8"),
  ])
  func aConfigThatContradictsTheWeightsIsRefused(key: String, wrong: Int, right: String) throws {
    let text = failure(googleTensors(), config.changing(key, .int(wrong)))
    #expect(text.contains("\(key) of bert_config.json is \(wrong)"))
    #expect(text.contains(right))
    #expect(text.contains("1 in conflict with the config"))
    let wrongConfig = config.changing(key, .int(wrong))
    #expect(formatError { _ = try plan(googleTensors(), wrongConfig) }?.advice == .all([.giveConfig]))
    let report = try mapper().outline(of: googleTensors().tensors, config: wrongConfig).report
    #expect(report.conflicts.map(\.kind) == [.value(key: key)])
  }

  @Test func nonsenseInAConfigIsRefused() {
    func problem(_ key: String, _ value: JSON) -> String { failure(googleTensors(), config.changing(key, value)) }
    #expect(problem("num_attention_heads", .int(4)).contains("does not divide hidden_size 6"))
    #expect(problem("hidden_size", .string("big")).contains("not a whole number"))
    #expect(problem("model_type", .string("roberta")).contains("'roberta'"))
  }

  @Test func withoutAConfigItReportsWhatItInferredAndAssumed() throws {
    let made = try plan(googleTensors(), nil)
    let notes = made.notes.map(\.text).joined(separator: "\n")
    #expect(notes.contains("vocab_size 11, hidden_size 6, num_hidden_layers 2"))
    let kinds = made.notes.map(\.kind)
    for key in ["num_attention_heads", "hidden_act"] { #expect(kinds.contains(.assumed(key: key))) }
    // Google's program has no setting for it.
    #expect(kinds.contains(.programDefault(key: "layer_norm_eps")))
    #expect(made.assumed.map(\.key) == ["num_attention_heads", "hidden_act"])
    #expect(notes.contains("no shape gives num_attention_heads: assumed 6"))
    #expect(made.config["intermediate_size"] == .int(10))
    #expect(made.config["layer_norm_eps"] == .number("1e-12"))
    #expect(made.config["model_type"] == .string("bert"))
  }

  @Test func aConfigKeepsItsNumbersAndItsOtherKeys() throws {
    let given = config.changing("layer_norm_eps", .number("1.00e-5")).changing("do_lower_case", .bool(true))
      .changing("torch_dtype", .string("float32"))
    let made = try plan(googleTensors(), given)
    #expect(made.config["layer_norm_eps"] == .number("1.00e-5"))
    #expect(made.config["do_lower_case"] == .bool(true))
    #expect(made.config["torch_dtype"] == nil)
    #expect(made.config["num_attention_heads"] == .int(3))
    let keys = try #require(made.config.members?.map(\.key))
    #expect(keys.prefix(4) == ["architectures", "model_type", "vocab_size", "hidden_size"])
  }

  @Test func aPaddedVocabularyKeepsItsRows() throws {
    let made = try plan(googleTensors(), config.changing("vocab_size", .int(Size.vocabulary - 2)))
    #expect(made.config["vocab_size"] == .int(Size.vocabulary))
    #expect(
      made.notes.contains { $0.kind == .padded(key: "vocab_size") && $0.text.contains("not the 9 of bert_config.json") }
    )
    var source = googleTensors()
    source.remove("cls/predictions/output_bias")
    source.add("cls/predictions/output_bias", [Size.vocabulary - 2])
    #expect(
      failure(source, config.changing("vocab_size", .int(9))).contains("wrong shape: cls/predictions/output_bias"))
  }

  @Test func layersCountUpFromZero() {
    let source = googleTensors().renamed { $0.contains("layer_1") ? nil : $0 }
    var shifted = source
    for info in googleTensors().tensors where info.name.contains("layer_1") {
      var name = info.name
      name.replace("layer_1", with: "layer_7")
      shifted.add(name, info.shape)
    }
    #expect(failure(source).contains("1 (layer 0)"))
    #expect(failure(shifted, nil).contains("layer 1 is missing, but layer 7 is present"))
  }

  @Test func twoTensorsOfOneTarget() {
    var source = googleTensors(scope: "module/")
    source.add("module/output_weights", [3, Size.hidden])
    source.add("module/output_bias", [3])
    source.add("output_weights", [3, Size.hidden])
    let reason = "it would be the same tensor as module/output_weights"
    #expect(failure(source).contains("unexpected: output_weights (\(reason))"))
  }

  @Test func onlyTheFirstTwentyProblemsAreListed() {
    var source = googleTensors()
    for index in 0..<50 { source.add("strange_\(index)_\u{1B}[31m", [1]) }
    let text = failure(source)
    #expect(text.contains("50 unexpected") && text.contains("and 30 more"))
    #expect(formatError { _ = try plan(source) }?.advice == .all([.listUnmapped, .allowUnexpected("GLOB")]))
    #expect(!text.contains("\u{1B}"))
  }

  @Test func aReportNeverFails() throws {
    var source = googleTensors()
    source.add("strange", [1])
    source.add("global_step", [], type: .i64)
    source.remove("bert/pooler/dense/bias")
    let report = try mapper().outline(of: source.tensors, config: nil).report
    #expect(!report.isComplete)
    #expect(report.mapped.count + report.dropped.count + report.unexpected.count == source.tensors.count)
    #expect(report.missing.map(\.target) == ["bert.pooler.dense.bias"])
    #expect(report.text().contains("unexpected: strange"))
    #expect(report.json()["missing"]?.elements?.count == 1)
    #expect(try mapper().outline(of: [], config: nil).report.text().contains("no table knows"))
  }

  /// The time grows with the names, not with their square: ten times as many may take 40 times as long, not 100 times.
  @Test(.exhaustive) func manyStrangeNamesAreNoTrouble() throws {
    func seconds(_ count: Int) throws -> Double {
      var tensors = googleTensors().tensors
      for index in 0..<count {
        tensors.append(
          TensorInfo(name: "a\(index)/b_\(index)/bert/c\(index)/kernel", elementType: .f32, shape: [1], byteCount: 4))
      }
      let (report, seconds) = try processorSeconds { try mapper().outline(of: tensors, config: config).report }
      #expect(report.unexpected.count == count)
      return seconds
    }
    let few = try seconds(2000)
    #expect(try seconds(20_000) < 40 * few)
  }
}
