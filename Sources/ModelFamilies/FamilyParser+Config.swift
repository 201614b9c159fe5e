import TensorIO

extension FamilyParser {
  private static let keyFields = [
    "like", "as", "infer", "padded", "of", "head_size", "names", "default", "absent", "quiet", "required", "values",
    "least", "below",
  ]

  /// The keys of the canonical config, in their order.
  func parseConfig(_ value: YAMLValue) throws(FormatError) -> [ConfigKey] {
    var keys: [ConfigKey] = []
    var names: Set<String> = []
    for (name, entry) in try configEntries(value) {
      let key = try parseKey(name, try fieldsOfKey(name, entry), entry)
      for known in [name] + key.otherNames where !names.insert(known).inserted {
        throw entry.fail("the config key '\(known)' is there twice")
      }
      keys.append(key)
    }
    for key in keys {
      if case .heads(let size, _) = key.inference, !keys.contains(where: { $0.name == size && $0.isDimension }) {
        throw value.fail("'\(key.name)' is inferred from '\(size)', which is no dimension")
      }
    }
    return keys
  }

  /// The keys of the family. With `take: LIST` they are those of a shared list, each as the family has it where it has it,
  /// and then the family's others.
  private func configEntries(_ value: YAMLValue) throws(FormatError) -> [(key: String, value: YAMLValue)] {
    var own = try value.map("config")
    guard let index = own.firstIndex(where: { $0.key == "take" }) else { return own }
    let take = own.remove(at: index).value
    let name = try take.string("take")
    guard let names = shared.configLists[name] else {
      throw take.fail(
        "unknown list of config keys '\(name)'", expected: shared.configLists.keys.sorted().joined(separator: ", "))
    }
    let plain = YAMLValue(content: .scalar("", isPlain: true), line: take.line, file: take.file)
    let taken = names.map { name in own.first { $0.key == name } ?? (name, plain) }
    return taken + own.filter { !names.contains($0.key) }
  }

  /// The fields of a key: its own over those of the shared key that it is `like`; without any, of the one of its name.
  private func fieldsOfKey(_ name: String, _ entry: YAMLValue) throws(FormatError) -> [String: YAMLValue] {
    let own = entry.isNull ? [:] : try entry.fields("config key '\(name)'", Self.keyFields)
    guard entry.isNull || own["like"] != nil else { return own }
    let model = try own["like"]?.string("like") ?? name
    guard let definition = shared.configKeys[model] else {
      let advice = nearestName(to: model, among: shared.configKeys.keys.sorted())
        .map { FormatError.Advice.didYouMean($0) }
      throw entry.fail("no shared config key is called '\(model)'", advice: advice)
    }
    return try definition.fields("config key '\(model)'", Self.keyFields).merging(own) { $1 }
  }

  private func parseKey(
    _ name: String, _ fields: [String: YAMLValue], _ entry: YAMLValue
  ) throws(FormatError) -> ConfigKey {
    let inference: ConfigKey.Inference
    switch try fields["infer"]?.string("infer") {
    case nil, "none": inference = .nothing
    case "dimension": inference = .dimension(padded: try fields["padded"]?.bool("padded") ?? false)
    case "layers": inference = .layers
    case "heads":
      inference = .heads(
        of: try entry.require("of", in: fields).string("of"),
        headSize: max(1, try entry.require("head_size", in: fields).int("head_size")))
    case "groups": inference = .groups(try entry.require("of", in: fields).strings("of"))
    case let other?:
      throw entry.fail("unknown inference '\(other)'", expected: "dimension, layers, heads, groups or none")
    }
    var key = ConfigKey(
      name: name, otherNames: try fields["names"]?.strings("names") ?? [],
      setting: try fields["as"].map { value throws(FormatError) in try value.choice("setting") }
        ?? ConfigSetting(rawValue: name),
      inference: inference, defaultValue: try fields["default"]?.json("default"),
      absentValue: try fields["absent"]?.json("absent"), isQuiet: try fields["quiet"]?.bool("quiet") ?? false,
      isRequired: try fields["required"]?.bool("required") ?? false)
    try addLimits(&key, fields, entry)
    return key
  }

  /// What the values of a key with a default may be.
  private func addLimits(
    _ key: inout ConfigKey, _ fields: [String: YAMLValue], _ entry: YAMLValue
  ) throws(FormatError) {
    if let values = fields["values"] { key.words = try wordList(values) }
    key.minimum = try fields["least"]?.number("least")
    key.upperBound = try fields["below"]?.number("below")
    if fields["values"] != nil, key.defaultValue?.stringValue == nil {
      throw entry.fail("'values' are for a key whose default is a word")
    }
    if key.minimum ?? key.upperBound != nil, key.defaultValue?.doubleValue == nil {
      throw entry.fail("'least' and 'below' are for a key whose default is a number")
    }
    if let value = key.defaultValue, let limits = key.limits(against: value) {
      throw entry.fail("the default of '\(key.name)' is \(value.text()), not \(limits)")
    }
  }

  /// The words themselves, or the name of a shared list of them.
  private func wordList(_ value: YAMLValue) throws(FormatError) -> [String] {
    guard case .scalar = value.content else { return try value.strings("values") }
    let name = try value.string("values")
    guard let words = shared.words[name] else {
      throw value.fail(
        "no shared list of words is called '\(name)'", expected: shared.words.keys.sorted().joined(separator: ", "))
    }
    return words
  }

  /// Keys, and names of shared lists of keys.
  func parseLeftOutKeys(_ value: YAMLValue?) throws(FormatError) -> Set<String> {
    var keys: Set<String> = []
    for name in try value?.strings("config_leaves_out") ?? [] { keys.formUnion(shared.leftOutKeys[name] ?? [name]) }
    return keys
  }
}
