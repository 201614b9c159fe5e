import TensorIO
import Testing

@Suite("Where a layer's number stands")
struct LayerPlaceTests {
  private func described(_ place: LayerPlace?) -> String? {
    place.map { "\($0.prefix)|\($0.layer)|\($0.suffix)" }
  }

  @Test func numbersAreWholePartsOrTheEndsOfParts() {
    let name = "0.model.layer_12/dense_1/kernel.v2beta.12345.7"
    let expected = [
      "|0|.model.layer_12/dense_1/kernel.v2beta.12345.7", "0.model.layer_|12|/dense_1/kernel.v2beta.12345.7",
      "0.model.layer_12/dense_|1|/kernel.v2beta.12345.7", "0.model.layer_12/dense_1/kernel.v2beta.12345.|7|",
    ]
    #expect(LayerPlace.numbers(name).map(described) == expected)
    // A name has as many numbers as whoever made it likes: four are enough.
    #expect(LayerPlace.numbers((0..<1000).map(String.init).joined(separator: ".")).count == 4)
    #expect(LayerPlace.numbers("").isEmpty && LayerPlace.numbers("weight").isEmpty)
  }

  @Test func theFirstNumberThatHasAFellowIsTheLayers() {
    let names = ["0.layer.0.fc1.w", "0.layer.0.fc2.w", "0.layer.1.fc1.w", "0.layer.1.fc2.w", "2.out.w"]
    let expected = ["0.layer.|0|.fc1.w", "0.layer.|0|.fc2.w", "0.layer.|1|.fc1.w", "0.layer.|1|.fc2.w", nil]
    #expect(LayerPlace.all(in: names).map(described) == expected)
    #expect(LayerPlace.all(in: ["layer.0.w", "embeddings"]) == [nil, nil])
  }
}
