import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

@Suite struct DequantizedSourceTests {
  @Test func dequantizedValuesAreTheIntegersTimesTheScalesOfTheirRows() throws {
    var source = MemorySource()
    source.add("a.weight", [2, 3], type: .i8, bytes: [127, 0x81, 0, 1, 2, 3])
    source.add("a.weight_scale", floats: [0.5, 2])
    source.add("b.weight", [1, 1], type: .i8, bytes: [7])
    let model = try #require(DequantizedSource(source))
    #expect(model.tensors.map(\.name) == ["a.weight", "b.weight"] && model.count == 1)
    #expect(model.tensors.map(\.elementType) == [.f32, .i8])
    #expect(try model.withBytes(ofTensorAt: 0) { $0.floats() } == [63.5, -63.5, 0, 2, 4, 6])
    #expect(DequantizedSource(googleTensors()) == nil)
  }

  @Test func eightBitsHaveAWayBackAsFloats() throws {
    let reduced = try reducedModel(of: smallValues(googleTensors()), .int8)
    let model = try #require(DequantizedSource(reduced))
    let back = try mapper().exportPlan(
      for: model.tensors, file: "m", config: config, family: "bert", dialect: "transformers")
    let out = MemorySink()
    try Converter.write(back, from: model, to: out, progress: nil)
    #expect(out.infos.count == model.tensors.count && out.infos.allSatisfy { $0.elementType == .f32 })
    let name = "bert.pooler.dense.weight"
    let scale = Bytes(reduced.bytes(name + "_scale")).withSpan { $0.floats() }
    let expected = reduced.bytes(name).enumerated().map {
      Float(Int8(bitPattern: $1)) * scale[$0 / Size.hidden]
    }
    #expect(Bytes(out.bytes(name)).withSpan { $0.floats() } == expected)
  }
}
