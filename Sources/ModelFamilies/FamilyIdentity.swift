/// What identifies a family: enough to recognize its checkpoints and configs.
package struct FamilyIdentity: Sendable {
  package let name: String
  /// The family with its article, as in "a BERT".
  package let description: String
  /// Values of `model_type` that mean this model, the canonical one first.
  package let modelTypes: [String]
  /// The names of its classes, as `BertForMaskedLM`.
  package let architectures: [String]
  /// What tells its checkpoints from those of families with the same names, or names it where no dialect fits.
  package let signatures: [FamilySignature]
  /// What checkpoints of another family rarely have: where nothing else decides, the model may be of either.
  package let possibleSignatures: [FamilySignature]

  package var modelType: String { modelTypes[0] }

  package func isOf(modelType type: String?) -> Bool { type.map(modelTypes.contains) ?? false }

  /// Whether `architecture` is a class of the family, as `RobertaModel` is.
  package func hasArchitecture(_ architecture: String) -> Bool { architectures.contains(architecture) }
}
