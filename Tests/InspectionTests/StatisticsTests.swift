import Inspection
import TestSupport
import Testing

@testable import TensorIO

@Suite("Statistics")
struct StatisticsTests {
  @Test func valuesThatAreNotNumbersAreCountedApart() {
    let values: [Float] = [1, -3, 0, .nan, .infinity, 2]
    let bytes = values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32($0))) }
    }
    let s = Bytes(bytes).withSpan { TensorStatistics($0, .f32) }
    #expect(s?.minimum == -3)
    #expect(s?.maximum == 2)
    #expect(s?.mean == 0)
    #expect(s?.standardDeviation == (14.0 / 4).squareRoot())
    #expect([s?.zeros, s?.nan, s?.infinite] == [1, 1, 1])
  }

  @Test(
    arguments: [
      (ElementType.f16, [0x00, 0x3C], 1.0), (.f16, [0x01, 0x00], 0x1p-24), (.bf16, [0x80, 0x3F], 1.0),
      (.f8e4m3, [0x7E], 448), (.f8e4m3, [0x01], 0x1p-9), (.f8e5m2, [0x7B], 57344), (.i8, [0xFF], -1),
      (.u8, [0xFF], 255),
      (.i64, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], -2),
    ] as [(ElementType, [UInt8], Double)])
  func decodes(_ type: ElementType, _ bytes: [UInt8], _ value: Double) {
    #expect(Bytes(bytes).withSpan { TensorStatistics($0, type) }?.mean == value)
  }

  /// Beyond 2^53 a double rounds.
  @Test func wholeNumbersAreExact() throws {
    func statistics(_ numbers: [UInt64], _ type: ElementType) throws -> TensorStatistics {
      let bytes = numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64($0 * 8)) } }
      return try #require(Bytes(bytes).withSpan { TensorStatistics($0, type) })
    }
    let odd: UInt64 = (1 << 53) + 1
    let signed = try statistics([odd, UInt64(bitPattern: -Int64(odd)), 5], .i64)
    #expect(signed.json["min"]?.text() == "-9007199254740993" && signed.json["max"]?.text() == "9007199254740993")
    #expect(try statistics([.max, odd], .u64).json["max"]?.text() == "18446744073709551615")
    #expect(try statistics([odd, odd], .u64).isConstant && !statistics([odd, odd - 1], .u64).isConstant)
  }

  /// F32, F16 and BF16 have a reading of their own: it finds what the one of all types finds in the same values as F64.
  @Test(arguments: [ElementType.f32, .f16, .bf16], [0, 1, 7, 8, 9, 2047, 2048, 2049, 5000])
  func theFastReadingFindsWhatThePlainOneFinds(_ type: ElementType, _ count: Int) throws {
    var random = SeededRandom(UInt64(count))
    // Whole blocks of what is special at the end, and single ones before.
    let values = (0..<count).map { index -> Float in
      let odd = index >= 4096 ? 0 : random.next() % 40
      return [.nan, -.infinity, .infinity, 0, -0.0, -.nan].dropFirst(Int(odd)).first
        ?? Float(Int32(truncatingIfNeeded: random.next()) >> 8) * 0x1p-17 + (index % 3 == 0 ? 100 : 0)
    }
    let size = try #require(type.size)
    var stored: [UInt8] = [0]
    var plain: [UInt8] = []
    for value in values {
      let bits: UInt32 =
        switch type {
        case .f16: UInt32(value.halfBits)
        case .bf16: value.bitPattern >> 16
        default: value.bitPattern
        }
      for byte in 0..<size { stored.append(UInt8(truncatingIfNeeded: bits >> UInt32(8 * byte))) }
      let exact =
        switch type {
        case .f16: Double(Float(halfBits: UInt16(truncatingIfNeeded: bits)))
        case .bf16: Double(Float(bitPattern: bits << 16))
        default: Double(value)
        }
      for byte in 0..<8 { plain.append(UInt8(truncatingIfNeeded: exact.bitPattern >> UInt64(8 * byte))) }
    }
    // One byte off any alignment.
    let fast = try #require(Bytes(stored).withSpan { TensorStatistics($0.extracting(1...), type) })
    let slow = try #require(Bytes(plain).withSpan { TensorStatistics($0, .f64) })
    #expect([fast.count, fast.zeros, fast.nan, fast.infinite] == [slow.count, slow.zeros, slow.nan, slow.infinite])
    guard slow.minimum.isFinite else {
      #expect(fast.minimum.isNaN && fast.mean.isNaN)
      return
    }
    #expect(fast.minimum == slow.minimum && fast.maximum == slow.maximum)
    #expect(abs(fast.mean - slow.mean) <= 1e-12 * max(1, abs(slow.maximum), abs(slow.minimum)))
    #expect(abs(fast.standardDeviation - slow.standardDeviation) <= 1e-9 * max(1, slow.standardDeviation))
    for bins in [1, 48, 255, 300] {
      let found = try #require(
        Bytes(stored).withSpan { Histogram($0.extracting(1...), type, fast, bins: bins) })
      let expected = try #require(Bytes(plain).withSpan { Histogram($0, .f64, fast, bins: bins) })
      #expect(found.counts == expected.counts)
    }
  }
}
