import ModelFamilies

/// The forward pass of one group of packed sequences: embeddings, layers, heads.
///
/// T rows in the group, S in a sequence; H hidden size, N the width inside a layer, H except with bottlenecks, A heads of
/// D = N / A, I intermediate size, E embedding size.
struct ForwardPass {
  let config: EncoderConfig
  let model: EncoderModel
  let state: EncoderState
  let group: PackedGroup
  let backend: Backend
  /// Made once for all groups and layers; `nil` for families without relative positions.
  let distanceBias: DistanceBias?
  /// Columns of the padded input.
  let sequenceLength: Int
  /// Row of the LM head's output for each token of the padded input that it computes for; `nil` for all tokens.
  var predictionRows: [Int: Int]?

  /// `hidden_states` 0 to `depth`, each in ``hidden(_:)`` when `keep` is called with its number.
  func runLayers(to depth: Int, keep: (_ number: Int) -> Void) {
    model.embeddings.run(self)
    keep(0)
    for index in 0..<depth {
      run(layer: index)
      keep(index + 1)
    }
  }

  /// `hidden` [T, H] becomes the layer's result. The last one's is normalized once more where the model ends so: that is the
  /// last of `hidden_states` in `transformers`.
  func run(layer index: Int) {
    switch model.layers[index] {
    case .transformer(let blocks): for block in blocks { block.run(self) }
    case .recurrent(let layer): layer.run(self, index: index)
    }
    if index == config.layerCount - 1, let norm = model.finalNorm { backend.layerNorm(hidden, norm) }
  }

  /// Everything above the last layer that is in `results`.
  func runHeads(into results: [OutputKind: OutputValues]) {
    model.heads.run(self, into: results)
    guard let sentence = model.sentence, results[.sentence] != nil || results[.pooledSentence] != nil else { return }
    let rows = group.sequences.map(\.row)
    let pooled = sentence.pool(self)  // [sequences, H · modes]
    results[.pooledSentence]?.fill { pooled.copy(toRows: rows, of: &$0) }
    guard let result = results[.sentence] else { return }
    let embeddings = sentence.finish(pooled, backend)  // [sequences, size]
    result.fill { embeddings.copy(toRows: rows, of: &$0) }
  }

  // MARK: What the blocks share

  /// [T, H]: what goes into a layer, and what comes out of it.
  var hidden: Matrix { state.hidden.matrix(group.tokens, config.hiddenSize) }

  /// [T, width of that number] in the same memory.
  func hidden(_ index: Int) -> Matrix { state.hidden.matrix(group.tokens, config.width(ofHidden: index)) }

  var attentionForm: AttentionForm {
    AttentionForm(heads: config.headCount, isCausal: config.family.computation.isCausal, bias: distanceBias)
  }

  /// Copies rows of tokens to their padded rows of an output.
  func scatter(_ x: Matrix, to result: OutputValues) {
    for sequence in group.sequences {
      let rows = x.rows(sequence.keys)
      result.fill { rows.copy(toRows: group.targets[sequence.keys].compactMap(\.self), of: &$0) }
    }
  }
}

/// The activations of one group of packed sequences.
struct EncoderState {
  private let tokens: Int

  /// [T, H]
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

  func fits(_ group: PackedGroup) -> Bool { group.tokens <= tokens }
}
