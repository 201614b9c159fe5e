import ModelFamilies
import NativeFormat
import TensorIO

/// A model as its blocks, with all weights that it runs on; heads where the file has them.
struct EncoderModel: Sendable {
  /// What one layer does.
  enum Layer: Sendable {
    /// One block after the other: one in most families.
    case transformer([TransformerBlock])
    case recurrent(RecurrentLayer)
  }

  let embeddings: Embeddings
  /// Relative positions, for families that have them.
  let relativeBias: Weight?  // [buckets, A]
  let layers: [Layer]
  /// What the last layer's result goes through, for pre-norm families.
  let finalNorm: NormWeights?  // [H]
  let heads: Heads
  let sentence: SentenceHead?
}

extension EncoderModel {
  /// Finds and checks every weight that the config requires.
  ///
  /// - Parameter packing: how the layers' matrices are packed; `nil` to use them as they lie in the file
  init(_ model: NativeModel, _ config: EncoderConfig, packing: Packing?) throws(FormatError) {
    var loader = try WeightLoader(model, config.family, packing: packing)
    embeddings = try Embeddings(&loader, config)
    relativeBias =
      if let buckets = config.relativeBucketCount {
        try loader.load(.relativeBias, [buckets, config.headCount])
      } else {
        nil
      }
    layers = try Self.layers(&loader, config)
    finalNorm =
      config.family.has(.finalNorm) ? try loader.norm(.finalNorm, config.hiddenSize, config.normalization()) : nil
    heads = try Heads(&loader, config, words: embeddings.words)
    sentence = try SentenceHead(&loader, config)
    try loader.checkCompleteness(layerCount: config.layerCount)
  }

  private static func layers(_ loader: inout WeightLoader, _ config: EncoderConfig) throws(FormatError) -> [Layer] {
    var layers: [Layer] = []
    for index in 0..<config.layerCount {
      let group = config.group(ofLayer: index)
      if config.recurrentSize != nil {
        layers.append(.recurrent(try RecurrentLayer(&loader, config, layer: index)))
      } else if index > 0, config.group(ofLayer: index - 1) == group {
        layers.append(layers[index - 1])
      } else {
        var blocks: [TransformerBlock] = []
        for block in 0..<config.blocksPerLayer {
          blocks.append(try TransformerBlock(&loader, config, layer: group, block: block))
        }
        layers.append(.transformer(blocks))
      }
    }
    return layers
  }

  /// The normalization that a layer ends with; `nil` where it ends with a plain sum, or with a norm that takes no statistics
  /// of all features.
  func outputNorm(ofLayer index: Int) -> NormWeights? {
    guard case .transformer(let blocks) = layers[index], let block = blocks.last else { return nil }
    let norm: NormWeights? =
      switch block.normPlacement {
      case .afterSum: block.bottleneck?.output.norm ?? block.last.norm
      case .beforeBlock: index == layers.count - 1 ? finalNorm : nil
      }
    return norm.flatMap { $0.kind.isOfVariance ? $0 : nil }
  }
}
