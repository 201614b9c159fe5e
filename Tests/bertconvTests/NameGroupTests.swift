import TensorIO
import Testing

@testable import bertconv

@Suite("Names that repeat")
struct NameGroupTests {
  private func folded(_ names: [String], _ kinds: [Int]? = nil) -> [String] {
    NameGroups.group(names) { kinds?[$0] ?? 0 }.map(\.name)
  }

  @Test func layersAreOneLineAtThePlaceOfTheFirst() {
    let names = ["a", "layer.0.w", "layer.0.b", "b", "layer.1.w", "layer.1.b", "layer.2.w", "layer.2.b", "c"]
    let groups = NameGroups.group(names) { _ in 0 }
    #expect(groups.map(\.name) == ["a", "layer.{0..2}.w", "layer.{0..2}.b", "b", "c"])
    #expect(groups.map(\.members) == [[0], [1, 4, 6], [2, 5, 7], [3], [8]])
  }

  @Test func whatIsNotAlikeStaysApart() {
    #expect(folded(["h.0.w", "h.1.w", "h.2.w"], [0, 1, 0]) == ["h.{0,2}.w", "h.1.w"])
    #expect(folded(["h.0.w", "h.1.b"]) == ["h.0.w", "h.1.b"])
    #expect(folded(["h.0.w"]) == ["h.0.w"])
    #expect(folded([]) == [])
  }

  @Test func numbersWithinNumbers() {
    let names = (0..<3).flatMap { layer in (0..<2).map { "layers.\(layer).experts.\($0).w" } }
    let groups = NameGroups.group(names) { _ in 0 }
    #expect(groups.map(\.name) == ["layers.{0..2}.experts.{0,1}.w"])
    #expect(Set(groups[0].members) == Set(0..<6))
    // Only some layers have the second: they are told apart.
    #expect(
      folded(["l.0.p.0.w", "l.1.p.0.w", "l.1.p.1.w", "l.2.p.1.w"]) == ["l.{0,1}.p.0.w", "l.{1,2}.p.1.w"])
  }

  /// A number whose fellows went elsewhere is written as it is.
  @Test func noGroupOfOne() {
    #expect(folded(["l.0.p.0", "l.0.p.1", "l.1.p.0"]) == ["l.{0,1}.p.0", "l.0.p.1"])
  }

  /// A character that joins what follows it to one with it.
  @Test func namesAreCutByScalars() {
    #expect(folded(["x\u{600}0.w", "x\u{600}1.w"]) == ["x\u{600}{0,1}.w"])
  }

  @Test func whatIsKeptBesideAWeightIsWithIt() {
    func joined(_ names: [String], _ kinds: [Int]? = nil) -> [String] {
      func kind(_ index: Int) -> Int { kinds?[index] ?? 0 }
      return NameGroups.joinEndings(NameGroups.group(names, kind: kind), kind: kind).map(\.name)
    }
    let names = (0..<2).flatMap { layer in ["", "/adam_m", "/adam_v"].map { "layer_\(layer)/w\($0)" } }
    #expect(joined(names + ["step"]) == ["layer_{0,1}/w{,/adam_m,/adam_v}", "step"])
    // The order of the names does not matter, but what they are does; and nothing is joined to what is joined itself.
    #expect(joined(["w/m", "w"]) == ["w{,/m}"])
    #expect(joined(["w", "w/m"], [0, 1]) == ["w", "w/m"])
    #expect(joined(["w", "w/m", "w/m/x"]) == ["w{,/m}", "w/m/x"])
    #expect(joined(["w.m", "v.m", "l.0.w", "l.1.w", "l.0.w.m"]) == ["w.m", "v.m", "l.{0,1}.w", "l.0.w.m"])
  }

  @Test func onlyNumbersThatALayerCouldHave() {
    // A part of a word, another way of writing the same number, and a number beyond all layers.
    let names = ["conv1d_a", "conv2d_a", "x.01", "x.1", "y.100000", "y.200000", "v2x.w", "v3x.w"]
    #expect(folded(names) == names)
    #expect(folded(["part_0", "part_1"]) == ["part_{0,1}"])
    #expect(folded(["0.a", "1.a"]) == ["{0,1}.a"])
  }

  /// Names come from strangers: one that has the character of the holes is shown as it is.
  @Test func theCharacterOfTheHolesIsNoHole() {
    let hole = NameGroups.hole
    let names = ["a\(hole)0.w", "a\(hole)1.w", "b.0.w", "b.1.w"]
    let groups = NameGroups.group(names) { _ in 0 }
    #expect(groups.map(\.name) == ["a\(hole)0.w", "a\(hole)1.w", "b.{0,1}.w"])
  }

  @Test func rangesAreShort() {
    #expect(NameGroups.ranges([3]) == "3")
    #expect(NameGroups.ranges([1, 0]) == "0,1")
    #expect(NameGroups.ranges([0, 1, 2, 3, 7, 9, 10, 11]) == "0..3,7,9..11")
    #expect(NameGroups.ranges(Array(stride(from: 0, to: 40, by: 2))) == "0,2,4,6,8,10,12,14,…")
  }

  @Test func theTreeAddsUp() {
    func info(_ name: String, _ count: Int) -> TensorInfo {
      TensorInfo(name: name, elementType: .f32, shape: [count], byteCount: 4 * count)
    }
    let tensors = [
      info("m/embed", 100), info("m/layer_0/w", 50), info("m/layer_0/b", 10), info("m/layer_1/w", 50),
      info("m/layer_1/b", 10), info("step", 30),
    ]
    let groups = NameGroups.group(tensors.map(\.name)) { tensors[$0].shape }
    let lines = NameTree(groups, of: tensors, isBySize: false).text.split(separator: "\n").map {
      $0.split(separator: " ").joined(separator: " ")
    }
    #expect(
      lines == [
        "part dtype shape tensors size share", "m 5 880 bytes 88.0 %", "├─ embed F32 [100] 1 400 bytes 40.0 %",
        "└─ layer_{0,1} 4 480 bytes 48.0 %", "├─ w F32 [50] 2 400 bytes 40.0 %", "└─ b F32 [10] 2 80 bytes 8.0 %",
        "step F32 [30] 1 120 bytes 12.0 %",
      ])
    let bySize = NameTree(groups, of: tensors, isBySize: true).text
    let places = ["layer_{0,1}", "embed", "step"].compactMap { bySize.firstRange(of: $0)?.lowerBound }
    #expect(places.count == 3 && places == places.sorted())
  }

  /// Lines of one branch have different numbers: the branch shows all of them.
  @Test func aBranchShowsTheNumbersOfAllBelowIt() {
    let names = ["l.0.a", "l.1.a", "l.2.a", "l.0.b", "l.1.b", "l.4.b"]
    let tensors = names.map { TensorInfo(name: $0, elementType: .f32, shape: [1], byteCount: 4) }
    let text = NameTree(NameGroups.group(names) { _ in 0 }, of: tensors, isBySize: false).text
    #expect(text.contains("l.{0..2,4}"))
  }
}

@Suite("Tables of text")
struct TextTableTests {
  private func table(_ rows: [[String]]) -> TextTable {
    var table = TextTable(columns: [("name", .left), ("size", .right)])
    for row in rows { table.add(row) }
    return table
  }

  @Test func columnsLineUpAndNoLineEndsInSpaces() {
    #expect(
      table([["a", "10"], ["bcdef", "7"], ["x", ""]]).text(width: nil) == "name   size\na        10\nbcdef     7\nx")
  }

  @Test func theFirstColumnIsCutToFit() {
    let name = "bert/encoder/layer_0/attention/output/LayerNorm/beta/adam_m"
    let lines = table([[name, "64 bytes"], ["short", "1 byte"]]).text(width: 50).split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 50 })
    #expect(
      lines[1].hasPrefix("…layer_0") && lines[1].contains("LayerNorm/beta/adam_m  64 bytes"))
    // Not below what can be read, however narrow the terminal.
    #expect(table([[name, "1"]]).text(width: 5).split(separator: "\n")[1].count == 24 + 6)
  }

  /// Names that differ in the layer alone are not cut to the same text.
  @Test func theNumberOfALayerStays() {
    let names = (0..<12).map { "encoder.layer.\($0).attention.self.value.bias" }
    #expect(Set(names.map { TextTable.cut($0, to: 30) }).count == 12)
    #expect(TextTable.cut(names[11], to: 30) == "…layer.11…tion.self.value.bias")
    #expect(TextTable.cut("h11/attention/self/value/kernel/weight", to: 20).hasPrefix("h11…"))
  }

  @Test func columnsThatCanBeDoneWithoutGoFirst() {
    var table = TextTable(columns: [("name", .left), ("a", .right), ("b", .right), ("c", .right)])
    table.leaveOut(["a", "c"])
    table.add([String(repeating: "n", count: 40), "1234567890", "2234567890", "3234567890"])
    #expect(table.text(width: 76).contains("3234567890"))
    let less = table.text(width: 70)
    #expect(less.contains("1234567890") && less.contains("2234567890") && !less.contains("3234567890"))
    let least = table.text(width: 56)
    #expect(!least.contains("1234567890") && least.contains("2234567890") && !least.contains("c"))
  }

  @Test func aHugeNameWidensNoOtherLine() {
    let huge = String(repeating: "x", count: 1_000_000)
    let lines = table([[huge, "1"], ["a", "2"]]).text(width: nil).split(separator: "\n")
    #expect(lines[1].count == 1_000_000 + 6 && lines[2].count < 20)
    #expect(table([[huge, "1"]]).text(width: 80).split(separator: "\n")[1].count == 80)
  }

  @Test func wideCharactersTakeTwoColumns() {
    #expect(TextTable.columns(of: "中国") == 4 && TextTable.columns(of: "é") == 1 && TextTable.columns(of: "abc") == 3)
    let lines = table([["中国", "1"], ["abcd", "2"]]).text(width: nil).split(separator: "\n")
    #expect(lines[1] == "中国     1" && lines[2] == "abcd     2")
    #expect(TextTable.cut("中国中国中国中国", to: 7) == "中…国中国" || TextTable.columns(of: TextTable.cut("中国中国中国中国", to: 7)) <= 7)
  }

  @Test(arguments: [
    ("768", [768], true), ("[2, 3]", [2, 3], true), ("2x3", [2, 3], true), ("*,3", [2, 3], true), ("*,3", [3], false),
    ("*", [5], true), ("[]", [], true), ("[]", [1], false), ("2,3", [3, 2], false),
  ])
  func shapes(_ pattern: String, _ shape: [Int], _ matches: Bool) throws {
    #expect(try #require(ShapePattern(argument: pattern)).matches(shape) == matches)
  }

  @Test(arguments: ["a", "-1", "2,,x3,z", "1.5", ",", "99999999999999999999"]) func noShapes(_ text: String) {
    #expect(ShapePattern(argument: text) == nil)
  }
}
