import Conversion
import TensorIO
import WeightMapping

/// The tensors of two checkpoints under names that both have: those of a table that matches both as one family, else
/// their own.
struct TensorMatching {
  private(set) var a: [MappingPlan.Target] = []
  private(set) var b: [MappingPlan.Target] = []
  private(set) var dialects: [String?]
  /// `nil` where the names are the checkpoints' own.
  private(set) var family: String?
  private(set) var notes: [ModelDifference.Note] = []

  /// - Complexity: one evaluation of the tables for each checkpoint; reads the data of tied tensors
  static func match(
    _ a: ModelDifference.Input, _ b: ModelDifference.Input, _ mapper: Mapper
  ) -> TensorMatching {
    let found = [a, b].map {
      mapper.recognize($0.source.tensors, metadata: $0.source.metadata, config: $0.config)
    }
    var matching = TensorMatching(dialects: found.map(\.dialect))
    if found[0].dialect != nil, found[1].dialect != nil, found[0].family == found[1].family {
      do {
        let plans = try [a, b].map { try plan($0, mapper) }
        matching.family = found[0].family
        for (input, plan) in zip([a, b], plans) { matching.notes += notes(on: plan, of: input) }
        matching.a = targets(of: plans[0], a)
        matching.b = targets(of: plans[1], b)
        return matching
      } catch {
        // The first line is the problem; the tensors that it names are in the comparison anyhow.
        let reason = "\(error)".split(separator: "\n").first.map(String.init) ?? ""
        matching.notes.append(.notMatchedByTables(reason: reason))
      }
    } else if found.contains(where: { $0.dialect != nil }) {
      matching.notes.append(.differentFamilies)
    }
    for input in [a, b] {
      let count = input.source.tensors.count { $0.elementType.size == nil }
      if count > 0 { matching.notes.append(.withoutNumbers(checkpoint: input.name, count: count)) }
    }
    matching.a = tensors(of: a.source)
    matching.b = tensors(of: b.source)
    return matching
  }

  /// A plan for looking: it leaves nothing out in silence and does not mind what is missing.
  private static func plan(_ input: ModelDifference.Input, _ mapper: Mapper) throws -> MappingPlan {
    try mapper.plan(
      for: input.source.tensors, metadata: input.source.metadata, file: input.name, config: input.config,
      configFile: nil, allowUnexpected: ["*"], allowsMissing: true, takesAverages: input.takesAverages
    ).resolvingTies(in: input.source)
  }

  /// The targets of a plan, and under their own names the tensors that no rule matches.
  private static func targets(of plan: MappingPlan, _ input: ModelDifference.Input) -> [MappingPlan.Target] {
    let unmatched = Set(plan.report.dropped.filter(\.cause.isAllowed).map(\.name))
    return plan.targets + tensors(of: input.source).filter { unmatched.contains($0.info.name) }
  }

  private static func notes(on plan: MappingPlan, of input: ModelDifference.Input) -> [ModelDifference.Note] {
    var notes: [ModelDifference.Note] = []
    let dropped = plan.report.dropped.filter { !$0.cause.isAllowed && !$0.cause.isCopy }
    if !dropped.isEmpty {
      notes.append(
        .notPartOfModel(
          checkpoint: input.name, count: dropped.count, reasons: Set(dropped.map(\.reason)).sorted()))
    }
    let missing = plan.report.missing.map(\.target)
    if !missing.isEmpty { notes.append(.missing(checkpoint: input.name, tensors: missing)) }
    return notes
  }

  /// The tensors with numbers under their own names.
  private static func tensors(of source: any TensorSource) -> [MappingPlan.Target] {
    source.tensors.enumerated().filter { $0.element.elementType.size != nil }.map { index, info in
      MappingPlan.Target(info: info, operation: .rename, sources: [index])
    }
  }
}
