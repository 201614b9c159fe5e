import ModelFamilies
import TensorIO

/// What is known of a checkpoint without reading its values: what it is, how it is made, what becomes of its tensors.
public struct ModelOutline: Sendable {
  /// What a tensor is for.
  public enum Part: String, Sendable, CaseIterable {
    case embeddings, encoder, heads
    /// What the table drops as an optimizer's.
    case optimizer
    /// Known, and no part of a model: buffers, counts.
    case other
    case unknown
  }

  /// A tensor that is usually another one.
  public struct Tie: Sendable, Equatable {
    public enum Kind: String, Sendable {
      /// Not in the checkpoint: the other one is used in its place.
      case absent
      /// Both are present and share their memory.
      case shared
      /// Both are present; only their bytes show whether they are the same.
      case present
    }

    /// Canonical names.
    public let name: String
    public let base: String
    public let kind: Kind
  }

  public let recognition: Recognition
  public let report: MappingReport
  /// The canonical config, given or inferred; `nil` where no table knows the tensors.
  public let config: JSON?
  /// What was assumed; what the shapes give is not repeated.
  public let notes: [MappingNote]
  /// One for each tensor; `nil` where no table knows the family.
  public package(set) var parts: [Part]?
  public let ties: [Tie]

  /// The outline of tensors that no table converts.
  init(recognition: Recognition, report: MappingReport) {
    self.recognition = recognition
    self.report = report
    config = nil
    notes = []
    parts = nil
    ties = []
  }

  /// The outline of `tensors`, some of which are the modules'.
  init(
    recognition: Recognition, report: MappingReport, draft: PlanDraft, of tensors: [TensorInfo],
    modules: SentenceModules
  ) {
    self.recognition = recognition
    self.report = report
    config = draft.config.json
    notes = draft.notes.filter { if case .inferred = $0.kind { false } else { true } }
    parts = Self.parts(of: tensors, modules, draft.assignments.source, report)
    ties = Self.ties(in: draft.assignments)
  }
}

// MARK: Parts

extension ModelOutline {
  private static func parts(
    of tensors: [TensorInfo], _ modules: SentenceModules, _ source: MatchedSource, _ report: MappingReport
  ) -> [Part] {
    let groups = parts(of: source.table)
    let causes = Dictionary(report.dropped.map { ($0.name, $0.cause) }) { first, _ in first }
    var parts = [Part](repeating: .unknown, count: tensors.count)
    for (index, match) in zip(modules.modelIndices, source.match.matches) {
      if let match, let target = source.dialect.rules[match.source.rule].targets.first {
        parts[index] = groups[source.table.tensors[target].group]
      } else if let cause = causes[tensors[index].name] {
        parts[index] = cause == .optimizer ? .optimizer : .other
      }
    }
    for index in modules.own { parts[index] = .heads }
    return parts
  }

  /// For each group of a table. Tensors come in forward order: what is before the layers and required embeds, what repeats
  /// with them or closes them encodes, the rest is there for one task and not for another.
  private static func parts(of table: MappingTable) -> [Part] {
    var isLayered = [Bool](repeating: false, count: table.groups.count)
    for tensor in table.tensors where tensor.pattern.isPerLayer { isLayered[tensor.group] = true }
    let first = isLayered.firstIndex(of: true) ?? table.groups.count
    return table.groups.indices.map { index in
      if isLayered[index] { return .encoder }
      guard index < first else { return table.groups[index].canBeRequired ? .encoder : .heads }
      return table.tensors.contains { $0.group == index && $0.role?.part == .relativeBias } ? .encoder : .embeddings
    }
  }
}

// MARK: Ties

extension ModelOutline {
  /// The ties of the heads that are present.
  private static func ties(in assignments: Assignments) -> [Tie] {
    let table = assignments.table
    let present = assignments.presentGroups
    return table.tensors.enumerated().compactMap { index, tensor in
      guard let base = tensor.tiedTo, present.contains(tensor.group), !tensor.pattern.isPerLayer else { return nil }
      let kind = tieKind(sharedStorage(index, assignments), sharedStorage(base, assignments))
      return Tie(name: tensor.pattern.text, base: table.tensors[base].pattern.text, kind: kind)
    }
  }

  /// The storage that a tensor shares with others, if any; `nil` where the tensor is absent.
  private static func sharedStorage(_ tensor: Int, _ assignments: Assignments) -> Int?? {
    assignments.byTarget[TargetKey(tensor: tensor, layer: nil)].map {
      assignments.tensors[$0.sources[0]].sharedStorage
    }
  }

  private static func tieKind(_ own: Int??, _ base: Int??) -> Tie.Kind {
    switch (own, base) {
    case (nil, _): .absent
    case (.some(let own?), .some(let base?)) where own == base: .shared
    default: .present
    }
  }
}
