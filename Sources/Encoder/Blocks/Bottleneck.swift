import ModelFamilies
import TensorIO

/// What a layer reads through a bottleneck: a matrix [N, H] and its normalization, which make the layer narrower inside
/// than what goes from one layer to the next (MobileBERT; Sun et al., 2020, section 3.1).
///
/// The result of a layer goes back to H features, and to the sum with what went in, wherever there is a bottleneck.
enum Bottleneck: Sendable {
  /// Nothing: N is H.
  case none
  /// Attention and its residual, one bottleneck for all.
  case attention
  /// The residual, and through a second bottleneck queries and keys; values read the whole H.
  case queriesAndKeys
  /// Only the residual of attention.
  case residual
}

extension Bottleneck {
  /// `none` for families without bottlenecks.
  init(_ settings: SettingReader) throws(FormatError) {
    guard try settings.flag(.usesBottleneck, otherwise: false) else {
      self = .none
      return
    }
    let takesAttention = try settings.flag(.bottleneckFeedsAttention, otherwise: false)
    let isShared = try settings.flag(.sharesBottleneck, otherwise: false)
    self = takesAttention ? .attention : isShared ? .queriesAndKeys : .residual
  }
}

/// A dense layer and the normalization after it.
struct NormedDense: Sendable {
  let dense: DenseWeights  // [N, H], or [H, N]
  let norm: NormWeights

  /// `y` [T, N] = norm(hidden · [N, H]ᵀ + bias).
  func run(_ pass: ForwardPass, into y: Matrix) {
    pass.backend.dense(pass.hidden, dense, into: y)
    pass.backend.layerNorm(y, norm)
  }
}

/// The bottlenecks of one layer.
struct BottleneckWeights: Sendable {
  let input: NormedDense  // [N, H]
  let queriesAndKeys: NormedDense?  // [N, H]
  let output: NormedDense  // [H, N]
}

extension BottleneckWeights {
  /// `nil` where the layers have none.
  init?(_ loader: inout WeightLoader, _ config: EncoderConfig, _ block: BlockIndex) throws(FormatError) {
    guard config.bottleneck != .none else { return nil }
    let (hidden, inner) = (config.hiddenSize, config.innerSize)
    func load(_ part: ModelPart, _ norm: ModelPart, _ output: Int, _ input: Int) throws(FormatError) -> NormedDense {
      NormedDense(
        dense: try loader.dense(part, output, input, in: block),
        norm: try loader.norm(norm, output, config.normalization(), in: block))
    }
    input = try load(.inputBottleneck, .inputBottleneckNorm, inner, hidden)
    // transformers keeps it next to a bottleneck of all attention, too, where nothing reads it.
    let isKept = config.bottleneck == .attention && loader.has(.sharedBottleneck, in: block)
    queriesAndKeys =
      config.bottleneck == .queriesAndKeys || isKept
      ? try load(.sharedBottleneck, .sharedBottleneckNorm, inner, hidden) : nil
    output = try load(.outputBottleneck, .outputBottleneckNorm, hidden, inner)
  }

  /// `hidden` [T, H] = norm(hidden + y · [H, N]ᵀ + bias), y [T, N].
  func widen(_ pass: ForwardPass, _ y: Matrix) {
    pass.backend.multiply(y, by: output.dense.weight, addingTo: pass.hidden)
    pass.backend.add(output.dense.bias, to: pass.hidden)
    pass.backend.layerNorm(pass.hidden, output.norm)
  }
}
