import ModelFamilies
import TensorIO

/// The config's numbers that the tensors give, or that must fit them.
extension ConfigBuilder {
  /// A whole number above 0.
  private mutating func positive(_ given: SourceConfig.Value?, _ key: ConfigKey) -> Int? {
    guard let given else { return nil }
    if let value = given.json.intValue, value > 0 { return value }
    conflict(.value(key: key.name), "\(given.sentence), not a whole number above 0")
    return nil
  }

  /// A subject for a sentence on the number that was given.
  private func subject(_ key: ConfigKey, _ given: SourceConfig.Value?, _ wanted: Int) -> String {
    "\(given?.name ?? key.name) of \(given?.origin ?? source.name) is \(wanted)"
  }

  mutating func addDimension(_ key: ConfigKey, _ given: SourceConfig.Value?, padded: Bool) {
    let wanted = positive(given, key)
    guard let found = dimensions.values[key.name] else {
      if let wanted {
        dimensions.set(key.name, wanted)
        config.set(key.name, .int(wanted))
      }
      return
    }
    config.set(key.name, .int(found))
    guard let wanted else {
      inferred.append((key.name, found))
      return
    }
    guard wanted != found else { return }
    let witness = dimensions.witness[key.name].map { assignments.tensors[$0] }
    let tensor = witness.map { "'\($0.name)' of shape \(shapeText($0.shape))" } ?? "the weights"
    if padded, found > wanted {
      note(
        .padded(key: key.name),
        "\(key.name) is \(found), not the \(wanted) of \(given?.origin ?? source.name): \(tensor) has more rows; usually padding"
      )
    } else {
      conflict(.value(key: key.name), "\(subject(key, given, wanted)), but the weights have \(found): \(tensor)")
    }
  }

  mutating func addLayers(_ key: ConfigKey, _ given: SourceConfig.Value?) {
    let layers = assignments.layers
    let wanted = positive(given, key)
    config.set(key.name, .int(layers.count))
    if let hole = layers.indices.first(where: { layers[$0] != $0 }) {
      conflict(
        .layers, "the layers do not count up from 0: layer \(hole) is missing, but layer \(layers[hole]) is present")
    } else if let wanted, wanted != layers.count {
      let range = layers.count == 1 ? "layer 0" : "0 to \(layers.count - 1)"
      let found = layers.isEmpty ? "none" : "\(layers.count) (\(range))"
      conflict(.value(key: key.name), "\(subject(key, given, wanted)), but the layers found are \(found)")
    } else if wanted == nil {
      inferred.append((key.name, layers.count))
    }
  }

  mutating func addHeads(_ key: ConfigKey, _ given: SourceConfig.Value?, of size: String, headSize: Int) {
    let wanted = positive(given, key)
    guard let whole = dimensions.values[size], whole > 0 else {
      if let wanted { config.set(key.name, .int(wanted)) }
      return
    }
    if let wanted {
      config.set(key.name, .int(wanted))
      if whole % wanted != 0 {
        conflict(.value(key: key.name), "\(subject(key, given, wanted)), which does not divide \(size) \(whole)")
      }
      return
    }
    guard given == nil else { return }
    // Cut by a wrong number of heads, the rows would be mixed up and every shape still fit.
    if let cut = assignments.tensor(cutBy: key.name) {
      conflict(
        .missingValue(key: key.name),
        "no shape gives \(key.name), and \(source.absence): the rows of '\(cut.name)' are ordered by head, and cannot be separated without it"
      )
      return
    }
    let heads = whole % headSize == 0 ? whole / headSize : [12, 16, 8, 6, 4, 3, 2].first { whole % $0 == 0 } ?? 1
    config.set(key.name, .int(heads))
    note(
      .assumed(key: key.name),
      "no shape gives \(key.name): assumed \(heads) (\(size) \(whole) in heads of \(whole / heads)); "
        + "give a config if that is wrong")
  }

  mutating func addGroupCount(_ key: ConfigKey, _ given: SourceConfig.Value?, of names: [String]) {
    let present = Set(assignments.presentGroups.map { table.groups[$0].name })
    let count = names.count(where: present.contains)
    config.set(key.name, .int(count))
    if let wanted = positive(given, key), wanted != count {
      conflict(.value(key: key.name), "\(subject(key, given, wanted)), but the weights have \(count)")
    }
  }

  /// Where a source is cut into parts of different sizes and the config gives all but one, that one is the rest.
  mutating func inferRemainingParts() {
    let byOrder = assignments.byTarget.values.sorted { ($0.sources[0], $0.part) < ($1.sources[0], $1.part) }
    for assignment in byOrder {
      guard case .split(let axis) = assignment.operation, assignment.part == 0 else { continue }
      let tensor = assignments.tensors[assignment.sources[0]]
      let sizes = assignments.dialect.rules[assignment.rule].targets.map { table.tensors[$0].shape[axis] }
      let unknown = sizes.filter { $0.value(dimensions.values) == nil }
      guard !unknown.isEmpty, axis < tensor.shape.count else { continue }
      let known = sizes.reduce(0) { $0 + ($1.value(dimensions.values) ?? 0) }
      guard unknown.count == 1, case .symbol(let name, 1) = unknown[0], known < tensor.shape[axis] else {
        let names = sizes.map { $0.text([:]) }.joined(separator: " and ")
        conflict(
          .parts(tensor: tensor.name),
          "'\(tensor.name)' of shape \(shapeText(tensor.shape)) holds \(names) together, and "
            + "\(source.json == nil ? "no config was given" : "\(source.name) does not give them"): where to split it is unknown"
        )
        continue
      }
      let rest = tensor.shape[axis] - known
      dimensions.set(name, rest)
      config.set(name, .int(rest))
      inferred.append((name, rest))
    }
  }

  /// Sizes that no key gives must be one of those that the table allows.
  mutating func checkSizes() {
    for (name, choices) in table.model.sizes {
      guard let found = dimensions.values[name] else { continue }
      let values = choices.map { $0.value(dimensions.values) }
      guard !values.isEmpty, !values.contains(nil), !values.contains(found) else { continue }
      impossibleSizes[name] = values.compactMap { $0.map(String.init) }.joined(separator: " or ")
    }
  }

  /// Groups that the config excludes must not be there.
  mutating func checkGroups() {
    for index in assignments.presentGroups.sorted() {
      guard let setting = table.groups[index].contradictedSetting(in: config),
        let key = assignments.byTarget.keys.filter({ table.tensors[$0.tensor].group == index })
          .min(by: { ($0.tensor, $0.layer ?? 0) < ($1.tensor, $1.layer ?? 0) }),
        let assignment = assignments.byTarget[key]
      else { continue }
      let value = config[setting.key]?.text() ?? "not given"
      conflict(
        .value(key: setting.key),
        "\(setting.key) is \(value), but '\(assignments.tensors[assignment.sources[0]].name)' belongs to models where it is "
          + setting.value.text())
    }
  }
}
