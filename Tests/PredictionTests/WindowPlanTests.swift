import TensorIO
import Testing

@testable import Prediction

@Suite struct WindowPlanTests {
  private func plan(_ length: Int, _ overlap: Int? = nil, _ way: LongTexts = .windows) -> WindowPlan {
    WindowPlan(maxLength: length, overlap: overlap, longTexts: way)
  }

  @Test func aShortTextIsOneWindow() throws {
    #expect(try plan(10).windows(first: 8, second: nil, special: 2).windows == [Window(first: [0..<8])])
    #expect(
      try plan(10).windows(first: 3, second: 4, special: 3).windows == [Window(first: [0..<3], second: [0..<4])])
    #expect(try plan(10).windows(first: 0, second: nil, special: 2).windows == [Window(first: [0..<0])])
  }

  @Test(arguments: [(9, 10, 0), (9, 10, 3), (100, 12, 9), (1000, 512, 128), (17, 18, 1)])
  func windowsCoverATextAndOverlap(_ count: Int, _ length: Int, _ overlap: Int) throws {
    let windows = try plan(length, overlap).windows(first: count, second: nil, special: 2).windows.map { $0.first[0] }
    #expect(windows.first?.lowerBound == 0 && windows.last?.upperBound == count)
    for (a, b) in zip(windows, windows.dropFirst()) {
      #expect(a.count == length - 2 && a.upperBound - b.lowerBound == overlap && b.upperBound > a.upperBound)
    }
  }

  @Test func theOverlapIsAQuarterWhereNoneIsGiven() throws {
    let windows = try plan(20).windows(first: 40, second: nil, special: 2).windows
    #expect(windows.map { $0.first[0] } == [0..<18, 13..<31, 26..<40])
  }

  @Test func theFirstAndTheLastTokens() throws {
    #expect(
      try plan(512, nil, .head).windows(first: 900, second: nil, special: 2).windows == [Window(first: [0..<510])])
    let tail = try plan(512, nil, .headTail).windows(first: 900, second: nil, special: 2)
    #expect(tail.windows == [Window(first: [0..<128, 518..<900])] && tail.cutCount == 390)
  }

  @Test func theLongerTextOfAPairSlides() throws {
    let first = try plan(10, 1).windows(first: 9, second: 2, special: 3).windows
    #expect(first.map { $0.first[0] } == [0..<5, 4..<9] && first.allSatisfy { $0.second == [0..<2] })
    let second = try plan(10, 1).windows(first: 2, second: 9, special: 3).windows
    #expect(second.map { $0.second[0] } == [0..<5, 4..<9] && second.allSatisfy { $0.first == [0..<2] })
  }

  @Test func aQuestionThatIsTooLongIsRefused() throws {
    var plan = plan(10)
    plan.slides = .second
    #expect { try plan.windows(first: 9, second: 2, special: 3) } throws: { "\($0)".contains("question") }
    #expect { try self.plan(10, 5).windows(first: 2, second: 20, special: 3) } throws: { "\($0)".contains("overlap") }
  }

  @Test func onlyTheEndCountsForTheNextToken() throws {
    var plan = plan(10)
    plan.keepsEnd = true
    let outcome = try plan.windows(first: 30, second: nil, special: 0)
    #expect(outcome == WindowPlan.Outcome(windows: [Window(first: [20..<30])], cutCount: 20))
  }

  @Test func aTokenBelongsToTheWindowWhereItIsFarthestFromAnEdge() {
    // 4 and 5 are as far in both: the earlier window has them; a third window ends early.
    #expect(
      WindowPlan.bestWindows([0..<8, 4..<12, 8..<13], count: 14)
        == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, nil])
  }
}
