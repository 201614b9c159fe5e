import ModelFamilies
import TensorIO

/// The sizes of the symbols of a table's shapes, as most of the weights have them.
struct Dimensions {
  private(set) var values: [String: Int] = [:]
  /// A tensor of the source that has the size.
  private(set) var witness: [String: Int] = [:]

  /// Lets every shape vote: one wrong tensor then has the wrong shape, and not all the others.
  init(_ assignments: Assignments) {
    // For each symbol and value how many have it, and the first of them: a file may have another size in every tensor.
    var votes: [String: [Int: (count: Int, order: Int, witness: Int)]] = [:]
    var order = 0
    for key in assignments.keys {
      guard let assignment = assignments.byTarget[key],
        let found = assignment.sourceShape == nil
          ? assignments.foundShape(assignment) : assignments.tensors[assignment.sources[0]].shape
      else { continue }
      let shape = assignment.sourceShape ?? assignments.table.shape(key, layers: assignments.layers)
      guard shape.count == found.count else { continue }
      for (dimension, size) in zip(shape, found) {
        guard case .symbol(let name, let times) = dimension, size % times == 0 else { continue }
        votes[name, default: [:]][size / times, default: (0, order, assignment.sources[0])].count += 1
        order += 1
      }
    }
    for (name, candidates) in votes {
      // Among equals the first in forward order wins.
      let best = candidates.max { ($0.value.count, -$0.value.order) < ($1.value.count, -$1.value.order) }
      values[name] = best?.key
      witness[name] = best?.value.witness
    }
  }

  mutating func set(_ name: String, _ value: Int) { values[name] = value }
}
