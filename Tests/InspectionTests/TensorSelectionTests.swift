import Inspection
import Testing

@Suite("Shapes that are selected")
struct ShapePatternTests {
  @Test(arguments: [
    ("768", [768], true), ("[2, 3]", [2, 3], true), ("2x3", [2, 3], true), ("*,3", [2, 3], true), ("*,3", [3], false),
    ("*", [5], true), ("[]", [], true), ("[]", [1], false), ("2,3", [3, 2], false),
  ])
  func shapes(_ pattern: String, _ shape: [Int], _ matches: Bool) throws {
    #expect(try #require(ShapePattern(pattern)).matches(shape) == matches)
  }

  @Test(arguments: ["a", "-1", "2,,x3,z", "1.5", ",", "99999999999999999999"]) func noShapes(_ text: String) {
    #expect(ShapePattern(text) == nil)
  }
}
