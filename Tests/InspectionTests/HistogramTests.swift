import Inspection
import TestSupport
import Testing

@testable import TensorIO

private func bytes<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
  values.flatMap { value in (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) } }
}

private func histogram(_ data: [UInt8], _ type: ElementType, bins: Int) throws -> Histogram {
  let statistics = try #require(TensorStatistics(unsafe data.span.bytes, type))
  return try #require(Histogram(unsafe data.span.bytes, type, statistics, bins: bins))
}

private func histogram(_ values: [Float], bins: Int) throws -> Histogram {
  try histogram(bytes(values.map(\.bitPattern)), .f32, bins: bins)
}

@Suite("Histogram")
struct HistogramTests {
  @Test func binsIncludeTheirLowerEdgeAndTheLastBothEdges() throws {
    let found = try histogram([0, 0.5, 1, 1.5, 2, 3, 4], bins: 4)
    #expect(found.minimum == 0 && found.maximum == 4)
    #expect(found.counts == [2, 2, 1, 2])
  }

  @Test func whatIsNotFiniteCountsNowhere() throws {
    #expect(try histogram([.nan, -1, .infinity, 1, -.infinity, 0.9, -.nan], bins: 2).counts == [1, 2])
    #expect(try histogram([.nan, .infinity], bins: 2).counts == [])
    #expect(try histogram([], bins: 2).counts == [])
  }

  @Test func oneValueIsOneBin() throws {
    let found = try histogram([7, 7, .nan, 7, .infinity], bins: 48)
    #expect(found.minimum == 7 && found.maximum == 7 && found.counts == [3])
  }

  /// The values 0 to 3 in every type that has them, one, two, three and four times.
  @Test(arguments: ElementType.allCases)
  func everyNumericType(type: ElementType) throws {
    let codes: [UInt64]
    switch type {
    case .f64: codes = [0, 1, 2, 3].map { Double($0).bitPattern }
    case .f32: codes = [0, 1, 2, 3].map { UInt64(Float($0).bitPattern) }
    case .bf16: codes = [0, 1, 2, 3].map { UInt64(Float($0).bitPattern >> 16) }
    case .f16: codes = [0, 0x3C00, 0x4000, 0x4200]
    case .f8e4m3: codes = [0, 0x38, 0x40, 0x44]
    case .f8e5m2: codes = [0, 0x3C, 0x40, 0x42]
    case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool, .quantizedI8, .quantizedU8, .quantizedI16,
      .quantizedU16, .quantizedI32:
      codes = [0, 1, 2, 3]
    default:
      let data = [UInt8](repeating: 0, count: 16)
      #expect(TensorStatistics(unsafe data.span.bytes, type) == nil)
      let known = try #require(TensorStatistics(unsafe data.span.bytes, .u8))
      #expect(Histogram(unsafe data.span.bytes, type, known) == nil)
      return
    }
    let size = try #require(type.size)
    let data = codes.enumerated().flatMap { number, code in
      Array(repeating: bytes([code]).prefix(size), count: number + 1).flatMap(\.self)
    }
    let found = try histogram(data, type, bins: 4)
    #expect(found.minimum == 0 && found.maximum == 3 && found.counts == [1, 2, 3, 4])
  }

  /// Ranges whose width, or whose inverse, is no finite number.
  @Test(arguments: [
    [-Double.greatestFiniteMagnitude, 0, .greatestFiniteMagnitude],
    [0, .leastNonzeroMagnitude, 2 * .leastNonzeroMagnitude],
    [1, 1 + Double.ulpOfOne, 1 + 2 * Double.ulpOfOne], [-1e300, 0, 1e300], [1e-305, 2e-305, 3e-305],
    [1.7e308, 1.75e308, 1.79e308],
  ])
  func extremeRanges(values: [Double]) throws {
    let found = try histogram(bytes(values.map(\.bitPattern)), .f64, bins: 2)
    #expect(found.minimum == values[0] && found.maximum == values[2])
    #expect(found.counts.reduce(0, +) == 3 && found.counts[0] >= 1 && found.counts[1] >= 1)
  }

  @Test(arguments: [1, 2, 7, 48, 1000])
  func everyValueCountsOnce(bins: Int) throws {
    var state: UInt64 = 42
    let values = (0..<10_000).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 40) / 1000
    }
    let found = try histogram(values, bins: bins)
    #expect(found.counts.count == bins && found.counts.reduce(0, +) == values.count)
    // Each bin against its edges, in another way of computing them; a rounding at an edge may move a value.
    let width = (found.maximum - found.minimum) / Double(bins)
    for bin in 0..<bins {
      let low = found.minimum + Double(bin) * width
      let expected = values.count { Double($0) >= low && (Double($0) < low + width || bin == bins - 1) }
      #expect(abs(found.counts[bin] - expected) <= 1)
    }
  }
}
