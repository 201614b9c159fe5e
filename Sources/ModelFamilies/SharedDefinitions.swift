import TensorIO

/// What several families share, from `shared.yaml`: words, config keys, lists of tensors.
package struct SharedDefinitions: Sendable {
  /// A word of the activation setting; `function` is `nil` where the encoder does not compute it.
  package struct ActivationWord: Sendable {
    package let word: String
    package let function: Activation?
  }

  /// Lists of words that a config key may take, by name.
  let words: [String: [String]]
  /// Config keys by name.
  let configKeys: [String: YAMLValue]
  /// Lists of names of config keys that families take together, by name.
  let configLists: [String: [String]]
  /// Lists of config keys that do not describe the model, by name.
  let leftOutKeys: [String: [String]]
  /// Lists of tensors by name.
  let tensorLists: [String: YAMLValue]
  let activations: [ActivationWord]
  private let activationNames: [ForeignProgram: [String: String]]
  private let settingNames: [ForeignProgram: SettingNames]

  package static let activations = (try? builtIn())?.activations ?? []

  /// The word of the activation setting for a function under the name that another program gives it; `nil` for a name that
  /// does not show which function it is.
  package static func activation(named name: String, in program: ForeignProgram) -> String? {
    (try? builtIn())?.activationNames[program]?[name]
  }

  /// The names of settings where another program keeps them.
  package static func settingNames(of program: ForeignProgram) -> SettingNames {
    (try? builtIn())?.settingNames[program] ?? SettingNames()
  }

  /// Those of the program itself, read once.
  static func builtIn() throws(FormatError) -> SharedDefinitions { try loaded.get() }

  private static let loaded = Result { () throws(FormatError) -> SharedDefinitions in
    try SharedDefinitions(try YAMLValue.parse(PackageResources.shared_yaml, file: "shared.yaml"))
  }

  init(_ root: YAMLValue) throws(FormatError) {
    let fields = try root.fields(
      "the shared definitions",
      [
        "activations", "activation_names", "setting_names", "config_keys", "config_lists", "config_leaves_out",
        "tensor_lists",
      ])
    var activations: [ActivationWord] = []
    for (word, value) in try fields["activations"]?.map("activations") ?? [] {
      guard !value.isNull else {
        activations.append(ActivationWord(word: word, function: nil))
        continue
      }
      activations.append(ActivationWord(word: word, function: try value.activation("the function of '\(word)'")))
    }
    self.activations = activations
    words = ["activations": activations.map(\.word)]
    activationNames = try Self.activationNames(fields["activation_names"], of: activations)
    settingNames = try Self.settingNames(fields["setting_names"])
    configKeys = Dictionary(
      try fields["config_keys"]?.map("config_keys").map { ($0.key, $0.value) } ?? [], uniquingKeysWith: { $1 })
    tensorLists = Dictionary(
      try fields["tensor_lists"]?.map("tensor_lists").map { ($0.key, $0.value) } ?? [], uniquingKeysWith: { $1 })
    configLists = try Self.lists(fields["config_lists"])
    leftOutKeys = try Self.lists(fields["config_leaves_out"])
  }

  private static func lists(_ value: YAMLValue?) throws(FormatError) -> [String: [String]] {
    var result: [String: [String]] = [:]
    for (name, list) in try value?.map("lists of names") ?? [] { result[name] = try list.strings(name) }
    return result
  }
}

extension YAMLValue {
  /// The name of a function that the encoder computes.
  func activation(_ what: String) throws(FormatError) -> Activation { try choice(what) }

  /// One of the raw values of an enumeration.
  func choice<Value: RawRepresentable & CaseIterable>(_ what: String) throws(FormatError) -> Value
  where Value.RawValue == String {
    let word = try string(what)
    guard let value = Value(rawValue: word) else {
      let known = Value.allCases.map(\.rawValue)
      let advice = nearestName(to: word, among: known).map { FormatError.Advice.didYouMean($0) }
      throw fail("unknown \(what) '\(word)'", expected: known.joined(separator: ", "), advice: advice)
    }
    return value
  }
}
