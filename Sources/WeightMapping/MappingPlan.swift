import TensorIO

/// How a source becomes a model: every tensor of it in forward order, and its config.
public struct MappingPlan: Sendable {
  public struct Target: Sendable {
    /// Canonical name, type and shape.
    public let info: TensorInfo
    public let operation: Operation
    /// Indices into the tensors of the source.
    public let sources: [Int]
  }

  /// A tensor that is left out if it holds the same bytes as another: only data can tell.
  struct Copy: Sendable {
    /// Index into the tensors of the source.
    let source: Int
    /// The target to leave out; `nil` for a second name of the base itself.
    let target: Int?
    let base: Int
    /// A second name may not differ; a tied tensor may.
    let isAlias: Bool
  }

  public let family: String
  public let dialect: String
  /// The canonical config, in the style of `transformers`.
  public internal(set) var config: JSON
  /// In forward order. Holds tied tensors too until ``resolvingTies(in:)``.
  public internal(set) var targets: [Target]
  public internal(set) var report: MappingReport
  /// What was assumed or inferred, a sentence each.
  public internal(set) var notes: [String]
  var copies: [Copy] = []
  /// Names of the targets that are tied to others as a rule, of heads that are there.
  var tiedTargets: Set<String> = []

  /// Whether tensors that may be copies of others are still undecided.
  public var hasUnresolvedTies: Bool { !copies.isEmpty }

  /// The number of bytes of all targets.
  public var byteCount: Int { targets.reduce(0) { $0 + $1.info.byteCount } }
}

extension MappingPlan {
  /// Adds a sentence that the user is to read.
  public mutating func note(_ sentence: String) { notes.append(sentence) }

  /// Makes a plan for some of a source's tensors, of which `indices` are the places in the whole, one for the whole.
  mutating func renumberSources(_ indices: [Int]) {
    targets = targets.map { target in
      Target(info: target.info, operation: target.operation, sources: target.sources.map { indices[$0] })
    }
    copies = copies.map { copy in
      Copy(source: indices[copy.source], target: copy.target, base: copy.base, isAlias: copy.isAlias)
    }
  }
}

extension MappingPlan {
  /// The plan without the tensors that are copies of what they are tied to.
  ///
  /// Compares their bytes. A tied tensor that differs is kept, with a note; a second name of a tensor that differs from
  /// the first is an error. Does nothing a second time.
  public func resolvingTies(in source: any TensorSource) throws -> MappingPlan {
    var plan = self
    plan.tieWhereThereIsNoDecoder()
    guard hasUnresolvedTies else { return plan }
    plan.copies = []
    var leftOut: Set<Int> = []
    var isUntied = false
    for copy in copies {
      let base = targets[copy.base]
      let name = source.tensors[copy.source].name
      let candidate =
        copy.target.map { targets[$0] } ?? Target(info: base.info, operation: base.operation, sources: [copy.source])
      if try Converter.isEqual(candidate, base, in: source) {
        if let target = copy.target { leftOut.insert(target) }
        let rule = copy.isAlias ? "alias" : "tied"
        plan.report.moveToDropped(
          name, rule: rule, reason: "\(copy.isAlias ? "another name of" : "tied to") \(base.info.name)")
      } else if copy.isAlias {
        throw FormatError(
          "two names of \(base.info.name) hold different values", tensor: name,
          advice: "Remove the one that is not meant from the checkpoint.")
      } else {
        isUntied = true
        plan.notes.append("\(candidate.info.name) differs from \(base.info.name), to which it is tied as a rule: kept")
      }
    }
    plan.targets = targets.enumerated().filter { !leftOut.contains($0.offset) }.map(\.element)
    // Readers of the config would otherwise tie the weights again, or look for weights that are not there.
    if isUntied {
      plan.config.set("tie_word_embeddings", .bool(false))
    } else if !leftOut.isEmpty, config["tie_word_embeddings"] == .bool(false) {
      plan.config.set("tie_word_embeddings", .bool(true))
      plan.notes.append("tie_word_embeddings was false in the config, but the weights are the same: set to true")
    }
    return plan
  }
}

extension MappingPlan {
  /// A config may say that the output weights are not tied, of a file that has none of their own: then they can only be
  /// the embeddings, and a reader that believed the config would look for weights that are nowhere.
  fileprivate mutating func tieWhereThereIsNoDecoder() {
    guard config["tie_word_embeddings"] == .bool(false), !tiedTargets.isEmpty,
      !targets.contains(where: { tiedTargets.contains($0.info.name) })
    else { return }
    config.set("tie_word_embeddings", .bool(true))
    notes.append(
      "tie_word_embeddings was false in the config, but there are no output weights in the file: set to true")
  }
}

extension MappingReport {
  mutating func moveToDropped(_ name: String, rule: String, reason: String) {
    mapped.removeAll { $0.name == name }
    dropped.append(Dropped(name: name, rule: rule, reason: reason))
  }
}
