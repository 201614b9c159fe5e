/// The activations of one group of packed sequences.
struct EncoderState {
  private let tokens: Int

  /// [T, H]: what goes into a layer, and what comes out of it.
  let hidden: Buffer
  /// [T, N]: what goes through bottlenecks into a layer; empty where there are none.
  let narrow: Buffer
  /// [T, 3N]: query, key and value side by side; of a recurrent stack what goes into the four gates.
  let projected: Buffer
  /// [T, N]: the heads' results side by side; wide enough for H, and for what embeddings are made of.
  let context: Buffer
  /// [T, N]: what comes out of the attention block; as wide.
  let attended: Buffer

  /// For any group of at most `tokens` rows.
  init(_ config: EncoderConfig, tokens: Int) {
    self.tokens = tokens
    let width = max(config.hiddenSize, config.innerSize, config.transformationInput)
    let widest = max(config.hiddenSize, config.recurrentSize ?? 0)
    hidden = Buffer(count: tokens * widest)
    narrow = Buffer(count: config.bottleneck == .none ? 0 : tokens * config.innerSize)
    projected = Buffer(count: tokens * (config.recurrentSize == nil ? 3 * config.innerSize : 4 * widest))
    context = Buffer(count: tokens * width)
    attended = Buffer(count: tokens * width)
  }

  func holds(_ group: PackedGroup) -> Bool {
    group.tokens <= tokens
  }
}

/// BERT's encoder (Devlin et al., 2018; Vaswani et al., 2017) on one group of packed sequences: post-norm
/// as published, or pre-norm as Megatron-LM has it (Shoeybi et al., 2019); with causal attention OpenAI's GPT (Radford et
/// al., 2018). A recurrent stack may stand in its place.
///
/// T rows in the group, S in a sequence; H hidden size, N the width inside a layer, H but for bottlenecks, A heads of
/// D = N / A, I intermediate size, E embedding size.
struct ForwardPass {
  let config: EncoderConfig
  let weights: EncoderWeights
  let state: EncoderState
  let group: PackedGroup
  let backend: Backend

  var hidden: Matrix { state.hidden.matrix(group.tokens, config.hiddenSize) }

  /// [T, width of that number] in the same memory.
  func hidden(_ index: Int) -> Matrix { state.hidden.matrix(group.tokens, config.width(ofHidden: index)) }

  private var attentionForm: AttentionForm {
    AttentionForm(heads: config.headCount, isCausal: config.family.isCausal, bias: nil)
  }

  /// `hidden` = normalise(word + token type + position), projected from E to H where the two differ, before the sum or
  /// after it. Pre-norm families leave the sum as it is.
  func embed() {
    let projection = weights.embeddingProjection
    let x = projection == nil ? hidden : state.context.matrix(group.tokens, config.embeddingSize)
    if let transformation = weights.embeddingTransformation {
      embedWords(through: transformation)
    } else {
      x.lookUp(group.ids, in: weights.wordEmbeddings)  // [T, E]
    }
    if let types = weights.tokenTypeEmbeddings, let indices = group.types {
      x.lookUp(indices, in: types, adding: true)
    }
    if let positions = weights.positionEmbeddings {
      x.lookUp(group.positions, in: positions, adding: true)
    }
    if let norm = weights.embeddingNorm { backend.layerNorm(x, norm) }
    if let projection {
      backend.dense(x, projection, into: hidden)  // [T, E] · [H, E]ᵀ
    }
  }

  /// `hidden` = the words' embeddings, each beside those of the next and the previous column where the model reads them,
  /// times [H, E or 3E]ᵀ.
  private func embedWords(through transformation: DenseWeights) {
    let size = config.embeddingSize
    let x = state.context.matrix(group.tokens, config.transformationInput)
    if config.readsNeighbours {
      let words = weights.wordEmbeddings
      x.columns(0..<size).lookUp(group.nextIDs, orZeroIn: words)
      x.columns(size..<(2 * size)).lookUp(group.ids, in: words)
      x.columns((2 * size)..<(3 * size)).lookUp(group.previousIDs, orZeroIn: words)
    } else {
      x.lookUp(group.ids, in: weights.wordEmbeddings)
    }
    backend.dense(x, transformation, into: hidden)
  }

  /// All blocks of a layer. The last layer's result is normalised once more where the model ends so: that is what
  /// `transformers` gives as the last of `hidden_states`.
  func run(layer index: Int) {
    if !weights.recurrent.isEmpty { return run(weights.recurrent[index], index: index) }
    for block in weights.layers[index] {
      switch config.family.normPlacement {
      case .afterSum: runPostNorm(block)
      case .beforeBlock: runPreNorm(block)
      }
    }
    if index == config.layerCount - 1, let norm = weights.finalNorm {
      backend.layerNorm(hidden, norm)
    }
  }

  /// `hidden` = normalise(a + feedForward(a)) with a = normalise(r + attention(…)); r is `hidden`, or what a bottleneck
  /// makes of it, and the result goes back to H features then. Further feed-forward networks come between.
  private func runPostNorm(_ layer: LayerWeights) {
    // Free as soon as the heads are done.
    let spare = state.context.matrix(group.tokens, config.innerSize)
    var x = state.attended.matrix(group.tokens, config.innerSize)

    let residual = attention(of: layer, into: x)
    backend.residualLayerNorm(x, bias: layer.attentionOutput.bias, residual: residual, layer.attentionNorm)

    var y = spare
    for network in layer.earlierFeedForwards {
      run(network, on: x, into: y)
      swap(&x, &y)
    }
    guard let bottleneck = layer.bottleneck else {
      run(layer.feedForward, on: x, into: hidden)
      return
    }
    run(layer.feedForward, on: x, into: y)
    let output = bottleneck.output
    backend.multiply(y, by: output.dense.weight, addingTo: hidden)  // [T, N] · [H, N]ᵀ
    backend.add(output.dense.bias, to: hidden)
    backend.layerNorm(hidden, output.norm)
  }

  /// `y` = normalise(x + network(x)).
  private func run(_ network: FeedForwardWeights, on x: Matrix, into y: Matrix) {
    feedForward(of: x, network, into: y)
    backend.residualLayerNorm(y, bias: network.output.bias, residual: x, network.norm)
  }

  /// `y` = attention of `hidden`, as far as ``attention(of:_:_:into:)`` goes; gives what is to be added to it.
  private func attention(of layer: LayerWeights, into y: Matrix) -> Matrix {
    guard let bottleneck = layer.bottleneck else {
      attention(of: hidden, hidden, layer, into: y)
      return hidden
    }
    let residual = state.narrow.matrix(group.tokens, config.innerSize)
    narrow(bottleneck.input, into: residual)
    switch (config.bottleneck, bottleneck.queriesAndKeys) {
    case (.attention, _): attention(of: residual, residual, layer, into: y)
    case (.queriesAndKeys, let shared?):
      // Nothing reads them once they are projected, so the result may take their place.
      narrow(shared, into: y)
      attention(of: y, hidden, layer, into: y)
    default: attention(of: hidden, hidden, layer, into: y)
    }
    return residual
  }

  /// `y` = normalise(hidden · [N, H]ᵀ + bias).
  private func narrow(_ weights: NormedDenseWeights, into y: Matrix) {
    backend.dense(hidden, weights.dense, into: y)
    backend.layerNorm(y, weights.norm)
  }

  /// `hidden` = a + feedForward(normalise(a)) with a = hidden + attention(normalise(hidden)).
  private func runPreNorm(_ layer: LayerWeights) {
    let attended = state.attended.matrix(group.tokens, config.hiddenSize)
    let context = state.context.matrix(group.tokens, config.hiddenSize)

    backend.layerNorm(hidden, layer.attentionNorm, into: attended)
    // Nothing reads the normalised input once the heads are done, so their projection may take its place.
    attention(of: attended, attended, layer, into: attended)
    backend.addResidual(attended, bias: layer.attentionOutput.bias, residual: hidden)

    backend.layerNorm(attended, layer.feedForward.norm, into: context)
    feedForward(of: context, layer.feedForward, into: hidden)
    backend.addResidual(hidden, bias: layer.feedForward.output.bias, residual: attended)
  }

  /// `y` = the heads' results, softmax(Q Kᵀ / √D) V for each head of each sequence, for queries and keys of `x` and values of
  /// `values`, projected; without the last bias, which is added with the residual.
  private func attention(of x: Matrix, _ values: Matrix, _ layer: LayerWeights, into y: Matrix) {
    let width = config.innerSize
    let projected = state.projected.matrix(group.tokens, 3 * width)
    let context = state.context.matrix(group.tokens, width)  // [T, N]
    let projection = layer.projection
    let output = layer.attentionOutput.weight
    // Padding is not there, so there is nothing to mask.
    if projection.weights.count == 1, projection.biases.count == 1 {  // [3N, N]
      backend.attention(
        x, DenseWeights(weight: projection.weights[0], bias: projection.biases[0]), group, attentionForm,
        output: output, projected: projected, context: context, into: y)
      return
    }
    projectApart(x, values, projection, into: projected)
    backend.attend(projected, group, attentionForm, into: context)
    backend.multiply(context, by: output, into: y)  // [T, N] · [N, N]ᵀ
  }

  /// `y` = activation(x · [I, N]ᵀ + bias) · [N, I]ᵀ; without the last bias, which is added with the residual.
  private func feedForward(of x: Matrix, _ layer: FeedForwardWeights, into y: Matrix) {
    // [T, N] · [I, N]ᵀ, then [T, I] · [N, I]ᵀ
    backend.feedForward(x, layer.intermediate, config.activation, by: layer.output.weight, into: y)
  }

  /// Query, key and value of weights that lie apart: [2N, N] and [N, H], or three.
  private func projectApart(_ x: Matrix, _ values: Matrix, _ projection: ProjectionWeights, into projected: Matrix) {
    var column = 0
    for weight in projection.weights {
      let source = column < 2 * config.innerSize ? x : values
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

// MARK: Heads

extension ForwardPass {
  /// activation(dense(first token)), or the first token or the last alone: [sequences, H].
  func pool(_ pooler: PoolerWeights) -> Matrix {
    let first = state.context.matrix(group.sequences.count, config.hiddenSize)
    let pooled = state.attended.matrix(group.sequences.count, config.hiddenSize)
    switch pooler {
    case .lastToken: first.copyRows(group.sequences.map(\.lastToken), of: hidden)
    case .plain, .dense: first.copyRows(group.sequences.map(\.firstToken), of: hidden)
    }
    guard case .dense(let transform) = pooler else { return first }
    self.transform(first, transform, into: pooled)
    return pooled
  }

  /// activation(dense(x)).
  func transform(_ x: Matrix, _ transform: TransformWeights, into y: Matrix) {
    backend.dense(x, transform.dense, transform.activation, into: y)
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
    backend.dense(x, head, into: y)
    return y
  }

  /// normalise(activation(dense(hidden))) · decoderᵀ + bias straight into the padded `values` [batch * sequence, V]: at
  /// this width a copy of the packed rows would be the largest buffer of all.
  func predict(_ head: PredictionWeights, sequenceLength: Int, into values: inout [Float]) {
    let size = config.embeddingSize
    var x = hidden
    if let (dense, norm) = head.transform {
      x = state.attended.matrix(group.tokens, dense.dense.weight.rows)
      transform(hidden, dense, into: x)  // [T, H] · [E or H, H]ᵀ
      backend.layerNorm(x, norm)
    }
    for sequence in group.sequences {
      for run in sequence.runs {
        let rows = (sequence.start + run.lowerBound)..<(sequence.start + run.upperBound)
        let target = sequence.row * sequenceLength + sequence.columns[run.lowerBound]
        let tokens = x.rows(rows)
        // [S, E] · [V, E]ᵀ
        backend.multiply(tokens.columns(0..<size), by: head.decoder, into: &values, firstRow: target)
        if let rest = head.rest {
          // [S, H - E] · [H - E, V]
          backend.multiply(tokens.columns(size..<x.columns), byTransposed: rest, addingTo: &values, firstRow: target)
        }
      }
    }
  }
}
