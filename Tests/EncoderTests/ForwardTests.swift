import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// One model for each thing that can vary.
private let models: [(label: String, model: TinyModel)] =
  bertModels + otherFamilies + bottlenecks

private let bertModels: [(label: String, model: TinyModel)] = [
  ("as it comes", TinyModel()),
  (
    "tanh form of gelu, larger epsilon",
    TinyModel {
      $0.activation = "gelu_new"
      $0.epsilon = "1e-5"
      $0.parts = ["pooler", "mlm"]
    }
  ),
  ("gelu_pytorch_tanh", TinyModel { $0.activation = "gelu_pytorch_tanh" }),
  ("gelu_fast", TinyModel { $0.activation = "gelu_fast" }),
  (
    "relu",
    TinyModel {
      $0.activation = "relu"
      $0.epsilon = "0.5"
      $0.parts = ["pooler", "mlm"]
    }
  ),
  ("one head", TinyModel { ($0.hidden, $0.heads) = (7, 1) }),
  ("heads of one number", TinyModel { ($0.hidden, $0.heads) = (5, 5) }),
  ("one layer", TinyModel { ($0.intermediate, $0.layers) = (1, 1) }),
  ("five layers", TinyModel { $0.layers = 5 }),
  (
    "wider than a vector register",
    TinyModel {
      ($0.hidden, $0.heads, $0.intermediate) = (66, 6, 131)
      $0.seed = 5
    }
  ),
  ("four token types", TinyModel { $0.types = 4 }),
  (
    "no prefix, no pooler",
    TinyModel {
      $0.isBare = true
      $0.parts = ["mlm"]
    }
  ),
  ("query, key and value apart", TinyModel { $0.isAdjacent = false }),
  ("pretraining", head("BertForPreTraining", ["pooler", "mlm", "nsp"])),
  ("a decoder of its own", head("BertForMaskedLM", ["pooler", "mlm"]) { $0.hasOwnDecoder = true }),
  ("next sentence", head("BertForNextSentencePrediction", ["pooler", "nsp"])),
  ("sequence classification", head("BertForSequenceClassification", ["pooler", "classification"])),
  ("token classification", head("BertForTokenClassification", ["pooler", "classification"]) { $0.labels = 4 }),
  ("multiple choice", head("BertForMultipleChoice", ["pooler", "classification"]) { $0.labels = 1 }),
  ("question answering", head("BertForQuestionAnswering", ["question_answering"])),
  (
    "half precision",
    TinyModel {
      $0.parts = ["pooler", "mlm"]
      $0.storage = .f16
    }
  ),
  ("bfloat16", TinyModel { $0.storage = .bf16 }),
  ("bfloat16, apart", TinyModel { ($0.isAdjacent, $0.storage) = (false, .bf16) }),
  ("double precision", TinyModel { $0.storage = .f64 }),
  (
    "8 bits",
    TinyModel {
      $0.parts = ["pooler", "mlm", "classification"]
      ($0.labels, $0.storage) = (2, .i8)
    }
  ),
]

/// A BERT with these heads.
private func head(
  _ architecture: String, _ parts: Set<String>, _ change: (inout TinyModel) -> Void = { _ in }
) -> TinyModel {
  TinyModel {
    $0.architecture = architecture
    $0.parts = parts
    change(&$0)
  }
}

private let otherFamilies: [(label: String, model: TinyModel)] = [
  ("DistilBERT", TinyModel("distilbert") { $0.parts = ["mlm", "pre_classifier", "classification"] }),
  (
    "RoBERTa: counted positions, a head of its own",
    TinyModel("roberta") {
      ($0.positions, $0.paddingID) = (12, 1)
      $0.parts = ["mlm", "sequence_classification"]
    }
  ),
  (
    "ELECTRA: projected embeddings, a discriminator",
    TinyModel("electra") {
      $0.embedding = 5
      $0.parts = ["projection", "discriminator", "question_answering"]
    }
  ),
  (
    "ELECTRA: a summary before the classifier",
    TinyModel("electra") {
      $0.parts = ["mlm", "summary", "classification"]
      $0.labels = 1
      $0.architecture = "ElectraForMultipleChoice"
    }
  ),
  (
    "ALBERT: layers that share weights, in groups, of two blocks",
    TinyModel("albert") {
      ($0.layers, $0.groups, $0.blocks, $0.embedding) = (5, 2, 2, 5)
      $0.parts = ["second_inner_layers", "pooler", "mlm", "sop"]
    }
  ),
  (
    "albert_zh: projected words in the sum, a head that goes back through the projection",
    TinyModel("albert-zh") {
      ($0.layers, $0.embedding) = (3, 5)
      $0.parts = ["pooler", "mlm", "nsp"]
    }
  ),
  (
    "DPR: the first token as it is, a head of relevance",
    TinyModel("dpr") { $0.parts = ["question_answering", "relevance"] }
  ),
  (
    "pre-norm",
    TinyModel("megatron-bert") {
      ($0.layers, $0.epsilon) = (3, "1e-5")
      $0.parts = ["pooler", "mlm", "nsp"]
    }
  ),
  (
    "pre-norm, query, key and value apart",
    TinyModel("megatron-bert") {
      ($0.hidden, $0.heads, $0.layers, $0.seed) = (66, 6, 1, 5)
      $0.isAdjacent = false
      $0.parts = ["question_answering"]
    }
  ),
  ("causal, transposed matrices, a fused projection", causal { _ in }),
  ("causal, bfloat16", causal { $0.storage = .bf16 }),
  (
    "causal, a classifier of the last token",
    causal {
      $0.architecture = "OpenAIGPTForSequenceClassification"
      $0.parts = ["classification"]
      $0.storage = .i8
    }
  ),
  ("causal, wider than a block of queries", causal { ($0.hidden, $0.heads, $0.layers) = (66, 6, 1) }),
  ("norms by a sample's deviation, positions in a buffer, plain heads", deviating { _ in }),
  (
    "norms by a sample's deviation, query, key and value apart",
    deviating { ($0.isAdjacent, $0.storage) = (false, .f16) }
  ),
  (
    "relative positions",
    TinyModel("mpnet") {
      ($0.paddingID, $0.parts) = (1, ["pooler", "mlm"])
      $0.positions = 13
    }
  ),
  (
    "relative positions, wider, query, key and value apart",
    TinyModel("mpnet") {
      ($0.hidden, $0.heads, $0.paddingID, $0.positions, $0.isAdjacent) = (66, 6, 1, 13, false)
    }
  ),
  ("task types, norms at both ends of a pre-norm stack", TinyModel("tasks") { $0.parts = ["pooler", "mlm"] }),
]

/// OpenAI's GPT.
private func causal(_ change: (inout TinyModel) -> Void) -> TinyModel {
  TinyModel("gpt") {
    $0.parts = []
    change(&$0)
    $0.intermediate = 4 * $0.hidden
  }
}

/// BERT-pytorch of codertimo.
private func deviating(_ change: (inout TinyModel) -> Void) -> TinyModel {
  TinyModel("codertimo") {
    ($0.types, $0.epsilon, $0.hasOwnDecoder) = (3, "1e-6", true)
    $0.parts = ["mask_lm", "next_sentence"]
    change(&$0)
  }
}

private let bottlenecks: [(label: String, model: TinyModel)] = [
  ("bottlenecks, as released", mobile { $0.poolerIsDense = false }),
  ("bottlenecks, query, key and value apart", mobile { $0.isAdjacent = false }),
  (
    "bottlenecks, normalized",
    mobile {
      ($0.takesStatistics, $0.epsilon, $0.feedForwards) = (true, "0.01", 2)
      $0.parts.subtract(["third_feed_forward", "fourth_feed_forward"])
    }
  ),
  (
    "a bottleneck of attention too",
    mobile {
      ($0.bottleneck, $0.feedForwards, $0.readsNeighbors) = (.attention, 1, false)
      $0.parts.subtract(["second_feed_forward", "third_feed_forward", "fourth_feed_forward"])
    }
  ),
  (
    "a bottleneck of the residual alone, no rest of the decoder",
    mobile {
      ($0.bottleneck, $0.inner, $0.heads, $0.feedForwards, $0.embedding) = (.residual, nil, 3, 3, 12)
      $0.parts.remove("fourth_feed_forward")
    }
  ),
  (
    "no bottleneck, words as they are",
    mobile {
      ($0.bottleneck, $0.inner, $0.heads, $0.readsNeighbors) = (.none, nil, 3, false)
      ($0.embedding, $0.takesStatistics) = (12, true)
    }
  ),
  ("no bottleneck, an even number of networks", mobile { ($0.bottleneck, $0.inner, $0.heads) = (.none, nil, 3) }),
  ("wider inside, 8 bits", mobile { ($0.inner, $0.storage) = (34, .i8) }),
]

/// A MobileBERT, changed in some way.
private func mobile(_ change: (inout TinyModel) -> Void) -> TinyModel {
  TinyModel("mobilebert") {
    ($0.heads, $0.activation, $0.embedding, $0.inner) = (2, "relu", 5, 10)
    ($0.bottleneck, $0.feedForwards, $0.readsNeighbors, $0.takesStatistics) = (.queriesAndKeys, 4, true, false)
    $0.parts = ["second_feed_forward", "third_feed_forward", "fourth_feed_forward", "pooler", "mlm", "nsp"]
    change(&$0)
  }
}

private let libraries: [MathLibrary] = [.plain, .openBLAS, .builtIn, .oneDNN]

@Suite("The forward pass")
struct ForwardTests {
  @Test(arguments: models.indices)
  func everyOutputIsThatOfThePlainPass(index: Int) throws {
    let (label, model) = models[index]
    let folder = TemporaryFolder()
    let input = model.input()
    let plain = PlainPass(model, input)
    for library in libraries where isAvailable(library) {
      let encoder = try model.encoder(folder, library: library)
      let outputs = try encoder.run(input, outputs: Set(encoder.availableOutputs))
      #expect(outputs.map(\.name) == encoder.availableOutputs)
      for output in outputs {
        let kind = try #require(encoder.kind(of: output.name))
        #expect(output.values.count == output.shape.reduce(1, *))
        let expected = plain.output(kind)
        let error = distance(output.values, expected)
        // Without statistics nothing keeps numbers near 1, and errors grow from layer to layer, faster than the numbers.
        let size = model.takesStatistics ? 1 : 4 * max(1, expected.map(\.magnitude).max() ?? 1)
        #expect(error <= 1e-5 * size, "\(label), \(library): \(output.name) is off by \(error)")
      }
    }
  }

  @Test func theNamesThatAModelHas() throws {
    let folder = TemporaryFolder()
    func names(_ model: TinyModel) throws -> [String] {
      try model.encoder(folder).availableOutputs.filter { !$0.hasPrefix("hidden_states.") }
    }
    #expect(
      try TinyModel().encoder(folder).availableOutputs.prefix(3) == [
        "hidden_states.0", "hidden_states.1", "hidden_states.2",
      ])
    #expect(try names(TinyModel()) == ["last_hidden_state", "pooler_output"])
    #expect(
      try names(TinyModel { $0.parts = ["pooler", "mlm", "nsp"] })
        == ["last_hidden_state", "pooler_output", "prediction_logits", "seq_relationship_logits"])
    #expect(try names(TinyModel { $0.parts = ["question_answering"] }).suffix(2) == ["start_logits", "end_logits"])
    // Without an architecture the heads that are there decide.
    func logits(_ parts: Set<String>) throws -> OutputKind? {
      try TinyModel { $0.parts = parts }.encoder(folder).kind(of: "logits")
    }
    #expect(try logits(["pooler", "mlm"]) == .prediction)
    #expect(try logits(["pooler", "nsp"]) == .nextSentence)
    #expect(try logits(["pooler", "classification"]) == .sequenceClassification)
    #expect(try logits(["classification"]) == .tokenClassification)
    #expect(
      try head("BertForMaskedLM", ["pooler", "mlm"]).encoder(folder).defaultOutputs
        == ["last_hidden_state", "pooler_output", "logits"])
  }

  /// What is padding counts for nothing in the positions of the others, nor in relative ones.
  @Test func positionsAreCountedFromThePaddingID() throws {
    let model = TinyModel("mpnet") { ($0.layers, $0.positions, $0.paddingID) = (3, 12, 1) }
    let folder = TemporaryFolder()
    let encoder = try model.encoder(folder)
    #expect(encoder.config.maximumSequence == 10)
    let input = model.input()
    #expect(
      PackedGroup.split(input, encoder.config, poolsFirstToken: false, groupsAtOnce: 1)[0][0].positions.first == 2)
  }

  @Test func choicesAreRowsThatBelongTogether() throws {
    let folder = TemporaryFolder()
    let model = head("BertForMultipleChoice", ["pooler", "classification"]) { $0.labels = 1 }
    let encoder = try model.encoder(folder)
    var input = model.input()
    let single = try encoder.run(input, outputs: ["logits"])
    input.choices = 3
    let together = try encoder.run(input, outputs: ["logits"])
    #expect(single.first?.shape == [3, 1])
    #expect(together.first?.shape == [1, 3])
    #expect(single.first?.values == together.first?.values)
  }

  @Test func defaultsOfAnInput() throws {
    let folder = TemporaryFolder()
    let encoder = try TinyModel().encoder(folder)
    let short = EncoderInput(batch: 1, sequence: 3, inputIDs: [4, 5, 6])
    let long = EncoderInput(
      batch: 1, sequence: 3, inputIDs: [4, 5, 6], attentionMask: [1, 1, 1], tokenTypeIDs: [0, 0, 0])
    let a = try encoder.run(short, outputs: ["last_hidden_state"])
    let b = try encoder.run(long, outputs: ["last_hidden_state"])
    #expect(a.first?.values == b.first?.values)
    #expect(short.tokenCount == 3)
  }

  @Test func sequencesOfTheirOwnLengthsArePaddedAndMasked() throws {
    let input = EncoderInput([[5, 6, 7], [8], [9, 4]], paddingID: 1)
    #expect(input.batch == 3 && input.sequence == 3 && input.tokenCount == 6)
    #expect(input.inputIDs == [5, 6, 7, 8, 1, 1, 9, 4, 1])
    #expect(input.attentionMask == [1, 1, 1, 1, 0, 0, 1, 1, 0])
    #expect(EncoderInput([[Int]]()).batch == 0)

    let encoder = try TinyModel().encoder(TemporaryFolder())
    #expect(throws: FormatError.self) { try encoder.run(EncoderInput([[5], []])) }
    let states = try encoder.run(input)
    #expect(states.name == "last_hidden_state")
    let alone = try encoder.run(EncoderInput([[9, 4]]))
    for token in 0..<2 {
      #expect(zip(states[2, token], alone[0, token]).allSatisfy { ($0 - $1).magnitude < 1e-5 })
    }
    // Each number of indices: a sequence, a token, a number, and all.
    let size = encoder.config.hiddenSize
    #expect(Array(states[1]) == Array(states.values[(3 * size)..<(6 * size)]))
    #expect(Array(states[2, 1]) == Array(states.values[(7 * size)..<(8 * size)]))
    #expect(Array(states[2, 1, 3]) == [states.values[7 * size + 3]])
    #expect(Array(states.values) == Array(states[]))
    #expect(try encoder.run(input, output: "pooler_output").shape == [3, size])
    #expect(throws: FormatError.self) { try encoder.run(input, output: "nothing") }
  }

  @Test func zerosWhereTheMaskIsZero() throws {
    let folder = TemporaryFolder()
    let model = TinyModel { $0.parts = ["pooler", "mlm"] }
    let input = model.input()
    for output in try model.encoder(folder).run(input, outputs: ["last_hidden_state", "prediction_logits"]) {
      for token in 0..<21 where !input.isAttended(token) {
        let size = output.shape[2]
        #expect(output.values[(token * size)..<((token + 1) * size)].allSatisfy { $0 == 0 })
      }
    }
  }

  /// What is under the mask, and how the rows are ordered and padded, changes no output.
  @Test func paddingAndOrderDoNotMatter() throws {
    let folder = TemporaryFolder()
    let model = TinyModel { $0.parts = ["pooler", "mlm", "nsp"] }
    let encoder = try model.encoder(folder)
    let input = model.input()
    let names: Set<String> = ["last_hidden_state", "prediction_logits"]
    let want = try encoder.run(input, outputs: names)

    var other = input
    for index in 0..<21 where !input.isAttended(index) { other.inputIDs[index] = 3 }
    #expect(try zip(encoder.run(other, outputs: names), want).allSatisfy { distance($0.values, $1.values) == 0 })

    let order = [2, 0, 1]
    func rows<T>(_ values: [T]) -> [T] { order.flatMap { values[($0 * 7)..<(($0 + 1) * 7)] } }
    other = input
    other.inputIDs = rows(input.inputIDs)
    other.attentionMask = input.attentionMask.map(rows)
    other.tokenTypeIDs = input.tokenTypeIDs.map(rows)
    for (got, want) in zip(try encoder.run(other, outputs: names), want) {
      let size = want.values.count / 3
      let reordered = order.flatMap { want.values[($0 * size)..<(($0 + 1) * size)] }
      #expect(distance(got.values, reordered) < 1e-5)
    }

    // Row 1 has three tokens: the same without its padding.
    let alone = EncoderInput(
      batch: 1, sequence: 3, inputIDs: Array(input.inputIDs[7..<10]),
      tokenTypeIDs: input.tokenTypeIDs.map { Array($0[7..<10]) })
    let short = try encoder.run(alone, outputs: ["last_hidden_state"])[0].values
    let size = model.hidden
    #expect(distance(short, Array(want[0].values[(7 * size)..<(10 * size)])) < 1e-5)
  }

  /// In groups after each other, and on two threads side by side.
  @Test(arguments: libraries, [1, 2, 3])
  func manySequencesGoInGroups(library: MathLibrary, threads: Int) throws {
    try require(library)
    let folder = TemporaryFolder()
    let model = TinyModel {
      $0.positions = 16
      $0.parts = ["pooler", "mlm", "nsp"]
    }
    let encoder = try model.encoder(folder, library: library, threads: threads)
    var random = SeededRandom(7)
    let batch = 401
    let lengths = (0..<batch).map { _ in 1 + random.below(16) }
    let input = EncoderInput(
      batch: batch, sequence: 16, inputIDs: (0..<(batch * 16)).map { _ in random.below(model.vocabulary) },
      attentionMask: lengths.flatMap { length in (0..<16).map { $0 < length ? 1 : 0 } })
    let groups = PackedGroup.split(input, encoder.config, poolsFirstToken: true, groupsAtOnce: threads)
    #expect(groups.map(\.count) == [threads, threads])
    for batch in groups {
      let tokens = batch.map(\.tokens)
      #expect((tokens.max() ?? 0) - (tokens.min() ?? 0) <= 16)
    }
    #expect(groups.joined().flatMap { $0.sequences.map(\.row) }.sorted() == Array(0..<batch))
    let names: Set<String> = ["last_hidden_state", "prediction_logits", "seq_relationship_logits"]
    let whole = try encoder.run(input, outputs: names)
    for row in [0, 200, 400] {
      let one = EncoderInput(
        batch: 1, sequence: 16, inputIDs: Array(input.inputIDs[(row * 16)..<((row + 1) * 16)]),
        attentionMask: input.attentionMask.map { Array($0[(row * 16)..<((row + 1) * 16)]) })
      for (got, want) in zip(whole, try encoder.run(one, outputs: names)) {
        let size = want.values.count
        #expect(distance(Array(got.values[(row * size)..<((row + 1) * size)]), want.values) < 1e-5)
      }
    }
  }

  @Test func aFileWhoseDataIsNotAligned() throws {
    let folder = TemporaryFolder()
    let model = TinyModel()
    let file = try model.write(folder, alignment: 1)
    #expect(file.header.dataStart % 4 != 0)
    let encoder = try Encoder(file, config: model.config)
    let got = try encoder.run(model.input(), outputs: ["last_hidden_state"])[0].values
    #expect(distance(got, PlainPass(model, model.input()).output(.hidden(2))) <= 1e-5)
  }

  @Test func fusedWeightsAreOneView() throws {
    let folder = TemporaryFolder()
    for (isAdjacent, storage, count) in [
      (true, ElementType.f32, 1), (false, .f32, 3), (false, .bf16, 1), (true, .i8, 1),
    ] {
      let model = TinyModel { ($0.isAdjacent, $0.storage) = (isAdjacent, storage) }
      let blocks = try EncoderModel(model.write(folder), EncoderConfig(model.config), packing: nil)
      guard case .transformer(let layer) = blocks.layers[0] else {
        Issue.record("a BERT has transformer layers")
        return
      }
      #expect(layer[0].attention.projection.weights.count == count)
      #expect(layer[0].attention.projection.weights.reduce(0) { $0 + $1.rows } == 3 * model.hidden)
    }
  }

  @Test func oldNamesOfTheLayerNormalization() throws {
    let folder = TemporaryFolder()
    let model = TinyModel()
    let file = try model.write(folder) { list, values in
      for (index, entry) in list.enumerated() where entry.name.contains("LayerNorm") {
        let name =
          entry.name.hasSuffix("weight") ? entry.name.dropLast(6) + "gamma" : String(entry.name.dropLast(4) + "beta")
        list[index].name = name
        values[name] = values[entry.name]
      }
    }
    let got = try Encoder(file, config: model.config).run(model.input(), outputs: ["hidden_states.1"])[0].values
    #expect(distance(got, PlainPass(model, model.input()).output(.hidden(1))) <= 1e-5)
  }

  @Test func layersRunAloneOnGivenValues() throws {
    let folder = TemporaryFolder()
    let model = TinyModel { $0.layers = 3 }
    let encoder = try model.encoder(folder)
    let input = model.input()
    let states = try encoder.run(input, outputs: ["hidden_states.1", "hidden_states.3"])
    let got = try encoder.run(layers: 1..<3, on: input, hidden: states[0].values)
    #expect(distance(got, states[1].values) < 1e-5)
  }

  /// The last of the hidden states is the normalized one, however far the pass goes and wherever it starts.
  @Test func theLastNormalizationBelongsToTheLastLayer() throws {
    let folder = TemporaryFolder()
    let model = TinyModel("megatron-bert") { $0.layers = 3 }
    let encoder = try model.encoder(folder)
    let input = model.input()
    let plain = PlainPass(model, input)
    let second = try encoder.run(input, outputs: ["hidden_states.2"])[0].values
    #expect(distance(second, plain.output(.hidden(2))) <= 1e-5)
    let alone = try encoder.run(layers: 2..<3, on: input, hidden: second)
    #expect(distance(alone, plain.output(.hidden(3))) <= 1e-5)
    #expect(encoder.outputNorm(ofLayer: 1) == nil)
    #expect(encoder.outputNorm(ofLayer: 2)?.name == "encoder.ln")
  }

  /// Where threads would wait for one of them, all work on the whole.
  @Test(arguments: [
    ([128, 128], 2, 2), ([128, 128, 128], 2, 1), ([300, 150, 150], 2, 2), ([512], 2, 1), ([90, 90], 2, 1),
    ([200, 200, 100, 100, 100], 2, 1), ([100, 100, 100, 100], 4, 4), ([128, 128], 1, 1),
  ])
  func onlyEqualSharesGoSideBySide(lengths: [Int], threads: Int, parts: Int) throws {
    let config = try EncoderConfig(TinyModel { $0.positions = 512 }.config, file: nil)
    let input = EncoderInput(
      batch: lengths.count, sequence: 512, inputIDs: [Int](repeating: 1, count: lengths.count * 512),
      attentionMask: lengths.flatMap { length in (0..<512).map { $0 < length ? 1 : 0 } })
    let groups = PackedGroup.split(input, config, poolsFirstToken: false, groupsAtOnce: threads)
    #expect(groups.map(\.count) == [parts])
    #expect(groups[0].reduce(0) { $0 + $1.tokens } == lengths.reduce(0, +))
  }

  @Test func theNumberOfThreadsChangesNothing() throws {
    let folder = TemporaryFolder()
    let model = TinyModel { ($0.hidden, $0.heads, $0.intermediate) = (66, 6, 131) }
    let file = try model.write(folder)
    let one = try Encoder(file, config: model.config, threads: 1).run(model.input(), outputs: ["last_hidden_state"])
    let two = try Encoder(file, config: model.config, threads: 2)
    #expect(distance(try two.run(model.input(), outputs: ["last_hidden_state"])[0].values, one[0].values) < 1e-5)
  }
}
