import ModelFamilies
import TensorIO
import WeightMapping

extension MappingPlan {
  /// The plan without the tensors that are copies of what they are tied to.
  ///
  /// Compares their bytes. A tied tensor that differs is kept, with a note; an alias that differs from
  /// the first is an error. Does nothing a second time.
  public func resolvingTies(in source: any TensorSource) throws -> MappingPlan {
    var plan = self
    plan.tieMissingOutputWeights()
    guard hasUnresolvedTies else { return plan }
    plan.copies = []
    var leftOut: Set<Int> = []
    var isUntied = false
    // What becomes of a bias depends on the weight next to it.
    for copy in copies.filter({ !isBias($0) }) + copies.filter(isBias) {
      let base = targets[copy.base]
      let name = source.tensors[copy.source].name
      let candidate =
        copy.target.map { targets[$0] } ?? Target(info: base.info, operation: base.operation, sources: [copy.source])
      if try Converter.isEqual(candidate, base, in: source) {
        if let target = copy.target { leftOut.insert(target) }
        plan.report.moveToDropped(
          copy.isAlias
            ? .init(
              name: name, cause: .alias(of: base.info.name), rule: "alias", reason: "alias of \(base.info.name)")
            : .init(name: name, cause: .tied(to: base.info.name), rule: "tied", reason: "tied to \(base.info.name)"))
      } else if copy.isAlias {
        throw FormatError(
          .mismatch, "an alias of \(base.info.name) has different values", tensor: name,
          advice: "Remove the wrong one from the checkpoint.")
      } else if isBias(copy), let target = copy.target {
        plan.takeOneBias(target, copy.base, in: source, hasOwnWeight: isUntied)
        leftOut.insert(target)
      } else {
        isUntied = true
        plan.notes.append(
          MappingNote(
            .untied(candidate.info.name),
            "\(candidate.info.name) differs from \(base.info.name), to which it is usually tied: kept"))
      }
    }
    plan.targets = plan.targets.enumerated().filter { !leftOut.contains($0.offset) }.map(\.element)
    // Readers of the config would otherwise tie the weights again, or look for absent weights.
    if isUntied {
      plan.config.set(.tiesWordEmbeddings, .bool(false))
    } else if !leftOut.isEmpty, config[.tiesWordEmbeddings] == .bool(false) {
      plan.config.set(.tiesWordEmbeddings, .bool(true))
      plan.notes.append(
        MappingNote(
          .tieCorrected, "tie_word_embeddings was false in the config, but the weights are the same: set to true"))
    }
    return plan
  }
}

extension MappingPlan {
  private func isBias(_ copy: Copy) -> Bool {
    !copy.isAlias && copy.target.map { targets[$0].info.name.hasSuffix(".bias") } == true
  }

  /// A decoder's bias that differs from the head's, of which it is only another name: `transformers` takes the head's, and a
  /// decoder with weights of its own, as an adapter leaves it, adds its own bias. One of them is written, as the head's.
  private mutating func takeOneBias(_ own: Int, _ base: Int, in source: any TensorSource, hasOwnWeight: Bool) {
    let (decoder, head) = (targets[own], targets[base])
    let (taken, other) = hasOwnWeight ? (decoder, head) : (head, decoder)
    if hasOwnWeight {
      targets[base] = Target(
        info: TensorInfo(name: head.info.name, elementType: decoder.info.elementType, shape: head.info.shape)
          ?? head.info, operation: decoder.operation, sources: decoder.sources)
    }
    let (kept, dropped) = (source.tensors[taken.sources[0]].name, source.tensors[other.sources[0]].name)
    report.moveToDropped(
      .init(name: dropped, cause: .tied(to: head.info.name), rule: "tied", reason: "\(kept) is taken in its place"))
    notes.append(
      MappingNote(
        .untied(other.info.name),
        "\(dropped) differs from \(kept), though both are the same bias: using \(kept), because "
          + (hasOwnWeight ? "the decoder has its own weights" : "transformers does")))
  }

  /// A config may declare untied output weights for a file that has none: then they can only be
  /// the embeddings, and a reader that believed the config would look for weights that are nowhere.
  fileprivate mutating func tieMissingOutputWeights() {
    guard config[.tiesWordEmbeddings] == .bool(false), !tiedTargets.isEmpty,
      !targets.contains(where: { tiedTargets[$0.info.name] != nil })
    else { return }
    config.set(.tiesWordEmbeddings, .bool(true))
    notes.append(
      MappingNote(
        .tieCorrected,
        "tie_word_embeddings was false in the config, but there are no output weights in the file: set to true"))
  }
}
