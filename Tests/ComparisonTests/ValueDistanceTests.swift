import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import Comparison

/// What is found between two vectors of F32.
private func distance(_ a: [Float], _ b: [Float]) throws -> ValueDistance {
  var (x, y) = (MemorySource(), MemorySource())
  x.add("x", floats: a)
  y.add("x", floats: b)
  return try #require(try difference(x, y).entries.first?.distance)
}

private func isClose(_ a: Double?, _ b: Double, _ error: Double = 1e-12) -> Bool {
  a.map { ($0 - b).magnitude <= error * max(1, b.magnitude) } == true
}

@Suite("How far values are apart")
struct ValueDistanceTests {
  @Test func theNumbersAreThoseOfTheDefinitions() throws {
    let found = try distance([3, 4], [3, 5])
    #expect(found.count == 2 && found.differing == 1 && found.maximum == 1)
    #expect(isClose(found.rms, 0.5.squareRoot()) && isClose(found.relativeChange, 0.2))
    #expect(isClose(found.cosine, 29 / (5 * 34.0.squareRoot())))
    #expect(isClose(try distance([1, -2], [-1, 2]).cosine, -1))
  }

  /// The source comes in chunks of two values: what is equal before and behind the one that differs is in the norms.
  @Test(arguments: 0..<9)
  func equalChunksCountInTheNorms(_ index: Int) throws {
    let a = (1...9).map { Float($0) }
    var b = a
    b[index] += 2
    let found = try distance(a, b)
    #expect(found.count == 9 && found.differing == 1 && found.maximum == 2)
    #expect(isClose(found.relativeChange, 2 / 285.0.squareRoot()) && isClose(found.rms, 2.0 / 3))
    let squares = b.reduce(0.0) { $0 + Double($1 * $1) }
    let products = zip(a, b).reduce(0.0) { $0 + Double($1.0 * $1.1) }
    #expect(isClose(found.cosine, products / (285 * squares).squareRoot()))
  }

  /// Two numbers that round to one double differ all the same.
  @Test(arguments: [1, 3, 500, 1 << 40] as [Int64])
  func largeWholeNumbersAreComparedExactly(_ step: Int64) throws {
    for (type, start) in [(ElementType.i64, 1 << 62), (.u64, (1 << 62) + 1), (.i64, -(1 << 62))]
      as [(ElementType, Int64)]
    {
      var (x, y) = (MemorySource(), MemorySource())
      x.set(try #require(TensorInfo(name: "x", elementType: type, shape: [3])), littleEndianBytes([start, 7, start]))
      y.set(
        try #require(TensorInfo(name: "x", elementType: type, shape: [3])), littleEndianBytes([start, 7, start + step]))
      let found = try #require(try difference(x, y).entries.first?.distance)
      #expect(found.maximum == Double(step) && found.differing == 1)
      #expect(try !difference(x, y, tolerance: Double(step) - 1).isEqual)
      #expect(try difference(x, y, tolerance: Double(step)).isEqual)
    }
  }

  /// Whole blocks, and what is left over, in one chunk.
  @Test(arguments: [1, 3, 4, 1023, 1024, 1025, 5003], [nil, Float.nan, .infinity] as [Float?])
  func longTensorsAreLikeThePlainSums(_ count: Int, _ odd: Float?) {
    let a = (0..<count).map { Float($0 % 97) * 0.25 - 11 }
    var b = a.enumerated().map { $0.offset % 3 == 0 ? $0.element + 0.125 * Float($0.offset % 7) : $0.element }
    b[count / 2] = odd ?? b[count / 2] - 40
    var tally = ValueTally(.f32, .f32)
    Bytes(littleEndianBytes(a)).withSpan { x in Bytes(littleEndianBytes(b)).withSpan { y in tally.add(x, y) } }
    let pairs = zip(a, b).map { (Double($0), Double($1)) }
    func magnitude(_ pair: (Double, Double)) -> Double {
      let difference = (pair.0 - pair.1).magnitude
      return difference.isNaN ? .infinity : difference
    }
    let squares = pairs.reduce(0) { $0 + magnitude($1) * magnitude($1) }
    let norm = pairs.reduce(0) { $0 + $1.0 * $1.0 }
    #expect(tally.isWhole(count) && tally.differing == pairs.count { $0.0 != $0.1 })
    #expect(tally.maximum == pairs.map(magnitude).max())
    #expect(tally.distance?.relativeChange == .infinity || odd == nil)
    if odd == nil {
      #expect(isClose(tally.distance?.rms, (squares / Double(count)).squareRoot()))
      #expect(isClose(tally.distance?.relativeChange, (squares / norm).squareRoot()))
    } else {
      #expect(tally.distance?.rms == .infinity && tally.distance?.cosine == nil)
    }
  }

  @Test(arguments: [
    (
      ElementType.f64, littleEndianBytes([Double(1), 2, -2].map(\.bitPattern)),
      littleEndianBytes([Double(1), 2, -3].map(\.bitPattern))
    ),
    (
      .f16, littleEndianBytes([0x3C00, 0x4000, 0xC000] as [UInt16]),
      littleEndianBytes([0x3C00, 0x4000, 0xC200] as [UInt16])
    ),
    (
      .bf16, littleEndianBytes([0x3F80, 0x4000, 0xC000] as [UInt16]),
      littleEndianBytes([0x3F80, 0x4000, 0xC040] as [UInt16])
    ),
    (.i64, littleEndianBytes([1, 2, -2] as [Int64]), littleEndianBytes([1, 2, -3] as [Int64])),
    (.i32, littleEndianBytes([1, 2, -2] as [Int32]), littleEndianBytes([1, 2, -3] as [Int32])),
    (.i8, littleEndianBytes([1, 2, -2] as [Int8]), littleEndianBytes([1, 2, -3] as [Int8])),
  ])
  func everyTypeIsMeasured(_ type: ElementType, _ a: [UInt8], _ b: [UInt8]) throws {
    var (x, y) = (MemorySource(), MemorySource())
    x.add("x", [3], type: type, bytes: a)
    y.add("x", [3], type: type, bytes: b)
    let entry = try #require(try difference(x, y).entries.first)
    #expect(entry.kind == .changed && entry.differing == 1 && entry.maximum == 1)
    #expect(
      isClose(entry.distance?.relativeChange, 1.0 / 3) && isClose(entry.distance?.cosine, 11 / (3 * 14.0.squareRoot())))
  }

  @Test func zerosHaveNoRelativeChange() throws {
    let from = try distance([0, -0.0], [-0.0, 2])
    #expect(from.relativeChange == nil && from.cosine == nil && from.isFromZero && isClose(from.rms, 2.0.squareRoot()))
    // The sign of zero is a bit that differs, and no distance.
    #expect(from.differing == 2 && from.maximum == 2)
    let to = try distance([3, 4], [0, 0])
    #expect(to.relativeChange == 1 && to.cosine == nil && !to.isFromZero)
  }

  @Test func whatIsNotFiniteIsInfinitelyFar() throws {
    let lost = try distance([1, 2, 3], [1, .nan, 3])
    #expect(
      lost.maximum == .infinity && lost.rms == .infinity && lost.relativeChange == .infinity && lost.cosine == nil)
    let regained = try distance([1, .nan, 3], [1, 2, 3])
    #expect(regained.maximum == .infinity && regained.relativeChange == nil && !regained.isFromZero)
    // NaN and infinities that both sides have are not apart, but A has no norm.
    let both = try distance([.nan, .infinity, 1, 2], [.nan, .infinity, 1, 4])
    #expect(both.maximum == 2 && both.rms == 1 && both.relativeChange == nil && both.cosine == nil)
    #expect(try distance([.infinity], [-.infinity]).maximum == .infinity)
    // Another NaN is another bit pattern.
    let other = try distance([.nan, 1], [Float(bitPattern: 0x7FC0_0001), 1])
    #expect(other.differing == 1 && other.maximum == 0 && other.rms == 0)
  }

  /// Squares of which double precision has no more.
  @Test func hugeNumbersHaveNoNorm() throws {
    var (x, y) = (MemorySource(), MemorySource())
    x.add("x", [2], type: .f64, bytes: littleEndianBytes([1e200, 1].map(\.bitPattern)))
    y.add("x", [2], type: .f64, bytes: littleEndianBytes([2e200, 1].map(\.bitPattern)))
    let found = try #require(try difference(x, y).entries.first?.distance)
    #expect(found.maximum == 1e200 && found.relativeChange == nil && found.cosine == nil)
  }

  @Test func otherTypesAreComparedAsNumbers() throws {
    var (x, y) = (MemorySource(), MemorySource())
    x.add("half", floats: [1, 2, .nan])
    y.add("half", [3], type: .f16, bytes: littleEndianBytes([0x3C00, 0x4100, 0x7E00] as [UInt16]))
    x.add("whole", floats: [1, 2])
    y.add("whole", [2], type: .i32, bytes: littleEndianBytes([1, 2] as [Int32]))
    let result = try difference(x, y)
    #expect(result.entries.map(\.kind) == [.retyped, .retyped])
    #expect(result.entries[0].differing == 1 && result.entries[0].maximum == 0.5)
    #expect(result.entries[1].differing == 2 && result.entries[1].distance == nil)
    let entries = result.json()["retyped"]?.elements ?? []
    #expect(entries.count == 2 && entries[1]["rms_difference"] == .null && entries[1]["max_abs_difference"] == .null)
  }

  @Test func typesWithoutNumbersAreComparedByTheirBits() throws {
    var (x, y) = (MemorySource(), MemorySource())
    x.add("x", [2], type: .c64, bytes: littleEndianBytes([1, 2, 3, 4] as [Float]))
    y.add("x", [2], type: .c64, bytes: littleEndianBytes([1, 2, 3, 5] as [Float]))
    let entry = try #require(try difference(x, y).entries.first)
    #expect(entry.kind == .changed && entry.differing == 1 && entry.distance == nil)
    #expect(try difference(x, x).isEqual)
  }

  @Test func emptyTensorsAreEqualAndStringsAreNotCompared() throws {
    var x = MemorySource()
    x.add("x", [0, 3], bytes: [])
    x.set(TensorInfo(name: "text", elementType: .string, shape: [1], byteCount: 3), [])
    let result = try difference(x, x)
    #expect(result.isEqual && result.equalCount == 1 && result.notes.count == 2)
    var y = MemorySource()
    y.add("x", [0, 4], bytes: [])
    #expect(try difference(x, y).entries.map(\.kind) == [.reshaped])
  }

  @Test func theJSONHasEveryMeasure() throws {
    var (x, y) = (MemorySource(), MemorySource())
    x.add("x", floats: [3, 4])
    y.add("x", floats: [3, 5])
    let entry = try #require(try difference(x, y).json()["changed"]?.elements?.first)
    #expect(entry["differing"] == .int(1) && entry["max_abs_difference"] == .double(1))
    #expect(isClose(entry["rms_difference"]?.doubleValue, 0.5.squareRoot()))
    #expect(isClose(entry["relative_change"]?.doubleValue, 0.2))
    #expect(isClose(entry["cosine"]?.doubleValue, 29 / (5 * 34.0.squareRoot())))
  }
}
