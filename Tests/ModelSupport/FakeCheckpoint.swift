import Conversion
import TensorIO
import WeightMapping

/// A checkpoint in memory.
package struct FakeSource: TensorSource {
  package var format: FormatName { .npz }
  package var files: [SourceFile] { [] }
  package var tensors: [TensorInfo] = []
  private var data: [Bytes] = []

  package init() {}

  /// Adds a tensor of F32 whose values follow from `seed`, or from its name.
  package mutating func add(_ name: String, _ shape: [Int], type: ElementType = .f32, seed: String? = nil) {
    guard let info = TensorInfo(name: name, elementType: type, shape: shape) else { return }
    var state: UInt64 = 14_695_981_039_346_656_037
    for byte in (seed ?? name).utf8 { state = (state ^ UInt64(byte)) &* 1_099_511_628_211 }
    var bytes: [UInt8] = []
    for _ in 0..<info.byteCount {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes.append(UInt8(truncatingIfNeeded: state >> 33))
    }
    tensors.append(info)
    data.append(Bytes(bytes))
  }

  /// Adds a tensor of these bytes.
  package mutating func add(_ name: String, _ shape: [Int], type: ElementType = .f32, bytes: [UInt8]) {
    guard let info = TensorInfo(name: name, elementType: type, shape: shape) else { return }
    tensors.append(info)
    data.append(Bytes(bytes))
  }

  /// Adds a vector of F32.
  package mutating func add(_ name: String, floats: [Float]) {
    let bytes = floats.flatMap { value in
      [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0)) }
    }
    add(name, [floats.count], bytes: bytes)
  }

  package mutating func remove(_ name: String) {
    guard let index = index(ofTensor: name) else { return }
    tensors.remove(at: index)
    data.remove(at: index)
  }

  /// The same tensors under other names; `nil` leaves one out.
  package func renamed(_ rename: (String) -> String?) -> FakeSource {
    var copy = FakeSource()
    for (info, bytes) in zip(tensors, data) {
      guard let name = rename(info.name) else { continue }
      var info = info
      info.name = name
      copy.tensors.append(info)
      copy.data.append(bytes)
    }
    return copy
  }

  package func bytes(_ name: String) -> [UInt8] { index(ofTensor: name).map { data[$0].array() } ?? [] }

  package func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try data[index].withSpan(body)
  }

  /// In pieces of eight bytes, as a reader may.
  package func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try data[index].withSpan { span in
      var start = 0
      while start < span.byteCount {
        let end = min(start + 8, span.byteCount)
        try body(span.extracting(start..<end))
        start = end
      }
    }
  }
}

/// Collects what is written.
package final class FakeSink: TensorSink {
  package var infos: [TensorInfo] = []
  package var data: [[UInt8]] = []

  package init() {}

  package func begin(_ tensors: [TensorInfo]) throws {
    infos = tensors
    data = tensors.map { _ in [] }
  }
  package func append(_ bytes: RawSpan, toTensorAt index: Int) throws { data[index] += bytes.array() }
  package func finish() throws {}
  package func cancel() {}

  package func bytes(_ name: String) -> [UInt8] { infos.firstIndex { $0.name == name }.map { data[$0] } ?? [] }
}

/// The sizes of the models in these tests, all different.
package enum Size {
  package static let vocabulary = 11, hidden = 6, layers = 2, inner = 10, positions = 8, types = 2
}

/// The names and shapes as google-research/bert writes them, from its modeling.py.
package func googleTensors(scope: String = "", heads: Bool = true) -> FakeSource {
  var source = FakeSource()
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
package func transformersTensors(heads: Bool = true) -> FakeSource {
  var source = FakeSource()
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

package func plan(_ source: FakeSource, _ config: JSON? = config, allow: [String] = []) throws -> MappingPlan {
  try mapper().plan(
    for: source.tensors, file: "model.ckpt", config: config, configFile: config == nil ? nil : "bert_config.json",
    allowUnexpected: allow
  ).resolvingTies(in: source)
}

/// What the plan throws, as text.
package func failure(_ source: FakeSource, _ config: JSON? = config, allow: [String] = []) -> String {
  do {
    _ = try plan(source, config, allow: allow)
    return "nothing"
  } catch let error as FormatError {
    return error.description
  } catch {
    return "another error: \(error)"
  }
}

package func convert(_ source: FakeSource, _ config: JSON? = config) throws -> FakeSink {
  let sink = FakeSink()
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
