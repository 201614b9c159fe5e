import Encoder
import Testing

@testable import Reports
@testable import Verification

/// An output of one number a token with these errors; -1 for what the mask hides.
private func output(_ name: String, _ sequences: [[Float]]) -> OutputComparison {
  let errors = sequences.flatMap(\.self)
  return OutputComparison(
    name, kind: .answer(0), shape: [sequences.count, sequences[0].count], values: errors,
    reference: Array(repeating: 0, count: errors.count),
    input: EncoderInput(
      batch: sequences.count, sequence: sequences[0].count, inputIDs: Array(repeating: 0, count: errors.count),
      attentionMask: errors.map { $0 == -1 ? 0 : 1 }),
    tolerance: 0.5)
}

@Suite("The map of errors")
struct ErrorMapTests {
  @Test func theLargestOfAllSequences() {
    let map = ErrorMap([output("a", [[1, -1, 3], [2, -1, 0]]), output("b", [[0, 0, 0], [0, 0, 9]])])
    #expect(map.columns == 3 && map.sequences == 2)
    #expect(map.largest == [[2, -1, 3], [0, 0, 9]])
    #expect(map.errors(ofSequence: 1) == [[2, -1, 0], [0, 0, 9]])
  }

  @Test func whatIsNotFiniteIsTheLargest() {
    let largest = ErrorMap([output("a", [[1, .nan], [.infinity, 5]])]).largest
    #expect(largest[0].map(\.isNaN) == [true, true])
  }

  /// Those that are off most, in the order of their numbers.
  @Test(arguments: [(8, [0, 1, 2, 3]), (7, [1, 2, 3]), (4, [1, 3]), (2, [3]), (0, [3])])
  func asManySequencesAsFit(maximumCells: Int, expected: [Int]) {
    let map = ErrorMap([output("a", [[0, 1], [5, 0], [2, -1], [0, .nan]])])
    #expect(map.shownSequences(maximumCells: maximumCells) == expected)
  }

  @Test func noOutputsOfTokens() {
    let map = ErrorMap([])
    #expect(map.largest.isEmpty && map.shownSequences(maximumCells: 10).isEmpty && map.sequences == 0)
  }
}
