import TensorIO
import Testing

@testable import WeightMapping

@Suite struct ReducingSinkTests {
  private func reduced(_ source: FakeSource, _ type: StorageType) throws -> (FakeSink, ReducingSink) {
    let sink = FakeSink()
    let reducing = ReducingSink(sink, type: type)
    try reducing.begin(source.tensors)
    for index in source.tensors.indices {
      try source.streamBytes(ofTensorAt: index) { try reducing.append($0, toTensorAt: index) }
    }
    try reducing.finish()
    return (sink, reducing)
  }

  private func shorts(_ bytes: [UInt8]) -> [UInt16] {
    stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
  }

  @Test func everyHalfIsItself() {
    for bits in UInt16.min...UInt16.max {
      let value = Float(halfBits: bits)
      let back = value.halfBits
      if value.isNaN { #expect(Float(halfBits: back).isNaN) } else { #expect(back == bits) }
    }
  }

  @Test func halvesAreRoundedToNearestEven() throws {
    var source = FakeSource()
    source.add("x", floats: [1 + 0x1p-11, 1 + 0x3p-11, 65519, 65520, -1e9, .infinity, 0x1p-25, 0x1.8p-25, .nan])
    let (sink, reducing) = try reduced(source, .f16)
    #expect(sink.infos[0].elementType == .f16)
    let found = shorts(sink.data[0])
    #expect(found.dropLast() == [0x3C00, 0x3C02, 0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0, 1])
    #expect(found.last.map { Float(halfBits: $0).isNaN } == true)
    #expect(reducing.overflows.map(\.count) == [2])
  }

  @Test func brainFloatsAreRoundedToNearestEven() throws {
    var source = FakeSource()
    source.add("x", floats: [1 + 0x1p-8, 1 + 0x3p-8, .greatestFiniteMagnitude, .infinity])
    let (sink, reducing) = try reduced(source, .bf16)
    #expect(shorts(sink.data[0]) == [0x3F80, 0x3F82, 0x7F80, 0x7F80])
    #expect(reducing.overflows.map(\.count) == [1])
    #expect(Float(bitPattern: 0x7F80_0001).bfloat16Bits & 0x7FFF > 0x7F80)
  }

  @Test func doublesAreRoundedOnce() throws {
    // Just above a tie of halves, but by less than a float can tell.
    let value = 1 + 0x1p-11 + 0x1p-40
    var source = FakeSource()
    source.add(
      "x", [1], type: .f64, bytes: (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(8 * $0)) })
    let (sink, _) = try reduced(source, .f16)
    #expect(shorts(sink.data[0]) == [0x3C01])
  }

  @Test func matricesGetOneScaleARow() throws {
    var source = FakeSource()
    let values: [Float] = [127, -63.5, 0.5, 0, 0, 0]
    let bytes = values.flatMap { value in
      [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0)) }
    }
    source.add("a.weight", [2, 3], bytes: bytes)
    source.add("a.bias", floats: [1, 2])
    let (sink, _) = try reduced(source, .int8)
    #expect(sink.infos.map(\.name) == ["a.weight", "a.bias", "a.weight_scale"])
    #expect(sink.infos.map(\.elementType) == [.i8, .f32, .f32])
    #expect(sink.infos[2].shape == [2])
    #expect(sink.data[0] == [127, UInt8(bitPattern: -64), 0, 0, 0, 0])
    #expect(sink.data[2] == [0, 0, 0x80, 0x3F, 0, 0, 0x80, 0x3F])
    source.add("b.weight", [1, 1], bytes: [0, 0, 0xC0, 0x7F])
    #expect(throws: FormatError.self) { try reduced(source, .int8) }
  }
}

/// A model in a smaller type beside its source.
@Suite struct ReducedModelTests {
  /// A BERT of small values: random bits would hold NaN, which 8 bits cannot.
  private func small(_ source: FakeSource) -> FakeSource {
    var copy = FakeSource()
    for tensor in source.tensors {
      let bytes = source.bytes(tensor.name)
      let floats = (0..<tensor.elementCount).flatMap { index in
        let value = Float(bytes[index * 4]) / 64 - 2 + Float(bytes[index * 4 + 1]) / 4096
        return [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0)) }
      }
      copy.add(tensor.name, tensor.shape, bytes: floats)
    }
    return copy
  }

  private func model(of source: FakeSource, _ type: StorageType) throws -> FakeSource {
    let sink = FakeSink()
    let reducing = ReducingSink(sink, type: type)
    try Converter.write(try plan(source), from: source, to: reducing, progress: nil)
    try reducing.finish()
    var model = FakeSource()
    for (info, data) in zip(sink.infos, sink.data) {
      model.add(info.name, info.shape, type: info.elementType, bytes: data)
    }
    return model
  }

  @Test(arguments: [(StorageType.int8, ElementType.i8, 0.01), (.f16, .f16, 0.001), (.bf16, .bf16, 0.01)])
  func theRoundingOfATypeIsProved(type: StorageType, stored: ElementType, most: Double) throws {
    let source = small(googleTensors())
    let model = try model(of: source, type)
    let result = try Converter.compare(plan(source), from: source, with: model)
    #expect(result.differences.isEmpty, "\(result.differences)")
    #expect(result.reductions.map(\.stored) == [stored])
    let reduction = try #require(result.reductions.first)
    #expect(reduction.largest > 0 && reduction.largest < most && reduction.tensor != nil)
    #expect(result.text(source: "x").last?.contains("after the rounding that its type implies") == true)
  }

  @Test func aChangedIntegerOrScaleIsNamed() throws {
    let source = small(googleTensors())
    let whole = try model(of: source, .int8)
    for (name, byte) in [("bert.pooler.dense.weight", 0), ("bert.pooler.dense.weight_scale", 0)] {
      var changed = FakeSource()
      for tensor in whole.tensors {
        var bytes = whole.bytes(tensor.name)
        if tensor.name == name { bytes[byte] ^= 1 }
        changed.add(tensor.name, tensor.shape, type: tensor.elementType, bytes: bytes)
      }
      let result = try Converter.compare(plan(source), from: source, with: changed)
      #expect(result.differences.map(\.name) == ["bert.pooler.dense.weight"])
      let tolerated = try Converter.compare(plan(source), from: source, with: changed, tolerance: 0.1)
      #expect(tolerated.differences.isEmpty && tolerated.toleratedCount == 1)
    }
  }

  @Test func diffShowsEightBitWeightsAsRetyped() throws {
    let source = small(googleTensors())
    let (whole, reduced) = (try model(of: source, .f32), try model(of: source, .int8))
    func difference(_ tolerance: Double) throws -> ModelDifference {
      try ModelDifference(
        .init(whole, name: "a", config: config), .init(reduced, name: "b", config: config), mapper: mapper(),
        tolerance: tolerance)
    }
    let result = try difference(0)
    let weights = reduced.tensors.filter { $0.elementType == .i8 }.map(\.name)
    #expect(result.isMatchedByTable && result.entries.map(\.name) == weights)
    #expect(result.entries.allSatisfy { $0.kind == .retyped && $0.a?.elementType == .f32 && $0.b?.elementType == .i8 })
    #expect(result.entries.allSatisfy { ($0.maximum ?? 1) > 0 && ($0.maximum ?? 1) < 0.01 })
    let tolerant = try difference(0.01)
    #expect(tolerant.isEqual && tolerant.toleratedTypes == weights.count)
    #expect(try !difference(1e-6).isEqual)
  }

  @Test func dequantisedValuesAreTheIntegersTimesTheScalesOfTheirRows() throws {
    var source = FakeSource()
    source.add("a.weight", [2, 3], type: .i8, bytes: [127, 0x81, 0, 1, 2, 3])
    source.add("a.weight_scale", floats: [0.5, 2])
    source.add("b.weight", [1, 1], type: .i8, bytes: [7])
    let model = try #require(DequantisedSource(source))
    #expect(model.tensors.map(\.name) == ["a.weight", "b.weight"] && model.count == 1)
    #expect(model.tensors.map(\.elementType) == [.f32, .i8])
    #expect(try model.withBytes(ofTensorAt: 0) { $0.floats() } == [63.5, -63.5, 0, 2, 4, 6])
    #expect(DequantisedSource(googleTensors()) == nil)
  }

  @Test func eightBitsHaveAWayBackAsFloats() throws {
    let reduced = try model(of: small(googleTensors()), .int8)
    let model = try #require(DequantisedSource(reduced))
    let back = try mapper().exportPlan(
      for: model.tensors, file: "m", config: config, family: "bert", dialect: "transformers")
    let out = FakeSink()
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
