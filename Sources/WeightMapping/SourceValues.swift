import TensorIO

/// The values next to a source's tensors: those of the checkpoint itself, and those of a config.
struct SourceValues {
  private let own: [String: String]
  private let config: JSON?

  init(_ metadata: [(key: String, value: String)], config: JSON?) {
    var own = Dictionary(metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    // Keras records there how each layer was made.
    if let text = own[Self.modelConfigKey], let json = try? JSON.parse(text) {
      Self.collect(json, Self.modelConfigKey, into: &own)
      if own["class_name"] == nil, let name = json["class_name"]?.stringValue { own["class_name"] = name }
    }
    // A config that Keras wrote has the arguments of the class inside.
    if config?["class_name"]?.stringValue != nil, let inner = config?["config"] {
      Self.collect(inner, "config", into: &own)
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

  /// The checkpoint's own value, else that of the config.
  func value(_ key: String) -> String? { ownValue(key) ?? configValue(key) }

  /// Whether two values are the same: `1` and `1.0` are.
  static func isSame(_ a: String, _ b: String) -> Bool {
    if a == b { return true }
    guard let x = Double(a), let y = Double(b) else { return false }
    return x == y
  }
}
