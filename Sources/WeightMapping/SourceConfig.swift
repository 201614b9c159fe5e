import ModelFamilies
import TensorIO

/// What gives the config of a source: a config file, and the values that lie next to the tensors in the checkpoint.
struct SourceConfig {
  /// A value that was found for a key.
  struct Value {
    /// The name under which it was found.
    let name: String
    let json: JSON
    /// The file, or the checkpoint, that contains it.
    let origin: String
    /// Whether it is an ``ObservedSetting``.
    var wasObserved = false
    /// Whether it is in the words of `transformers` whatever the dialect.
    var isCanonical = false

    var text: String { json.text() }
    /// A subject for a sentence: "hidden_size of config.json is 768".
    var sentence: String { "\(name) of \(origin) is \(text)" }
  }

  let json: JSON?
  /// What the config is called in sentences.
  let name: String
  let values: SourceValues
  /// What the checkpoint shows of the model's settings besides.
  var observed: [ObservedSetting] = []
  /// Whether the user has chosen the family of the model, whatever the config gives.
  var isFamilyChosen = false

  /// What the config has for a key, under any of its names; `null` counts as absent.
  func value(of key: ConfigKey) -> Value? {
    for name in [key.name] + key.otherNames {
      if let value = json?[name], value != .null { return Value(name: name, json: value, origin: self.name) }
    }
    return nil
  }

  /// What the checkpoint itself has for a key, where the dialect gives its name.
  func checkpointValue(of key: ConfigKey, in dialect: Dialect) -> Value? {
    guard let wanted = dialect.content.configValues[key.name], let (name, text) = values.ownValue(anywhere: wanted)
    else {
      return nil
    }
    let number = (try? JSON.parse(text)).flatMap { $0.doubleValue == nil ? nil : $0 }
    return Value(name: name, json: number ?? .string(text), origin: "the checkpoint")
  }

  var modelType: String? { json?[.modelType]?.stringValue }
  var architectures: [String] { json?[.architectures]?.elements?.compactMap(\.stringValue) ?? [] }

  /// The class that the config names where it has no `model_type` and none of its classes is named like those of
  /// `families`: BigBird's tensors have BERT's names.
  func foreignClass(_ families: [FamilyIdentity]) -> String? {
    guard modelType == nil, !isFamilyChosen else { return nil }
    let names = architectures
    guard names.allSatisfy({ FamilyIdentity.beginning(ofClass: $0) != nil }),
      !names.contains(where: { name in families.contains { $0.isNamedLike(name) } })
    else { return nil }
    return names.first
  }

  /// What KerasHub calls the model, as `transformers` does at the beginning of its classes: `DistilBert`, where Keras has
  /// recorded the class `DistilBertTextClassifier`.
  var kerasModel: String? {
    guard let name = values.value("class_name"),
      let ending = ["Backbone", "TextClassifier", "Classifier", "MaskedLM"].first(where: name.hasSuffix)
    else { return nil }
    return String(name.dropLast(ending.count))
  }

  /// Why it has no value for a key.
  var absence: String { json == nil ? "no config was given" : "\(name) has none" }
}
