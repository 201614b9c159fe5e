import TensorIO

/// The config of `transformers` that a pickle holds next to its tensors, or that the whole module in it keeps:
///
///     torch.save(model)                                        model.config, an object of RobertaConfig
///     torch.save({"config": config.to_dict(), "state_dict": …})
///
/// Source: transformers configuration_utils.py. The class has the model type, the object only the values; what a module is
/// of counts more than the `architectures` of the config, which may be those of the model that it was made from.
struct PickledConfig {
  private let machine: PickleMachine
  /// Values that are still allowed: one value can be that of a million keys.
  private var remaining = 10_000

  private static let maxDepth = 6

  /// `nil` where there is none.
  static func find(in root: PickleValue, _ machine: PickleMachine) -> JSON? {
    var reader = PickledConfig(machine: machine)
    // The module itself, or one that a checkpoint has as its model.
    for holder in [root] + ["model", "module"].compactMap({ reader.member($0, of: root) }) {
      guard let value = reader.member("config", of: holder), let config = reader.config(value, of: holder) else {
        continue
      }
      return config
    }
    return nil
  }

  private init(machine: PickleMachine) { self.machine = machine }

  private mutating func config(_ value: PickleValue, of holder: PickleValue) -> JSON? {
    let type = machine.object(value).flatMap { machine.globalName($0.type) }
    let ownType = type.flatMap(Self.modelType)
    guard let dict = dict(of: value), case .object(let members) = json(dict, depth: 0) else { return nil }
    var config = JSON.object(members)
    if config["model_type"]?.stringValue == nil {
      guard let ownType else { return nil }
      config.set("model_type", .string(ownType))
    }
    if let type = machine.object(holder).flatMap({ machine.globalName($0.type) }), type.hasPrefix("transformers."),
      let name = type.split(separator: ".").last
    {
      config.set("architectures", .strings([String(name)]))
    }
    return config
  }

  /// `xlm-roberta` of `transformers.models.xlm_roberta.configuration_xlm_roberta.XLMRobertaConfig`, and of
  /// `transformers.configuration_xlm_roberta.XLMRobertaConfig`, as it was before version 4.
  private static func modelType(ofClass name: String) -> String? {
    let parts = name.split(separator: ".")
    guard parts.count >= 3, parts[0] == "transformers", parts[parts.count - 2].hasPrefix("configuration_") else {
      return nil
    }
    let type = parts[parts.count - 2].dropFirst("configuration_".count)
    return type == "openai" ? "openai-gpt" : String(type.map { $0 == "_" ? "-" : $0 })
  }

  /// The value under a key of a dict, or an attribute of an object.
  private func member(_ name: String, of value: PickleValue) -> PickleValue? {
    dict(of: value).flatMap { machine.value(name, in: $0) }
  }

  private func dict(of value: PickleValue) -> PickleValue? {
    if machine.dict(value) != nil { return value }
    guard let object = machine.object(value) else { return nil }
    if machine.dict(object.state) != nil { return object.state }
    return machine.tuple(object.state).flatMap { machine.elements(of: $0).first { machine.dict($0) != nil } }
  }

  /// The value, without what JSON has no form for; `nil` for that, and beyond the limits.
  private mutating func json(_ value: PickleValue, depth: Int) -> JSON? {
    remaining -= 1
    guard remaining >= 0, depth <= Self.maxDepth else { return nil }
    switch value {
    case .none: return .null
    case .bool(let flag): return .bool(flag)
    case .int(let number): return .int(number)
    case .float(let number): return .double(number)
    case .node: break
    }
    if let text = machine.text(value) { return .string(text) }
    if let pairs = machine.dict(value) {
      var members: [JSON.Member] = []
      for index in stride(from: 0, to: pairs.count - 1, by: 2) {
        // Labels have numbers as keys. What begins with an underscore is not a setting.
        guard let key = machine.text(pairs[index]) ?? machine.integer(pairs[index]).map(String.init),
          !key.hasPrefix("_"), let json = json(pairs[index + 1], depth: depth + 1)
        else { continue }
        if let known = members.firstIndex(where: { $0.key == key }) {
          members[known].value = json
        } else {
          members.append(.init(key, json))
        }
      }
      return .object(members)
    }
    guard let items = machine.sequence(value) else { return nil }
    var elements: [JSON] = []
    for item in items {
      guard let json = json(item, depth: depth + 1) else { return nil }
      elements.append(json)
    }
    return .array(elements)
  }
}
