import NativeFormat
import TensorIO
import TestSupport

@testable import Encoder

/// Random numbers that are the same each time.
struct Random {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// Uniform between -1 and 1.
  mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// A small model with random weights: its tensors, its config, and how it is stored.
struct TinyModel {
  var hidden = 12
  var heads = 3
  var intermediate = 20
  var layers = 2
  var vocabulary = 23
  var positions = 11
  var types = 2
  var activation = "gelu"
  var epsilon = "1e-12"
  var prefix = "bert."
  var architecture: String?
  var hasPooler = true
  var hasPrediction = false
  var hasOwnDecoder = false
  var hasNextSentence = false
  var labels: Int?
  var hasAnswers = false
  var family = ModelFamily.bert
  /// E, when it is not the hidden size.
  var embedding: Int?
  /// N, when it is not the hidden size, and what goes through the bottleneck.
  var inner: Int?
  var bottleneck = Bottleneck.none
  var feedForwards = 1
  var readsNeighbours = false
  var takesStatistics = true
  var poolerIsPlain = false
  var modelType = "bert"
  var seed: UInt64 = 1
  /// Whether query, key and value lie next to each other in the file.
  var isFused = true
  /// How matrices are stored.
  var storage = ElementType.f32

  var embeddingSize: Int { embedding ?? hidden }
  var innerSize: Int { inner ?? hidden }
  /// Whether positions and token types are of the hidden size, behind a matrix for the words.
  var transformsWords: Bool { family.embeddingTransformation != nil && (readsNeighbours || embeddingSize != hidden) }
  var transformationInput: Int { (readsNeighbours ? 3 : 1) * embeddingSize }
  var predictionSize: Int { family.heads.predictionRest == nil ? embeddingSize : hidden }

  var config: JSON {
    var json = JSON.object([
      "model_type": .string(modelType), "hidden_size": .int(hidden), "num_hidden_layers": .int(layers),
      "num_attention_heads": .int(heads), "intermediate_size": .int(intermediate), "vocab_size": .int(vocabulary),
      "max_position_embeddings": .int(positions), "type_vocab_size": .int(types), "hidden_act": .string(activation),
      "layer_norm_eps": .number(epsilon), "pad_token_id": .int(modelType == "bert" ? 0 : 1),
    ])
    if let architecture { json.set("architectures", .strings([architecture])) }
    if let embedding { json.set("embedding_size", .int(embedding)) }
    if hasOwnDecoder { json.set("tie_word_embeddings", .bool(false)) }
    if family.bottleneck != nil {
      json.set("embedding_size", .int(embeddingSize))
      json.set("intra_bottleneck_size", .int(innerSize))
      json.set("use_bottleneck", .bool(bottleneck != .none))
      json.set("use_bottleneck_attention", .bool(bottleneck == .attention))
      json.set("key_query_shared_bottleneck", .bool(bottleneck == .queriesAndKeys))
      json.set("num_feedforward_networks", .int(feedForwards))
      json.set("trigram_input", .bool(readsNeighbours))
      json.set("normalization_type", .string(takesStatistics ? "layer_norm" : "no_norm"))
      json.set("classifier_activation", .bool(!poolerIsPlain))
    }
    return json
  }

  /// Names and shapes, in the order of a native file.
  var shapes: [(name: String, shape: [Int])] {
    var list: [(String, [Int])] = []
    func dense(_ name: String, _ output: Int, _ input: Int) {
      list.append((name + ".weight", [output, input]))
      list.append((name + ".bias", [output]))
    }
    func norm(_ name: String, _ size: Int) {
      list.append((name + family.normNames.gamma, [size]))
      list.append((name + family.normNames.beta, [size]))
    }
    func layerDense(_ name: String, _ output: Int, _ input: Int) {
      guard family.layersAreTurned else { return dense(name, output, input) }
      list.append((name + ".weight", [input, output]))
      list.append((name + ".bias", [output]))
    }
    list.append((prefix + family.wordEmbeddings + ".weight", [vocabulary, embeddingSize]))
    if let name = family.embeddingTransformation { dense(prefix + name, hidden, transformationInput) }
    let sum = transformsWords ? hidden : embeddingSize
    if let name = family.positionEmbeddings {
      list.append(
        family.positionsAreBuffer
          ? (prefix + name, [1, positions, sum]) : (prefix + name + ".weight", [positions, sum]))
    }
    if let name = family.tokenTypeEmbeddings { list.append((prefix + name + ".weight", [types, sum])) }
    if let name = family.embeddingNorm { norm(prefix + name, sum) }
    if let name = family.embeddingProjection { dense(prefix + name, hidden, embeddingSize) }
    for layer in 0..<(family.layer.contains("{layer}") ? layers : 1) {
      let base = layerName(layer)
      let names = bottleneck == .none ? nil : family.bottleneck
      func narrow(_ part: String, _ output: Int, _ input: Int) {
        guard let names else { return }
        dense(base + part + "." + names.dense, output, input)
        norm(base + part + "." + names.norm, output)
      }
      narrow(names?.input ?? "", innerSize, hidden)
      if bottleneck == .queriesAndKeys { narrow(names?.queriesAndKeys ?? "", innerSize, hidden) }
      let valueInput = bottleneck == .queriesAndKeys ? hidden : innerSize
      let parts = [(family.query, innerSize), (family.key, innerSize), (family.value, valueInput)]
      if let fused = family.fusedProjection {
        layerDense(base + fused, 3 * innerSize, innerSize)
      } else if isFused {
        for (part, input) in parts { list.append((base + part + ".weight", [innerSize, input])) }
        for (part, _) in parts { list.append((base + part + ".bias", [innerSize])) }
      } else {
        for (part, input) in parts { dense(base + part, innerSize, input) }
      }
      layerDense(base + family.attentionOutput, innerSize, innerSize)
      norm(base + family.attentionNorm, innerSize)
      for number in 0..<feedForwards {
        let place = base + (number < feedForwards - 1 ? family.earlierFeedForwardName(number) : "")
        layerDense(place + family.intermediate, intermediate, innerSize)
        layerDense(place + family.output, innerSize, intermediate)
        norm(place + family.outputNorm, innerSize)
      }
      narrow(names?.output ?? "", hidden, innerSize)
    }
    if let name = family.finalNorm { norm(prefix + name, hidden) }
    if hasPooler, !poolerIsPlain, let pooler = family.pooler { dense(prefix + pooler, hidden, hidden) }
    if hasPrediction {
      if let transform = family.heads.predictionTransform {
        dense(transform, predictionSize, hidden)
        norm(family.heads.predictionNorm, predictionSize)
      }
      if let name = family.heads.predictionRest, hidden > embeddingSize {
        list.append((name + ".weight", [hidden - embeddingSize, vocabulary]))
      }
      if let bias = family.heads.predictionBiases.first { list.append((bias, [vocabulary])) }
      if hasOwnDecoder { list.append((family.heads.predictionDecoder + ".weight", [vocabulary, embeddingSize])) }
    }
    if hasNextSentence { dense(family.heads.nextSentence, 2, hidden) }
    if let labels {
      if family.heads.classifierReadsLastToken {
        list.append((family.heads.classifier + ".weight", [labels, hidden]))
      } else {
        dense(family.heads.classifier, labels, hidden)
      }
    }
    if hasAnswers { dense(family.heads.questionAnswering, 2, hidden) }
    return list
  }

  func layerName(_ layer: Int) -> String {
    let parts = family.layer.split(separator: "{layer}", omittingEmptySubsequences: false)
    return prefix + parts.joined(separator: "\(layer)")
  }

  /// The values of every tensor, as they come back out of the storage.
  func values() -> [String: [Float]] {
    var random = Random(seed)
    var values: [String: [Float]] = [:]
    for (name, shape) in shapes {
      let isGamma = ["Norm.weight", "norm.weight", ".ln.weight", ".a_2"].contains { name.hasSuffix($0) }
      let numbers = (0..<shape.reduce(1, *)).map { _ in (isGamma ? 1 : 0) + random.uniform() * (isGamma ? 0.3 : 0.5) }
      values[name] = Self.stored(numbers, shape, storage).values
    }
    return values
  }

  /// The bytes of a tensor in reduced storage, its scales, and the values that they stand for. Vectors stay floats.
  static func stored(
    _ numbers: [Float], _ shape: [Int], _ storage: ElementType
  ) -> (type: ElementType, bytes: [UInt8], scales: [Float]?, values: [Float]) {
    func bytes<T: FixedWidthInteger>(_ numbers: [T]) -> [UInt8] {
      numbers.flatMap { number in (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: number >> T($0 * 8)) } }
    }
    switch shape.count == 2 ? storage : .f32 {
    case .bf16:
      let halves = numbers.map { UInt16($0.bitPattern >> 16) }
      return (.bf16, bytes(halves), nil, halves.map { Float(bitPattern: UInt32($0) << 16) })
    case .f16:
      // Normal numbers only, cut off.
      let halves = numbers.map { number -> UInt16 in
        guard number.magnitude > 0x1p-14 else { return 0 }
        let bits = number.bitPattern
        return UInt16(bits >> 31) << 15 | UInt16((bits >> 23 & 0xFF) - 112) << 10 | UInt16(bits >> 13 & 0x3FF)
      }
      return (.f16, bytes(halves), nil, halves.map { Float(halfBits: $0) })
    case .f64: return (.f64, bytes(numbers.map { Double($0).bitPattern }), nil, numbers)
    case .i8:
      var scales: [Float] = []
      var quantised: [Int8] = []
      for row in 0..<shape[0] {
        let numbers = numbers[(row * shape[1])..<((row + 1) * shape[1])]
        let scale = (numbers.map(\.magnitude).max() ?? 1) / 127
        scales.append(scale)
        quantised += numbers.map { Int8(($0 / scale).rounded()) }
      }
      let values = quantised.enumerated().map { Float($0.element) * scales[$0.offset / shape[1]] }
      return (.i8, quantised.map { UInt8(bitPattern: $0) }, scales, values)
    default: return (.f32, bytes(numbers.map(\.bitPattern)), nil, numbers)
    }
  }

  /// Writes a plain safetensors file; `alignment` of 1 lets the data start anywhere.
  func write(
    _ folder: TemporaryFolder, _ name: String = "model.safetensors", alignment: Int = 64,
    changing change: (inout [(name: String, shape: [Int])], inout [String: [Float]]) -> Void = { _, _ in }
  ) throws -> NativeModel {
    var list = shapes
    var values = self.values()
    change(&list, &values)
    var entries: [SafetensorsHeader.Entry] = []
    var data: [UInt8] = []
    func append(_ name: String, _ type: ElementType, _ shape: [Int], _ bytes: [UInt8]) {
      entries.append(.init(name: name, elementType: type, shape: shape, range: data.count..<(data.count + bytes.count)))
      data += bytes
    }
    var scales: [(String, [Float])] = []
    for (name, shape) in list {
      let tensor = Self.stored(values[name] ?? Array(repeating: 0, count: shape.reduce(1, *)), shape, storage)
      append(name, tensor.type, shape, tensor.bytes)
      if let scale = tensor.scales { scales.append((name + "_scale", scale)) }
    }
    for (name, values) in scales { append(name, .f32, [values.count], Self.stored(values, [values.count], .f32).bytes) }
    var header = SafetensorsHeader.serialise(entries, metadata: [], alignment: alignment)
    if alignment == 1, header.count % 4 == 0 {
      header = SafetensorsHeader.serialise(entries, metadata: [("pad", "x")], alignment: 1)
      if header.count % 4 == 0 {
        header = SafetensorsHeader.serialise(entries, metadata: [("pad", "xy")], alignment: 1)
      }
    }
    return try NativeModel.open(try folder.write(header + data, name))
  }

  func encoder(
    _ folder: TemporaryFolder, alignment: Int = 64, library: MathLibrary = .openBLAS
  ) throws -> Encoder {
    try Encoder(
      try write(folder, alignment: alignment), EncoderConfig(config, file: nil, families: [family]), threads: 1,
      library: library)
  }

  /// Three sequences of seven columns: one without padding, one with, and one whose mask has holes and begins with one.
  func input() -> EncoderInput {
    var random = Random(seed &+ 99)
    let mask = [1, 1, 1, 1, 1, 1, 1] + [1, 1, 1, 0, 0, 0, 0] + [0, 1, 1, 0, 1, 0, 1]
    return EncoderInput(
      batch: 3, sequence: 7, inputIDs: mask.map { _ in 2 + random.below(vocabulary - 2) }, attentionMask: mask,
      tokenTypeIDs: mask.map { _ in random.below(types) })
  }
}
