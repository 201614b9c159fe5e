import ModelFamilies
import TensorIO

/// Values of a config by what they mean: under the keys of the family, with what `transformers` takes where one is absent,
/// and errors that name the key.
struct SettingReader {
  let json: JSON
  let family: ModelFamily
  let file: String?

  /// The family's key for a setting, as the config writes it; `nil` where the family has none.
  func key(_ setting: ConfigSetting) -> String? { family.key(for: setting)?.name }

  /// The key and the value of a setting; `nil` where the family has no such setting, or nothing gives a value. A `null` is
  /// as good as no value.
  private func value(_ setting: ConfigSetting) -> (key: String, value: JSON)? {
    guard let key = family.key(for: setting) else { return nil }
    let given = json[key.name].flatMap { $0 == .null ? nil : $0 }
    return (given ?? key.absentValue ?? key.defaultValue).map { (key.name, $0) }
  }

  private func unusable(_ key: String, _ value: JSON, _ expected: String) -> FormatError {
    FormatError(.config, "the config's \(key) is not usable", file: file, found: value.text(), expected: expected)
  }

  func text(_ setting: ConfigSetting) throws(FormatError) -> String? {
    guard let (key, value) = value(setting) else { return nil }
    guard let text = value.stringValue else { throw unusable(key, value, "a string") }
    return text
  }

  /// `otherwise` for families without the setting.
  func flag(_ setting: ConfigSetting, otherwise: Bool) throws(FormatError) -> Bool {
    guard let (key, value) = value(setting) else { return otherwise }
    guard let flag = value.boolValue else { throw unusable(key, value, "true or false") }
    return flag
  }

  func number(_ setting: ConfigSetting) throws(FormatError) -> Double? {
    guard let (key, value) = value(setting) else { return nil }
    guard let number = value.doubleValue, number.isFinite else { throw unusable(key, value, "a number") }
    return number
  }

  func integer(_ setting: ConfigSetting) throws(FormatError) -> Int? {
    guard let (key, value) = value(setting) else { return nil }
    guard let integer = value.intValue else { throw unusable(key, value, "a whole number") }
    return integer
  }

  /// A number of 1 or more.
  ///
  /// - Parameters:
  ///   - otherwise: for families without the setting
  ///   - absent: where nothing gives a value; an error without it
  func size(
    _ setting: ConfigSetting, limit: Int, otherwise: Int? = nil, absent: Int? = nil
  ) throws(FormatError) -> Int {
    guard let key = key(setting) else {
      if let otherwise { return otherwise }
      throw FormatError(.table, "the family has no config key for \(setting.rawValue)", found: family.name)
    }
    guard let size = try integer(setting) ?? absent else {
      throw FormatError(.config, "the config has no \(key)", file: file, expected: "a whole number")
    }
    guard size >= 1, size <= limit else {
      throw FormatError(
        .config, "the config's \(key) is out of range", file: file, found: "\(size)", expected: "1 to \(limit)")
    }
    return size
  }
}
