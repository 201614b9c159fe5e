import ModelFamilies
import TensorIO

/// A value next to the tensors that a dialect requires.
struct Condition: Sendable, Equatable {
  let key: String
  let values: [String]
  /// Whether a source without the value is allowed.
  let allowsAbsence: Bool

  func holds(_ source: SourceValues) -> Bool {
    guard let value = source.value(key) else { return allowsAbsence }
    return values.contains { SourceValues.isSame($0, value) }
  }
}

extension DialectNames {
  func isAllowed(by source: SourceValues) -> Bool { unmetCount(source) == 0 }

  /// How many of the conditions do not hold.
  func unmetCount(_ source: SourceValues) -> Int { conditions.count { !$0.holds(source) } }
}

extension MappingTable {
  /// The reasons against reading a source in `dialect`.
  func conflicts(with dialect: Dialect, _ source: SourceValues) -> [MappingConflict] {
    dialect.names.conditions.compactMap { condition in
      conflict(with: condition, source).map { MappingConflict(.condition(key: condition.key), $0) }
    }
  }

  private func conflict(with condition: Condition, _ source: SourceValues) -> String? {
    let key = condition.key
    // A config may have what the checkpoint lacks, but not contradict it.
    if let own = source.ownValue(key), let other = source.configValue(key), !SourceValues.isSame(own, other) {
      return "\(key) is \(own) in the checkpoint, but \(other) in the config"
    }
    guard !condition.holds(source) else { return nil }
    let known = dialects.flatMap(\.names.conditions).filter { $0.key == key }.flatMap(\.values)
    let list = Set(known).sorted { (Double($0) ?? 0, $0) < (Double($1) ?? 0, $1) }.joined(separator: ", ")
    guard let value = source.value(key) else {
      return
        "\(key) is not among the values of the checkpoint, and the layout of its tensors depends on it: \(list) are known; "
        + "a config with this key works too"
    }
    return "\(key) is \(value), for which the layout of the tensors is unknown; known are \(list)"
  }
}
