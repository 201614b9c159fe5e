import TensorIO

/// How a source becomes a model: every tensor of it in forward order, and its config.
public struct MappingPlan: Sendable {
  public struct Target: Sendable {
    /// Canonical name, type and shape.
    public let info: TensorInfo
    public let operation: Operation
    /// Indices into the tensors of the source.
    public let sources: [Int]

    package init(info: TensorInfo, operation: Operation, sources: [Int]) {
      self.info = info
      self.operation = operation
      self.sources = sources
    }
  }

  /// A tensor that is left out if it holds the same bytes as another: only the data shows it.
  package struct Copy: Sendable {
    /// Index into the tensors of the source.
    package let source: Int
    /// The target to leave out; `nil` for an alias of the base itself.
    package let target: Int?
    package let base: Int
    /// An alias may not differ; a tied tensor may.
    package let isAlias: Bool
  }

  public let family: String
  public let dialect: String
  /// The canonical config, in the style of `transformers`.
  public package(set) var config: JSON
  /// In forward order. Holds tied tensors too until `resolvingTies(in:)` of Conversion.
  public package(set) var targets: [Target]
  public package(set) var report: MappingReport
  /// What was assumed, inferred or changed.
  public package(set) var notes: [MappingNote]
  package var copies: [Copy] = []
  /// Names of the targets that are usually tied to others, of heads that are present, each with what it is tied to.
  package var tiedTargets: [String: String] = [:]

  /// Config keys with assumed values, and these values.
  public var assumed: [(key: String, value: JSON)] {
    var result: [(key: String, value: JSON)] = []
    for note in notes {
      guard case .assumed(let key) = note.kind, !result.contains(where: { $0.key == key }) else { continue }
      result.append((key, config[key] ?? .null))
    }
    return result
  }

  /// Whether tensors that may be copies of others are still undecided.
  public var hasUnresolvedTies: Bool { !copies.isEmpty }

  /// The number of bytes of all targets.
  public var byteCount: Int { targets.reduce(0) { $0 + $1.info.byteCount } }
}

extension MappingPlan {
  /// Adds a note for the user.
  public mutating func note(_ sentence: String) { notes.append(MappingNote(.program, sentence)) }

  /// Makes a plan for some of a source's tensors, of which `indices` are the indices in the whole, one for the whole.
  mutating func renumberSources(_ indices: [Int]) {
    targets = targets.map { target in
      Target(info: target.info, operation: target.operation, sources: target.sources.map { indices[$0] })
    }
    copies = copies.map { copy in
      Copy(source: indices[copy.source], target: copy.target, base: copy.base, isAlias: copy.isAlias)
    }
  }
}

extension MappingReport {
  package mutating func moveToDropped(_ entry: Dropped) {
    mapped.removeAll { $0.name == entry.name }
    dropped.append(entry)
  }
}
