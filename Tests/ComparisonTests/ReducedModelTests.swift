import Comparison
import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Models whose weights are stored in a smaller type than their source's.
@Suite struct ReducedModelTests {
  @Test(arguments: [(StorageType.int8, ElementType.i8, 0.01), (.f16, .f16, 0.001), (.bf16, .bf16, 0.01)])
  func theRoundingOfATypeIsProved(type: StorageType, stored: ElementType, most: Double) throws {
    let source = smallValues(googleTensors())
    let model = try reducedModel(of: source, type)
    let result = try ModelComparison.compare(plan(source), from: source, with: model)
    #expect(result.differences.isEmpty, "\(result.differences)")
    #expect(result.reductions.map(\.stored) == [stored])
    let reduction = try #require(result.reductions.first)
    #expect(reduction.largest > 0 && reduction.largest < most && reduction.tensor != nil)
  }

  @Test func aChangedIntegerOrScaleIsNamed() throws {
    let source = smallValues(googleTensors())
    let whole = try reducedModel(of: source, .int8)
    for (name, byte) in [("bert.pooler.dense.weight", 0), ("bert.pooler.dense.weight_scale", 0)] {
      var changed = MemorySource()
      for tensor in whole.tensors {
        var bytes = whole.bytes(tensor.name)
        if tensor.name == name { bytes[byte] ^= 1 }
        changed.add(tensor.name, tensor.shape, type: tensor.elementType, bytes: bytes)
      }
      let result = try ModelComparison.compare(plan(source), from: source, with: changed)
      #expect(result.differences.map(\.name) == ["bert.pooler.dense.weight"])
      let tolerated = try ModelComparison.compare(plan(source), from: source, with: changed, tolerance: 0.1)
      #expect(tolerated.differences.isEmpty && tolerated.toleratedCount == 1)
    }
  }

  @Test func diffShowsEightBitWeightsAsRetyped() throws {
    let source = smallValues(googleTensors())
    let (whole, reduced) = (try reducedModel(of: source, .f32), try reducedModel(of: source, .int8))
    let result = try difference(whole, reduced)
    let weights = reduced.tensors.filter { $0.elementType == .i8 }.map(\.name)
    #expect(result.isMatchedByTable && result.entries.map(\.name) == weights)
    #expect(result.entries.allSatisfy { $0.kind == .retyped && $0.a?.elementType == .f32 && $0.b?.elementType == .i8 })
    #expect(result.entries.allSatisfy { ($0.maximum ?? 1) > 0 && ($0.maximum ?? 1) < 0.01 })
    let tolerant = try difference(whole, reduced, tolerance: 0.01)
    #expect(tolerant.isEqual && tolerant.toleratedTypes == weights.count)
    #expect(try !difference(whole, reduced, tolerance: 1e-6).isEqual)
  }
}
