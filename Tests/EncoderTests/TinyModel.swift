import CheckpointFormats
import ModelFamilies
import NativeFormat
import TensorIO
import TestSupport

@testable import Encoder

/// A small model of a family with random weights: names and shapes come from the family's own definition.
struct TinyModel {
  var family = TestFamilies.named("bert")
  var hidden = 12
  var heads = 3
  var intermediate = 20
  var layers = 2
  var vocabulary = 23
  var positions = 11
  var types = 2
  var tasks = 3
  var activation = "gelu"
  var epsilon = "1e-12"
  var paddingID = 0
  var architecture: String?
  /// The names of the family's optional groups of tensors that the model has.
  var parts: Set<String> = ["pooler"]
  /// Whether tensors that are tied to others are in the file, with values of their own.
  var hasOwnDecoder = false
  var labels = 3
  /// E, when it is not the hidden size.
  var embedding: Int?
  /// N, when it is not the hidden size, and what goes through the bottleneck.
  var inner: Int?
  var bottleneck = Bottleneck.none
  var feedForwards = 1
  var groups = 1
  var blocks = 1
  var readsNeighbors = false
  var takesStatistics = true
  var poolerIsDense = true
  var seed: UInt64 = 1
  /// Whether query, key and value lie next to each other in the file.
  var isAdjacent = true
  /// Whether the base model's prefix is left out.
  var isBare = false
  /// How matrices are stored.
  var storage = ElementType.f32

  init(_ family: String = "bert", _ change: (inout TinyModel) -> Void = { _ in }) {
    self.family = TestFamilies.named(family)
    change(&self)
  }

  var embeddingSize: Int { embedding ?? hidden }
  var innerSize: Int { inner ?? hidden }
  var modelType: String { family.modelType }

  // MARK: Config

  /// The value of each setting that the family has a key for.
  private func value(_ setting: ConfigSetting) -> JSON? {
    switch setting {
    case .vocabularySize: .int(vocabulary)
    case .embeddingSize: .int(embeddingSize)
    case .hiddenSize: .int(hidden)
    case .innerSize: .int(innerSize)
    case .layerCount: .int(layers)
    case .groupCount: .int(groups)
    case .blocksPerLayer: .int(blocks)
    case .headCount: .int(heads)
    case .intermediateSize: .int(intermediate)
    case .feedForwardCount: .int(feedForwards)
    case .activation: .string(activation)
    case .positionCount: .int(positions)
    case .tokenTypeCount: .int(types)
    case .taskTypeCount: .int(tasks)
    case .usesTaskTypes: .bool(true)
    case .layerNormEpsilon: .number(epsilon)
    case .paddingID: .int(paddingID)
    case .relativeBucketCount: .int(32)
    case .readsNeighbors: .bool(readsNeighbors)
    case .usesBottleneck: .bool(bottleneck != .none)
    case .bottleneckFeedsAttention: .bool(bottleneck == .attention)
    case .sharesBottleneck: .bool(bottleneck == .queriesAndKeys)
    case .normalization: .string(takesStatistics ? "layer_norm" : "no_norm")
    case .poolerIsDense: .bool(poolerIsDense)
    case .recurrentSize: .int(hidden)
    }
  }

  var config: JSON {
    var json = JSON.object(["model_type": .string(modelType)])
    for setting in ConfigSetting.allCases {
      if let key = family.key(for: setting), let value = value(setting) { json.set(key.name, value) }
    }
    if let architecture { json.set("architectures", .strings([architecture])) }
    if hasOwnDecoder { json.set("tie_word_embeddings", .bool(false)) }
    return json
  }

  // MARK: Tensors

  /// The sizes of the symbols of the family's shapes.
  private var dimensions: [String: Int] {
    var sizes = [
      "num_labels": labels, "true_hidden_size": innerSize, "decoder_rest": hidden - embeddingSize,
      "transformation_input": (readsNeighbors ? 3 : 1) * embeddingSize,
      "value_input": bottleneck == .queriesAndKeys ? hidden : innerSize,
    ]
    for key in family.configKeys {
      if let setting = key.setting, let size = value(setting)?.intValue { sizes[key.name] = size }
    }
    return sizes
  }

  private func has(_ tensor: CanonicalTensor) -> Bool {
    let group = family.groups[tensor.group]
    guard group.settings.isEmpty ? group.isRequired || parts.contains(group.name) : group.isRequired([:], config) else {
      return false
    }
    guard let role = tensor.role else { return true }
    if role.part == .embeddingTransformation { return readsNeighbors || embeddingSize != hidden }
    if tensor.tiedTo != nil { return hasOwnDecoder && role.parameter == .weight }
    return true
  }

  /// Names and shapes, in the order of a native file.
  var shapes: [(name: String, shape: [Int])] {
    let sizes = dimensions
    var list: [(name: String, shape: [Int])] = []
    func add(_ tensor: CanonicalTensor, _ layer: Int?) {
      let shape = tensor.shape.compactMap { $0.value(sizes) }
      if shape.allSatisfy({ $0 > 0 }) { list.append((name(tensor.pattern.name(layer: layer)), shape)) }
    }
    let tensors = family.tensors.filter(has)
    for (index, tensor) in tensors.enumerated() {
      guard tensor.pattern.isPerLayer else {
        add(tensor, nil)
        continue
      }
      guard index == 0 || !tensors[index - 1].pattern.isPerLayer else { continue }
      let run = tensors[index...].prefix { $0.pattern.isPerLayer }
      for layer in 0..<(family.key(for: .groupCount) == nil ? layers : groups) {
        for tensor in run { add(tensor, layer) }
      }
    }
    return isAdjacent ? list : list.sorted { $0.name < $1.name }
  }

  private func name(_ canonical: String) -> String {
    isBare && canonical.hasPrefix(family.basePrefix)
      ? String(canonical.dropFirst(family.basePrefix.count)) : canonical
  }

  /// The names of a role in the file, the preferred one first.
  func names(_ role: TensorRole, layer: Int? = nil) -> [String] { family.names(role, layer: layer).map(name) }

  /// The values of every tensor, as they come back out of the storage.
  func values() -> [String: [Float]] {
    var random = SeededRandom(seed)
    let gammas = Set(
      family.tensors.filter { $0.role?.part.isNorm == true && $0.role?.parameter == .weight }.map {
        String($0.pattern.text.split(separator: "}").last ?? "")
      })
    var values: [String: [Float]] = [:]
    for (name, shape) in shapes {
      let isGamma = gammas.contains { name.hasSuffix($0) }
      let numbers = (0..<shape.reduce(1, *)).map { _ in (isGamma ? 1 : 0) + random.uniform() * (isGamma ? 0.3 : 0.5) }
      values[name] = Self.stored(numbers, shape, storage).values
    }
    return values
  }

  /// The bytes of a tensor in reduced storage, its scales, and the values that they stand for. Vectors stay floats.
  static func stored(
    _ numbers: [Float], _ shape: [Int], _ storage: ElementType
  ) -> (type: ElementType, bytes: [UInt8], scales: [Float]?, values: [Float]) {
    switch shape.count == 2 ? storage : .f32 {
    case .bf16:
      let halves = numbers.map { UInt16($0.bitPattern >> 16) }
      return (.bf16, littleEndianBytes(halves), nil, halves.map { Float(bfloat16Bits: $0) })
    case .f16:
      let halves = numbers.map(\.halfBits)
      return (.f16, littleEndianBytes(halves), nil, halves.map { Float(halfBits: $0) })
    case .f64: return (.f64, littleEndianBytes(numbers.map(Double.init)), nil, numbers)
    case .i8:
      var scales: [Float] = []
      var quantized: [Int8] = []
      for row in 0..<shape[0] {
        let numbers = numbers[(row * shape[1])..<((row + 1) * shape[1])]
        let scale = (numbers.map(\.magnitude).max() ?? 1) / 127
        scales.append(scale)
        quantized += numbers.map { Int8(($0 / scale).rounded()) }
      }
      let values = quantized.enumerated().map { Float($0.element) * scales[$0.offset / shape[1]] }
      return (.i8, littleEndianBytes(quantized), scales, values)
    default: return (.f32, littleEndianBytes(numbers), nil, numbers)
    }
  }

  // MARK: Files

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
    for (name, values) in scales { append(name, .f32, [values.count], littleEndianBytes(values)) }
    var header = SafetensorsHeader.encoded(entries, metadata: [], alignment: alignment)
    if alignment == 1, header.count % 4 == 0 {
      header = SafetensorsHeader.encoded(entries, metadata: [("pad", "x")], alignment: 1)
      if header.count % 4 == 0 {
        header = SafetensorsHeader.encoded(entries, metadata: [("pad", "xy")], alignment: 1)
      }
    }
    return try NativeModel.open(try folder.write(header + data, name))
  }

  func encoder(
    _ folder: TemporaryFolder, alignment: Int = 64, library: MathLibrary = .openBLAS, precision: Precision = .f32,
    threads: Int = 1
  ) throws -> Encoder {
    try Encoder(
      try write(folder, alignment: alignment), EncoderConfig(config, file: nil, families: FamilyCatalog([family])),
      threads: threads,
      precision: precision, library: library)
  }

  /// Three sequences of seven columns: one without padding, one with, and one whose mask has holes and begins with one.
  func input() -> EncoderInput {
    var random = SeededRandom(seed &+ 99)
    let mask = [1, 1, 1, 1, 1, 1, 1] + [1, 1, 1, 0, 0, 0, 0] + [0, 1, 1, 0, 1, 0, 1]
    let countsPadding = family.computation.positionIDs == .countedFromPadding
    let ids = mask.map { $0 == 0 && countsPadding ? paddingID : 2 + random.below(vocabulary - 2) }
    let typeCount = family.computation.tokenTypeIDs == .words ? vocabulary : types
    let types = mask.map { _ in random.below(typeCount) }
    let tasks = mask.map { _ in random.below(self.tasks) }
    return EncoderInput(
      batch: 3, sequence: 7, inputIDs: ids, attentionMask: mask, tokenTypeIDs: types, taskTypeIDs: tasks)
  }
}

extension ModelPart {
  /// Whether it is a layer normalization.
  var isNorm: Bool { rawValue.hasSuffix("norm") }
}
