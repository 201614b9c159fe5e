import Inspection
import TensorIO
import WeightMapping

/// What one wants to know before a file is trusted, a sentence each.
struct CheckpointChecks {
  /// How much speaks against trusting a file.
  enum Level: String { case good, note, bad }

  typealias Check = (level: Level, text: String)

  private let inspection: CheckpointInspection
  private let readings: [TensorReading]
  /// Tensors whose values were to be read, and are not plain numbers.
  private let unreadCount: Int
  /// After a number of tensors, where not all are shown.
  private let scope: String

  /// `isPart` is set where `tensors` are not all tensors of the checkpoint.
  init(_ inspection: CheckpointInspection, _ tensors: [TensorRecord], isPart: Bool) {
    self.inspection = inspection
    readings = tensors.compactMap(\.reading)
    unreadCount = tensors.count - readings.count
    scope = isPart ? " among those shown" : ""
  }

  var all: [Check] {
    [code, mapping, finiteValues, zeros, config, vocabulary]
      + (inspection.warnings.map(\.text) + inspection.outline.notes.map(\.text)).map { (.note, $0) }
  }

  private var code: Check {
    let source = inspection.checkpoint.source
    let imports = Dictionary(grouping: source.imports, by: \.verdict).mapValues(\.count)
    let code = Dictionary(grouping: source.code, by: \.verdict)
    if let count = imports[.dangerous] {
      return (.bad, "The pickle contains code: \(counted(count, "dangerous import")). Nothing was run.")
    }
    if let items = code[.dangerous] { return (.bad, sentence(items, "can touch files, processes or the network")) }
    if let count = imports[.unknown] {
      return (.note, "The pickle imports \(counted(count, "unknown name")). Nothing was run.")
    }
    if let items = code[.unknown] { return (.note, sentence(items, "is not on the list of harmless names")) }
    if !source.code.isEmpty { return (.good, "Contains code of harmless operators alone. Nothing was run.") }
    if source.imports.isEmpty { return (.good, "Contains no executable code.") }
    return (.good, "The pickle imports \(counted(source.imports.count, "name")), all known and harmless.")
  }

  private func sentence(_ items: [ContainedCode], _ clause: String) -> String {
    let names = items.prefix(3).map(\.name).joined(separator: ", ")
    return "Contains code that \(clause): \(names)\(items.count > 3 ? " and others" : ""). Nothing was run."
  }

  private var mapping: Check {
    let mapping = inspection.outline.report
    let problems = mapping.problemCounts
    guard mapping.dialect != nil else {
      return (.note, "No table matches these tensors: they cannot be converted as they are.")
    }
    let known = mapping.knownCounts
    return problems.isEmpty
      ? (.good, "Every tensor is accounted for: \(known).") : (.bad, "Not all tensors fit: \(problems); \(known).")
  }

  private var finiteValues: Check {
    let odd = readings.count { $0.statistics.nan > 0 || $0.statistics.infinite > 0 }
    guard odd == 0 else {
      return (.bad, "\(counted(odd, "tensor"))\(scope) \(odd == 1 ? "contains" : "contain") NaN or infinity.")
    }
    let rest = unreadCount == 0 ? "" : " (\(counted(unreadCount, "tensor")) without plain numbers not checked)"
    return (.good, "No value is NaN or infinite\(scope)\(rest).")
  }

  private var zeros: Check {
    let empty = readings.count { $0.statistics.count > 0 && $0.statistics.zeros == $0.statistics.count }
    return empty == 0
      ? (.good, "No tensor is all zeros\(scope).")
      : (.note, "\(counted(empty, "tensor"))\(scope) \(empty == 1 ? "is" : "are") all zeros.")
  }

  private var config: Check {
    switch inspection.configState {
    case .inCheckpoint, .file: (.good, "Config found.")
    case .unusable(let path): (.note, "Config found, but it cannot be used: \(path).")
    case .none: (.note, "No config found: sizes are inferred from the shapes.")
    }
  }

  private var vocabulary: Check {
    guard let vocabulary = inspection.vocabulary else { return (.note, "No vocabulary found.") }
    return (.good, "Vocabulary found\(vocabulary.tokenCount.map { ": \(grouped($0)) tokens" } ?? "").")
  }
}
