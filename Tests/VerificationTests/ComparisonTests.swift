import Encoder
import Testing

@testable import Verification

/// A comparison of zeros with differences of `[batch, sequence]` or `[batch, sequence, size]`.
private func comparison(
  _ kind: OutputKind, _ shape: [Int], _ differences: [Float], mask: [Int]? = nil, tolerance: Double = 1
) -> OutputComparison {
  let sequence = shape.count > 1 ? shape[1] : 1
  return OutputComparison(
    "output", kind: kind, shape: shape, values: differences, reference: Array(repeating: 0, count: differences.count),
    input: EncoderInput(
      batch: shape[0], sequence: sequence, inputIDs: Array(repeating: 0, count: shape[0] * sequence),
      attentionMask: mask), tolerance: tolerance)
}

private func positions(_ comparison: OutputComparison) -> [[Int?]] {
  comparison.worstPositions.map { [$0.row, $0.column, $0.index] }
}

@Suite("Comparison of an output")
struct ComparisonTests {
  @Test func vectorsOfTokens() {
    let found = comparison(
      .hidden(1), [2, 2, 2], [0.5, -3, 0, 0.25, 9, 9, 2, 1], mask: [1, 1, 0, 1])
    #expect(found.errors == [3, 0.25, -1, 2] && found.errorColumns == 2 && found.isOfTokens)
    #expect(positions(found) == [[0, 0, 1], [1, 1, 0], [0, 1, 1]])
    #expect(found.worst == found.worstPositions.first && found.worst?.value == -3)
    #expect((0..<4).map(found.isOff) == [true, false, false, true])
    #expect(found.maxAbsError == 3 && found.count == 6 && !found.passed && found.part == "layer 0")
  }

  @Test func scoresOfTokens() {
    let found = comparison(.answer(0), [2, 3], [1, 4, 9, 2, 9, 0.5], mask: [1, 1, 0, 1, 0, 1])
    #expect(found.errors == [1, 4, -1, 2, -1, 0.5] && found.errorColumns == 3)
    #expect(positions(found) == [[0, 1, nil], [1, 0, nil], [0, 0, nil], [1, 2, nil]])
    #expect(found.count == 4)
  }

  @Test func outputsOfSequences() {
    let found = comparison(.pooled, [3, 2], [1, 2, 4, 3, 0, 0], mask: nil)
    #expect(found.errors == [2, 4, 0] && found.errorColumns == 1 && !found.isOfTokens)
    #expect(positions(found) == [[1, nil, 0], [0, nil, 1], [2, nil, 0]])
  }

  /// What is not finite is worse than any number; of equals the first comes first.
  @Test func theOrderOfTheWorst() {
    let found = comparison(.answer(0), [1, 6], [5, .nan, 7, -.infinity, 7, .infinity])
    #expect(found.worstPositions.map(\.column) == [1, 3, 5, 2, 4, 0])
    #expect(found.maxAbsError.isNaN && !found.passed)
    #expect(found.errors.map(\.isNaN) == [false, true, false, true, false, true])
    #expect(found.isOff(1) && found.isOff(0))
  }

  @Test func theWorstAreTen() {
    let found = comparison(.answer(0), [1, 40], (0..<40).map { Float(($0 * 7) % 40) })
    #expect(found.worstPositions.map(\.value) == (30..<40).reversed().map { Float($0) })
  }

  @Test func nothingIsCompared() {
    let found = comparison(.hidden(0), [1, 2, 2], [1, 2, 3, 4], mask: [0, 0])
    #expect(found.errors == [-1, -1] && found.worst == nil && found.maxAbsError == 0 && !found.passed)
  }

  @Test func differencesByTheirSize() {
    let found = comparison(
      .answer(0), [1, 9], [0, -0, 1, -1.5, 2, 0x1p-100, .greatestFiniteMagnitude, .nan, .leastNonzeroMagnitude])
    let one = -DifferenceHistogram.lowestExponent
    var expected = [Int](repeating: 0, count: DifferenceHistogram.binCount)
    expected[one] = 2
    expected[one + 1] = 1
    expected[0] = 2
    expected[DifferenceHistogram.binCount - 1] = 1
    #expect(found.differences.counts == expected)
    #expect(found.differences.zeros == 2 && found.differences.odd == 1)
  }
}
