import CheckpointFormats
import Encoder
import NativeFormat
import TensorIO
import TestSupport

@testable import Verification

/// A small model with random weights, as a plain safetensors file.
struct SmallModel {
  static let layers = 3
  static let hidden = 12
  let config = JSON.object([
    "model_type": .string("bert"), "architectures": .strings(["BertForPreTraining"]), "hidden_size": .int(hidden),
    "num_hidden_layers": .int(layers), "num_attention_heads": .int(3), "intermediate_size": .int(20),
    "vocab_size": .int(23), "max_position_embeddings": .int(11), "type_vocab_size": .int(2),
    "hidden_act": .string("gelu"), "layer_norm_eps": .number("1e-12"),
  ])
  var tensors: [(name: String, shape: [Int], values: [Float])] = []

  init() {
    var state: UInt64 = 1
    func uniform() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
    func add(_ name: String, _ shape: [Int]) {
      let isGamma = name.hasSuffix("LayerNorm.weight")
      let values = (0..<shape.reduce(1, *)).map { _ in isGamma ? 1 + 0.3 * uniform() : 0.5 * uniform() }
      tensors.append((name, shape, values))
    }
    func dense(_ name: String, _ output: Int, _ input: Int) {
      add(name + ".weight", [output, input])
      add(name + ".bias", [output])
    }
    func norm(_ name: String) {
      add(name + ".weight", [Self.hidden])
      add(name + ".bias", [Self.hidden])
    }
    let h = Self.hidden
    for (name, rows) in [("word", 23), ("position", 11), ("token_type", 2)] {
      add("bert.embeddings.\(name)_embeddings.weight", [rows, h])
    }
    norm("bert.embeddings.LayerNorm")
    for layer in 0..<Self.layers {
      let base = "bert.encoder.layer.\(layer)."
      for part in ["query", "key", "value"] { dense(base + "attention.self." + part, h, h) }
      dense(base + "attention.output.dense", h, h)
      norm(base + "attention.output.LayerNorm")
      dense(base + "intermediate.dense", 20, h)
      dense(base + "output.dense", h, 20)
      norm(base + "output.LayerNorm")
    }
    dense("bert.pooler.dense", h, h)
    dense("cls.predictions.transform.dense", h, h)
    norm("cls.predictions.transform.LayerNorm")
    add("cls.predictions.bias", [23])
    dense("cls.seq_relationship", 2, h)
  }

  /// Adds `amount` to numbers of a tensor: all, or those of `rows`.
  mutating func bend(_ name: String, by amount: Float = 0.2, rows: Set<Int>? = nil) {
    for (index, tensor) in tensors.enumerated() where tensor.name == name {
      let width = tensor.values.count / tensor.shape[0]
      for place in tensor.values.indices where rows?.contains(place / width) ?? true {
        // Not all by the same, or a layer normalisation would take it out again.
        tensors[index].values[place] += amount * Float(1 + place % 3)
      }
    }
  }

  func open(_ folder: TemporaryFolder, _ name: String = "model.safetensors") throws -> NativeModel {
    var entries: [SafetensorsHeader.Entry] = []
    var data: [UInt8] = []
    for tensor in tensors {
      let start = data.count
      data += tensor.values.flatMap { littleEndian($0.bitPattern) }
      entries.append(.init(name: tensor.name, elementType: .f32, shape: tensor.shape, range: start..<data.count))
    }
    let header = SafetensorsHeader.encoded(entries, metadata: [], alignment: 64)
    return try NativeModel.open(try folder.write(header + data, name))
  }

  static let batch = 3
  static let sequence = 7
  static let mask = [1, 1, 1, 1, 1, 1, 1] + [1, 1, 1, 0, 0, 0, 0] + [0, 1, 1, 0, 1, 0, 1]
  static let ids = (0..<21).map { 2 + ($0 * 5) % 19 }
  static let types = (0..<21).map { $0 % 7 > 2 ? 1 : 0 }

  /// A fixture of this model's own outputs: all, or those named.
  func fixture(_ folder: TemporaryFolder, outputs: Set<String>? = nil) throws -> MemorySource {
    let encoder = try Encoder(open(folder, "reference.safetensors"), config: config)
    var source = MemorySource()
    let shape = [Self.batch, Self.sequence]
    source.set("input_ids", shape, Self.ids)
    source.set("attention_mask", shape, Self.mask)
    source.set("token_type_ids", shape, Self.types)
    for output in try encoder.run(EncoderInput(source), outputs: outputs ?? Set(encoder.availableOutputs)) {
      source.set(output.name, output.shape, output.values)
    }
    return source
  }

  func verify(_ source: MemorySource, _ folder: TemporaryFolder, tolerance: Double = 1e-4) throws -> VerificationReport
  {
    try Verifier.verify(open(folder), config: config, fixture: Fixture(source), tolerance: tolerance, threads: 1)
  }
}
