import ModelFamilies

/// What becomes of a row before it is scaled and shifted.
enum Normalization: Sendable, Equatable {
  /// Mean 0 and variance 1, except for what epsilon adds to the variance (Ba et al., 2016).
  case variance(epsilon: Float)
  /// Mean 0 and a sample's deviation of 1, except for what epsilon adds to the deviation (BERT-pytorch).
  case sampleDeviation(epsilon: Float)
  /// Nothing (the NoNorm of MobileBERT; Sun et al., 2020, section 3.4).
  case affine

  /// Whether it takes statistics that a wrong weight would show in.
  var isOfVariance: Bool { if case .variance = self { true } else { false } }
}

/// A layer normalization: `(x - mean) / √(variance + ε) · gamma + beta`, by its kind.
struct NormWeights: Sendable {
  let gamma: Weight  // [columns]
  let beta: Weight  // [columns]
  let kind: Normalization
  /// The name of its module, below the layer where it is one of a layer's.
  let name: String
}

extension EncoderConfig {
  /// What a normalization of embeddings or layers does, with an epsilon of its `own` where the family gives it one.
  func normalization(_ own: Double? = nil) -> Normalization {
    guard takesStatistics else { return .affine }
    let epsilon = own.map { Float($0) } ?? layerNormEpsilon
    return switch family.computation.normKind {
    case .variance: .variance(epsilon: epsilon)
    case .sampleDeviation: .sampleDeviation(epsilon: epsilon)
    }
  }
}
