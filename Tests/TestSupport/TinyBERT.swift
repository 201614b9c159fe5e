import CheckpointWriters
import TensorIO

/// A BERT of very small sizes: the names and shapes of its tensors, its config, and a file of it.
///
/// All sizes differ, so that a swapped dimension shows.
public struct TinyBERT: Sendable {
  public var vocabulary = 11
  public var hidden = 6
  public var layers = 2
  public var heads = 3
  public var intermediate = 10
  public var positions = 8
  public var tokenTypes = 2
  public var hasPooler = true
  public var hasMaskedLM = true
  public var hasNextSentence = true

  /// Who names the tensors.
  public enum Names: Sendable {
    /// google-research/bert, modeling.py and run_pretraining.py: `bert/encoder/layer_0/output/dense/kernel` [in, out].
    case google
    /// `transformers`, modeling_bert.py: `bert.encoder.layer.0.output.dense.weight` [out, in].
    case transformers
  }

  public init() {}

  /// The BertForMaskedLM of one layer that `save_pretrained` would leave: no pooler, no next sentence.
  public static func maskedLM(vocabulary: Int = 40, hidden: Int = 8, positions: Int = 16) -> TinyBERT {
    var model = TinyBERT()
    (model.vocabulary, model.hidden, model.positions) = (vocabulary, hidden, positions)
    (model.layers, model.heads, model.intermediate) = (1, 2, 4 * hidden)
    (model.hasPooler, model.hasNextSentence) = (false, false)
    return model
  }

  // MARK: Names and shapes

  /// The tensors in the order of the program's own modules.
  public func shapes(_ names: Names = .transformers) -> [(name: String, shape: [Int])] {
    var list = ShapeList(names: names)
    for (part, rows) in [("word", vocabulary), ("position", positions), ("token_type", tokenTypes)] {
      list.addEmbeddings("bert.embeddings.\(part)_embeddings", rows, hidden)
    }
    list.addNorm("bert.embeddings", hidden)
    for layer in 0..<layers { addLayer("bert.encoder.layer.\(layer)", to: &list) }
    if hasPooler { list.addDense("bert.pooler.dense", from: hidden, to: hidden) }
    addHeads(to: &list)
    return list.entries
  }

  private func addLayer(_ layer: String, to list: inout ShapeList) {
    for part in ["query", "key", "value"] { list.addDense("\(layer).attention.self.\(part)", from: hidden, to: hidden) }
    list.addDense("\(layer).attention.output.dense", from: hidden, to: hidden)
    list.addNorm("\(layer).attention.output", hidden)
    list.addDense("\(layer).intermediate.dense", from: hidden, to: intermediate)
    list.addDense("\(layer).output.dense", from: intermediate, to: hidden)
    list.addNorm("\(layer).output", hidden)
  }

  private func addHeads(to list: inout ShapeList) {
    if hasMaskedLM {
      if case .transformers = list.names { list.add("cls.predictions.bias", [vocabulary]) }
      list.addDense("cls.predictions.transform.dense", from: hidden, to: hidden)
      list.addNorm("cls.predictions.transform", hidden)
      if case .google = list.names { list.add("cls.predictions.output_bias", [vocabulary]) }
    }
    guard hasNextSentence else { return }
    switch list.names {
    case .transformers: list.addDense("cls.seq_relationship", from: hidden, to: 2)
    case .google:
      list.add("cls.seq_relationship.output_weights", [2, hidden])
      list.add("cls.seq_relationship.output_bias", [2])
    }
  }

  private struct ShapeList {
    let names: Names
    var entries: [(name: String, shape: [Int])] = []

    init(names: Names) { self.names = names }

    mutating func add(_ name: String, _ shape: [Int]) {
      switch names {
      case .transformers: entries.append((name, shape))
      case .google:
        entries.append((name.replacing(".layer.", with: ".layer_").replacing(".", with: "/"), shape))
      }
    }

    mutating func addEmbeddings(_ name: String, _ rows: Int, _ columns: Int) {
      if case .google = names { add(name, [rows, columns]) } else { add(name + ".weight", [rows, columns]) }
    }

    mutating func addDense(_ name: String, from input: Int, to output: Int) {
      switch names {
      case .google: add(name + ".kernel", [input, output])
      case .transformers: add(name + ".weight", [output, input])
      }
      add(name + ".bias", [output])
    }

    mutating func addNorm(_ name: String, _ size: Int) {
      switch names {
      case .google:
        add(name + ".LayerNorm.gamma", [size])
        add(name + ".LayerNorm.beta", [size])
      case .transformers:
        add(name + ".LayerNorm.weight", [size])
        add(name + ".LayerNorm.bias", [size])
      }
    }
  }

  // MARK: Values

  /// The model with random bits as values, which follow from the names. `scope` precedes every name.
  ///
  /// For tests of what is copied: the values mean nothing as numbers.
  public func randomBits(_ names: Names = .transformers, scope: String = "") -> MemorySource {
    var source = MemorySource()
    for (name, shape) in shapes(names) { source.add(scope + name, shape) }
    return source
  }

  /// The model with random weights that it can compute with, by the names of `transformers`.
  public func randomWeights(seed: UInt64 = 1) -> MemorySource {
    var random = SeededRandom(seed)
    var source = MemorySource(format: FormatName(rawValue: "safetensors"), path: "model.safetensors")
    for (name, shape) in shapes() {
      let (mean, spread): (Float, Float) = name.hasSuffix("LayerNorm.weight") ? (1, 0.3) : (0, 0.5)
      source.add(name, shape, floats: (0..<shape.reduce(1, *)).map { _ in mean + spread * random.uniform() })
    }
    return source
  }

  /// The model with weights of which no two are equal, by the names of `transformers`.
  public func distinctWeights() -> MemorySource {
    var source = MemorySource(format: FormatName(rawValue: "safetensors"), path: "model.safetensors")
    var count = 0
    for (name, shape) in shapes() {
      let size = shape.reduce(1, *)
      source.add(name, shape, floats: (count..<(count + size)).map { Float($0) * 0.001 - 0.5 })
      count += size
    }
    return source
  }

  // MARK: Config and file

  /// Its `config.json`, as `transformers` writes it.
  public var config: JSON {
    .object([
      "architectures": .strings([architecture]), "model_type": .string("bert"), "vocab_size": .int(vocabulary),
      "hidden_size": .int(hidden), "num_hidden_layers": .int(layers), "num_attention_heads": .int(heads),
      "intermediate_size": .int(intermediate), "hidden_act": .string("gelu"),
      "max_position_embeddings": .int(positions),
      "type_vocab_size": .int(tokenTypes), "layer_norm_eps": .number("1e-12"),
    ])
  }

  private var architecture: String {
    switch (hasMaskedLM, hasNextSentence) {
    case (true, true): "BertForPreTraining"
    case (true, false): "BertForMaskedLM"
    case (false, true): "BertForNextSentencePrediction"
    case (false, false): "BertModel"
    }
  }

  /// Writes a safetensors file of the model, and `config.json` next to it unless that is not wanted.
  ///
  /// - Parameter weights: ``distinctWeights()``, unless a test has changed them
  /// - Returns: the path of the safetensors file
  @discardableResult
  public func write(
    to folder: TemporaryFolder, _ name: String = "model.safetensors", weights: MemorySource? = nil,
    withConfig: Bool = true
  ) throws -> String {
    if withConfig { _ = try folder.write(Array(config.text().utf8), "config.json") }
    return try (weights ?? distinctWeights()).writeSafetensors(to: folder, name)
  }
}

extension MemorySource {
  /// Writes a safetensors file and returns its path.
  @discardableResult
  public func writeSafetensors(
    to folder: TemporaryFolder, _ name: String = "model.safetensors",
    metadata: [(key: String, value: String)] = [("format", "pt")]
  ) throws -> String {
    try write(to: SafetensorsWriter(path: folder.file(name), overwrites: true, metadata: metadata))
    return folder.file(name)
  }
}
