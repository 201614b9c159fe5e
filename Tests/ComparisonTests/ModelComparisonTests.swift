import Comparison
import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing

@Suite struct ModelComparisonTests {
  /// The model that a conversion makes, as a source.
  private func model(_ source: MemorySource) throws -> MemorySource {
    let names = try plan(source).names
    var model = MemorySource()
    let origin = transformersTensors()
    for name in names { if let index = origin.index(ofTensor: name) { model.add(name, origin.tensors[index].shape) } }
    return model
  }

  @Test func aModelIsEqualToItsSource() throws {
    let source = transformersTensors()
    #expect(try ModelComparison.compare(plan(source), from: source, with: model(source)).differences.isEmpty)
  }

  @Test func differencesAreNamed() throws {
    let source = transformersTensors()
    var other = try model(source)
    other.remove("bert.pooler.dense.weight")
    other.add("bert.pooler.dense.weight", [Size.hidden, Size.hidden], seed: "another")
    other.remove("bert.pooler.dense.bias")
    other.add("stray", [1])
    other.remove("cls.predictions.bias")
    other.add("cls.predictions.bias", [3])
    let differences = try ModelComparison.compare(plan(source), from: source, with: other).differences
    let names = ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "cls.predictions.bias", "stray"]
    #expect(differences.map(\.name) == names)
    #expect(differences[0].problem.contains("of 36 values differ, the first at [0, 0]"))
    #expect(differences[1].problem == "not in the model")
    #expect(differences[2].problem == "F32 [3] in the model, F32 [11] from the source")
  }
}
