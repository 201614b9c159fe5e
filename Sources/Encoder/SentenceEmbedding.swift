import NativeFormat
import TensorIO

/// The modules of sentence-transformers behind a model: from the last hidden state to one vector a sequence.
struct SentenceWeights: Sendable {
  enum Step: Sendable {
    /// activation(x · weightᵀ + bias); the activation `nil` for none.
    case dense(DenseWeights, Activation?)
    case layerNorm(NormWeights)
    case l2Normalize
  }

  let modes: [SentenceModule.PoolingMode]
  let steps: [Step]
  /// Features of the embedding.
  let size: Int

  /// torch.nn.LayerNorm's own, which the module does not change.
  static let normEpsilon: Float = 1e-5

  /// The weights of `config`'s modules; `nil` where it has none.
  init?(_ loader: inout WeightLoader, _ config: EncoderConfig) throws(FormatError) {
    guard case .pooling(let modes)? = config.sentenceModules.first else { return nil }
    var width = config.hiddenSize * modes.count
    var steps: [Step] = []
    for module in config.sentenceModules.dropFirst() {
      switch module {
      case .dense(let name, let activation, let hasBias):
        let weight = SentenceModule.tensorName(name, "linear.weight")
        let bias = SentenceModule.tensorName(name, "linear.bias")
        // The number of features is nowhere but in the shape.
        let output = max(loader.model.tensor(weight)?.shape.first ?? 1, 1)
        let dense = DenseWeights(
          weight: try loader.load(weight, [output, width]),
          bias: hasBias ? try loader.load(bias, [output]) : .zeros(output))
        steps.append(.dense(dense, Activation(activation)))
        width = output
      case .layerNorm(let name):
        let norm = SentenceModule.tensorName(name, "norm")
        steps.append(.layerNorm(try loader.norm(norm, width, .variance(epsilon: Self.normEpsilon))))
      case .normalize: steps.append(.l2Normalize)
      // The config was read without them.
      case .pooling, .unsupported: break
      }
    }
    self.modes = modes
    self.steps = steps
    size = width
  }
}

extension Activation {
  /// `nil` for the identity.
  fileprivate init?(_ activation: SentenceModule.Activation) {
    switch activation {
    case .identity: return nil
    case .tanh: self = .tanh
    case .relu: self = .relu
    case .gelu: self = .gelu
    }
  }
}

extension EncoderConfig {
  /// The modules that a config names, in an order that the pass has: tokens are pooled first, and once.
  static func sentenceModules(_ json: JSON, file: String?) throws(FormatError) -> [SentenceModule] {
    guard let modules = SentenceModule.all(inConfig: json), !modules.isEmpty else { return [] }
    for (index, module) in modules.enumerated() {
      let isPooling = if case .pooling = module { true } else { false }
      if case .unsupported = module {
      } else if isPooling == (index == 0) {
        continue
      }
      throw FormatError(
        "the encoder does not run these modules of sentence-transformers", file: file,
        found: modules.map(\.description).joined(separator: ", then "),
        expected: "pooling, then dense layers, layer normalisation or a length of 1")
    }
    return modules
  }
}

extension ForwardPass {
  /// The sentences' embeddings [sequences, size], of the last hidden state.
  func embedSentences(_ head: SentenceWeights) -> Matrix {
    let width = config.hiddenSize
    var x = Buffer(count: group.sequences.count * width * head.modes.count)
      .matrix(group.sequences.count, width * head.modes.count)
    for (row, sequence) in group.sequences.enumerated() where !sequence.columns.isEmpty {
      for (place, mode) in head.modes.enumerated() {
        let target = x.rows(row..<(row + 1)).columns((place * width)..<((place + 1) * width))
        pool(sequence, mode, into: target)
      }
    }
    for step in head.steps {
      switch step {
      case .dense(let dense, let activation):
        let y = Buffer(count: x.rows * dense.weight.rows).matrix(x.rows, dense.weight.rows)
        backend.dense(x, dense, activation, into: y)
        x = y
      case .layerNorm(let norm): backend.layerNorm(x, norm)
      case .l2Normalize: x.l2Normalize()
      }
    }
    return x
  }

  /// One sequence's tokens, whose mask is 1, to one vector [1, H].
  private func pool(_ sequence: PackedSequence, _ mode: SentenceModule.PoolingMode, into target: Matrix) {
    let tokens = hidden.rows(sequence.keys)  // [S, H]
    switch mode {
    case .max: target.setToMaximum(of: tokens)
    case .cls: target.copyRows([0], of: tokens)
    case .lastToken: target.copyRows([tokens.rows - 1], of: tokens)
    case .mean: add(tokens, by: Array(repeating: 1 / Float(tokens.rows), count: tokens.rows), into: target)
    case .meanSqrtLength:
      add(tokens, by: Array(repeating: 1 / Float(tokens.rows).squareRoot(), count: tokens.rows), into: target)
    case .weightedMean:
      let sum = Float(sequence.columns.reduce(0) { $0 + $1 + 1 })
      add(tokens, by: sequence.columns.map { Float($0 + 1) / sum }, into: target)
    }
  }

  /// The sum of the tokens, each times its weight.
  private func add(_ tokens: Matrix, by weights: [Float], into target: Matrix) {
    let factors = Buffer(count: weights.count).matrix(1, weights.count)
    factors.set(row: 0, to: weights.span)
    backend.multiply(factors, tokens, into: target)  // [1, S] · [S, H]
  }
}
