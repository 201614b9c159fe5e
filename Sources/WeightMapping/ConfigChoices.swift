import ModelFamilies
import TensorIO

/// The config's values that no tensor gives: words, switches, and numbers with a default.
extension ConfigBuilder {
  mutating func addChoice(_ key: ConfigKey, _ given: SourceConfig.Value?) {
    if let given {
      addGivenChoice(key, given)
    } else if key.isRequired {
      conflict(
        .missingValue(key: key.name),
        "no shape gives \(key.name), and \(source.absence): the model cannot be computed without it")
    } else if let (value, program) = programDefault(of: key) {
      config.set(key.name, value)
      noteVariation(key, value)
      guard !key.isQuiet else { return }
      note(
        .programDefault(key: key.name),
        "\(source.json == nil ? "no config gives \(key.name)" : "\(key.name) is not in \(source.name)"): "
          + "using \(value.stringValue ?? value.text()), the default of \(program)")
    } else if let value = assignments.dialect.content.defaults[key.name] ?? key.defaultValue {
      config.set(key.name, value)
      noteVariation(key, value)
      guard !key.isQuiet else { return }
      let cause = source.json == nil ? "no shape gives \(key.name)" : "\(key.name) is not in \(source.name)"
      note(.assumed(key: key.name), "\(cause): assumed \(value.stringValue ?? value.text())")
    }
  }

  /// What the program of origin computes where a config lacks the key; `nil` where that is not known.
  private func programDefault(of key: ConfigKey) -> (value: JSON, program: String)? {
    if let value = assignments.dialect.content.fixed[key.name] { return (value, assignments.dialect.name) }
    guard source.json != nil else { return nil }
    if let value = assignments.dialect.content.defaults[key.name] { return (value, assignments.dialect.name) }
    // Only transformers writes a model_type.
    guard table.model.isOf(modelType: source.modelType), let value = key.absentValue ?? key.defaultValue else {
      return nil
    }
    return (value, "transformers")
  }

  private mutating func addGivenChoice(_ key: ConfigKey, _ given: SourceConfig.Value) {
    if let kind = key.expectedKind(insteadOf: given.json) {
      conflict(.value(key: key.name), "\(given.sentence), not \(kind)")
    } else if let limits = key.limits(against: given.json) {
      conflict(.value(key: key.name), "\(given.sentence), not \(limits)")
    }
    guard let word = given.json.stringValue, let meaning = dialectMeaning(of: word, key, given) else {
      config.set(key.name, given.json)
      if !given.wasObserved { noteVariation(key, given.json) }
      return
    }
    config.set(key.name, .string(meaning))
    note(
      .reworded(key: key.name),
      "\(given.name) '\(word)' of \(given.origin) is what others call '\(meaning)' in \(assignments.dialect.name)")
  }

  /// What the dialect's program means by a word of its config, where that is another word.
  private func dialectMeaning(of word: String, _ key: ConfigKey, _ value: SourceConfig.Value) -> String? {
    value.isCanonical ? nil : assignments.dialect.content.meanings[key.name]?[word]
  }

  func meaning(of word: String, _ key: ConfigKey, _ value: SourceConfig.Value) -> String {
    dialectMeaning(of: word, key, value) ?? word
  }

  /// A word that has meant two things in the dialect's program.
  private mutating func noteVariation(_ key: ConfigKey, _ value: JSON) {
    guard let word = value.stringValue, let meanings = assignments.dialect.content.variations[key.name]?[word] else {
      return
    }
    note(.twoMeanings(key: key.name), "\(key.name) '\(word)' is \(meanings)")
  }
}

extension ConfigKey {
  /// What kind of value the key has, where `value` is of another kind.
  fileprivate func expectedKind(insteadOf value: JSON) -> String? {
    switch defaultValue {
    case .number: value.doubleValue == nil ? "a number" : nil
    case .string: value.stringValue == nil ? "a word" : nil
    case .bool: value.boolValue == nil ? "true or false" : nil
    case nil where isRequired: value.intValue.map { $0 > 0 } == true ? nil : "a number"
    default: nil
    }
  }
}
