import TensorIO
import WeightMapping

extension MappingPlan {
  /// PEFT applies an adapter of the word embeddings to the words that come in, and leaves the output weights as they were,
  /// though the base model has both in one matrix. Merging makes them the same again.
  ///
  /// - Throws: `FormatError` where the adapter replaces the matrix, so that a model of one matrix computes other logits
  mutating func checkTies(of adapted: AdaptedSource, file: String) throws(FormatError) {
    let own = Set(targets.map(\.info.name))
    for (tied, base) in tiedTargets.sorted(by: { $0.key < $1.key })
    where tied.hasSuffix(".weight") && !own.contains(tied) {
      guard let source = targets.first(where: { $0.info.name == base })?.sources.first else { continue }
      let name = adapted.tensors[source].name
      if adapted.replacedNames.contains(name) {
        throw FormatError(
          .unsupported, "the adapter replaces a matrix that the base model's output weights are tied to", file: file,
          tensor: name, found: "\(tied) in the old matrix, as PEFT computes it",
          advice:
            "Untie the output weights of the base model, merge with PEFT (merge_and_unload), save, and convert that.")
      }
      if adapted.mergedNames.contains(name) {
        note(
          "\(tied) changes with \(name), to which it is tied, as PEFT's merge_and_unload has it; before the merge PEFT leaves it as it was"
        )
      }
    }
  }
}
