import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Query, key and value as one matrix, through a table of the user's own.
@Suite struct FusedTableTests {
  /// The model of the tests with the three joined, in the order of rows of the table.
  private func fused() -> MemorySource {
    let plain = transformersTensors(heads: false)
    var source = MemorySource()
    for tensor in plain.tensors where !tensor.name.contains("attention.self.") {
      source.add(tensor.name, tensor.shape, bytes: plain.bytes(tensor.name))
    }
    for layer in 0..<Size.layers {
      let prefix = "bert.encoder.layer.\(layer).attention.self."
      for (kind, shape) in [("weight", [3 * Size.hidden, Size.hidden]), ("bias", [3 * Size.hidden])] {
        let parts = ["query", "key", "value"].flatMap { plain.bytes("\(prefix)\($0).\(kind)") }
        source.add("\(prefix)query_key_value.\(kind)", shape, bytes: parts)
      }
    }
    return source
  }

  private func ownMapper() throws -> Mapper {
    let path = TestSupport.fixture("tables/fused-bert.yaml")
    return Mapper(
      tables: [try MappingTable(yaml: try FileSystem.text(path), file: path)] + (try MappingTable.builtIn()))
  }

  private func plan(_ source: MemorySource) throws -> MappingPlan {
    try ownMapper().plan(
      for: source.tensors, file: "m.bin", config: config, configFile: "config.json", allowUnexpected: [])
  }

  @Test func theThreeAreCutApartAndJoinedAgain() throws {
    let source = fused()
    let plan = try plan(source)
    #expect(plan.dialect == "fused" && plan.report.isComplete)
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    let plain = transformersTensors(heads: false)
    #expect(Set(sink.infos.map(\.name)) == Set(plain.tensors.map(\.name)))
    var native = MemorySource()
    for (info, data) in zip(sink.infos, sink.data) {
      #expect(data == plain.bytes(info.name), "\(info.name)")
      native.add(info.name, info.shape, bytes: data)
    }
    let back = MemorySink()
    try Converter.write(
      try ownMapper().exportPlan(for: native.tensors, file: "m", config: config, family: "bert", dialect: "fused"),
      from: native, to: back, progress: nil)
    #expect(Set(back.infos.map(\.name)) == Set(source.tensors.map(\.name)))
    for (info, data) in zip(back.infos, back.data) { #expect(data == source.bytes(info.name), "\(info.name)") }
  }

  @Test func aMatrixOfAnotherHeightIsRefused() throws {
    var source = fused()
    source.remove("bert.encoder.layer.1.attention.self.query_key_value.weight")
    source.add("bert.encoder.layer.1.attention.self.query_key_value.weight", [2 * Size.hidden, Size.hidden])
    do {
      _ = try plan(source)
      Issue.record("it was taken")
    } catch let error as FormatError {
      #expect(error.description.contains("found F32 [12, 6], expected [18, 6]"), "\(error)")
    }
  }

  @Test func theBuiltInTablesDoNotTakeItForSomethingElse() {
    #expect(failure(fused()).contains("missing: bert.encoder.layer.0.attention.self.query.weight"))
  }
}
