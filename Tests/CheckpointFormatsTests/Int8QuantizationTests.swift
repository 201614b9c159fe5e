import CheckpointFormats
import TestSupport
import Testing

@Suite struct Int8QuantizationTests {
  @Test(arguments: ["a.weight", "", "x_scale"]) func names(name: String) {
    #expect(Int8Quantization.weightName(ofScale: Int8Quantization.scaleName(name)) == name)
    #expect(Int8Quantization.weightName(ofScale: name + "_scales") == nil)
  }

  /// A value that comes back lies within half a step of the original, or within a rounding of that.
  @Test(arguments: 0..<50) func rows(seed: Int) {
    var random = SeededRandom(UInt64(seed))
    let magnitude = Float(sign: .plus, exponent: Int.random(in: -140...126, using: &random), significand: 1)
    let values = (0..<100).map { _ in Float.random(in: -1...1, using: &random) * magnitude }
    let scale = Int8Quantization.scale(largestMagnitude: values.map(\.magnitude).max() ?? 0)
    for value in values {
      let q = Int8Quantization.quantize(value, scale: scale)
      #expect((-127...127).contains(q))
      #expect((Int8Quantization.dequantize(q, scale: scale) - value).magnitude <= scale * 0.5001)
    }
    // The integers themselves come back exactly.
    for q in Int8(-127)...127 {
      #expect(Int8Quantization.quantize(Int8Quantization.dequantize(q, scale: scale), scale: scale) == q)
    }
  }

  @Test func edges() {
    #expect(Int8Quantization.scale(largestMagnitude: 0) == 1)
    #expect(Int8Quantization.scale(largestMagnitude: .leastNonzeroMagnitude) == .leastNormalMagnitude)
    #expect(Int8Quantization.quantize(.greatestFiniteMagnitude, scale: 1) == 127)
    #expect(Int8Quantization.quantize(-.greatestFiniteMagnitude, scale: 1) == -127)
    #expect(Int8Quantization.quantize(2.5, scale: 1) == 2 && Int8Quantization.quantize(3.5, scale: 1) == 4)
  }
}
