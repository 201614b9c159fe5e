import ModelFamilies
import Testing

@Suite("The number of a layer in a name")
struct LayerNumberTests {
  private func described(_ layer: LayerNumber?) -> String? {
    layer.map { "\($0.prefix)|\($0.number)|\($0.suffix)" }
  }

  @Test func numbersAreWholePartsOrTheEndsOfParts() {
    let name = "0.model.layer_12/dense_1/kernel.v2beta.12345.7"
    let expected = [
      "|0|.model.layer_12/dense_1/kernel.v2beta.12345.7", "0.model.layer_|12|/dense_1/kernel.v2beta.12345.7",
      "0.model.layer_12/dense_|1|/kernel.v2beta.12345.7", "0.model.layer_12/dense_1/kernel.v2beta.12345.|7|",
    ]
    #expect(LayerNumber.all(in: name).map(described) == expected)
    // A name has as many numbers as whoever made it likes: four are enough.
    #expect(LayerNumber.all(in: (0..<1000).map(String.init).joined(separator: ".")).count == 4)
    #expect(LayerNumber.all(in: "").isEmpty && LayerNumber.all(in: "weight").isEmpty)
  }

  @Test func theFirstNumberThatHasAFellowIsTheLayers() {
    let names = ["0.layer.0.fc1.w", "0.layer.0.fc2.w", "0.layer.1.fc1.w", "0.layer.1.fc2.w", "2.out.w"]
    let expected = ["0.layer.|0|.fc1.w", "0.layer.|0|.fc2.w", "0.layer.|1|.fc1.w", "0.layer.|1|.fc2.w", nil]
    #expect(LayerNumber.distinguishing(names).map(described) == expected)
    #expect(LayerNumber.distinguishing(["layer.0.w", "embeddings"]) == [nil, nil])
  }

  @Test func numbersAnywhere() {
    let found = LayerNumber.all(in: "v2beta.layer_012x.3", .anywhere)
    #expect(found.map(\.number) == [2, 12, 3] && found.map(\.isPlain) == [true, false, true])
    #expect(found.map(\.digits) == ["2", "012", "3"])
    #expect(LayerNumber.all(in: "1.2.3", .anywhere, maximum: 2).count == 2)
  }

  @Test func stacksAreOfSeveralLayers() {
    let names = ["b.0.w", "b.1.w", "b.1.c", "a.0.w", "a.1.w", "pooler", "single.0.x"]
    let stacks = LayerStack.all(in: names)
    #expect(stacks.map(\.prefix) == ["a.", "b."] && stacks.map(\.layers) == [[0, 1], [0, 1]])
    #expect(stacks[1].members.map(\.index) == [0, 1])
  }
}
