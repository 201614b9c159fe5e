/// What identifies a family: enough to recognize its checkpoints and configs.
package struct FamilyIdentity: Sendable {
  package let name: String
  /// The family with its article, as in "a BERT".
  package let description: String
  /// Values of `model_type` that mean this model, the canonical one first.
  package let modelTypes: [String]
  /// The names of its classes, as `BertForMaskedLM`.
  package let architectures: [String]
  /// What distinguishes its checkpoints from those of families with the same names, or names it where no dialect fits.
  package let signatures: [FamilySignature]
  /// What checkpoints of another family rarely have: where nothing else decides, the model may be of either.
  package let possibleSignatures: [FamilySignature]
  /// The names under which a config can give the sizes of such a model, sorted.
  package let sizeKeys: [String]

  package var modelType: String { modelTypes[0] }

  package func isOf(modelType type: String?) -> Bool { type.map(modelTypes.contains) ?? false }

  /// Whether `architecture` is a class of the family, as `RobertaModel` is.
  package func hasArchitecture(_ architecture: String) -> Bool { architectures.contains(architecture) }

  /// Whether a class is named as those of the family are: `BertForEntities` as `BertForMaskedLM` is.
  package func isNamedLike(_ architecture: String) -> Bool {
    guard let beginning = Self.beginning(ofClass: architecture) else { return hasArchitecture(architecture) }
    return architectures.contains { beginning.hasPrefix(Self.beginning(ofClass: $0) ?? $0) }
  }

  /// The family in the name of a class of `transformers`: `Bert` in `BertForMaskedLM`, `BertModel`
  /// and `TFBertModel`; `nil` for other names.
  package static func beginning(ofClass name: String) -> String? {
    var rest = name[...]
    for framework in ["TF", "Flax"] where rest.hasPrefix(framework) { rest = rest.dropFirst(framework.count) }
    let ends = ["For", "Model", "LMHead"].compactMap { rest.firstRange(ofBytes: $0)?.lowerBound }
    guard let end = ends.min(), end > rest.startIndex else { return nil }
    return String(rest[..<end])
  }
}
