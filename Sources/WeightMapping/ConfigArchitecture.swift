import ModelFamilies
import TensorIO

/// The class of the model, which its heads decide, and the names of the classes that a classifier distinguishes.
extension ConfigBuilder {
  /// The keys that name the labels.
  static let labelKeys = [CommonConfigKey.labelNames, .labelNumbers]
  /// A config with more names than this would be larger than the model.
  private static let maxNamedLabels = 100_000

  /// Sets `architectures` and `model_type`.
  mutating func addArchitecture() -> String? {
    let architecture = chooseArchitecture()
    config.set(.architectures, .strings([architecture].compactMap(\.self)))
    let type = source.modelType.flatMap { table.model.isOf(modelType: $0) ? $0 : nil }
    config.set(.modelType, .string(type ?? table.model.modelType))
    return architecture
  }

  /// The config's own architecture where the tensors make one, else the first of the table that they make.
  private mutating func chooseArchitecture() -> String? {
    let present = assignments.presentGroups
    let heads = Set(table.model.architectures.flatMap(\.groups)).intersection(present)
    func fits(_ architecture: Architecture) -> Bool {
      architecture.groups.allSatisfy(present.contains) && (!architecture.groups.isEmpty || heads.isEmpty)
    }
    let named = source.architectures
    for name in named
    where table.model.architectures.contains(where: { ($0.name == name || $0.others.contains(name)) && fits($0) }) {
      return name
    }
    guard let chosen = table.model.architectures.first(where: fits) else { return named.first }
    if let name = named.first {
      note(.architecture, "\(source.name) names \(name), but the tensors make a \(chosen.name)")
    } else if !chosen.others.isEmpty, let labels = table.model.labels,
      labels.groups.contains(where: chosen.groups.contains)
    {
      note(
        .architecture,
        "the head could be of \(([chosen.name] + chosen.others).joined(separator: ", ")): assuming the first; "
          + "set 'architectures' in the config to choose another")
    }
    for group in chosen.reads where !present.contains(group) {
      note(
        .missingPart(group: table.groups[group].name),
        "the tensors make a \(chosen.name), but the file has no \(table.groups[group].name): outputs that need it cannot be "
          + "computed, and other programs initialize one at random")
    }
    return chosen.name
  }

  mutating func addLabels(_ architecture: String?) {
    guard let labels = table.model.labels, !assignments.presentGroups.isDisjoint(with: labels.groups),
      let count = dimensions.values[labels.dimension],
      architecture.map({ labels.excludedArchitectures.contains($0) }) != true
    else {
      copyLabels()
      return
    }
    var given = source.json?[.labelNames]?.members ?? namesOfIDs()
    let stated = source.json?[labels.dimension]?.intValue
    if let names = given, names.count != count, stated == count, Self.areDefaultNames(names) {
      // transformers 2 wrote the names of two labels into configs of any number of them.
      note(
        .unnamedLabels,
        "\(CommonConfigKey.labelNames.rawValue) of \(source.name) has only the \(names.count) default names, but \(labels.dimension) is \(count), as the head has"
      )
      given = nil
    }
    let wanted = given?.count ?? stated
    if let wanted, wanted != count {
      let witness = dimensions.witness[labels.dimension].map { assignments.tensors[$0] }
      let key =
        given == nil ? labels.dimension : Self.labelKeys.first { source.json?[$0]?.members != nil }?.rawValue ?? ""
      conflict(
        .labels,
        "\(key) of \(source.name) has \(wanted) labels, but the head has \(count)"
          + (witness.map { ": '\($0.name)' of shape \(shapeText($0.shape))" } ?? ""))
    } else if let given {
      copyLabels()
      if source.json?[.labelNames]?.members == nil { config.set(.labelNames, .object(given)) }
    } else {
      nameLabels(count)
    }
  }

  /// `id2label` of a config that has `label2id` alone; `nil` where its ids are not those of rows.
  private func namesOfIDs() -> [JSON.Member]? {
    guard let ids = source.json?[.labelNumbers]?.members, !ids.isEmpty else { return nil }
    let names = ids.compactMap { label in label.value.intValue.map { (id: $0, name: label.key) } }.sorted {
      $0.id < $1.id
    }
    guard names.count == ids.count, names.map(\.id) == Array(0..<names.count) else { return nil }
    return names.map { JSON.Member("\($0.id)", .string($0.name)) }
  }

  /// Whether the names are those that `transformers` makes up: LABEL_0, LABEL_1.
  private static func areDefaultNames(_ names: [JSON.Member]) -> Bool {
    names.allSatisfy { $0.value.stringValue == "LABEL_\($0.key)" }
  }

  private mutating func copyLabels() {
    for key in Self.labelKeys {
      if let value = source.json?[key], value != .null { config.set(key, value) }
    }
  }

  private mutating func nameLabels(_ count: Int) {
    guard count <= Self.maxNamedLabels else {
      note(.unnamedLabels, "\(count) labels are too many to name: the config has none")
      return
    }
    config.set(.labelNames, .object((0..<count).map { JSON.Member("\($0)", .string("LABEL_\($0)")) }))
    config.set(.labelNumbers, .object((0..<count).map { JSON.Member("LABEL_\($0)", .int($0)) }))
    note(
      .unnamedLabels,
      count == 1
        ? "the config does not name the label: using LABEL_0"
        : "the config names no labels: using LABEL_0 to LABEL_\(count - 1)")
  }
}
