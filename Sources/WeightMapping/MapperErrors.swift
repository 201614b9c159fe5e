import ModelFamilies
import TensorIO

/// The errors of a mapper: the fact, the reason where one cause explains it, and what to do.
extension Mapper {
  /// How many lines of problems an error shows at most, and how many of each kind at least: one kind must not hide the
  /// others.
  private static let maxProblemLines = 20, leastOfEachKind = 4

  private var convertible: String {
    "a model of \(tables.map(\.family).joined(separator: ", ")) in names that a table has"
  }

  func notConvertible(_ family: KnownFamily, _ config: SourceConfig, _ file: String) -> FormatError {
    guard recognizer.hasTable(family) else {
      // Several families have these names; the config shows which it is.
      if config.modelType != family.family, let error = otherModel(config, file) { return error }
      return FormatError(
        .unrecognized, "this is \(family.description): no table converts '\(family.family)' models", file: file,
        expected: convertible, advice: family.advice)
    }
    return otherModel(config, file)
      ?? FormatError(
        .unrecognized, "this is \(family.description), but in a dialect that no table describes", file: file,
        expected: convertible, advice: .giveTable)
  }

  func ambiguous(_ tables: [MappingTable], _ config: SourceConfig, _ file: String) -> FormatError {
    let reason = config.json == nil ? "there is no config" : "\(printable(config.name)) does not name the model"
    return FormatError(
      .unrecognized,
      "the tensors may be those of \(tables.map(\.description).joined(separator: " or of ")), which compute different "
        + "things, and \(reason)", file: file,
      advice: .all([.chooseFamily(tables.map(\.family)), "A config with a model_type also decides it."]))
  }

  func unknown(_ tensors: [TensorInfo], _ config: SourceConfig, _ file: String) -> FormatError {
    if let error = otherModel(config, file) { return error }
    guard !tensors.isEmpty else {
      return FormatError(
        .unrecognized, "there are no tensors in it", file: file, expected: convertible,
        advice: "Give the file that contains the model's weights.")
    }
    let first = tensors.prefix(3).map { printable($0.name) }.joined(separator: ", ")
    let count = "\(grouped(tensors.count)) tensor\(tensors.count == 1 ? "" : "s")"
    return FormatError(
      .unrecognized, "no table knows these tensors", file: file,
      found: "\(count), the first named \(first)", expected: convertible,
      advice: isLikeAModel(tensors) ? .giveTable : "Give the file that contains the model's weights.")
  }

  /// Whether the names look like those of a model in layers: matrices whose names differ in a number alone.
  private func isLikeAModel(_ tensors: [TensorInfo]) -> Bool {
    var counts: [String: Int] = [:]
    for tensor in tensors.prefix(10_000) where tensor.shape.count >= 2 && tensor.elementCount > 0 {
      counts[NamePattern.withoutNumbers(tensor.name), default: 0] += 1
    }
    return tensors.count >= 8 && counts.values.contains { $0 >= 2 }
  }

  /// The error for a config of a model of no family here; `nil` for other configs.
  private func otherModel(_ config: SourceConfig, _ file: String) -> FormatError? {
    if let name = config.foreignClass(tables.map(\.identity)) {
      return FormatError(
        .unrecognized,
        "\(printable(config.name)) names the class \(printable(name)), which is of no family that is converted",
        file: file, expected: "a class of \(tables.map(\.family).joined(separator: ", "))")
    }
    guard let type = config.modelType, !config.isFamilyChosen,
      !tables.contains(where: { $0.identity.isOf(modelType: type) })
    else { return nil }
    return FormatError(
      .unrecognized, "\(printable(config.name)) has the model_type '\(printable(type))', which is not converted",
      file: file,
      expected: "a model_type of \(tables.map(\.identity.modelType).joined(separator: ", "))")
  }

  func problems(_ report: MappingReport, _ draft: PlanDraft, _ config: SourceConfig, _ file: String) -> FormatError {
    if let cause = mismatchCause(of: draft, report, config) { return cause.error(file) }
    let isOfOtherFamily = report.conflicts.contains { $0.kind == .family }
    if isOfOtherFamily, let error = otherModel(config, file) {
      guard report.problemCount == 1 else { return error }
      var likely = error
      likely.advice = .all([
        .sentence("Its tensors are all those of \(report.description ?? "a known family"), though."),
        "If the program that made it computes them in the same way:", .chooseFamily([report.family ?? ""]),
      ])
      return likely
    }
    var text = "the tensors do not make \(report.description ?? "a model") (dialect \(report.dialect ?? "?")): "
    text += report.problemCounts
    let kinds = report.problemsByKind
    let total = kinds.reduce(0) { $0 + $1.count }
    var left = Self.maxProblemLines
    for (index, lines) in kinds.enumerated() {
      let later = kinds[(index + 1)...].reduce(0) { $0 + min(Self.leastOfEachKind, $1.count) }
      let shown = lines.prefix(left - later)
      left -= shown.count
      for line in shown { text += "\n  " + line }
    }
    if total > Self.maxProblemLines { text += "\n  … and \(grouped(total - Self.maxProblemLines)) more" }
    return FormatError(
      .mismatch, text, file: file, advice: advice(for: report, draft, isCut: total > Self.maxProblemLines))
  }

  private func advice(for report: MappingReport, _ draft: PlanDraft, isCut: Bool) -> FormatError.Advice {
    var advice: [FormatError.Advice] = []
    if isCut { advice.append(.listUnmapped) }
    if report.conflicts.contains(where: \.isMendedByOtherConfig) { advice.append(.giveConfig) }
    let beginnings = draft.beginningsOfLayers
    if report.unexpected.contains(where: { entry in beginnings.contains(where: entry.name.hasPrefix) }) {
      advice.append(
        .sentence(
          "Unexpected tensors inside the layers are part of a computation that is not \(report.description ?? "this family")'s: "
            + "it is another model, or its names are changed."))
    } else if !report.unexpected.isEmpty {
      advice.append(.allowUnexpected(report.unexpected.count == 1 ? report.unexpected[0].name : "GLOB"))
    }
    if !report.missing.isEmpty { advice.append("A model cannot be made without the tensors that are missing.") }
    if advice.isEmpty { advice.append("Check that the file is the right one.") }
    return .all(advice)
  }
}

extension MappingConflict {
  /// Whether the config may be one of other weights.
  var isMendedByOtherConfig: Bool {
    switch kind {
    case .value, .missingValue, .family, .labels, .condition, .parts: true
    case .layers, .sentenceModules: false
    }
  }
}

extension PlanDraft {
  /// The text before the number of a layer in the model's names.
  fileprivate var beginningsOfLayers: Set<String> {
    let dialect = assignments.dialect
    let scope = assignments.source.match.scope
    return Set(
      dialect.rules.flatMap(\.sources).filter(\.isPerLayer).compactMap { pattern in
        let name = scope.qualified(pattern.text, root: dialect.root)
        return name[...].firstRange(ofBytes: NamePattern.placeholder).map { String(name[..<$0.lowerBound]) }
      }
    ).subtracting([""])
  }
}
