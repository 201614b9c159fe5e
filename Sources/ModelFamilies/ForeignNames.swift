import TensorIO

/// Where settings are found that no config of `transformers` gives.
package enum ForeignProgram: String, Sendable, CaseIterable {
  /// Layers in a config of Keras.
  case keras
  /// Attributes of a pickled module.
  case torch
  /// Operators of a TensorFlow graph.
  case graph
}

/// The names under which a program keeps settings of the model.
package struct SettingNames: Sendable {
  fileprivate var names: [ConfigSetting: [String]] = [:]
  /// The features of one head.
  package fileprivate(set) var headSize: [String] = []
  /// The features of all heads together.
  package fileprivate(set) var attentionSize: [String] = []
  /// The epsilon of a normalization, where a layer normalization has it.
  package fileprivate(set) var normEpsilon: [String] = []

  package subscript(_ setting: ConfigSetting) -> [String] { names[setting] ?? [] }
}

extension SharedDefinitions {
  /// Words by the names of functions. The names of torch are those of a module and of what is in it, with a dot between.
  static func activationNames(
    _ value: YAMLValue?, of activations: [ActivationWord]
  ) throws(FormatError) -> [ForeignProgram: [String: String]] {
    let known = activations.map(\.word)
    var result: [ForeignProgram: [String: String]] = [:]
    for (program, names) in try programs(value, "activation_names") {
      for (name, entry) in try names.map("names of functions") {
        if case .map = entry.content {
          for (inner, word) in try entry.map("names of functions") {
            result[program, default: [:]]["\(name).\(inner)"] = try word.oneOf(known, "activation")
          }
        } else {
          result[program, default: [:]][name] = try entry.oneOf(known, "activation")
        }
      }
    }
    return result
  }

  static func settingNames(_ value: YAMLValue?) throws(FormatError) -> [ForeignProgram: SettingNames] {
    var result: [ForeignProgram: SettingNames] = [:]
    for (program, entry) in try programs(value, "setting_names") {
      var names = SettingNames()
      for (key, list) in try entry.map("names of settings") {
        let list = try list.strings(key)
        switch key {
        case "head_size": names.headSize = list
        case "attention_size": names.attentionSize = list
        case "norm_epsilon": names.normEpsilon = list
        default:
          guard let setting = ConfigSetting(rawValue: key) else { throw entry.fail("unknown setting '\(key)'") }
          names.names[setting] = list
        }
      }
      result[program] = names
    }
    return result
  }

  private static func programs(
    _ value: YAMLValue?, _ what: String
  ) throws(FormatError) -> [(program: ForeignProgram, value: YAMLValue)] {
    let fields = try value?.fields(what, ForeignProgram.allCases.map(\.rawValue)) ?? [:]
    return ForeignProgram.allCases.compactMap { program in fields[program.rawValue].map { (program, $0) } }
  }
}
