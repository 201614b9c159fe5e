import TensorIO
import TestSupport
import Testing

@Suite struct NumbersTests {
  /// Every half-precision number comes back, NaN as NaN.
  @Test func halves() {
    for bits in UInt16.min...UInt16.max {
      let value = Float(halfBits: bits)
      if value.isNaN {
        #expect(Float(halfBits: value.halfBits).isNaN)
      } else if value.halfBits != bits {
        Issue.record("half \(bits) comes back as \(value.halfBits)")
      }
    }
  }

  /// Every bfloat16 number comes back, NaN as NaN.
  @Test func bfloat16() {
    for bits in UInt16.min...UInt16.max {
      let value = Float(bfloat16Bits: bits)
      if value.isNaN {
        #expect(Float(bfloat16Bits: value.bfloat16Bits).isNaN)
      } else if value.bfloat16Bits != bits {
        Issue.record("bfloat16 \(bits) comes back as \(value.bfloat16Bits)")
      }
    }
  }

  /// Between two neighbors the nearer one is taken, and the even one half way.
  @Test(arguments: [UInt16(0), 1, 0x3FF, 0x400, 0x3BFF, 0x3C00, 0x7BFE]) func roundingOfHalves(bits: UInt16) {
    let (low, high) = (Float(halfBits: bits), Float(halfBits: bits + 1))
    let middle = (low + high) / 2
    #expect(middle.halfBits == (bits % 2 == 0 ? bits : bits + 1))
    #expect(middle.nextDown.halfBits == bits && middle.nextUp.halfBits == bits + 1)
    #expect((-middle).halfBits == middle.halfBits | 0x8000)
  }

  @Test(arguments: [UInt16(0), 1, 0x7F, 0x80, 0x3F80, 0x7F7E]) func roundingOfBfloat16(bits: UInt16) {
    let middle = Float(bitPattern: UInt32(bits) << 16 | 0x8000)
    #expect(middle.bfloat16Bits == (bits % 2 == 0 ? bits : bits + 1))
    #expect(middle.nextDown.bfloat16Bits == bits && middle.nextUp.bfloat16Bits == bits + 1)
  }

  @Test func whatIsTooLargeBecomesInfinite() {
    #expect(Float(65_519).halfBits == 0x7BFF && Float(65_520).halfBits == 0x7C00)
    #expect(Float.greatestFiniteMagnitude.bfloat16Bits == 0x7F80 && (-Float.infinity).bfloat16Bits == 0xFF80)
  }

  /// Two roundings, the first to odd, give what one would.
  @Test(arguments: [1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11 - 0x1p-40, -(1 + 0x1p-11 + 0x1p-40), 65_520 - 0x1p-20])
  func roundingToOdd(value: Double) {
    let bits = Float(roundingToOdd: value).halfBits
    let neighbors = [bits - 1, bits, bits + 1].map { (Double(Float(halfBits: $0)) - value).magnitude }
    #expect(neighbors[1] <= neighbors[0] && neighbors[1] <= neighbors[2])
    #expect(Float(roundingToOdd: .infinity) == .infinity && Float(roundingToOdd: .nan).isNaN)
    #expect(Float(roundingToOdd: 1e300) == .infinity && Float(roundingToOdd: 0.5) == 0.5)
  }

  @Test(arguments: [UInt64(0), 1, 127, 128, 16_384, 1 << 35, .max]) func varints(value: UInt64) throws {
    var cursor = ByteCursor(Bytes([UInt8](varint: value)))
    #expect(try cursor.varint("a number") == value && cursor.isAtEnd)
  }

  @Test(arguments: [UInt64(0), 1, 0x0102_0304_0506_0708, .max]) func littleEndianNumbers(value: UInt64) throws {
    var cursor = ByteCursor(Bytes([UInt8](littleEndian: value)))
    #expect(try cursor.littleEndian(UInt64.self, "a number") == value && cursor.isAtEnd)
    cursor = ByteCursor(Bytes([UInt8](littleEndian: Int16(truncatingIfNeeded: value))))
    #expect(try cursor.littleEndian(Int16.self, "a number") == Int16(truncatingIfNeeded: value) && cursor.isAtEnd)
  }

  @Test func strides() {
    #expect(Strides.rowMajor([2, 3, 4]) == [12, 4, 1] && Strides.columnMajor([2, 3, 4]) == [1, 2, 6])
    #expect(Strides.rowMajor([]) == [] && Strides.rowMajor([2, 0, 4]) == [4, 4, 1])
    #expect(Strides.areRowMajor(Strides.rowMajor([5, 1, 7]), of: [5, 1, 7]))
    #expect(Strides.lastElement(offset: 2, shape: [2, 3], strides: Strides.columnMajor([2, 3])) == 7)
  }

  @Test func wholeNumbersAreExact() {
    let numbers = [
      WholeNumber(Int64.min), WholeNumber(-1 as Int8), WholeNumber(0 as UInt8), WholeNumber(Int64.max),
      WholeNumber(UInt64.max),
    ]
    #expect(numbers.sorted() == numbers && numbers.reversed().sorted() == numbers)
    #expect(
      numbers.map(\.description) == [
        "-9223372036854775808", "-1", "0", "9223372036854775807", "18446744073709551615",
      ])
    #expect(WholeNumber(UInt64.max).json.text() == "18446744073709551615")
    #expect(WholeNumber(1 << 62).distance(to: WholeNumber((1 << 62) + 500)) == 500)
    #expect(WholeNumber(Int64.min).distance(to: WholeNumber(UInt64.max)) == 0x1p63 + 0x1p64)
    #expect(WholeNumber(-3).distance(to: WholeNumber(4)) == 7 && WholeNumber(5).distance(to: WholeNumber(5)) == 0)
  }

  /// Sums and products of sizes must not overflow, so that no tensor may be larger than any is.
  @Test func impossibleSizesAreNone() {
    for shape in [[1 << 62, 0], [0, 1 << 62], [1 << 41], [1 << 21, 1 << 20], [-1], [1 << 40, 1 << 40, 0]] {
      #expect(checkedElementCount(shape) == nil, "\(shape)")
      #expect(TensorInfo(name: "a", elementType: .f32, shape: shape) == nil)
    }
    #expect(checkedElementCount([1 << 40, 0]) == 0 && checkedElementCount([1 << 20, 1 << 20]) == 1 << 40)
    let all = CheckpointLimits.tensors.multipliedReportingOverflow(by: largestElementCount * 16)
    #expect(!all.overflow)
  }

  @Test(arguments: [ElementType.f16, .bf16, .f32, .f64])
  func valuesThatAreNotFiniteAreCounted(type: ElementType) throws {
    let size = try #require(type.size)
    let special: [Double] = [.nan, .infinity, -.infinity, .nan, -.nan]
    var bytes: [UInt8] = []
    var expected = (nan: 0, infinite: 0)
    for index in 0..<10_007 {
      let value = index % 1000 == 3 ? special[index / 1000 % special.count] : Double(index % 300)
      if value.isNaN { expected.nan += 1 }
      if value.isInfinite { expected.infinite += 1 }
      let bits: UInt64 =
        switch type {
        case .f16: UInt64(Float(value).halfBits)
        case .bf16: UInt64(Float(value).bfloat16Bits)
        case .f32: UInt64(Float(value).bitPattern)
        default: value.bitPattern
        }
      bytes += littleEndianBytes(bits).prefix(size)
    }
    var values = NonFiniteValues()
    // Not aligned, and in two chunks.
    let shifted = Bytes([0] + bytes)
    for range in [1..<(1 + 5000 * size), (1 + 5000 * size)..<shifted.count] {
      try #require(shifted.slice(range.lowerBound, range.count)).withSpan { values.add($0, type) }
    }
    #expect(values.nan == expected.nan && values.infinite == expected.infinite && expected.nan > 3)
    var none = NonFiniteValues()
    Bytes([UInt8](repeating: 0xFF, count: 16)).withSpan { none.add($0, .i32) }
    #expect(none.isEmpty)
  }
}
