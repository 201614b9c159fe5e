/// The activations of one group of packed sequences, allocated once for the largest group of a run.
struct EncoderState {
  /// [T, H]: what goes into a layer, and what comes out of it.
  let hidden: Buffer
  /// [T, 3H]: query, key and value side by side.
  let projected: Buffer
  /// [S, S]: attention of one head in one sequence.
  let scores: Buffer
  /// [T, H]: the heads' results side by side.
  let context: Buffer
  /// [T, H]: what comes out of the attention block.
  let attended: Buffer
  /// [T, I]: between the two matrices of the feed-forward block.
  let inner: Buffer

  init(_ config: EncoderConfig, tokens: Int, longest: Int) {
    let width = max(config.hiddenSize, config.embeddingSize)
    hidden = Buffer(count: tokens * config.hiddenSize)
    projected = Buffer(count: tokens * 3 * config.hiddenSize)
    scores = Buffer(count: longest * longest)
    context = Buffer(count: tokens * width)
    attended = Buffer(count: tokens * width)
    inner = Buffer(count: tokens * config.intermediateSize)
  }
}

/// BERT's encoder (Devlin et al., 2018; Vaswani et al., 2017) on one group of packed sequences: post-norm
/// as published, or pre-norm as Megatron-LM has it (Shoeybi et al., 2019).
///
/// T rows in the group, S in a sequence; H hidden size, A heads of D = H / A, I intermediate size, E embedding size.
struct ForwardPass {
  let config: EncoderConfig
  let weights: EncoderWeights
  let state: EncoderState
  let group: PackedGroup

  var hidden: Matrix { state.hidden.matrix(group.tokens, config.hiddenSize) }

  /// `hidden` = layerNorm(word + token type + position), projected from E to H where the two differ. Pre-norm families
  /// leave the sum as it is.
  func embed() {
    let projection = weights.embeddingProjection
    let x = projection == nil ? hidden : state.context.matrix(group.tokens, config.embeddingSize)
    Kernels.gather(weights.wordEmbeddings, group.ids, into: x, adding: false)  // [T, E]
    if let types = weights.tokenTypeEmbeddings { Kernels.gather(types, group.types, into: x, adding: true) }
    Kernels.gather(weights.positionEmbeddings, group.positions, into: x, adding: true)
    if let norm = weights.embeddingNorm { Kernels.layerNorm(x, norm, epsilon: config.layerNormEpsilon) }
    if let projection {
      Kernels.multiply(x, by: projection.weight, into: hidden)  // [T, E] · [H, E]ᵀ
      Kernels.add(bias: projection.bias, to: hidden)
    }
  }

  /// All blocks of a layer. The last layer's result is normalised once more where the model ends so: that is what
  /// `transformers` gives as the last of `hidden_states`.
  func run(layer index: Int) {
    for block in weights.layers[index] {
      switch config.family.normPlacement {
      case .afterSum: runPostNorm(block)
      case .beforeBlock: runPreNorm(block)
      }
    }
    if index == config.layerCount - 1, let norm = weights.finalNorm {
      Kernels.layerNorm(hidden, norm, epsilon: config.layerNormEpsilon)
    }
  }

  /// `hidden` = layerNorm(a + feedForward(a)) with a = layerNorm(hidden + attention(hidden)).
  private func runPostNorm(_ layer: LayerWeights) {
    let epsilon = config.layerNormEpsilon
    let attended = state.attended.matrix(group.tokens, config.hiddenSize)

    attention(of: hidden, layer, into: attended)
    Kernels.residualLayerNorm(
      attended, bias: layer.attentionOutput.bias, residual: hidden, layer.attentionNorm, epsilon: epsilon)

    feedForward(of: attended, layer, into: hidden)
    Kernels.residualLayerNorm(hidden, bias: layer.output.bias, residual: attended, layer.outputNorm, epsilon: epsilon)
  }

  /// `hidden` = a + feedForward(layerNorm(a)) with a = hidden + attention(layerNorm(hidden)).
  private func runPreNorm(_ layer: LayerWeights) {
    let epsilon = config.layerNormEpsilon
    let attended = state.attended.matrix(group.tokens, config.hiddenSize)
    let context = state.context.matrix(group.tokens, config.hiddenSize)

    Kernels.layerNorm(hidden, layer.attentionNorm, epsilon: epsilon, into: attended)
    // Nothing reads the normalised input once the heads are done, so their projection may take its place.
    attention(of: attended, layer, into: attended)
    Kernels.addResidual(attended, bias: layer.attentionOutput.bias, residual: hidden)

    Kernels.layerNorm(attended, layer.outputNorm, epsilon: epsilon, into: context)
    feedForward(of: context, layer, into: hidden)
    Kernels.addResidual(hidden, bias: layer.output.bias, residual: attended)
  }

  /// `y` = the heads' results for `x`, projected; without the last bias, which is added with the residual.
  private func attention(of x: Matrix, _ layer: LayerWeights, into y: Matrix) {
    let context = attend(to: x, layer.projection)  // [T, H]
    Kernels.multiply(context, by: layer.attentionOutput.weight, into: y)  // [T, H] · [H, H]ᵀ
  }

  /// `y` = activation(x · [I, H]ᵀ + bias) · [H, I]ᵀ; without the last bias, which is added with the residual.
  private func feedForward(of x: Matrix, _ layer: LayerWeights, into y: Matrix) {
    let inner = state.inner.matrix(group.tokens, config.intermediateSize)
    Kernels.multiply(x, by: layer.intermediate.weight, into: inner)  // [T, H] · [I, H]ᵀ
    Kernels.activate(inner, config.activation, bias: layer.intermediate.bias)
    Kernels.multiply(inner, by: layer.output.weight, into: y)  // [T, I] · [H, I]ᵀ
  }

  /// softmax(Q Kᵀ / √D) V for each head of each sequence; the result is in `state.context`.
  private func attend(to x: Matrix, _ projection: ProjectionWeights) -> Matrix {
    let width = config.hiddenSize
    let projected = state.projected.matrix(group.tokens, 3 * width)
    let context = state.context.matrix(group.tokens, width)
    let scale = 1 / Float(config.headSize).squareRoot()

    var column = 0
    for weight in projection.weights {  // one [3H, H], or three [H, H]
      Kernels.multiply(x, by: weight, into: projected.columns(column..<(column + weight.rows)))
      column += weight.rows
    }
    column = 0
    for bias in projection.biases {
      Kernels.add(bias: bias, to: projected.columns(column..<(column + bias.columns)))
      column += bias.columns
    }

    for sequence in group.sequences {
      // Padding is not there, so there is nothing to mask.
      let queries = projected.rows(sequence.queries)
      let keys = projected.rows(sequence.keys)
      let result = context.rows(sequence.queries)
      let scores = state.scores.matrix(queries.rows, keys.rows)  // [S, S]
      for head in 0..<config.headCount {
        let own = (head * config.headSize)..<((head + 1) * config.headSize)
        let key = (own.lowerBound + width)..<(own.upperBound + width)
        let value = (own.lowerBound + 2 * width)..<(own.upperBound + 2 * width)
        Kernels.multiplyTransposed(queries.columns(own), keys.columns(key), scale: scale, into: scores)
        Kernels.softmax(scores)
        Kernels.multiply(scores, keys.columns(value), into: result.columns(own))  // [S, S] · [S, D]
      }
    }
    return context
  }
}

// MARK: Heads

extension ForwardPass {
  /// activation(dense(first token)): [sequences, H].
  func pool(_ transform: TransformWeights) -> Matrix {
    let first = state.context.matrix(group.sequences.count, config.hiddenSize)
    let pooled = state.attended.matrix(group.sequences.count, config.hiddenSize)
    Kernels.gather(hidden, group.sequences.map(\.firstToken), into: first)
    self.transform(first, transform, into: pooled)
    return pooled
  }

  /// activation(dense(x)).
  func transform(_ x: Matrix, _ transform: TransformWeights, into y: Matrix) {
    Kernels.multiply(x, by: transform.dense.weight, into: y)
    Kernels.activate(y, transform.activation, bias: transform.dense.bias)
  }

  /// A score for each token: [T, 1].
  func detectReplaced(_ head: (transform: TransformWeights, output: DenseWeights)) -> Matrix {
    let x = state.attended.matrix(group.tokens, config.hiddenSize)
    transform(hidden, head.transform, into: x)
    return classify(x, head.output)
  }

  /// `x · wᵀ + b` in a matrix of its own, for heads of few labels.
  func classify(_ x: Matrix, _ head: DenseWeights) -> Matrix {
    let y = Buffer(count: x.rows * head.weight.rows).matrix(x.rows, head.weight.rows)
    Kernels.multiply(x, by: head.weight, into: y)
    Kernels.add(bias: head.bias, to: y)
    return y
  }

  /// layerNorm(activation(dense(hidden))) · decoderᵀ + bias straight into the padded `values` [batch * sequence, V]: at
  /// this width a copy of the packed rows would be the largest buffer of all.
  func predict(_ head: PredictionWeights, sequenceLength: Int, into values: inout [Float]) {
    let x = state.attended.matrix(group.tokens, config.embeddingSize)
    transform(hidden, head.transform, into: x)  // [T, H] · [E, H]ᵀ
    Kernels.layerNorm(x, head.norm, epsilon: config.layerNormEpsilon)
    for sequence in group.sequences {
      for run in sequence.runs {
        let rows = (sequence.start + run.lowerBound)..<(sequence.start + run.upperBound)
        let target = sequence.row * sequenceLength + sequence.columns[run.lowerBound]
        Kernels.multiply(x.rows(rows), by: head.decoder, into: &values, firstRow: target)  // [S, E] · [V, E]ᵀ
      }
    }
  }
}
