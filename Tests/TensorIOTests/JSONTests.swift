import TensorIO
import TestSupport
import Testing

@Suite("JSON")
struct JSONTests {
  @Test(arguments: [
    #"{"a":1,"b":[true, false, null],"c":{"d":"é\n\"\\"},"e":1e-12}"#,
    "[]", "{}", "-0.5", #""\u200b""#,
  ])
  func roundTrip(_ text: String) throws { #expect(try JSON.parse(text).text() == text) }

  private static let refused = [
    "", "{", "[1,]", #"{"a":1,"a":2}"#, "01", "1 2", "NaN", #""\ud800""#, "\"\u{1}\"", "[1 2]", "{\"a\" 1}", "1.", "+1",
    #""\x""#, String(repeating: "[", count: 100),
  ]

  @Test(arguments: refused)
  func refuses(_ text: String) {
    let error = #expect(throws: FormatError.self) { try JSON.parse(text, file: "a.json") }
    #expect(
      error?.kind == (text.hasPrefix("[[") ? .limit : .damaged) && error?.file == "a.json" && error?.offset != nil)
  }

  @Test func messages() throws {
    let lines = Self.refused.map { text in line(printable(text), formatError { _ = try JSON.parse(text) }) }
    #expect(try goldenDifference("refused-json", lines) == nil)
  }

  @Test func numbersKeepTheirDigits() throws {
    let value = try JSON.parse(#"{"eps": 1e-12, "n": 12345678901234567890, "f": 2.0}"#)
    #expect(value["eps"] == .number("1e-12"))
    #expect(value["n"]?.intValue == nil)
    #expect(value["f"]?.intValue == 2)
  }

  @Test func escapesPairs() throws { #expect(try JSON.parse(#""\ud83d\ude00""#).stringValue == "😀") }
}

@Suite("Names and text")
struct TextTests {
  @Test(arguments: [
    ("*layer_1*kernel", "bert/encoder/layer_1/output/dense/kernel", true),
    ("*layer_1*kernel", "bert/encoder/layer_10/output/dense/kernel", true),
    ("*layer_1/*kernel", "bert/encoder/layer_10/output/dense/kernel", false),
    ("a?c", "abc", true), ("a[0-9]", "a5", true), ("a[!0-9]", "a5", false), ("{a,b}*", "bx", true),
    ("", "", true), ("*", "", true), ("[", "[", true), ("*é", "café", true),
    ("x{a,b}y{,c}z", "xbyz", true), ("x{a,b}y{,c}z", "xaycz", true), ("x{a,b}y{,c}z", "xyz", false),
    ("{,*.}w", "w", true), ("{,*.}w", "a.w", true), ("{,*.}w", "aw", false), ("a{b", "a{b", true), ("a}b", "a}b", true),
    ("x{a,b", "xa", false), ("x{}y", "xy", true), ("a{b{c,d}", "ab{c", true), ("n{0,1}{0,1}", "n10", true),
    ("a[0-9]{x,[yz]}", "a7z", true), ("a{x,y?}", "ayq", true),
    // A character is no byte.
    ("?", "é", true), ("??", "é", false), ("??", "éa", true), ("[é]", "é", true), ("[é]x", "èx", false),
    ("[!a]", "é", true),
    ("[à-ü]x", "éx", true), ("[!é]", "é", false), ("*[é]", "café", true), ("*[è]", "café", false), ("?a", "漢a", true),
    ("*?é", "漢é", true), ("*漢?字*", "x漢é字y", true), ("{é,漢}字", "漢字", true), ("é*é", "é", false),
    ("[😀]*", "😀", true),
  ])
  func globs(_ pattern: String, _ name: String, _ matches: Bool) {
    #expect(Glob(pattern).matches(name) == matches)
    #expect(LazyGlob(pattern).matches(name) == matches)
  }

  @Test func bracesThatMultiplyOutBeyondReasonAreLetters() {
    let many = String(repeating: "{a,b}", count: 9)
    #expect(Glob(many).matches(String(repeating: "b", count: 8) + "{a,b}"))
    #expect(!Glob(many).matches(String(repeating: "b", count: 9)))
  }

  /// Each takes milliseconds when reading a pattern looks at each of its characters once, and minutes when it does not.
  @Test(arguments: [
    ("[!", ""), ("[", ""), ("{", ""), ("{", "}"), ("[]", ""), ("{,", ""), ("}{", "]"),
  ])
  func globsAreReadInLinearTime(_ part: String, _ end: String) {
    let pattern = String(repeating: part, count: 500_000) + end
    #expect(!Glob(pattern).matches("a"))
  }

  @Test func bracesDoNotMultiplyALongPattern() {
    let long = String(repeating: "x", count: 1_000_000)
    let braces = String(repeating: "{a,b}", count: 8)
    #expect(Glob(braces + long).matches(braces + long))
    let commas = String(repeating: "{", count: 200_000) + String(repeating: ",", count: 200_000) + "}"
    #expect(Glob(commas).matches(commas))
  }

  @Test func globsTakeLinearTime() {
    #expect(!Glob(String(repeating: "*a", count: 500)).matches(String(repeating: "a", count: 499) + "b"))
  }

  @Test func controlCharactersAreEscaped() {
    #expect(printable("a\u{1B}[31mb\n") == "a\\u{1b}[31mb\\n")
    #expect(printable("über 漢字") == "über 漢字")
    #expect(printable("a\u{61C}b\u{AD}\u{3164}\u{FFF9}") == "a\\u{61c}b\\u{ad}\\u{3164}\\u{fff9}")
    #expect(FormatError(.damaged, "x", file: "a\u{7}").description.contains("\\u{7}"))
  }

  @Test func errorsAreOfALengthThatOneCanRead() {
    let name = "first." + String(repeating: "x", count: 1 << 20) + ".last"
    let text = FormatError(.damaged, "'\(name)' is wrong", file: "a", tensor: name, found: name, expected: name)
      .description
    #expect(text.utf8.count < 5000 && text.contains("tensor 'first.xxx") && text.contains("xxx.last'"))
    #expect(text.contains("xxx.last' is wrong; found first.xxx"))
  }

  @Test func nearestNames() {
    let names = ["bert/pooler/dense/kernel", "bert/pooler/dense/bias"]
    #expect(nearestName(to: "bert/pooler/dense/kernal", among: names) == names[0])
    #expect(nearestName(to: "zzz", among: names) == nil)
  }

  @Test func numbers() {
    #expect(grouped(1_234_567) == "1,234,567")
    #expect(grouped(-1234) == "-1,234")
    #expect(fixed(0.995, digits: 1) == "1.0")
    #expect(fixed(-0.001, digits: 1) == "0.0")
    #expect(significant(1.234e-7) == "1.23e-07")
    #expect(humanBytes(1536) == "1.5 KiB")
    #expect(checkedElementCount([1 << 40, 1 << 40]) == nil)
    #expect(checkedElementCount([1 << 40, 1 << 40, 0]) == 0 || checkedElementCount([1 << 40, 1 << 40, 0]) == nil)
  }
}
