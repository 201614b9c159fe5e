import ModelFamilies
import TensorIO

/// The config of the model that a source makes, in the keys of the family, with the sizes that its shapes give.
struct CanonicalConfig {
  fileprivate(set) var json: JSON
  fileprivate(set) var dimensions: Dimensions
  fileprivate(set) var notes: [MappingNote]
  fileprivate(set) var conflicts: [MappingConflict]
  /// Symbols whose size the table does not allow, and what it allows.
  fileprivate(set) var impossibleSizes: [String: String]
}

/// Makes the canonical config of what the shapes give, what the source's config has and what has to be assumed.
func canonicalConfig(of assignments: Assignments, source: SourceConfig) -> CanonicalConfig {
  var builder = ConfigBuilder(assignments: assignments, source: source)
  builder.checkSource()
  let architecture = builder.addArchitecture()
  for key in assignments.table.model.configKeys { builder.add(key) }
  builder.inferRemainingParts()
  builder.checkSizes()
  builder.checkGroups()
  builder.addOrigins()
  builder.addLabels(architecture)
  builder.carryOver()
  return CanonicalConfig(
    json: builder.config, dimensions: builder.dimensions, notes: builder.notes, conflicts: builder.conflicts,
    impossibleSizes: builder.impossibleSizes)
}

/// Builds a canonical config. Its parts are in `ConfigSizes.swift`, `ConfigChoices.swift` and
/// `ConfigArchitecture.swift`.
struct ConfigBuilder {
  let assignments: Assignments
  let source: SourceConfig
  var dimensions: Dimensions
  var config = JSON.object([JSON.Member]())
  var notes: [MappingNote] = []
  var conflicts: [MappingConflict] = []
  var impossibleSizes: [String: String] = [:]
  /// Keys that the shapes give.
  var inferred: [(key: String, value: Int)] = []
  /// Keys that the checkpoint itself gives, each with its value and origin.
  private var taken: [(key: String, value: SourceConfig.Value)] = []

  init(assignments: Assignments, source: SourceConfig) {
    self.assignments = assignments
    self.source = source
    dimensions = Dimensions(assignments)
  }

  var table: MappingTable { assignments.table }

  mutating func note(_ kind: MappingNote.Kind, _ text: String) { notes.append(MappingNote(kind, text)) }

  mutating func conflict(_ kind: MappingConflict.Kind, _ text: String) {
    conflicts.append(MappingConflict(kind, text))
  }

  /// Checks that the config is one, and of this family.
  mutating func checkSource() {
    if let json = source.json, json.members == nil { conflict(.family, "\(source.name) is not a JSON object") }
    guard let type = source.modelType, !table.model.isOf(modelType: type) else { return }
    guard !source.isFamilyChosen else {
      note(.familyChosen, "model_type of \(source.name) is '\(type)': read as \(table.description), as requested")
      return
    }
    conflict(
      .family, "model_type of \(source.name) is '\(type)', but the tensors have the names of \(table.description)")
  }

  mutating func add(_ key: ConfigKey) {
    let given = givenValue(of: key)
    switch key.inference {
    case .nothing: addChoice(key, given)
    case .dimension(let padded): addDimension(key, given, padded: padded)
    case .layers: addLayers(key, given)
    // Some dialects keep heads apart, so that a shape gives their number.
    case .heads where dimensions.values[key.name] != nil: addDimension(key, given, padded: false)
    case .heads(let size, let headSize): addHeads(key, given, of: size, headSize: headSize)
    case .groups(let names): addGroupCount(key, given, of: names)
    }
  }

  /// The config takes precedence over what the checkpoint carries, since it may have been corrected; but two numbers of heads cannot
  /// both be right, and the wrong one fits every shape. What a graph shows of a word that has two meanings settles it.
  private mutating func givenValue(of key: ConfigKey) -> SourceConfig.Value? {
    let owned = source.checkpointValue(of: key, in: assignments.dialect) ?? observedValue(of: key)
    guard let own = owned else { return source.value(of: key) }
    guard let other = source.value(of: key) else {
      taken.append((key.name, own))
      return own
    }
    if SourceValues.isSame(own.text, other.text) && !own.wasObserved { return other }
    if isSameActivation(key, own, other) {
      // A graph settles what the config's word means.
      var settled = other
      settled.wasObserved = own.wasObserved
      return settled
    }
    if settlesWord(own, other, of: key) {
      note(
        .reworded(key: key.name),
        "\(other.name) '\(other.json.stringValue ?? other.text)' of \(other.origin) is what others call "
          + "'\(own.json.stringValue ?? own.text)' in \(own.origin)")
      return own
    }
    if !SourceValues.isSame(own.text, other.text) {
      let text = "\(other.sentence), but \(own.sentence)"
      if case .heads = key.inference {
        conflict(.value(key: key.name), text)
      } else {
        note(.configPreferred(key: key.name), text + ": the config's is taken")
      }
    }
    return other
  }

  /// Notes which values come from the checkpoint and from the shapes.
  mutating func addOrigins() {
    addTaken(taken.filter { !$0.value.wasObserved }, from: "the values of the checkpoint")
    var origins: [String] = []
    for origin in taken.filter(\.value.wasObserved).map(\.value.origin) where !origins.contains(origin) {
      origins.append(origin)
      addTaken(taken.filter { $0.value.wasObserved && $0.value.origin == origin }, from: origin)
    }
    if !inferred.isEmpty {
      let origin = source.json == nil ? "no config was given" : "not in \(source.name)"
      let values = inferred.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
      note(.inferred(keys: inferred.map(\.key)), "\(origin): \(values) inferred from the shapes of the tensors")
    }
  }

  private mutating func addTaken(_ taken: [(key: String, value: SourceConfig.Value)], from origin: String) {
    guard !taken.isEmpty else { return }
    let values = taken.map { key, value in
      let text = "\(key) \(value.json.stringValue ?? value.text)"
      return value.wasObserved ? text : text + " (\(value.name))"
    }
    note(.takenFromCheckpoint(keys: taken.map(\.key)), "taken from \(origin): \(values.joined(separator: ", "))")
  }

  /// Copies what else the source's config has, as it is.
  mutating func carryOver() {
    let known = Set(table.model.configKeys.flatMap { [$0.name] + $0.otherNames })
      .union(table.model.configKeysLeftOut).union(([.architectures, .modelType] + Self.labelKeys).map(\.rawValue))
    var members = config.members ?? []
    var indices: [String: Int] = [:]
    for (index, member) in members.enumerated() { indices[member.key] = index }
    for member in source.json?.members ?? [] where !known.contains(member.key) {
      if let index = indices[member.key] { members[index] = member } else { members.append(member) }
    }
    config = .object(members)
  }
}
