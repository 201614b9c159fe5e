import ModelFamilies
import TensorIO

/// A feed-forward network: activation(x · W₁ᵀ + b₁) · W₂ᵀ + b₂ (Vaswani et al., 2017, section 3.3), and its normalization.
struct FeedForward: Sendable {
  let input: DenseWeights  // [I, N]
  let output: DenseWeights  // [N, I]
  /// Of the sum of result and residual, or of what the network reads, by the norm placement of the family.
  let norm: NormWeights  // [N]
  let activation: Activation
}

extension FeedForward {
  init(
    _ loader: inout WeightLoader, _ config: EncoderConfig, _ block: BlockIndex, _ kind: Normalization
  ) throws(FormatError) {
    let inner = config.innerSize
    input = try loader.layerDense(.feedForwardInput, config.intermediateSize, inner, in: block)
    output = try loader.layerDense(.feedForwardOutput, inner, config.intermediateSize, in: block)
    norm = try loader.norm(.feedForwardNorm, inner, kind, in: block)
    activation = config.activation
  }

  /// `y` [T, N] = activation(x · W₁ᵀ + b₁) · W₂ᵀ, x [T, N]; without the last bias, which is added with the residual.
  func run(_ pass: ForwardPass, _ x: Matrix, into y: Matrix) {
    pass.backend.feedForward(x, input, activation, by: output.weight, into: y)
  }
}
