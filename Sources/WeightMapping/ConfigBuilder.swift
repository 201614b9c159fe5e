import ModelFamilies
import TensorIO

/// Makes the canonical config of what the shapes tell, what the source's config says and what has to be assumed.
struct ConfigBuilder {
  let assembly: Assembly
  let source: JSON?
  let sourceName: String
  let values: SourceValues
  private(set) var dimensions: Dimensions
  private(set) var config = JSON.object([JSON.Member]())
  private(set) var notes: [MappingNote] = []
  private(set) var conflicts: [MappingConflict] = []
  /// Symbols whose size is none that the table allows, and what it allows.
  private(set) var impossibleSizes: [String: String] = [:]

  private var table: MappingTable { assembly.table }

  init(assembly: Assembly, source: JSON?, sourceName: String?, values: SourceValues) {
    self.assembly = assembly
    self.source = source
    self.sourceName = sourceName ?? "the config"
    self.values = values
    dimensions = Dimensions(assembly)
    if let source, source.members == nil { conflict(.family, "\(self.sourceName) is not a JSON object") }
    build()
  }

  private mutating func note(_ kind: MappingNote.Kind, _ text: String) { notes.append(MappingNote(kind, text)) }

  private mutating func conflict(_ kind: MappingConflict.Kind, _ text: String) {
    conflicts.append(MappingConflict(kind, text))
  }

  /// A value that was found for a key, under what name and where.
  private struct Given {
    let name: String
    let value: JSON
    let place: String
  }

  private func configValue(_ key: ConfigKey) -> Given? {
    for name in [key.name] + key.otherNames {
      if let value = source?[name], value != .null { return Given(name: name, value: value, place: sourceName) }
    }
    return nil
  }

  /// What the checkpoint itself says of a key, where the dialect tells under which name it does.
  private func carriedValue(_ key: ConfigKey) -> Given? {
    guard let wanted = assembly.dialect.configValues[key.name], let (name, text) = values.ownValue(anywhere: wanted)
    else {
      return nil
    }
    let number = (try? JSON.parse(text)).flatMap { $0.doubleValue == nil ? nil : $0 }
    return Given(name: name, value: number ?? .string(text), place: "the checkpoint")
  }

  /// What the config says goes before what the checkpoint carries, since it may have been mended; but two numbers of
  /// heads cannot both be right, and the wrong one would pass unseen.
  private mutating func given(_ key: ConfigKey, _ carried: inout [(key: String, text: String)]) -> Given? {
    guard let own = carriedValue(key) else { return configValue(key) }
    guard let told = configValue(key) else {
      carried.append((key.name, "\(key.name) \(own.value.stringValue ?? own.value.text()) (\(own.name))"))
      return own
    }
    if !SourceValues.isSame(own.value.text(), told.value.text()) {
      let text =
        "\(told.name) of \(sourceName) is \(told.value.text()), but \(own.name) of the checkpoint is \(own.value.text())"
      if case .heads = key.inference {
        conflict(.value(key: key.name), text)
      } else {
        note(.configPreferred(key: key.name), text + ": the config's is taken")
      }
    }
    return told
  }

  private mutating func build() {
    checkModelType()
    let architecture = chooseArchitecture()
    config.set("architectures", .strings([architecture].compactMap(\.self)))
    let type = source?["model_type"]?.stringValue
    config.set(
      "model_type", .string(type.flatMap { table.model.isOf(modelType: $0) ? $0 : nil } ?? table.model.modelType))
    var inferred: [(key: String, value: Int)] = []
    var carried: [(key: String, text: String)] = []
    for key in table.model.configKeys {
      let given = given(key, &carried)
      switch key.inference {
      case .nothing: assume(key, given)
      case .dimension(let padded): addDimension(key, given, padded: padded, &inferred)
      case .layers: addLayers(key, given, &inferred)
      // Some dialects keep heads apart, so that a shape tells their number.
      case .heads where dimensions.values[key.name] != nil: addDimension(key, given, padded: false, &inferred)
      case .heads(let size, let headSize): addHeads(key, given, of: size, headSize: headSize)
      case .groups(let names): addGroups(key, given, names)
      }
    }
    inferRests(&inferred)
    checkSizes()
    checkSettings()
    if !carried.isEmpty {
      note(
        .takenFromCheckpoint(keys: carried.map(\.key)),
        "taken from the values of the checkpoint: \(carried.map(\.text).joined(separator: ", "))")
    }
    if !inferred.isEmpty {
      let origin = source == nil ? "no config was given" : "not in \(sourceName)"
      let values = inferred.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
      note(.inferred(keys: inferred.map(\.key)), "\(origin): \(values) inferred from the shapes of the tensors")
    }
    addLabels(architecture)
    carryOver()
  }

  private mutating func checkModelType() {
    guard let type = source?["model_type"]?.stringValue, !table.model.isOf(modelType: type) else { return }
    conflict(
      .family, "model_type of \(sourceName) is '\(type)', but the tensors are named like \(table.description)'s")
  }

  // MARK: Numbers

  private mutating func positive(_ given: Given?, _ key: ConfigKey) -> Int? {
    guard let given else { return nil }
    if let value = given.value.intValue, value > 0 { return value }
    conflict(
      .value(key: key.name), "\(given.name) of \(given.place) is \(given.value.text()), not a whole number above 0")
    return nil
  }

  private mutating func addDimension(
    _ key: ConfigKey, _ given: Given?, padded: Bool, _ inferred: inout [(key: String, value: Int)]
  ) {
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
    let witness = dimensions.witness[key.name].map { assembly.tensors[$0] }
    let place = witness.map { "'\($0.name)' of shape \(shapeText($0.shape))" } ?? "the weights"
    if padded, found > wanted {
      note(
        .padded(key: key.name),
        "\(key.name) is \(found), not the \(wanted) of \(given?.place ?? sourceName): \(place) has the rows, as a rule padding"
      )
    } else {
      conflict(
        .value(key: key.name),
        "\(given?.name ?? key.name) of \(given?.place ?? sourceName) is \(wanted), but the weights have \(found): \(place)"
      )
    }
  }

  private mutating func addLayers(
    _ key: ConfigKey, _ given: Given?, _ inferred: inout [(key: String, value: Int)]
  ) {
    let layers = assembly.layers
    let wanted = positive(given, key)
    config.set(key.name, .int(layers.count))
    if let hole = layers.indices.first(where: { layers[$0] != $0 }) {
      conflict(
        .layers,
        "the layers do not count up from 0: layer \(hole) is not there, but layer \(layers[hole]) is")
    } else if let wanted, wanted != layers.count {
      let range = layers.count == 1 ? "layer 0" : "0 to \(layers.count - 1)"
      let found = layers.isEmpty ? "none" : "\(layers.count) (\(range))"
      conflict(
        .value(key: key.name),
        "\(given?.name ?? key.name) of \(given?.place ?? sourceName) is \(wanted), but the layers found are \(found)")
    } else if wanted == nil {
      inferred.append((key.name, layers.count))
    }
  }

  private mutating func addHeads(
    _ key: ConfigKey, _ given: Given?, of size: String, headSize: Int
  ) {
    let wanted = positive(given, key)
    guard let whole = dimensions.values[size], whole > 0 else {
      if let wanted { config.set(key.name, .int(wanted)) }
      return
    }
    if let wanted {
      config.set(key.name, .int(wanted))
      if whole % wanted != 0 {
        conflict(
          .value(key: key.name),
          "\(given?.name ?? key.name) of \(given?.place ?? sourceName) is \(wanted), which does not divide \(size) \(whole)"
        )
      }
      return
    }
    guard given == nil else { return }
    // Cut by a wrong number of heads, the rows would be mixed up and every shape still fit.
    if let cut = assembly.tensor(cutBy: key.name) {
      conflict(
        .missingValue(key: key.name),
        "\(key.name) is told by no shape, and \(source == nil ? "no config was given" : "\(sourceName) has none"): the rows of "
          + "'\(cut.name)' lie by head, and cannot be told apart without it")
      return
    }
    let heads: Int
    if whole % headSize == 0 {
      heads = whole / headSize
    } else {
      heads = [12, 16, 8, 6, 4, 3, 2].first { whole % $0 == 0 } ?? 1
    }
    config.set(key.name, .int(heads))
    note(
      .assumed(key: key.name),
      "\(key.name) is told by no shape: assumed \(heads) (\(size) \(whole) in heads of \(whole / heads)); "
        + "give a config if that is wrong")
  }

  private mutating func addGroups(_ key: ConfigKey, _ given: Given?, _ names: [String]) {
    let present = Set(assembly.presentGroups.map { table.groups[$0].name })
    let count = names.count(where: present.contains)
    config.set(key.name, .int(count))
    if let wanted = positive(given, key), wanted != count {
      conflict(
        .value(key: key.name),
        "\(given?.name ?? key.name) of \(given?.place ?? sourceName) is \(wanted), but the weights have \(count)")
    }
  }

  /// Where a source is cut into parts of different sizes and the config tells all but one, that one is the rest.
  private mutating func inferRests(_ inferred: inout [(key: String, value: Int)]) {
    for filling in assembly.fillings.values.sorted(by: { ($0.sources[0], $0.part) < ($1.sources[0], $1.part) }) {
      guard case .split(let axis) = filling.operation, filling.part == 0 else { continue }
      let source = assembly.tensors[filling.sources[0]]
      let sizes = assembly.dialect.rules[filling.rule].targets.map { table.tensors[$0].shape[axis] }
      let unknown = sizes.filter { $0.value(dimensions.values) == nil }
      guard !unknown.isEmpty, axis < source.shape.count else { continue }
      let known = sizes.reduce(0) { $0 + ($1.value(dimensions.values) ?? 0) }
      guard unknown.count == 1, case .symbol(let name, 1) = unknown[0], known < source.shape[axis] else {
        let names = sizes.map { $0.text([:]) }.joined(separator: " and ")
        conflict(
          .parts(tensor: source.name),
          "'\(source.name)' of shape \(shapeText(source.shape)) holds \(names) together, and "
            + "\(self.source == nil ? "no config was given" : "\(sourceName) does not tell them"): where to cut it is not known"
        )
        continue
      }
      dimensions.set(name, source.shape[axis] - known)
      config.set(name, .int(source.shape[axis] - known))
      inferred.append((name, source.shape[axis] - known))
    }
  }

  /// Sizes that no key gives must be one of those that the table allows.
  private mutating func checkSizes() {
    for (name, choices) in table.model.sizes {
      guard let found = dimensions.values[name] else { continue }
      let values = choices.map { $0.value(dimensions.values) }
      guard !values.isEmpty, !values.contains(nil), !values.contains(found) else { continue }
      impossibleSizes[name] = values.compactMap { $0.map(String.init) }.joined(separator: " or ")
    }
  }

  /// Groups that the config says are not there must not be.
  private mutating func checkSettings() {
    for index in assembly.presentGroups.sorted() {
      guard let setting = table.groups[index].contradictedSetting(in: config),
        let key = assembly.fillings.keys.filter({ table.tensors[$0.tensor].group == index })
          .min(by: { ($0.tensor, $0.layer ?? 0) < ($1.tensor, $1.layer ?? 0) }),
        let filling = assembly.fillings[key]
      else { continue }
      let value = config[setting.key]?.text() ?? "not given"
      conflict(
        .value(key: setting.key),
        "\(setting.key) is \(value), but '\(assembly.tensors[filling.sources[0]].name)' belongs to models where it is "
          + setting.value.text())
    }
  }

  private mutating func assume(_ key: ConfigKey, _ given: Given?) {
    if let given {
      let value = given.value
      let isOfKind =
        switch key.defaultValue {
        case .number: value.doubleValue != nil
        case .string: value.stringValue != nil
        case .bool: value.boolValue != nil
        case nil where key.isRequired: value.intValue.map { $0 > 0 } == true
        default: true
        }
      if !isOfKind {
        let kind =
          key.defaultValue?.boolValue != nil
          ? "true or false" : key.isRequired || key.defaultValue?.doubleValue != nil ? "a number" : "a word"
        conflict(.value(key: key.name), "\(given.name) of \(given.place) is \(value.text()), not \(kind)")
      } else if let limits = key.limits(against: value) {
        conflict(.value(key: key.name), "\(given.name) of \(given.place) is \(value.text()), not \(limits)")
      }
      guard let word = value.stringValue, let meaning = assembly.dialect.meanings[key.name]?[word] else {
        config.set(key.name, value)
        return
      }
      config.set(key.name, .string(meaning))
      note(
        .reworded(key: key.name),
        "\(given.name) '\(word)' of \(given.place) is what others call '\(meaning)' in \(assembly.dialect.name)")
    } else if key.isRequired {
      conflict(
        .missingValue(key: key.name),
        "\(key.name) is told by no shape, and \(source == nil ? "no config was given" : "\(sourceName) has none"): the "
          + "model cannot be computed without it")
    } else if let value = assembly.dialect.defaults[key.name] ?? key.defaultValue {
      config.set(key.name, value)
      if !key.isQuiet {
        let origin = source == nil ? "told by no shape" : "not in \(sourceName)"
        note(.assumed(key: key.name), "\(key.name) is \(origin): assumed \(value.stringValue ?? value.text())")
      }
    }
  }

  // MARK: Architecture and labels

  private mutating func chooseArchitecture() -> String? {
    let present = assembly.presentGroups
    let heads = Set(table.model.architectures.flatMap(\.groups)).intersection(present)
    func fits(_ architecture: Architecture) -> Bool {
      architecture.groups.allSatisfy(present.contains) && (!architecture.groups.isEmpty || heads.isEmpty)
    }
    let named = source?["architectures"]?.elements?.compactMap(\.stringValue) ?? []
    for name in named {
      if table.model.architectures.contains(where: { ($0.name == name || $0.others.contains(name)) && fits($0) }) {
        return name
      }
    }
    guard let chosen = table.model.architectures.first(where: fits) else { return named.first }
    if let name = named.first {
      note(.architecture, "\(sourceName) names \(name), but the tensors make a \(chosen.name)")
    } else if !chosen.others.isEmpty, let labels = table.model.labels,
      labels.groups.contains(where: chosen.groups.contains)
    {
      note(
        .architecture,
        "the head could be of \(([chosen.name] + chosen.others).joined(separator: ", ")): taken for the first; "
          + "'architectures' in the config says otherwise")
    }
    for group in chosen.reads where !present.contains(group) {
      note(
        .missingPart(group: table.groups[group].name),
        "the tensors make a \(chosen.name), but the file has no \(table.groups[group].name): what goes through it cannot be "
          + "computed, and other programs make one up")
    }
    return chosen.name
  }

  private mutating func addLabels(_ architecture: String?) {
    let maps = ["id2label", "label2id"]
    guard let labels = table.model.labels, !assembly.presentGroups.isDisjoint(with: labels.groups),
      let count = dimensions.values[labels.dimension],
      architecture.map({ labels.excludedArchitectures.contains($0) }) != true
    else {
      for key in maps {
        if let value = source?[key], value != .null { config.set(key, value) }
      }
      return
    }
    let given = source?["id2label"]?.members
    let wanted = given?.count ?? source?[labels.dimension]?.intValue
    if let wanted, wanted != count {
      let place = dimensions.witness[labels.dimension].map { assembly.tensors[$0] }
      let key = given == nil ? labels.dimension : "id2label"
      conflict(
        .labels,
        "\(key) of \(sourceName) has \(wanted) labels, but the head has \(count)"
          + (place.map { ": '\($0.name)' of shape \(shapeText($0.shape))" } ?? ""))
      return
    }
    if given != nil {
      for key in maps {
        if let value = source?[key], value != .null { config.set(key, value) }
      }
      return
    }
    guard count <= 100_000 else {
      note(.unnamedLabels, "\(count) labels are too many to name: the config has none")
      return
    }
    config.set("id2label", .object((0..<count).map { JSON.Member("\($0)", .string("LABEL_\($0)")) }))
    config.set("label2id", .object((0..<count).map { JSON.Member("LABEL_\($0)", .int($0)) }))
    note(.unnamedLabels, "the \(count) labels have no names in a config: called LABEL_0 to LABEL_\(count - 1)")
  }

  /// What else the source's config says goes with the model, as it is.
  private mutating func carryOver() {
    let known = Set(table.model.configKeys.flatMap { [$0.name] + $0.otherNames })
      .union(table.model.configKeysLeftOut).union(["architectures", "model_type", "id2label", "label2id"])
    var members = config.members ?? []
    var places: [String: Int] = [:]
    for (index, member) in members.enumerated() { places[member.key] = index }
    for member in source?.members ?? [] where !known.contains(member.key) {
      if let place = places[member.key] { members[place] = member } else { members.append(member) }
    }
    config = .object(members)
  }
}
