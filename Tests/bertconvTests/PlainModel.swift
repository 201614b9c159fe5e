import TensorIO
import TestSupport

/// A BERT of one layer in a plain safetensors file, as `save_pretrained` would leave it; no two numbers in it are alike.
struct PlainModel {
  var tensors: [(name: String, shape: [Int], bytes: [UInt8])] = []
  let vocabularySize: Int
  let hiddenSize: Int
  let positions: Int

  /// The names and shapes of `transformers`' BertForMaskedLM, its decoder left out.
  init(vocabularySize: Int = 40, hiddenSize: Int = 8, positions: Int = 16) {
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.positions = positions
    let h = hiddenSize
    add("bert.embeddings.word_embeddings.weight", [vocabularySize, h])
    add("bert.embeddings.position_embeddings.weight", [positions, h])
    add("bert.embeddings.token_type_embeddings.weight", [2, h])
    addNorm("bert.embeddings.LayerNorm")
    let layer = "bert.encoder.layer.0."
    for part in ["query", "key", "value"] { addDense(layer + "attention.self." + part, h, h) }
    addDense(layer + "attention.output.dense", h, h)
    addNorm(layer + "attention.output.LayerNorm")
    addDense(layer + "intermediate.dense", 4 * h, h)
    addDense(layer + "output.dense", h, 4 * h)
    addNorm(layer + "output.LayerNorm")
    addDense("cls.predictions.transform.dense", h, h)
    addNorm("cls.predictions.transform.LayerNorm")
    add("cls.predictions.bias", [vocabularySize])
  }

  /// Adds a tensor of new numbers.
  mutating func add(_ name: String, _ shape: [Int]) {
    let first = tensors.reduce(0) { $0 + $1.bytes.count / 4 }
    let count = shape.reduce(1, *)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * count)
    for number in first..<(first + count) {
      let bits = (Float(number) * 0.001 - 0.5).bitPattern
      for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
    }
    tensors.append((name, shape, bytes))
  }

  /// Adds a tensor with the numbers of another.
  mutating func add(_ name: String, copyOf other: String) {
    for tensor in tensors where tensor.name == other { tensors.append((name, tensor.shape, tensor.bytes)) }
  }

  private mutating func addDense(_ name: String, _ rows: Int, _ columns: Int) {
    add(name + ".weight", [rows, columns])
    add(name + ".bias", [rows])
  }

  private mutating func addNorm(_ name: String) {
    add(name + ".weight", [hiddenSize])
    add(name + ".bias", [hiddenSize])
  }

  func bytes(_ name: String) -> [UInt8]? { tensors.first { $0.name == name }?.bytes }

  /// Its `config.json`.
  var config: String {
    """
    {"architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": \(vocabularySize),
     "hidden_size": \(hiddenSize), "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": \(4 * hiddenSize),
     "hidden_act": "gelu", "max_position_embeddings": \(positions), "type_vocab_size": 2, "layer_norm_eps": 1e-12}
    """
  }

  /// Writes `name`, and `config.json` beside it unless that is not wanted; returns the model's path.
  func write(_ folder: TemporaryFolder, _ name: String = "model.safetensors", withConfig: Bool = true) throws -> String
  {
    var entries: [SafetensorsHeader.Entry] = []
    var data: [UInt8] = []
    for tensor in tensors {
      let end = data.count + tensor.bytes.count
      entries.append(.init(name: tensor.name, elementType: .f32, shape: tensor.shape, range: data.count..<end))
      data += tensor.bytes
    }
    if withConfig { _ = try folder.write(Array(config.utf8), "config.json") }
    return try folder.write(
      SafetensorsHeader.serialise(entries, metadata: [("format", "pt")], alignment: 8) + data, name)
  }
}
