import ModelFamilies
import TensorIO

/// A dense layer with the activation after it.
struct TransformWeights: Sendable {
  let dense: DenseWeights
  let activation: Activation

  /// `y` = activation(x · wᵀ + b).
  func run(_ pass: ForwardPass, _ x: Matrix, into y: Matrix) { pass.backend.dense(x, dense, activation, into: y) }
}

/// What makes one vector of a sequence: a token, and a dense layer over it where there is one.
enum Pooler: Sendable {
  /// activation(dense(first token)).
  case dense(TransformWeights)  // [H, H]
  case firstToken
  case lastToken
}

extension Pooler {
  /// The pooler of the model itself: tanh(dense(first token)) (Devlin et al., 2018), or the first token as it is where the
  /// config sets it; `nil` where the file has none.
  init?(_ loader: inout WeightLoader, _ config: EncoderConfig) throws(FormatError) {
    guard config.poolerIsDense else {
      // Weights that are there all the same, as in the released MobileBERT, are not read in transformers either.
      self = .firstToken
      return
    }
    guard loader.has(.pooler) else { return nil }
    let dense = try loader.dense(.pooler, config.hiddenSize, config.hiddenSize)
    self = .dense(TransformWeights(dense: dense, activation: .tanh))
  }

  /// [sequences, H] of the hidden states; valid until the next of these, in the memory of the heads.
  func run(_ pass: ForwardPass) -> Matrix {
    let sequences = pass.group.sequences
    let token = pass.state.context.matrix(sequences.count, pass.config.hiddenSize)
    switch self {
    case .lastToken: token.copyRows(sequences.map(\.lastToken), of: pass.hidden)
    case .firstToken, .dense: token.copyRows(sequences.map(\.firstToken), of: pass.hidden)
    }
    guard case .dense(let transform) = self else { return token }
    let pooled = pass.state.attended.matrix(sequences.count, pass.config.hiddenSize)
    transform.run(pass, token, into: pooled)
    return pooled
  }
}
