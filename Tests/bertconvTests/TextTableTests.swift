import Inspection
import TensorIO
import Testing

@testable import bertconv

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
}

@Suite("Trees of sizes")
struct SizeTreeTests {
  @Test func theTreeAddsUp() {
    func info(_ name: String, _ count: Int) -> TensorInfo {
      TensorInfo(name: name, elementType: .f32, shape: [count], byteCount: 4 * count)
    }
    let tensors = [
      info("m/embed", 100), info("m/layer_0/w", 50), info("m/layer_0/b", 10), info("m/layer_1/w", 50),
      info("m/layer_1/b", 10), info("step", 30),
    ]
    let groups = NameGroups.group(tensors.map(\.name)) { tensors[$0].shape }
    let lines = SizeTree(groups, of: tensors, isBySize: false).text.split(separator: "\n").map {
      $0.split(separator: " ").joined(separator: " ")
    }
    #expect(
      lines == [
        "part dtype shape tensors size share", "m 5 880 bytes 88.0 %", "├─ embed F32 [100] 1 400 bytes 40.0 %",
        "└─ layer_{0,1} 4 480 bytes 48.0 %", "├─ w F32 [50] 2 400 bytes 40.0 %", "└─ b F32 [10] 2 80 bytes 8.0 %",
        "step F32 [30] 1 120 bytes 12.0 %",
      ])
    let bySize = SizeTree(groups, of: tensors, isBySize: true).text
    let offsets = ["layer_{0,1}", "embed", "step"].compactMap { bySize.firstRange(of: $0)?.lowerBound }
    #expect(offsets.count == 3 && offsets == offsets.sorted())
  }

  /// Lines of one branch have different numbers: the branch shows all of them.
  @Test func aBranchShowsTheNumbersOfAllBelowIt() {
    let names = ["l.0.a", "l.1.a", "l.2.a", "l.0.b", "l.1.b", "l.4.b"]
    let tensors = names.map { TensorInfo(name: $0, elementType: .f32, shape: [1], byteCount: 4) }
    let text = SizeTree(NameGroups.group(names) { _ in 0 }, of: tensors, isBySize: false).text
    #expect(text.contains("l.{0..2,4}"))
  }
}
