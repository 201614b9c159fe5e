import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import Comparison

@Suite struct ModelDifferenceTests {
  @Test func aCheckpointAndItsConversionAreEqual() throws {
    let google = googleTensors()
    let sink = try convert(google)
    var model = MemorySource()
    for info in sink.infos { model.add(info.name, info.shape, bytes: sink.bytes(info.name)) }
    let result = try difference(google, model)
    #expect(result.isEqual && result.isMatchedByTable && result.family == "bert")
    #expect(result.equalCount == sink.infos.count)
  }

  @Test func everyKindIsReported() throws {
    var a = MemorySource()
    a.add("same", [3])
    a.add("gone", [1])
    a.add("bent", floats: [1, 2, 3])
    a.add("typed", floats: [1, 2])
    a.add("shaped", [2, 3])
    var b = MemorySource()
    b.add("same", [3])
    b.add("bent", floats: [1, 2.5, 3])
    b.add("typed", [2], type: .f16, bytes: [0x00, 0x3C, 0x00, 0x40])
    b.add("shaped", [3, 2])
    b.add("new", [1])
    let result = try difference(a, b)
    #expect(!result.isMatchedByTable)
    #expect(result.entries.map(\.name) == ["gone", "bent", "typed", "shaped", "new"])
    #expect(result.entries.map(\.kind) == [.removed, .changed, .retyped, .reshaped, .added])
    #expect(result.equalCount == 1)
    #expect(result.entries[1].maximum == 0.5 && result.entries[1].differing == 1)
    #expect(result.entries[2].maximum == 0 && result.entries[2].differing == 0)
    #expect(result.json()["changed"]?.elements?.first?["max_abs_difference"] == .double(0.5))
    #expect(result.json()["counts"]?["added"] == .int(1))
  }

  @Test func aToleranceIsAbsolute() throws {
    var a = MemorySource()
    a.add("x", floats: [1, 2])
    var b = MemorySource()
    b.add("x", floats: [1, 2.25])
    #expect(try !difference(a, b, tolerance: 0.2).isEqual)
    let result = try difference(a, b, tolerance: 0.25)
    #expect(result.isEqual && result.largestTolerated == 0.25)
  }

  @Test func aNaNIsNoNumberAndEveryBitCounts() throws {
    var a = MemorySource()
    a.add("x", floats: [.nan, 0])
    var b = MemorySource()
    b.add("x", floats: [1, 0])
    #expect(try difference(a, b, tolerance: 1e30).entries.first?.maximum == .infinity)
    #expect(try difference(a, a).isEqual)
    var zero = MemorySource()
    zero.add("x", floats: [.nan, -0.0])
    #expect(try difference(a, zero).entries.first?.maximum == 0)
    #expect(try difference(a, zero, tolerance: 1e-9).isEqual)
  }

  @Test func whatNoTableKnowsIsComparedToo() throws {
    var a = googleTensors()
    let b = googleTensors()
    a.add("stray", [1])
    let result = try difference(a, b)
    #expect(result.isMatchedByTable && result.entries.map(\.name) == ["stray"])
    #expect(result.entries.first?.kind == .removed)
  }

  /// One tensor that is not there does not keep the others from being matched.
  @Test func whatIsMissingIsNamed() throws {
    let google = googleTensors()
    let sink = try convert(google)
    var model = MemorySource()
    let missing = "bert.encoder.layer.0.output.dense.bias"
    for info in sink.infos where info.name != missing { model.add(info.name, info.shape, bytes: sink.bytes(info.name)) }
    let result = try difference(google, model)
    #expect(result.isMatchedByTable && result.entries.map(\.name) == [missing] && result.entries[0].kind == .removed)
    #expect(result.notes.contains(.missing(checkpoint: "b", tensors: [missing])))
  }

  @Test func wholeNumbersBeyondADoubleDiffer() throws {
    func long(_ value: Int64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    var a = MemorySource()
    a.add("x", [1], type: .i64, bytes: long(1 << 60))
    var b = MemorySource()
    b.add("x", [1], type: .i64, bytes: long((1 << 60) + 1))
    #expect(try !difference(a, b, tolerance: 0.5).isEqual)
    #expect(try difference(a, b, tolerance: 1).isEqual)
  }
}
