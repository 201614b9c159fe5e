import ModelFamilies
import TensorIO

/// The sizes that the symbols of a table's shapes stand for, as most of the weights have them.
struct Dimensions {
  private(set) var values: [String: Int] = [:]
  /// A tensor of the source that has the size.
  private(set) var witness: [String: Int] = [:]

  /// Lets every shape vote: one wrong tensor then has the wrong shape, and not all the others.
  init(_ assignments: Assignments) {
    var votes: [String: [(value: Int, count: Int, witness: Int)]] = [:]
    for key in assignments.keys {
      guard let assignment = assignments.byTarget[key],
        let found = assignment.sourceShape == nil
          ? assignments.foundShape(assignment) : assignments.tensors[assignment.sources[0]].shape
      else { continue }
      let shape = assignment.sourceShape ?? assignments.table.shape(key, layers: assignments.layers)
      guard shape.count == found.count else { continue }
      for (dimension, size) in zip(shape, found) {
        guard case .symbol(let name, let times) = dimension, size % times == 0 else { continue }
        let value = size / times
        if let index = votes[name]?.firstIndex(where: { $0.value == value }) {
          votes[name]?[index].count += 1
        } else {
          votes[name, default: []].append((value, 1, assignment.sources[0]))
        }
      }
    }
    for (name, candidates) in votes {
      // Among equals the first in forward order wins: `max` would take the last.
      guard var best = candidates.first else { continue }
      for candidate in candidates.dropFirst() where candidate.count > best.count { best = candidate }
      values[name] = best.value
      witness[name] = best.witness
    }
  }

  mutating func set(_ name: String, _ value: Int) { values[name] = value }
}
