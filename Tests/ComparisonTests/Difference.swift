import ModelSupport
import TensorIO

@testable import Comparison

/// What differs between two checkpoints of the small model.
func difference(_ a: any TensorSource, _ b: any TensorSource, tolerance: Double = 0) throws -> ModelDifference {
  try ModelDifference.between(
    .init(a, name: "a", config: config), .init(b, name: "b", config: config), mapper: mapper(), tolerance: tolerance)
}
