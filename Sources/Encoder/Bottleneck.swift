import TensorIO

/// What a layer reads through a bottleneck: a matrix [N, H] and its normalisation, which make the layer narrower inside
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

  /// N in the config.
  static let sizeKey = "intra_bottleneck_size"
}

extension Bottleneck {
  /// As the config says it; what it leaves out is as `transformers` has it.
  init(_ reader: ConfigReader) throws(FormatError) {
    let isUsed = try reader.flag("use_bottleneck", default: true)
    let takesAttention = try reader.flag("use_bottleneck_attention", default: false)
    let isShared = try reader.flag("key_query_shared_bottleneck", default: true)
    self = !isUsed ? .none : takesAttention ? .attention : isShared ? .queriesAndKeys : .residual
  }
}

/// A dense layer and the normalisation behind it.
struct NormedDenseWeights: Sendable {
  let dense: DenseWeights
  let norm: NormWeights
}

/// The bottlenecks of one layer.
struct BottleneckWeights: Sendable {
  let input: NormedDenseWeights  // [N, H]
  let queriesAndKeys: NormedDenseWeights?  // [N, H]
  let output: NormedDenseWeights  // [H, N]
}

extension BottleneckWeights {
  /// Those of the block whose names begin with `name`; `nil` where it has none.
  init?(_ loader: inout WeightLoader, _ name: String, _ config: EncoderConfig) throws(FormatError) {
    guard config.bottleneck != .none, let names = config.family.bottleneck else { return nil }
    func load(_ part: String, _ output: Int, _ input: Int) throws(FormatError) -> NormedDenseWeights {
      NormedDenseWeights(
        dense: try loader.dense(name + part + "." + names.dense, output, input),
        norm: try loader.norm(name + part + "." + names.norm, output, config.normalisation()))
    }
    let hidden = config.hiddenSize
    let inner = config.innerSize
    input = try load(names.input, inner, hidden)
    // transformers keeps it beside a bottleneck of all attention, too, where nothing reads it.
    let isKept =
      config.bottleneck == .attention && loader.has(name + names.queriesAndKeys + "." + names.dense + ".weight")
    let isThere = config.bottleneck == .queriesAndKeys || isKept
    queriesAndKeys = isThere ? try load(names.queriesAndKeys, inner, hidden) : nil
    output = try load(names.output, hidden, inner)
  }
}
