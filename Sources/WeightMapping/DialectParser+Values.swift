import ModelFamilies
import TensorIO

/// What a dialect has next to its rules: conditions on the source, values of the config, spellings.
extension DialectParser {
  func parseConditions(_ value: YAMLValue) throws(FormatError) -> [Condition] {
    var result: [Condition] = []
    for (key, entry) in try value.map("when") {
      var values: [String] = []
      var allowsAbsence = false
      for item in try entry.list("the values of '\(key)'") {
        if item.isNull { allowsAbsence = true } else { values.append(try item.string("a value of '\(key)'")) }
      }
      guard allowsAbsence || !values.isEmpty else { throw entry.fail("'\(key)' has no value that would do") }
      result.append(Condition(key: key, values: values, allowsAbsence: allowsAbsence))
    }
    return result
  }

  func parseConfigValues(_ value: YAMLValue) throws(FormatError) -> [String: String] {
    var result: [String: String] = [:]
    for (key, entry) in try value.map("config") {
      guard configKeys.contains(where: { $0.name == key }) else {
        let advice = nearestName(to: key, among: configKeys.map(\.name)).map { FormatError.Advice.didYouMean($0) }
        throw entry.fail("'\(key)' is no key of the table's config", advice: advice)
      }
      result[key] = try entry.string("the name of a value")
    }
    return result
  }

  func parseDefaults(_ value: YAMLValue) throws(FormatError) -> [String: JSON] {
    try parseValues(value, of: "defaults")
  }

  func parseFixed(_ value: YAMLValue) throws(FormatError) -> [String: JSON] { try parseValues(value, of: "fixed") }

  private func parseValues(_ value: YAMLValue, of name: String) throws(FormatError) -> [String: JSON] {
    var result: [String: JSON] = [:]
    for (key, assumed) in try value.settings(name, keys: configKeys.map(\.name)) {
      guard let known = configKeys.first(where: { $0.name == key }), known.defaultValue != nil else {
        throw value.fail("'\(key)' has no default that a dialect could change")
      }
      if let limits = known.limits(against: assumed) {
        throw value.fail("the default of '\(key)' is \(assumed.text()), not \(limits)")
      }
      result[key] = assumed
    }
    return result
  }

  func parseVariations(_ value: YAMLValue) throws(FormatError) -> [String: [String: String]] {
    try parseWords(value, of: "varies") { text, _ throws(FormatError) in try text.string("what the word has meant") }
  }

  func parseMeanings(_ value: YAMLValue) throws(FormatError) -> [String: [String: String]] {
    try parseWords(value, of: "means") { text, key throws(FormatError) in
      let meaning = try text.string("a word")
      guard key.words.contains(meaning) else { throw text.fail("'\(meaning)' is no word of '\(key.name)'") }
      return meaning
    }
  }

  /// What an export writes for each word. Of a key that has meanings alone: the word that means it; else the word itself, where
  /// neither it nor another word of its function means something else.
  func parseWrittenWords(
    _ value: YAMLValue?, meanings: [String: [String: String]]
  ) throws(FormatError) -> [String: [String: String]] {
    var result: [String: [String: String]] = [:]
    for key in configKeys {
      guard let meanings = meanings[key.name] else { continue }
      for word in key.words {
        // Several words are one function.
        func isSame(_ other: String) -> Bool {
          let function = model.activation(named: word)
          return other == word || function != nil && model.activation(named: other) == function
        }
        let own = meanings.filter { isSame($0.value) }.keys.min()
        result[key.name, default: [:]][word] = own ?? (meanings.keys.contains(where: isSame) ? nil : word)
      }
    }
    guard let value else { return result }
    let written = try parseWords(value, of: "writes") { text, _ throws(FormatError) in
      try text.string("a word of the program")
    }
    return result.merging(written) { $1 }
  }

  /// A text for words of config keys, by key.
  private func parseWords(
    _ value: YAMLValue, of name: String, _ read: (YAMLValue, ConfigKey) throws(FormatError) -> String
  ) throws(FormatError) -> [String: [String: String]] {
    var result: [String: [String: String]] = [:]
    for (key, entry) in try value.map(name) {
      guard let known = configKeys.first(where: { $0.name == key }), !known.words.isEmpty else {
        throw entry.fail("'\(name)' names '\(key)', which is no key of the config that lists its words")
      }
      for (word, text) in try entry.map("the words of '\(key)'") {
        guard known.words.contains(word) else { throw text.fail("'\(word)' is no word of '\(key)'") }
        result[key, default: [:]][word] = try read(text, known)
      }
    }
    return result
  }

  func parseSpellings(_ value: YAMLValue) throws(FormatError) -> [(other: String, ours: String)] {
    var result: [(other: String, ours: String)] = []
    let names = rules.sourceNames
    for (other, ours) in try value.map("spellings") {
      guard !other.isEmpty else { throw ours.fail("a spelling of nothing") }
      // A name of the rules that was respelled would lead to another rule, or to none.
      let taken = names.filter { $0[...].firstRange(ofBytes: other) != nil }
      if let known = taken.min() {
        throw ours.fail("'\(other)' is a part of '\(known)', which a rule takes as it is")
      }
      result.append((other, try ours.string("a spelling")))
    }
    return result
  }
}
