import Conversion
import TensorIO
import TestSupport
import WeightMapping

/// The sizes of the models in these tests, all different.
package enum Size {
  package static let vocabulary = 11, hidden = 6, layers = 2, inner = 10, positions = 8, types = 2
}

/// The names and shapes as google-research/bert writes them, from its modeling.py.
package func googleTensors(scope: String = "", heads: Bool = true) -> MemorySource {
  var source = MemorySource()
  func add(_ name: String, _ shape: [Int]) { source.add(scope + name, shape) }
  let h = Size.hidden
  add("bert/embeddings/word_embeddings", [Size.vocabulary, h])
  add("bert/embeddings/position_embeddings", [Size.positions, h])
  add("bert/embeddings/token_type_embeddings", [Size.types, h])
  func norm(_ name: String) {
    add(name + "/LayerNorm/gamma", [h])
    add(name + "/LayerNorm/beta", [h])
  }
  func dense(_ name: String, _ from: Int, _ to: Int) {
    add(name + "/kernel", [from, to])
    add(name + "/bias", [to])
  }
  norm("bert/embeddings")
  for layer in 0..<Size.layers {
    let prefix = "bert/encoder/layer_\(layer)"
    for part in ["query", "key", "value"] { dense("\(prefix)/attention/self/\(part)", h, h) }
    dense("\(prefix)/attention/output/dense", h, h)
    norm("\(prefix)/attention/output")
    dense("\(prefix)/intermediate/dense", h, Size.inner)
    dense("\(prefix)/output/dense", Size.inner, h)
    norm("\(prefix)/output")
  }
  dense("bert/pooler/dense", h, h)
  if heads {
    dense("cls/predictions/transform/dense", h, h)
    norm("cls/predictions/transform")
    add("cls/predictions/output_bias", [Size.vocabulary])
    add("cls/seq_relationship/output_weights", [2, h])
    add("cls/seq_relationship/output_bias", [2])
  }
  return source
}

/// The names that `transformers` gives, each with its shape, in its own order of modules.
package func transformersTensors(heads: Bool = true) -> MemorySource {
  var source = MemorySource()
  let h = Size.hidden
  source.add("bert.embeddings.word_embeddings.weight", [Size.vocabulary, h])
  source.add("bert.embeddings.position_embeddings.weight", [Size.positions, h])
  source.add("bert.embeddings.token_type_embeddings.weight", [Size.types, h])
  func pair(_ name: String, _ weight: [Int]) {
    source.add(name + ".weight", weight)
    source.add(name + ".bias", [weight[0]])
  }
  pair("bert.embeddings.LayerNorm", [h])
  for layer in 0..<Size.layers {
    let prefix = "bert.encoder.layer.\(layer)"
    for part in ["query", "key", "value"] { pair("\(prefix).attention.self.\(part)", [h, h]) }
    pair("\(prefix).attention.output.dense", [h, h])
    pair("\(prefix).attention.output.LayerNorm", [h])
    pair("\(prefix).intermediate.dense", [Size.inner, h])
    pair("\(prefix).output.dense", [h, Size.inner])
    pair("\(prefix).output.LayerNorm", [h])
  }
  pair("bert.pooler.dense", [h, h])
  if heads {
    source.add("cls.predictions.bias", [Size.vocabulary])
    pair("cls.predictions.transform.dense", [h, h])
    pair("cls.predictions.transform.LayerNorm", [h])
    pair("cls.seq_relationship", [2, h])
  }
  return source
}

package let config = JSON.object([
  "vocab_size": .int(Size.vocabulary), "hidden_size": .int(Size.hidden), "num_hidden_layers": .int(Size.layers),
  "num_attention_heads": .int(3), "intermediate_size": .int(Size.inner), "hidden_act": .string("gelu"),
  "max_position_embeddings": .int(Size.positions), "type_vocab_size": .int(Size.types),
])

package func mapper() throws -> Mapper { Mapper(tables: try MappingTable.builtIn()) }

package func plan(_ source: MemorySource, _ config: JSON? = config, allow: [String] = []) throws -> MappingPlan {
  try mapper().plan(
    for: source.tensors, file: "model.ckpt", config: config, configFile: config == nil ? nil : "bert_config.json",
    allowUnexpected: allow
  ).resolvingTies(in: source)
}

/// What the plan throws, as text; "no error" where it throws nothing.
package func failure(_ source: MemorySource, _ config: JSON? = config, allow: [String] = []) -> String {
  errorText { _ = try plan(source, config, allow: allow) }
}

package func convert(_ source: MemorySource, _ config: JSON? = config) throws -> MemorySink {
  let sink = MemorySink()
  try Converter.write(try plan(source, config), from: source, to: sink, progress: nil)
  return sink
}

extension JSON {
  package func changing(_ key: String, _ value: JSON) -> JSON {
    var copy = self
    copy.set(key, value)
    return copy
  }
}

extension MappingPlan {
  package var names: [String] { targets.map(\.info.name) }
}
