import ModelFamilies
import TensorIO

/// The names under which the tensors of a source are looked up: their own, or others that their program had for them.
struct SourceNames {
  /// One for each tensor; empty for one that another tensor replaces.
  private(set) var names: [String]
  /// Notes on the names, for the user.
  private(set) var notes: [MappingNote] = []
  /// The tensors that others replace, with the reason.
  private(set) var replaced: [Int: MappingReport.Dropped] = [:]

  /// All that a source can be looked up by; of those that show as much of a model the first counts.
  ///
  /// With `takesAverages` moving averages count as the weights that they are of.
  static func all(of tensors: [TensorInfo], takesAverages: Bool) -> [SourceNames] {
    let secondForms = SecondForms(tensors, takesAverages: takesAverages)
    let own = tensors.map(\.name)
    var all = [SourceNames(own, secondForms, tensors)]
    // Object graphs have keys with the path of a variable, and next to them the names that it was given.
    if tensors.contains(where: { $0.fullName != nil }) {
      let full = tensors.map { isState($0.name) ? $0.name : $0.fullName ?? $0.name }
      all.append(SourceNames(full, secondForms, tensors))
    }
    if let (names, note) = withoutWrappers(own) {
      all.append(SourceNames(names, secondForms, tensors))
      all[all.count - 1].notes.insert(note, at: 0)
    }
    return all
  }

  private init(_ names: [String], _ secondForms: SecondForms, _ tensors: [TensorInfo]) {
    self.names = names
    notes = secondForms.notes
    for form in secondForms.taken {
      guard let weight = form.weight else {
        self.names[form.tensor] = form.name
        continue
      }
      self.names[form.tensor] = names[weight]
      self.names[weight] = ""
      replaced[weight] = .init(
        name: tensors[weight].name, cause: .derived, rule: form.kind.rule,
        reason: "\(tensors[form.tensor].name) is taken in its place")
    }
  }

  /// The names of an optimizer's variables may end as those of the weights do.
  private static func isState(_ name: String) -> Bool {
    guard name[...].firstRange(ofBytes: "optimizer") ?? name[...].firstRange(ofBytes: "OPTIMIZER_SLOT") != nil else {
      return false
    }
    return optimizerRules.contains { $0.matches(name) }
  }

  private static let optimizerRules: [DropRule] = {
    let lists = (try? DropLists.builtIn()) ?? [:]
    return ["tensorflow-training", "keras-training"].flatMap { lists[$0] ?? [] }.filter { $0.cause == .optimizer }
  }()

  // MARK: Wrappers

  /// Modules of torch that have the wrapped one as their only child, by the name that they give it.
  private static let wrappers: KeyValuePairs<String, String> = [
    "_orig_mod": "torch.compile", "_fsdp_wrapped_module": "FSDP", "_fpw_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing", "_forward_module": "Lightning or DeepSpeed",
    "module": "DataParallel and the like",
  ]

  /// The names without the components that wrappers add, wherever they are; `nil` where there are none.
  private static func withoutWrappers(_ names: [String]) -> (names: [String], note: MappingNote)? {
    var found: Set<Substring> = []
    let texts = wrappers.map(\.key)
    let words = Set(texts.map { $0[...] })
    let result = names.map { name in
      guard texts.contains(where: { name[...].firstRange(ofBytes: $0) != nil }) else { return name }
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      let kept = parts.filter { !words.contains($0) }
      guard kept.count < parts.count, !kept.isEmpty else { return name }
      found.formUnion(parts.filter(words.contains))
      return kept.joined(separator: ".")
    }
    guard !found.isEmpty else { return nil }
    let list = wrappers.filter { found.contains(Substring($0.key)) }.map { "'\($0.key)' (\($0.value))" }
    return (
      result,
      MappingNote(.wrappers, "read without the parts of names that wrappers add: \(list.joined(separator: ", "))")
    )
  }
}

/// Tensors that hold a weight in a second form: the copy in f32 of one that is trained in half precision, and the average of
/// its values during the training.
private struct SecondForms {
  enum Kind {
    case master, average

    var rule: String { self == .master ? "f32 copies" : "moving averages" }
  }

  struct Form {
    let tensor: Int
    let kind: Kind
    /// The name of the weight itself.
    let name: String
    /// The weight, if present.
    let weight: Int?
  }

  /// Those that count as the weights.
  private(set) var taken: [Form] = []
  private(set) var notes: [MappingNote] = []

  init(_ tensors: [TensorInfo], takesAverages: Bool) {
    let forms = Self.forms(tensors, models: takesAverages)
    guard !forms.isEmpty || takesAverages else { return }
    take(masters: forms.filter { $0.kind == .master }, tensors)
    take(averages: forms.filter { $0.kind == .average }, whereBothAreThere: takesAverages)
  }

  /// The copy in f32 is what the program trained; the weight in half precision was made of it.
  private mutating func take(masters: [Form], _ tensors: [TensorInfo]) {
    let halves = masters.filter { form in form.weight.map { [.f16, .bf16].contains(tensors[$0].elementType) } ?? true }
    guard !halves.isEmpty else { return }
    taken += halves
    notes.append(
      MappingNote(
        .secondForms,
        "\(counted(halves.count)) taken from the copies in f32 that the training changed (\(tensors[halves[0].tensor].name))"
      ))
  }

  private mutating func take(averages: [Form], whereBothAreThere: Bool) {
    let alone = averages.allSatisfy { $0.weight == nil }
    if whereBothAreThere {
      guard !averages.isEmpty else {
        notes.append(MappingNote(.secondForms, "the file has no moving averages: the plain weights are taken"))
        return
      }
      taken += averages
      notes.append(MappingNote(.secondForms, "\(counted(averages.count)) taken from the moving averages, as requested"))
    } else if alone, averages.count >= 3 {
      taken += averages
      notes.append(
        MappingNote(
          .secondForms, "\(counted(averages.count)) taken from the moving averages: the file has no other weights"))
    }
  }

  private func counted(_ count: Int) -> String { count == 1 ? "1 weight is" : "\(grouped(count)) weights are" }

  // MARK: Finding them

  private static let value = "/.ATTRIBUTES/VARIABLE_VALUE"
  private static let slot = "/.OPTIMIZER_SLOT/"

  /// The weight of which a name shows it to be a second form.
  private static func weight(of name: String) -> (name: String, kind: Kind)? {
    if name.hasEnding("/shadow") { return (String(name.dropLast(7)), .master) }
    if name.hasEnding("/ExponentialMovingAverage") { return (String(name.dropLast(25)), .average) }
    // A slot of an optimizer that averages: TensorFlow Addons', TF Garden's.
    if name.hasEnding("/average" + value), let place = name[...].firstRange(ofBytes: slot) {
      return (name[..<place.lowerBound] + value, .average)
    }
    return nil
  }

  private static func forms(_ tensors: [TensorInfo], models: Bool) -> [Form] {
    let found = tensors.indices.compactMap { index in weight(of: tensors[index].name).map { (index, $0.name, $0.kind) }
    }
    guard !found.isEmpty || models else { return [] }
    let indices = Dictionary(tensors.enumerated().map { ($1.name, $0) }) { first, _ in first }
    var forms = found.map { Form(tensor: $0.0, kind: $0.2, name: $0.1, weight: indices[$0.1]) }
    if models { forms += averagedModels(tensors) }
    return forms
  }

  /// Names of an averaged model next to the plain one: `ema_model.bert.pooler.dense.weight` next to `model.bert.pooler.dense.weight`.
  private static func averagedModels(_ tensors: [TensorInfo]) -> [Form] {
    let rules = ((try? DropLists.builtIn()) ?? [:]).values.flatMap { $0 }.filter(\.isModel)
    let isAverage = tensors.map { tensor in rules.contains { $0.matches(tensor.name) } }
    guard isAverage.contains(true), isAverage.contains(false) else { return [] }
    var plain: [Substring: Int] = [:]
    for index in tensors.indices where !isAverage[index] {
      for ending in endings(of: tensors[index].name) where plain[ending] == nil { plain[ending] = index }
    }
    return tensors.indices.compactMap { index in
      guard isAverage[index] else { return nil }
      let weight = endings(of: tensors[index].name).dropFirst().lazy.compactMap { plain[$0] }
        .first { tensors[$0].shape == tensors[index].shape }
      return weight.map { Form(tensor: index, kind: .average, name: tensors[$0].name, weight: $0) }
    }
  }

  /// A name, and what is left of it without its first components, up to four.
  private static func endings(of name: String) -> [Substring] {
    var endings = [name[...]]
    while endings.count < 5, let rest = endings.last, let dot = rest.firstIndex(of: ".") {
      endings.append(rest[rest.index(after: dot)...])
    }
    return endings
  }
}

extension SourceNames {
  /// `names` with the numbers that Keras gives to `words`, which count through the life of a process, counted within what
  /// precedes them: `output/layer_normalization_7/gamma` is `output/layer_normalization/gamma` where it is the first there.
  static func renumbered(_ names: [String], _ words: [String]) -> [String] {
    struct Key: Hashable {
      let parent: Substring
      let word: String
    }
    func occurrences(_ name: String) -> [(range: Range<String.Index>, key: Key, number: Int)] {
      var result: [(Range<String.Index>, Key, Int)] = []
      for part in name.split(separator: "/") {
        for word in words where part.hasPrefix(word) {
          let rest = part.dropFirst(word.count)
          let number = rest.isEmpty ? 0 : rest.first == "_" ? Int(rest.dropFirst()) : nil
          guard let number, number >= 0 else { continue }
          result.append((part.startIndex..<part.endIndex, Key(parent: name[..<part.startIndex], word: word), number))
        }
      }
      return result
    }
    let found = names.map { name in
      words.contains { name[...].firstRange(ofBytes: $0) != nil } ? occurrences(name) : []
    }
    var numbers: [Key: Set<Int>] = [:]
    for entry in found.joined() { numbers[entry.key, default: []].insert(entry.number) }
    guard !numbers.isEmpty else { return names }
    let ranks = numbers.mapValues { Dictionary(uniqueKeysWithValues: $0.sorted().enumerated().map { ($1, $0) }) }
    return zip(names, found).map { name, entries in
      var result = name
      for entry in entries.reversed() {
        let rank = ranks[entry.key]?[entry.number] ?? 0
        result.replaceSubrange(entry.range, with: entry.key.word + (rank == 0 ? "" : "_\(rank)"))
      }
      return result
    }
  }
}
