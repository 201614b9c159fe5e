import ModelFamilies
import TensorIO

/// Self-attention (Vaswani et al., 2017, section 3.2): softmax(Q Kᵀ / √D + bias) V for each of A heads of D = N / A features,
/// and a dense layer over the heads' results side by side.
struct Attention: Sendable {
  let projection: ProjectionWeights
  let output: DenseWeights  // [N, N]
}

/// Query, key and value: one matrix [3N, N] and one bias [3N] where they are packed, or adjacent and read the same; otherwise
/// query and key [2N, N] and value [N, N or H], or three of each.
struct ProjectionWeights: Sendable {
  let weights: [Weight]
  let biases: [Weight]
}

extension Attention {
  /// - Parameter sharesInput: whether the value reads what query and key read; otherwise it reads H features
  init(
    _ loader: inout WeightLoader, _ config: EncoderConfig, _ block: BlockIndex, sharesInput: Bool
  ) throws(FormatError) {
    let inner = config.innerSize
    projection =
      if config.family.has(.queryKeyValue) {
        try loader.projection(fused: .queryKeyValue, inner, in: block)
      } else {
        try loader.projection(
          [.query, .key, .value], inner, valueColumns: sharesInput ? inner : config.hiddenSize,
          sharesInput: sharesInput, in: block)
      }
    output = try loader.layerDense(.attentionOutput, inner, inner, in: block)
  }

  /// `y` [T, N] = the attention of queries and keys of `x` [T, N] and values of `values` [T, N or H]; without the last bias,
  /// which is added with the residual.
  func run(_ pass: ForwardPass, _ x: Matrix, values: Matrix, into y: Matrix) {
    let width = output.weight.columns
    let projected = pass.state.projected.matrix(pass.group.tokens, 3 * width)
    let context = pass.state.context.matrix(pass.group.tokens, width)
    // There is no padding, so there is nothing to mask.
    if projection.weights.count == 1, projection.biases.count == 1 {
      pass.backend.attention(
        x, DenseWeights(weight: projection.weights[0], bias: projection.biases[0]), pass.group, pass.attentionForm,
        output: output.weight, projected: projected, context: context, into: y)
      return
    }
    projectApart(pass.backend, x, values: values, into: projected)  // [T, 3N]
    pass.backend.attend(projected, pass.group, pass.attentionForm, into: context)  // [T, N]
    pass.backend.multiply(context, by: output.weight, into: y)  // [T, N] · [N, N]ᵀ
  }

  /// Query, key and value of weights that lie apart: [2N, N] and [N, H], or three.
  private func projectApart(_ backend: Backend, _ x: Matrix, values: Matrix, into projected: Matrix) {
    let width = output.weight.columns
    var column = 0
    for weight in projection.weights {
      let source = column < 2 * width ? x : values
      backend.multiply(source, by: weight, into: projected.columns(column..<(column + weight.rows)))
      column += weight.rows
    }
    column = 0
    for bias in projection.biases {
      backend.add(bias, to: projected.columns(column..<(column + bias.columns)))
      column += bias.columns
    }
  }
}
