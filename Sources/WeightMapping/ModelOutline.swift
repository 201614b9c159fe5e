import ModelFamilies
import TensorIO

/// What can be said of a checkpoint without reading its values: what it is, how it is made, what becomes of its tensors.
public struct ModelOutline: Sendable {
  /// What a tensor is for.
  public enum Part: String, Sendable, CaseIterable {
    case embeddings, encoder, heads
    /// Moments and the like: what the table drops as an optimizer's.
    case optimizer
    /// Known, and no part of a model: buffers, counts.
    case other
    case unknown
  }

  /// A tensor that is, as a rule, another one.
  public struct Tie: Sendable, Equatable {
    public enum Kind: String, Sendable {
      /// Not in the checkpoint: the other one stands for it.
      case absent
      /// Both are there and share their memory.
      case shared
      /// Both are there; only their bytes tell whether they are the same.
      case present
    }

    /// Canonical names.
    public let name: String
    public let base: String
    public let kind: Kind
  }

  public let recognition: Recognition
  public internal(set) var report: MappingReport
  /// The canonical config, told or inferred; `nil` where no table knows the tensors.
  public internal(set) var config: JSON?
  /// What was assumed; what the shapes give is not repeated.
  public internal(set) var notes: [MappingNote] = []
  /// One for each tensor; `nil` where no table knows the family.
  public package(set) var parts: [Part]?
  public internal(set) var ties: [Tie] = []

  init(recognition: Recognition, report: MappingReport) {
    self.recognition = recognition
    self.report = report
  }

  /// `indices` are the places of the tensors that were evaluated among all.
  mutating func addParts(of result: Evaluation, _ tensors: [TensorInfo], at indices: [Int]) {
    let assembly = result.assembly
    let groups = Self.parts(of: assembly.table)
    var parts = [Part](repeating: .unknown, count: tensors.count)
    for (place, hit) in assembly.match.hits.enumerated() {
      guard let hit, let target = assembly.dialect.rules[hit.source.rule].targets.first else { continue }
      parts[indices[place]] = groups[assembly.table.tensors[target].group]
    }
    let causes = Dictionary(report.dropped.map { ($0.name, $0.cause) }) { first, _ in first }
    for index in indices where parts[index] == .unknown {
      guard let cause = causes[tensors[index].name] else { continue }
      parts[index] = cause == .optimizer ? .optimizer : .other
    }
    self.parts = parts
  }

  /// For each group of a table. Tensors come in forward order: what stands before the layers and must be there embeds, what
  /// repeats with them or closes them encodes, the rest is there for one task and not for another.
  private static func parts(of table: MappingTable) -> [Part] {
    var isLayered = [Bool](repeating: false, count: table.groups.count)
    for tensor in table.tensors where tensor.pattern.isPerLayer { isLayered[tensor.group] = true }
    let first = isLayered.firstIndex(of: true) ?? table.groups.count
    return table.groups.indices.map { index in
      if isLayered[index] { return .encoder }
      guard table.groups[index].canBeRequired else { return index < first ? .embeddings : .heads }
      return index < first ? .embeddings : .encoder
    }
  }

  /// Of the heads that are there.
  mutating func addTies(of result: Evaluation) {
    let assembly = result.assembly
    let table = assembly.table
    let present = assembly.presentGroups
    for (index, tensor) in table.tensors.enumerated() {
      guard let base = tensor.tiedTo, present.contains(tensor.group), !tensor.pattern.isPerLayer else { continue }
      let storages = [index, base].map { target in
        assembly.fillings[TargetKey(tensor: target, layer: nil)].map { assembly.tensors[$0.sources[0]].sharedStorage }
      }
      let kind: Tie.Kind
      switch (storages[0], storages[1]) {
      case (nil, _): kind = .absent
      case (.some(let own?), .some(let other?)) where own == other: kind = .shared
      default: kind = .present
      }
      ties.append(Tie(name: tensor.pattern.text, base: table.tensors[base].pattern.text, kind: kind))
    }
  }
}
