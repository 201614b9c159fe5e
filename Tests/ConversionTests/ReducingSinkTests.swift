import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import Conversion

@Suite struct ReducingSinkTests {
  private func reduced(_ source: MemorySource, _ type: StorageType) throws -> (MemorySink, ReducingSink) {
    let sink = MemorySink()
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
    var source = MemorySource()
    source.add("x", floats: [1 + 0x1p-11, 1 + 0x3p-11, 65519, 65520, -1e9, .infinity, 0x1p-25, 0x1.8p-25, .nan])
    let (sink, reducing) = try reduced(source, .f16)
    #expect(sink.infos[0].elementType == .f16)
    let found = shorts(sink.data[0])
    #expect(found.dropLast() == [0x3C00, 0x3C02, 0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0, 1])
    #expect(found.last.map { Float(halfBits: $0).isNaN } == true)
    #expect(reducing.overflows.map(\.count) == [2])
  }

  @Test func brainFloatsAreRoundedToNearestEven() throws {
    var source = MemorySource()
    source.add("x", floats: [1 + 0x1p-8, 1 + 0x3p-8, .greatestFiniteMagnitude, .infinity])
    let (sink, reducing) = try reduced(source, .bf16)
    #expect(shorts(sink.data[0]) == [0x3F80, 0x3F82, 0x7F80, 0x7F80])
    #expect(reducing.overflows.map(\.count) == [1])
    #expect(Float(bitPattern: 0x7F80_0001).bfloat16Bits & 0x7FFF > 0x7F80)
  }

  @Test func doublesAreRoundedOnce() throws {
    // Just above a tie of halves, but by less than a float can represent.
    let value = 1 + 0x1p-11 + 0x1p-40
    var source = MemorySource()
    source.add(
      "x", [1], type: .f64, bytes: (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(8 * $0)) })
    let (sink, _) = try reduced(source, .f16)
    #expect(shorts(sink.data[0]) == [0x3C01])
  }

  @Test func matricesGetOneScaleARow() throws {
    var source = MemorySource()
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
