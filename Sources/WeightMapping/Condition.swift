import ModelFamilies
import TensorIO

/// What a source says beside its tensors: the values of the checkpoint itself, and a config.
struct SourceValues {
  private let own: [String: String]
  private let config: JSON?

  init(_ metadata: [(key: String, value: String)], config: JSON?) {
    var own = Dictionary(metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    // Keras says there how each layer was made.
    if let text = own[Self.modelConfigKey], let json = try? JSON.parse(text) {
      Self.collect(json, Self.modelConfigKey, into: &own)
    }
    self.own = own
    self.config = config
  }

  private static let modelConfigKey = "model_config"

  /// The words and numbers in a JSON value, each by its path.
  private static func collect(_ json: JSON, _ path: String, into values: inout [String: String]) {
    if let members = json.members {
      for member in members { collect(member.value, path + "." + member.key, into: &values) }
    } else if let elements = json.elements {
      for (index, element) in elements.enumerated() { collect(element, "\(path).\(index)", into: &values) }
    } else if json != .null {
      values[path] = json.stringValue ?? json.text()
    }
  }

  /// The checkpoint's own value; Python's `None` counts as absent.
  func ownValue(_ key: String) -> String? {
    guard let value = own[key], value != "None" else { return nil }
    return value
  }

  /// The checkpoint's own value of that name, or where it has none the one that all objects in it have who have one.
  func ownValue(anywhere key: String) -> (name: String, value: String)? {
    if let value = ownValue(key) { return (key, value) }
    let inside = own.filter { $0.key.hasSuffix("." + key) && $0.value != "None" }
    guard let first = inside.min(by: { $0.key < $1.key }), inside.values.allSatisfy({ $0 == first.value }) else {
      return nil
    }
    return (first.key, first.value)
  }

  func configValue(_ key: String) -> String? {
    guard let value = config?[key], value != .null else { return nil }
    return value.stringValue ?? value.text()
  }

  /// The checkpoint's own value, else what the config says.
  func value(_ key: String) -> String? { ownValue(key) ?? configValue(key) }

  /// Whether two values are the same: `1` and `1.0` are.
  static func isSame(_ a: String, _ b: String) -> Bool {
    if a == b { return true }
    guard let x = Double(a), let y = Double(b) else { return false }
    return x == y
  }
}

/// A value beside the tensors that a dialect asks for.
struct Condition: Sendable, Equatable {
  let key: String
  let values: [String]
  /// Whether a source without the value will do.
  let allowsAbsence: Bool

  func holds(_ source: SourceValues) -> Bool {
    guard let value = source.value(key) else { return allowsAbsence }
    return values.contains { SourceValues.isSame($0, value) }
  }
}

extension Dialect {
  func isAllowed(by source: SourceValues) -> Bool { unmetCount(source) == 0 }

  /// How many of the conditions do not hold.
  func unmetCount(_ source: SourceValues) -> Int { conditions.count { !$0.holds(source) } }
}

extension MappingTable {
  /// What stands against reading a source in `dialect`.
  func objections(to dialect: Dialect, _ source: SourceValues) -> [MappingConflict] {
    dialect.conditions.compactMap { condition in
      objection(to: condition, source).map { MappingConflict(.condition(key: condition.key), $0) }
    }
  }

  private func objection(to condition: Condition, _ source: SourceValues) -> String? {
    let key = condition.key
    // A config may tell what the checkpoint does not, but not something else.
    if let own = source.ownValue(key), let other = source.configValue(key), !SourceValues.isSame(own, other) {
      return "\(key) is \(own) in the checkpoint, but \(other) in the config"
    }
    guard !condition.holds(source) else { return nil }
    let known = dialects.flatMap(\.conditions).filter { $0.key == key }.flatMap(\.values)
    let list = Set(known).sorted { (Double($0) ?? 0, $0) < (Double($1) ?? 0, $1) }.joined(separator: ", ")
    guard let value = source.value(key) else {
      return
        "\(key) is not among the values of the checkpoint, and how its tensors lie hangs on it: \(list) are known; "
        + "a config that has the key tells it as well"
    }
    return "\(key) is \(value), of which it is not known how the tensors lie: known are \(list)"
  }
}
