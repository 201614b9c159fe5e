import ModelFamilies
import TensorIO

/// Attention and feed-forward network with their residuals and norms: one layer, of which some families have several blocks.
///
/// Post-norm as published (Vaswani et al., 2017), or pre-norm (Shoeybi et al., 2019); through bottlenecks and with several
/// feed-forward networks as MobileBERT has it (Sun et al., 2020, figure 1c).
struct TransformerBlock: Sendable {
  let attention: Attention
  let attentionNorm: NormWeights  // [N]
  /// One after the other, the last with the block's result.
  let feedForwards: [FeedForward]
  let bottleneck: BottleneckWeights?
  let normPlacement: Computation.NormPlacement

  var last: FeedForward { feedForwards[feedForwards.count - 1] }
}

extension TransformerBlock {
  /// The weights of block `number` of a layer, or of a group of layers that share them.
  init(_ loader: inout WeightLoader, _ config: EncoderConfig, layer: Int, block number: Int) throws(FormatError) {
    let block = BlockIndex(layer: layer, block: number)
    let computation = config.family.computation
    normPlacement = computation.normPlacement
    bottleneck = try BottleneckWeights(&loader, config, block)
    attention = try Attention(&loader, config, block, sharesInput: config.bottleneck != .queriesAndKeys)
    attentionNorm = try loader.norm(.attentionNorm, config.innerSize, config.normalization(), in: block)
    var networks: [FeedForward] = []
    // Number 0 is the one that every layer has, and is computed last.
    for index in Array(1..<config.feedForwardCount) + [0] {
      let kind = config.normalization(index == 0 ? computation.feedForwardNormEpsilon : nil)
      networks.append(try FeedForward(&loader, config, BlockIndex(layer: layer, block: number, index: index), kind))
    }
    feedForwards = networks
  }

  /// `hidden` [T, H] becomes the block's result.
  func run(_ pass: ForwardPass) {
    switch normPlacement {
    case .afterSum: runPostNorm(pass)
    case .beforeBlock: runPreNorm(pass)
    }
  }

  /// `hidden` = norm(a + feedForward(a)) with a = norm(r + attention(…)); r is `hidden`, or what a bottleneck makes of it,
  /// and the result goes back to H features then. Further feed-forward networks come between.
  private func runPostNorm(_ pass: ForwardPass) {
    let (backend, hidden, width) = (pass.backend, pass.hidden, attentionNorm.gamma.columns)
    var x = pass.state.attended.matrix(pass.group.tokens, width)
    // Free as soon as the heads are done.
    var y = pass.state.context.matrix(pass.group.tokens, width)

    let residual = attend(pass, into: x)
    backend.residualLayerNorm(x, bias: attention.output.bias, residual: residual, attentionNorm)
    for network in feedForwards.dropLast() {
      run(network, pass, x, into: y)
      swap(&x, &y)
    }
    guard let bottleneck else { return run(last, pass, x, into: hidden) }
    run(last, pass, x, into: y)
    bottleneck.widen(pass, y)
  }

  /// `y` = norm(x + network(x)).
  private func run(_ network: FeedForward, _ pass: ForwardPass, _ x: Matrix, into y: Matrix) {
    network.run(pass, x, into: y)
    pass.backend.residualLayerNorm(y, bias: network.output.bias, residual: x, network.norm)
  }

  /// `y` [T, N] = attention of `hidden`; returns what is to be added to it.
  private func attend(_ pass: ForwardPass, into y: Matrix) -> Matrix {
    let hidden = pass.hidden
    guard let bottleneck else {
      attention.run(pass, hidden, values: hidden, into: y)
      return hidden
    }
    let residual = pass.state.narrow.matrix(pass.group.tokens, y.columns)
    bottleneck.input.run(pass, into: residual)
    switch (pass.config.bottleneck, bottleneck.queriesAndKeys) {
    case (.attention, _): attention.run(pass, residual, values: residual, into: y)
    case (.queriesAndKeys, let shared?):
      // Nothing reads them once they are projected, so the result may take their memory.
      shared.run(pass, into: y)
      attention.run(pass, y, values: hidden, into: y)
    default: attention.run(pass, hidden, values: hidden, into: y)
    }
    return residual
  }

  /// `hidden` = a + feedForward(norm(a)) with a = hidden + attention(norm(hidden)).
  private func runPreNorm(_ pass: ForwardPass) {
    let (backend, hidden) = (pass.backend, pass.hidden)
    let attended = pass.state.attended.matrix(pass.group.tokens, hidden.columns)
    let normed = pass.state.context.matrix(pass.group.tokens, hidden.columns)

    backend.layerNorm(hidden, attentionNorm, into: attended)
    // Nothing reads the normalized input once the heads are done, so their projection may take its memory.
    attention.run(pass, attended, values: attended, into: attended)
    backend.addResidual(attended, bias: attention.output.bias, residual: hidden)

    backend.layerNorm(attended, last.norm, into: normed)
    last.run(pass, normed, into: hidden)
    backend.addResidual(hidden, bias: last.output.bias, residual: attended)
  }
}
