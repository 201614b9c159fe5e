import Inspection
import TensorIO
import Testing

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
}
