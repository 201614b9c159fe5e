import ModelSupport
import TensorIO
import Testing
import WeightMapping

@Suite struct TransformersDialectTests {
  private let names = Set(transformersTensors().tensors.map(\.name))

  @Test func itsOwnNamesStayAsTheyAre() throws {
    let source = transformersTensors()
    let sink = try convert(source)
    #expect(Set(sink.infos.map(\.name)) == names)
    for info in sink.infos { #expect(sink.bytes(info.name) == source.bytes(info.name)) }
    #expect(try mapper().recognize(source.tensors).dialect == "transformers")
  }

  @Test(arguments: ["module.", "model.", "state_dict.model.module."])
  func anythingMayStandInFront(prefix: String) throws {
    #expect(Set(try plan(transformersTensors().renamed { prefix + $0 }).names) == names)
  }

  @Test func theLayerNormsOf2018() throws {
    let source = transformersTensors().renamed { name in
      guard name.contains("LayerNorm") else { return name }
      return name.hasSuffix(".weight") ? name.dropLast(6) + "gamma" : name.dropLast(4) + "beta"
    }
    let sink = try convert(source)
    #expect(Set(sink.infos.map(\.name)) == names)
    #expect(sink.bytes("bert.embeddings.LayerNorm.weight") == source.bytes("bert.embeddings.LayerNorm.gamma"))
  }

  @Test func gammaIsANameOfLayerNormsOnly() {
    let source = transformersTensors().renamed { $0 == "bert.pooler.dense.bias" ? "bert.pooler.dense.beta" : $0 }
    let text = failure(source)
    #expect(text.contains("missing: bert.pooler.dense.bias") && text.contains("unexpected: bert.pooler.dense.beta"))
  }

  @Test func aBareModelGetsItsPrefix() throws {
    let source = transformersTensors(heads: false).renamed { String($0.dropFirst("bert.".count)) }
    #expect(Set(try plan(source).names) == names.filter { $0.hasPrefix("bert.") })
    let wrapped = source.renamed { "0.auto_model." + $0 }
    #expect(Set(try plan(wrapped).names) == names.filter { $0.hasPrefix("bert.") })
  }

  @Test func positionIdsAndOptimizerAreDropped() throws {
    var source = transformersTensors()
    source.add("bert.embeddings.position_ids", [1, Size.positions], type: .i64)
    source.add("optimizer.state.0.exp_avg", [3])
    let plan = try plan(source)
    #expect(Set(plan.names) == names)
    #expect(plan.report.dropped.map(\.name) == ["bert.embeddings.position_ids", "optimizer.state.0.exp_avg"])
  }

  @Test func aTiedDecoderIsDroppedWhenItIsTheSame() throws {
    var source = transformersTensors()
    source.add(
      "cls.predictions.decoder.weight", [Size.vocabulary, Size.hidden], seed: "bert.embeddings.word_embeddings.weight")
    source.add("cls.predictions.decoder.bias", [Size.vocabulary], seed: "cls.predictions.bias")
    let made = try plan(source, config.changing("tie_word_embeddings", .bool(false)))
    #expect(Set(made.names) == names)
    #expect(made.report.dropped.map(\.cause).contains(.tied(to: "bert.embeddings.word_embeddings.weight")))
    #expect(made.report.dropped.map(\.cause).contains(.tied(to: "cls.predictions.bias")))
    #expect(made.report.mapped.count == names.count)
    #expect(made.config["tie_word_embeddings"] == .bool(true))
    #expect(!made.hasUnresolvedTies)
  }

  @Test func anUntiedDecoderIsKeptAndReported() throws {
    var source = transformersTensors()
    source.add("cls.predictions.decoder.weight", [Size.vocabulary, Size.hidden])
    let made = try plan(source)
    #expect(Set(made.names) == names.union(["cls.predictions.decoder.weight"]))
    #expect(made.config["tie_word_embeddings"] == .bool(false))
    #expect(made.notes.contains { $0.kind == .untied("cls.predictions.decoder.weight") })
  }

  /// Both names are of one bias. A file in which they differ was put together: `transformers` takes the head's, but for a
  /// decoder with weights of its own, whose bias is next to them.
  @Test(arguments: [false, true]) func ofTwoBiasesOneIsTaken(hasOwnWeight: Bool) throws {
    var source = transformersTensors()
    if hasOwnWeight { source.add("cls.predictions.decoder.weight", [Size.vocabulary, Size.hidden]) }
    source.add("cls.predictions.decoder.bias", [Size.vocabulary])
    let made = try plan(source)
    let (taken, other) =
      hasOwnWeight
      ? ("cls.predictions.decoder.bias", "cls.predictions.bias")
      : ("cls.predictions.bias", "cls.predictions.decoder.bias")
    #expect(Set(made.names) == names.union(hasOwnWeight ? ["cls.predictions.decoder.weight"] : []))
    let bias = try #require(made.targets.first { $0.info.name == "cls.predictions.bias" })
    #expect(bias.sources.map { source.tensors[$0].name } == [taken])
    #expect(made.report.dropped.contains { $0.name == other && $0.reason.contains(taken) })
    #expect(made.notes.contains { $0.kind == .untied(other) })
    #expect((made.config["tie_word_embeddings"] == .bool(false)) == hasOwnWeight)
  }

  @Test func aTiedTensorReplacesItsBase() throws {
    let source = transformersTensors().renamed { $0 == "cls.predictions.bias" ? "cls.predictions.decoder.bias" : $0 }
    #expect(Set(try plan(source).names) == names)
  }

  @Test func twoNamesOfOneTensorMustAgree() throws {
    var source = transformersTensors()
    source.add("bert.embeddings.LayerNorm.gamma", [Size.hidden], seed: "bert.embeddings.LayerNorm.weight")
    #expect(try plan(source).report.dropped.map(\.name) == ["bert.embeddings.LayerNorm.gamma"])
    source.remove("bert.embeddings.LayerNorm.gamma")
    source.add("bert.embeddings.LayerNorm.gamma", [Size.hidden])
    #expect(failure(source).contains("has different values"))
  }

  @Test func labelsOfTheConfigAreKept() throws {
    var source = transformersTensors(heads: false)
    source.add("classifier.weight", [2, Size.hidden])
    source.add("classifier.bias", [2])
    let labels = JSON.object(["0": .string("no"), "1": .string("yes")])
    #expect(try plan(source, config.changing("id2label", labels)).config["id2label"] == labels)
    let three = JSON.object(["0": .string("a"), "1": .string("b"), "2": .string("c")])
    let text = failure(source, config.changing("id2label", three))
    #expect(text.contains("3 labels") && text.contains("classifier.weight"))
  }
}
