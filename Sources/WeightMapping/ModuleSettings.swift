import ModelFamilies
import TensorIO

/// The settings that the attributes of a pickled module show: those of attention, of layer normalization and of the
/// functions between two matrices, as the modules of `transformers` and of its ancestors keep them.
///
/// An attribute counts only where all modules that have it agree, and a function only where its name is known.
struct ModuleSettings {
  private let values: [(path: [Substring], value: String)]

  init(_ metadata: [(key: String, value: String)]) {
    values = metadata.compactMap { key, value in
      let path = key.split(separator: ".")
      return path.count > 1 ? (path, value) : nil
    }
  }

  private static let origin = "the attributes of the pickled module"

  var observed: [ObservedSetting] {
    guard !values.isEmpty else { return [] }
    let names = SharedDefinitions.settingNames(of: .torch)
    var result: [ObservedSetting] = []
    if let heads = agreed(values(named: names[.headCount])), let count = Int(heads), count > 0 {
      let size = agreed(values(named: names.attentionSize)).flatMap { Int($0) }
      result.append(ObservedSetting(.headCount, .int(count), size: size, origin: Self.origin))
    }
    if let epsilon = agreed(values.filter { isEpsilon($0.path, names) }.map(\.value)),
      let number = try? JSON.parse(epsilon),
      let value = number.doubleValue, value > 0, value < 1
    {
      result.append(ObservedSetting(.layerNormEpsilon, number, origin: Self.origin))
    }
    if let word = activation(names[.activation]) {
      result.append(ObservedSetting(.activation, .string(word), origin: Self.origin))
    }
    return result
  }

  private func agreed(_ values: [String]) -> String? {
    guard let first = values.first, values.allSatisfy({ SourceValues.isSame($0, first) }) else { return nil }
    return first
  }

  private func values(named names: [String]) -> [String] {
    values.filter { isNamed($0.path, names) }.map(\.value)
  }

  private func isNamed(_ path: [Substring], _ names: [String]) -> Bool {
    path.last.map { name in names.contains { $0 == name } } == true
  }

  /// The epsilon of a config, or that of a module that its name shows to be a layer normalization.
  private func isEpsilon(_ path: [Substring], _ names: SettingNames) -> Bool {
    if isNamed(path, names[.layerNormEpsilon]) { return true }
    guard isNamed(path, names.normEpsilon), path.count > 1 else { return false }
    let module = path[path.count - 2].lowercased()
    return module.contains("norm") && !module.contains("batch")
  }

  private func activation(_ names: [String]) -> String? {
    let words = values.filter { isNamed($0.path, names) }.map { word(of: $0.value, $0.path) }
    guard let first = words.first, let word = first, words.allSatisfy({ $0 == word }) else { return nil }
    return word
  }

  /// The word of `transformers` for a function by its name, `nil` for one that is not known.
  private func word(of name: String, _ path: [Substring]) -> String? {
    guard name.contains(".") else {
      return SharedDefinitions.activations.contains { $0.word == name } ? name : nil
    }
    // A class of torch with an attribute that selects the form.
    if let form = values.first(where: { $0.path == path + ["approximate"] })?.value, form != "none" {
      return SharedDefinitions.activation(named: "\(name)(approximate=\(form))", in: .torch)
    }
    return SharedDefinitions.activation(named: name, in: .torch)
  }
}
