import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import Comparison

@Suite("The parts of a model")
struct ModelPartTests {
  /// The same tensors, those that `change` gives values for with these.
  private func changed(_ source: MemorySource, _ change: (String) -> [Float]?) -> MemorySource {
    var result = MemorySource()
    for tensor in source.tensors {
      if let values = change(tensor.name) {
        var whole = MemorySource()
        whole.add("x", floats: values)
        result.add(tensor.name, tensor.shape, bytes: whole.bytes("x"))
      } else {
        result.add(tensor.name, tensor.shape, type: tensor.elementType, bytes: source.bytes(tensor.name))
      }
    }
    return result
  }

  @Test func aBERTIsEmbeddingsLayersPoolerAndHead() {
    let names = transformersTensors().tensors.map(\.name)
    let expected = ["embeddings", "layer 0", "layer 1", "pooler", "cls"]
    #expect(ModelPartition(names).parts.map(\.name) == expected)
    let partition = ModelPartition(names.reversed())
    #expect(partition.parts.map(\.name) == ["embeddings", "layer 0", "layer 1", "cls", "pooler"])
    for (name, part) in zip(names.reversed(), partition.partOfName) {
      let part = partition.parts[part]
      #expect(part.layer == nil || name.contains(".layer.\(part.layer ?? 0)."), "\(name)")
      #expect(part.name != "embeddings" || name.hasPrefix("bert.embeddings."), "\(name)")
    }
    let google = ModelPartition(googleTensors().tensors.map(\.name))
    #expect(google.parts.map(\.name) == expected)
  }

  @Test func severalStacksHaveTheirNames() {
    let names = (0..<2).flatMap { layer in
      ["decoder.block.\(layer).w", "decoder.block.\(layer).b", "encoder.block.\(layer).w", "encoder.block.\(layer).b"]
    }
    let parts = ModelPartition(names + ["shared.embed_tokens", "final.w"]).parts
    #expect(
      parts.map(\.name) == [
        "embeddings", "decoder.block 0", "decoder.block 1", "encoder.block 0", "encoder.block 1", "final",
      ])
    #expect(parts.map(\.stack) == [nil, "decoder.block", "decoder.block", "encoder.block", "encoder.block", nil])
  }

  /// Two numbered matrices of a head are no stack next to that of the model.
  @Test func aSmallStackIsNone() {
    let layers = (0..<4).flatMap { layer in (0..<6).map { "h.\(layer).part\($0)_w" } }
    let parts = ModelPartition(layers + ["head.fc1.weight", "head.fc2.weight"]).parts
    #expect(parts.map(\.name) == ["layer 0", "layer 1", "layer 2", "layer 3", "head"])
  }

  /// One of the models may have a single layer.
  @Test func layersOfOneSideAloneTellThatTheOthersAreLayers() {
    let names = transformersTensors().tensors.map(\.name)
    let first = names.filter { !$0.contains(".layer.1.") }
    #expect(ModelPartition(first).parts.map(\.name) == ["embeddings", "encoder", "pooler", "cls"])
    let both = ModelPartition(first, others: names.filter { $0.contains(".layer.1.") })
    #expect(both.parts.map(\.name) == ["embeddings", "layer 0", "pooler", "cls"])
    #expect(both.partOfName.count == first.count)
  }

  @Test func layersThatAreSharedAreOnePart() {
    let group = "albert.encoder.albert_layer_groups.0.albert_layers.0."
    let names = ["query.weight", "query.bias", "ffn.weight", "ffn.bias"].map { group + $0 }
    let others = [
      "albert.embeddings.word.weight", "albert.embeddings.norm.weight", "albert.pooler.w", "albert.pooler.b",
    ]
    #expect(ModelPartition(names + others).parts.map(\.name) == ["embeddings", "encoder", "pooler"])
  }

  @Test(arguments: [
    [], ["a"], ["a.x", "a.y", "a.z"], ["a.x", "b.x", "c.x"], (0..<100).map { "t\($0)x.w" }, ["", "", "", ""],
  ])
  func whatHasNoParts(_ names: [String]) {
    #expect(ModelPartition(names).parts.isEmpty)
  }

  @Test func manyHeadsAreOthers() {
    let names = (0..<40).flatMap { ["h.\($0).w", "h.\($0).b"] } + (0..<30).map { "head_\($0)x.w" }
    let parts = ModelPartition(names).parts
    #expect(parts.count == 40 + 16 + 1 && parts.last?.name == "others")
  }

  /// Equal tensors of a part that moved are in its norm.
  @Test func aPartIsMeasuredAsAWhole() throws {
    var a = MemorySource()
    for layer in 0..<3 {
      a.add("h.\(layer).w", floats: [1, 2, 2, 4])
      a.add("h.\(layer).b", floats: [Float(layer), 0, 0])
    }
    a.add("embed.w", floats: [1, 1])
    a.add("embed.n", floats: [2, 2])
    let b = changed(a) { $0 == "h.1.w" ? [1, 2, 2, 6] : $0 == "h.2.b" ? [2, 0, 1] : nil }
    let result = try difference(a, b)
    #expect(result.parts.map(\.name) == ["embeddings", "layer 0", "layer 1", "layer 2"])
    #expect(result.parts.map(\.tensors) == [2, 2, 2, 2] && result.parts.map(\.changed) == [0, 0, 1, 1])
    #expect(result.parts.map(\.values) == [4, 7, 7, 7] && result.parts.map(\.differing) == [0, 0, 1, 1])
    #expect(result.parts.map(\.maximum) == [0, 0, 2, 1])
    let changes = result.parts.map { $0.relativeChange ?? -1 }
    let expected = [0, 0, 2 / 26.0.squareRoot(), 1 / 29.0.squareRoot()]
    for (change, wanted) in zip(changes, expected) { #expect((change - wanted).magnitude < 1e-12) }
    let json = try #require(result.json()["parts"]?.elements)
    #expect(json.count == 4 && json[2]["part"] == .string("layer 1") && json[2]["changed"] == .int(1))
    #expect(json[2]["values"] == .int(7) && json[2]["differing"] == .int(1) && json[2]["tensors"] == .int(2))
    #expect(json[2]["max_abs_difference"] == .double(2) && json[0]["relative_change"] == .double(0))
  }

  /// Positions that are numbered would outweigh every weight.
  @Test func wholeNumbersAreNotInTheNorm() throws {
    var a = MemorySource()
    for layer in 0..<2 {
      a.add("h.\(layer).w", floats: [3, 4])
      a.add("h.\(layer).ids", [2], type: .i32, bytes: [1, 0, 0, 0, 0, 0, 1, 0])
    }
    let b = changed(a) { $0 == "h.1.w" ? [3, 5] : nil }
    #expect(try difference(a, b).parts.map(\.relativeChange) == [0, 0.2])
    // What is not finite has no norm, and is reported as infinitely far.
    let lost = try difference(a, changed(a) { $0 == "h.0.w" ? [3, .nan] : nil })
    #expect(lost.parts.map(\.relativeChange) == [.infinity, 0] && lost.parts[0].maximum == .infinity)
    #expect(lost.json()["parts"]?.elements?.first?["relative_change"] == .null)
  }

  @Test func whatIsWithinTheToleranceIsEqual() throws {
    var a = MemorySource()
    for layer in 0..<2 { for part in ["w", "v"] { a.add("h.\(layer).\(part)", floats: [3, 4]) } }
    let b = changed(a) { $0 == "h.1.w" ? [3, 5] : $0 == "h.0.w" ? [3, 4.25] : $0 == "h.1.v" ? [3, 4.25] : nil }
    let result = try difference(a, b, tolerance: 0.5)
    #expect(result.equalCount == 3 && result.parts.map(\.changed) == [0, 1])
    #expect(result.parts[0].relativeChange == 0)
    #expect((try #require(result.parts[1].relativeChange) - 1 / 50.0.squareRoot()).magnitude < 1e-12)
  }

  @Test func aTableGivesTheNamesOfTheParts() throws {
    let google = googleTensors()
    let b = changed(google) { $0 == "bert/encoder/layer_1/output/dense/bias" ? Array(repeating: 1, count: 6) : nil }
    let result = try difference(google, b)
    #expect(
      result.isMatchedByTable && result.parts.map(\.name) == ["embeddings", "layer 0", "layer 1", "pooler", "cls"])
    #expect(result.parts.map(\.changed) == [0, 0, 1, 0, 0])
  }

  @Test func thereAreNoPartsWhereNoValuesDiffer() throws {
    let google = googleTensors()
    #expect(try difference(google, google).parts.isEmpty)
    #expect(try difference(google, googleTensors(heads: false)).parts.isEmpty)
    #expect(try difference(google, google).json()["parts"] == .array([]))
  }

  @Test func anotherShapeIsAChangeWithoutAMeasure() throws {
    var (a, b) = (MemorySource(), MemorySource())
    for layer in 0..<2 { for part in ["w", "v"] { a.add("h.\(layer).\(part)", floats: [3, 4]) } }
    for layer in 0..<2 {
      for part in ["w", "v"] { b.add("h.\(layer).\(part)", floats: layer == 0 ? [3, 4, 5] : [3, 5]) }
    }
    let result = try difference(a, b)
    #expect(result.parts.map(\.changed) == [2, 2] && result.parts.map(\.values) == [0, 4])
    #expect(result.parts[0].relativeChange == nil && result.parts[0].maximum == nil)
    #expect(result.parts[1].relativeChange.map { ($0 - 0.2).magnitude < 1e-12 } == true)
  }
}
