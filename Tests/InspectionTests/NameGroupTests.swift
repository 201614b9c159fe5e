import TensorIO
import Testing

@testable import Inspection

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
    // Only some layers have the second: they are separate.
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

  @Test func whatIsKeptNextToAWeightIsWithIt() {
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

  /// Renamed tensors fold where both names are the same part of a layer, and at the same distance.
  @Test func pairsOfNames() {
    let names = (0..<3).flatMap { ["a.\($0).w", "a.\($0).v"] } + ["step"]
    let others = (0..<3).flatMap { ["b.layer.\($0 + 1).w", "b.layer.\($0 + 1).v"] } + ["count"]
    let lines = NameGroups.groupPairs(names, others) { _ in 0 }
    #expect(lines.map(\.group.name) == ["a.{0..2}.w", "a.{0..2}.v", "step"])
    #expect(lines.map(\.other) == ["b.layer.{1..3}.w", "b.layer.{1..3}.v", "count"])
    // The last two are at other distances.
    let apart = NameGroups.groupPairs(["a.0.w", "a.1.w", "a.2.w"], ["b.0.w", "b.1.w", "b.7.w"]) { _ in 0 }
    #expect(apart.map(\.group.name) == ["a.{0,1}.w", "a.2.w"] && apart.map(\.other) == ["b.{0,1}.w", "b.7.w"])
  }
}
