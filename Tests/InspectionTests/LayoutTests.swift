import Testing

@testable import Inspection

@Suite("The tree of names")
struct NameTreeTests {
  /// The tree as one line a node: its label, and the labels of its leaves.
  private func lines(_ names: [String]) -> [String] {
    let tree = NameTree(names)
    return tree.nodes.indices.map { index in
      var depth = 0
      var node = tree.nodes[index]
      while let parent = node.parent { (depth, node) = (depth + 1, tree.nodes[parent]) }
      let leaves = tree.leaves.filter { $0.node == index }.map(\.label)
      return String(repeating: "  ", count: depth) + tree.nodes[index].label + ": " + leaves.joined(separator: ", ")
    }
  }

  @Test func partsAreBranches() {
    #expect(
      lines([
        "bert.encoder.layer.1.output.bias", "bert.encoder.layer.0.output.bias", "bert.encoder.layer.0.output.weight",
        "bert.pooler.weight", "cls.bias",
      ]) == [
        ": cls.bias", "  bert: pooler.weight", "    encoder.layer: 1.output.bias", "      0.output: bias, weight",
      ])
  }

  @Test func aNameMayBeTheBeginningOfAnother() {
    #expect(
      lines(["bert/kernel", "bert/kernel/adam_m", "bert/kernel/adam_v", "bert/bias"]) == [
        ": ", "  bert: bias", "    kernel: kernel, adam_m, adam_v",
      ])
  }

  @Test(arguments: [
    ("a", ["a"]), ("a.b/c", ["a", ".b", "/c"]), ("/a//b.", ["/a", "//b", "."]), ("", [""]), ("...", ["..."]),
    ("model/.ATTRIBUTES/VALUE", ["model", "/.ATTRIBUTES", "/VALUE"]), ("层.权", ["层", ".权"]),
  ])
  func parts(name: String, expected: [Substring]) {
    #expect(NameTree.parts(name) == expected)
  }

  @Test func namesOfManyPartsAreNoDeepTrees() {
    let long = Array(repeating: "x", count: 100_000).joined(separator: ".")
    let tree = NameTree([long + ".a", long + ".b", "x"])
    #expect(NameTree.parts(long).count == NameTree.maximumParts && tree.nodes.count <= NameTree.maximumParts)
    #expect(tree.leaves.count == 3)
  }

  @Test(arguments: [[], [""], ["", ""], ["a", "a"], ["a.b", "a.b", "a"], [".", "/", "a."]])
  func oddNames(names: [String]) {
    let tree = NameTree(names)
    #expect(tree.leaves.count == names.count && tree.leaves.allSatisfy { tree.nodes.indices.contains($0.node) })
    #expect(tree.nodes.dropFirst().allSatisfy { $0.parent != nil })
  }

  /// A branch that is more than half of all gives way to its own branches.
  @Test func mainParts() {
    let names = [
      "bert.embeddings.a", "bert.embeddings.b", "bert.encoder.a", "bert.encoder.b", "cls.a", "cls.b", "step",
    ]
    let parts = NameTree(names).mainParts(weights: [10, 10, 40, 30, 3, 3, 1])
    #expect(parts.paths == ["bert.encoder", "bert.embeddings", "cls"])
    #expect(parts.ofLeaf == [1, 1, 0, 0, 2, 2, nil])
    // Where they do not fit it stays, and the smallest are left out.
    let few = NameTree(names).mainParts(weights: [10, 10, 40, 30, 3, 3, 1], maximum: 1)
    #expect(few.paths == ["bert"] && few.ofLeaf == [0, 0, 0, 0, nil, nil, nil])
    #expect(NameTree([]).mainParts(weights: []).paths == [])
    #expect(NameTree(["a", "b"]).mainParts(weights: [0, 0]).ofLeaf == [nil, nil])
  }
}

@Suite("The grid of layers")
struct LayerGridTests {
  private func grids(_ names: [String], _ limits: LayerGrid.Limits = .init()) -> [LayerGrid] {
    LayerGrid.all(in: names, limits).grids
  }

  @Test func whatIsTooMuchIsNotMade() throws {
    // As many parts as layers, but each part in two layers alone: a full grid would have the square of it.
    let names = (0..<9_998).flatMap { ["s.\($0).part\($0)_", "s.\($0 + 1).part\($0)_"] }
    let grid = try #require(grids(names, .init(rows: 12, columns: 20)).first)
    #expect(grid.layers.count == 9_999 && grid.rows.count == 12 && grid.moreRows == 9_986)
    #expect(grid.rows.allSatisfy { $0.tensors.count == 20 } && grid.rows[3].tensors[3] == 6)
  }

  @Test func oneRowAPart() {
    let names = (0..<3).flatMap { ["encoder.layer.\($0).query.weight", "encoder.layer.\($0).query.bias"] }
    #expect(
      grids(["embeddings.weight"] + names) == [
        LayerGrid(
          prefix: "encoder.layer.", layers: [0, 1, 2],
          rows: [
            .init(part: ".query.weight", tensors: [1, 3, 5]), .init(part: ".query.bias", tensors: [2, 4, 6]),
          ])
      ])
  }

  @Test func layersAreInTheOrderOfTheirNumbersAndMayLackParts() {
    let grids = self.grids(["h10/w", "h2/w", "h2/b", "h10/c", "h3/b"])
    #expect(grids.count == 1 && grids[0].prefix == "h" && grids[0].layers == [2, 3, 10])
    #expect(
      grids[0].rows == [
        .init(part: "/w", tensors: [1, nil, 0]), .init(part: "/b", tensors: [2, 4, nil]),
      ])
  }

  /// The first number of a name that has a fellow elsewhere is the layer's.
  @Test func theRightOneOfSeveralNumbers() {
    let names = (0..<2).flatMap { layer in (1...2).map { "0.model.layer_\(layer)/dense_\($0)/kernel" } }
    let grids = self.grids(names + ["2.linear.weight"])
    #expect(grids.map(\.prefix) == ["0.model.layer_"] && grids[0].layers == [0, 1])
    #expect(grids[0].rows.map(\.part) == ["/dense_1/kernel", "/dense_2/kernel"])
  }

  @Test func theLargestStackComesFirst() {
    let names = (0..<2).map { "a.\($0).w" } + (0..<3).map { "b.\($0).w" }
    #expect(grids(names).map(\.prefix) == ["b.", "a."])
    let (first, more) = LayerGrid.all(in: names, .init(grids: 1))
    #expect(first.map(\.prefix) == ["b."] && more == 1)
  }

  @Test(arguments: [
    [], ["layer.0.weight"], ["a", "b"], ["v1beta.w", "v2beta.w"], ["99999999999999999999", "1"],
    ["12345.w", "12346.w"], [""],
  ])
  func whatIsNoStack(names: [String]) {
    #expect(grids(names) == [])
  }
}
