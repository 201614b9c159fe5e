import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// One model for each thing that can vary.
private let models: [(label: String, model: TinyModel)] = [
  ("as it comes", TinyModel()),
  ("tanh form of gelu, larger epsilon", TinyModel(activation: "gelu_new", epsilon: "1e-5", hasPrediction: true)),
  ("gelu_pytorch_tanh", TinyModel(activation: "gelu_pytorch_tanh")),
  ("gelu_fast", TinyModel(activation: "gelu_fast")),
  ("relu", TinyModel(activation: "relu", epsilon: "0.5", hasPrediction: true)),
  ("one head", TinyModel(hidden: 7, heads: 1)),
  ("heads of one number", TinyModel(hidden: 5, heads: 5)),
  ("one layer", TinyModel(intermediate: 1, layers: 1)),
  ("five layers", TinyModel(layers: 5)),
  ("wider than a vector register", TinyModel(hidden: 66, heads: 6, intermediate: 131, seed: 5)),
  ("four token types", TinyModel(types: 4)),
  ("no prefix, no pooler", TinyModel(prefix: "", hasPooler: false, hasPrediction: true)),
  ("query, key and value apart", TinyModel(isFused: false)),
  ("pretraining", TinyModel(architecture: "BertForPreTraining", hasPrediction: true, hasNextSentence: true)),
  ("a decoder of its own", TinyModel(architecture: "BertForMaskedLM", hasPrediction: true, hasOwnDecoder: true)),
  ("next sentence", TinyModel(architecture: "BertForNextSentencePrediction", hasNextSentence: true)),
  ("sequence classification", TinyModel(architecture: "BertForSequenceClassification", labels: 3)),
  ("token classification", TinyModel(architecture: "BertForTokenClassification", labels: 4)),
  ("multiple choice", TinyModel(architecture: "BertForMultipleChoice", labels: 1)),
  ("question answering", TinyModel(architecture: "BertForQuestionAnswering", hasPooler: false, hasAnswers: true)),
  ("half precision", TinyModel(hasPrediction: true, storage: .f16)),
  ("bfloat16", TinyModel(storage: .bf16)), ("bfloat16, apart", TinyModel(isFused: false, storage: .bf16)),
  ("double precision", TinyModel(storage: .f64)),
  ("8 bits", TinyModel(hasPrediction: true, labels: 2, storage: .i8)),
  (
    "pre-norm",
    TinyModel(
      layers: 3, epsilon: "1e-5", hasPrediction: true, hasNextSentence: true, family: .megatronBERT,
      modelType: "megatron-bert")
  ),
  (
    "pre-norm, query, key and value apart",
    TinyModel(
      hidden: 66, heads: 6, layers: 1, hasAnswers: true, family: .megatronBERT, modelType: "megatron-bert", seed: 5,
      isFused: false)
  ),
  ("causal, turned matrices, a fused projection", causal { _ in }),
  (
    "causal, token types that are words",
    causal {
      $0.types = 23
      $0.hasPooler = false
      $0.storage = .bf16
    }
  ),
  (
    "causal, a classifier of the last token",
    causal {
      $0.architecture = "OpenAIGPTForSequenceClassification"
      $0.labels = 3
      $0.storage = .i8
    }
  ),
  (
    "causal, wider than a block of queries",
    causal {
      $0.hidden = 66
      $0.heads = 6
      $0.layers = 1
    }
  ),
  ("norms by a sample's deviation, positions in a buffer, plain heads", deviating { _ in }),
  (
    "norms by a sample's deviation, query, key and value apart",
    deviating {
      $0.isFused = false
      $0.storage = .f16
    }
  ),
  ("bottlenecks, as released", mobile { $0.poolerIsPlain = true }),
  ("bottlenecks, query, key and value apart", mobile { $0.isFused = false }),
  (
    "bottlenecks, normalised",
    mobile {
      $0.takesStatistics = true
      $0.epsilon = "0.01"
      $0.feedForwards = 2
    }
  ),
  (
    "a bottleneck of attention too",
    mobile {
      $0.bottleneck = .attention
      $0.feedForwards = 1
      $0.readsNeighbours = false
    }
  ),
  (
    "a bottleneck of the residual alone, no rest of the decoder",
    mobile {
      $0.bottleneck = .residual
      $0.inner = nil
      $0.heads = 3
      $0.feedForwards = 3
      $0.embedding = 12
    }
  ),
  (
    "no bottleneck, words as they are",
    mobile {
      $0.bottleneck = .none
      $0.inner = nil
      $0.heads = 3
      $0.readsNeighbours = false
      $0.embedding = 12
      $0.takesStatistics = true
    }
  ),
  (
    "no bottleneck, an even number of networks",
    mobile {
      $0.bottleneck = .none
      $0.inner = nil
      $0.heads = 3
    }
  ),
  (
    "wider inside, 8 bits",
    mobile {
      $0.inner = 34
      $0.storage = .i8
    }
  ),
]

/// A family like OpenAI's GPT, with the names and keys of BERT where they need not differ.
private func causal(_ change: (inout TinyModel) -> Void) -> TinyModel {
  var model = TinyModel(hasPooler: false, hasPrediction: true)
  model.family.isCausal = true
  model.family.layersAreTurned = true
  model.family.fusedProjection = "attention.qkv"
  model.family.tokenTypeEmbeddings = nil
  model.family.typesAreWords = true
  model.family.embeddingNorm = nil
  model.family.pooler = nil
  model.family.heads.predictionTransform = nil
  model.family.heads.predictionBiases = []
  model.family.heads.tiedPrediction = .all
  model.family.heads.classifierReadsLastToken = true
  change(&model)
  return model
}

/// A family like BERT-pytorch, in the same way.
private func deviating(_ change: (inout TinyModel) -> Void) -> TinyModel {
  var model = TinyModel(
    types: 3, epsilon: "1e-6", hasPooler: false, hasPrediction: true, hasOwnDecoder: true, hasNextSentence: true)
  model.family.normPlacement = .beforeBlock
  model.family.normKind = .sampleDeviation
  model.family.normNames = (".a_2", ".b_2")
  model.family.positionsAreBuffer = true
  model.family.positionEmbeddings = "embeddings.pe"
  model.family.embeddingNorm = nil
  model.family.pooler = nil
  model.family.heads.predictionTransform = nil
  model.family.heads.nextSentenceReadsToken = true
  change(&model)
  return model
}

/// A MobileBERT, changed in some way.
private func mobile(_ change: (inout TinyModel) -> Void) -> TinyModel {
  var model = TinyModel(
    heads: 2, activation: "relu", prefix: "mobilebert.", hasPrediction: true, hasNextSentence: true,
    family: .mobileBERT, embedding: 5, inner: 10, bottleneck: .queriesAndKeys, feedForwards: 4, readsNeighbours: true,
    takesStatistics: false, modelType: "mobilebert")
  change(&model)
  return model
}

/// Those that this machine has.
private let libraries: [MathLibrary] =
  [.plain, .openBLAS] + ((try? MathLibrary.best(for: .f32)) == .oneDNN ? [.oneDNN] : [])

@Suite("The forward pass")
struct ForwardTests {
  @Test(arguments: models.indices, libraries)
  func everyOutputIsThatOfThePlainPass(index: Int, library: MathLibrary) throws {
    let (label, model) = models[index]
    let folder = TemporaryFolder()
    let encoder = try model.encoder(folder, library: library)
    let input = model.input()
    let plain = PlainPass(model, input)
    let outputs = try encoder.run(input, outputs: Set(encoder.availableOutputs))
    #expect(outputs.map(\.name) == encoder.availableOutputs)
    for output in outputs {
      let kind = try #require(encoder.kind(of: output.name))
      #expect(output.values.count == output.shape.reduce(1, *))
      let expected = plain.output(kind)
      let error = distance(output.values, expected)
      // Without statistics nothing keeps numbers near 1, and errors grow from layer to layer, faster than the numbers.
      let size = model.takesStatistics ? 1 : 4 * max(1, expected.map(\.magnitude).max() ?? 1)
      #expect(error <= 1e-5 * size, "\(label): \(output.name) is off by \(error)")
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
      try names(TinyModel(hasPrediction: true, hasNextSentence: true))
        == ["last_hidden_state", "pooler_output", "prediction_logits", "seq_relationship_logits"])
    #expect(try names(TinyModel(hasAnswers: true)).suffix(2) == ["start_logits", "end_logits"])
    // Without an architecture the heads that are there decide.
    #expect(try TinyModel(hasPrediction: true).encoder(folder).kind(of: "logits") == .prediction)
    #expect(try TinyModel(hasNextSentence: true).encoder(folder).kind(of: "logits") == .nextSentence)
    #expect(try TinyModel(labels: 2).encoder(folder).kind(of: "logits") == .sequenceClassification)
    #expect(try TinyModel(hasPooler: false, labels: 2).encoder(folder).kind(of: "logits") == .tokenClassification)
    #expect(
      try TinyModel(architecture: "BertForMaskedLM", hasPrediction: true).encoder(folder).defaultOutputs
        == ["last_hidden_state", "pooler_output", "logits"])
  }

  @Test func aFamilyIsData() throws {
    var family = ModelFamily()
    family.modelTypes = ["other"]
    family.prefixes = ["other."]
    family.tokenTypeEmbeddings = nil
    family.embeddingProjection = "embeddings_project"
    family.positions = .countedFromPadding
    family.layer = "shared."
    family.query = "q"
    let model = TinyModel(
      layers: 3, positions: 12, prefix: "other.", hasPrediction: true, family: family, embedding: 5, modelType: "other")
    let folder = TemporaryFolder()
    var input = model.input()
    // Padding is id 1, and the counted positions start after it.
    for (index, mask) in (input.attentionMask ?? []).enumerated() where mask == 0 { input.inputIDs[index] = 1 }
    let encoder = try model.encoder(folder)
    #expect(encoder.config.maximumSequence == 10)
    let plain = PlainPass(model, input)
    for output in try encoder.run(input, outputs: Set(encoder.availableOutputs)) {
      let kind = try #require(encoder.kind(of: output.name))
      #expect(distance(output.values, plain.output(kind)) <= 1e-5, "\(output.name)")
    }
  }

  @Test func choicesAreRowsThatBelongTogether() throws {
    let folder = TemporaryFolder()
    let model = TinyModel(architecture: "BertForMultipleChoice", labels: 1)
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
    let model = TinyModel(hasPrediction: true)
    let input = model.input()
    for output in try model.encoder(folder).run(input, outputs: ["last_hidden_state", "prediction_logits"]) {
      for token in 0..<21 where !input.isAttended(token) {
        let size = output.shape[2]
        #expect(output.values[(token * size)..<((token + 1) * size)].allSatisfy { $0 == 0 })
      }
    }
  }

  /// What stands under the mask, and how the rows are ordered and padded, changes no output.
  @Test func paddingAndOrderDoNotMatter() throws {
    let folder = TemporaryFolder()
    let model = TinyModel(hasPrediction: true, hasNextSentence: true)
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

  /// In groups after each other, and on two threads beside each other.
  @Test(arguments: libraries, [1, 2, 3])
  func manySequencesGoInGroups(library: MathLibrary, threads: Int) throws {
    let folder = TemporaryFolder()
    let model = TinyModel(positions: 16, hasPrediction: true, hasNextSentence: true)
    let encoder = try Encoder(
      try model.write(folder), EncoderConfig(model.config, file: nil, families: [model.family]), threads: threads,
      library: library)
    var random = Random(7)
    let batch = 401
    let lengths = (0..<batch).map { _ in 1 + random.below(16) }
    let input = EncoderInput(
      batch: batch, sequence: 16, inputIDs: (0..<(batch * 16)).map { _ in random.below(model.vocabulary) },
      attentionMask: lengths.flatMap { length in (0..<16).map { $0 < length ? 1 : 0 } })
    let groups = PackedGroup.split(input, encoder.config, poolsFirstToken: true, threads: threads)
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
    for (isFused, storage, count) in [
      (true, ElementType.f32, 1), (false, .f32, 3), (false, .bf16, 1), (true, .i8, 1),
    ] {
      let model = TinyModel(isFused: isFused, storage: storage)
      let weights = try EncoderWeights(
        model.write(folder), EncoderConfig(model.config, file: nil, families: [model.family]),
        packing: nil)
      #expect(weights.layers[0][0].projection.weights.count == count)
      #expect(weights.layers[0][0].projection.weights.reduce(0) { $0 + $1.rows } == 3 * model.hidden)
    }
  }

  @Test func oldNamesOfTheLayerNormalisation() throws {
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
    let model = TinyModel(layers: 3)
    let encoder = try model.encoder(folder)
    let input = model.input()
    let states = try encoder.run(input, outputs: ["hidden_states.1", "hidden_states.3"])
    let got = try encoder.run(layers: 1..<3, on: input, hidden: states[0].values)
    #expect(distance(got, states[1].values) < 1e-5)
  }

  /// The last of the hidden states is the normalised one, however far the pass goes and wherever it starts.
  @Test func theLastNormalisationBelongsToTheLastLayer() throws {
    let folder = TemporaryFolder()
    let model = TinyModel(layers: 3, family: .megatronBERT, modelType: "megatron-bert")
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
    let config = try EncoderConfig(TinyModel(positions: 512).config, file: nil)
    let input = EncoderInput(
      batch: lengths.count, sequence: 512, inputIDs: [Int](repeating: 1, count: lengths.count * 512),
      attentionMask: lengths.flatMap { length in (0..<512).map { $0 < length ? 1 : 0 } })
    let groups = PackedGroup.split(input, config, poolsFirstToken: false, threads: threads)
    #expect(groups.map(\.count) == [parts])
    #expect(groups[0].reduce(0) { $0 + $1.tokens } == lengths.reduce(0, +))
  }

  @Test func theNumberOfThreadsChangesNothing() throws {
    let folder = TemporaryFolder()
    let model = TinyModel(hidden: 66, heads: 6, intermediate: 131)
    let file = try model.write(folder)
    let one = try Encoder(file, config: model.config, threads: 1).run(model.input(), outputs: ["last_hidden_state"])
    let two = try Encoder(file, config: model.config, threads: 2)
    #expect(distance(try two.run(model.input(), outputs: ["last_hidden_state"])[0].values, one[0].values) < 1e-5)
  }
}
