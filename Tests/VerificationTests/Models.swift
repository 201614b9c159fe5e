import Encoder
import NativeFormat
import TensorIO
import TestSupport

@testable import Verification

/// A small BERT with random weights, its inputs, and fixtures of its own outputs.
struct SmallModel {
  static let layers = 3
  static let hidden = 12
  private static let bert: TinyBERT = {
    var bert = TinyBERT()
    (bert.vocabulary, bert.hidden, bert.layers, bert.intermediate, bert.positions) = (23, hidden, layers, 20, 11)
    return bert
  }()

  let config = bert.config
  private var weights = bert.randomWeights()

  /// Adds `amount` to numbers of a tensor: all, or those of `rows`.
  mutating func bend(_ name: String, by amount: Float = 0.2, rows: Set<Int>? = nil) {
    let width =
      weights.index(ofTensor: name).map { weights.tensors[$0].elementCount / weights.tensors[$0].shape[0] } ?? 1
    weights.changeFloats(name) { values in
      for index in values.indices where rows?.contains(index / width) ?? true {
        // Not all by the same, or a layer normalization would take it out again.
        values[index] += amount * Float(1 + index % 3)
      }
    }
  }

  func open(_ folder: TemporaryFolder, _ name: String = "model.safetensors") throws -> NativeModel {
    try NativeModel.open(try weights.writeSafetensors(to: folder, name))
  }

  static let batch = 3
  static let sequence = 7
  static let mask = [1, 1, 1, 1, 1, 1, 1] + [1, 1, 1, 0, 0, 0, 0] + [0, 1, 1, 0, 1, 0, 1]
  static let ids = (0..<21).map { 2 + ($0 * 5) % 19 }
  static let types = (0..<21).map { $0 % 7 > 2 ? 1 : 0 }

  /// A fixture of this model's own outputs: all, or those named.
  func fixture(_ folder: TemporaryFolder, outputs: Set<String>? = nil) throws -> MemorySource {
    let encoder = try Encoder(open(folder, "reference.safetensors"), config: config)
    var source = MemorySource(path: "fixture.npz")
    let shape = [Self.batch, Self.sequence]
    source.add("input_ids", shape, integers: Self.ids)
    source.add("attention_mask", shape, integers: Self.mask)
    source.add("token_type_ids", shape, integers: Self.types)
    for output in try encoder.run(EncoderInput(source), outputs: outputs ?? Set(encoder.availableOutputs)) {
      source.add(output.name, output.shape, floats: output.values)
    }
    return source
  }

  func verify(
    _ source: MemorySource, _ folder: TemporaryFolder, tolerance: Double = 1e-4, precision: Precision = .f32
  ) throws -> VerificationReport {
    try Verifier.verify(
      open(folder), config: config, fixture: Fixture(source), tolerance: tolerance, threads: 1, precision: precision)
  }
}
