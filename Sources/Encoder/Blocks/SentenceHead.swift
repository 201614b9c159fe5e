import CheckpointFormats
import ModelFamilies
import NativeFormat
import TensorIO

/// The modules of sentence-transformers after a model: from the last hidden state to one vector per sequence.
struct SentenceHead: Sendable {
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
}

extension SentenceHead {
  /// torch.nn.LayerNorm's own, which the module does not change.
  private static let normEpsilon: Float = 1e-5

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
        // Only the shape gives the number of features.
        let output = max(loader.model.tensor(weight)?.shape.first ?? 1, 1)
        let dense = DenseWeights(
          weight: try loader.load(named: weight, [output, width]),
          bias: hasBias ? try loader.load(named: bias, [output]) : .zeros(output))
        steps.append(.dense(dense, Activation(activation)))
        width = output
      case .layerNorm(let name):
        let norm = SentenceModule.tensorName(name, "norm")
        steps.append(
          .layerNorm(
            NormWeights(
              gamma: try loader.load(named: norm + ".weight", [width]),
              beta: try loader.load(named: norm + ".bias", [width]), kind: .variance(epsilon: Self.normEpsilon),
              name: norm)))
      case .normalize: steps.append(.l2Normalize)
      // The config was read without them.
      case .pooling, .unsupported: break
      }
    }
    self.modes = modes
    self.steps = steps
    size = width
  }

  /// The pooled tokens of each sequence [sequences, H · modes], of the last hidden state.
  func pool(_ pass: ForwardPass) -> Matrix {
    let width = pass.config.hiddenSize
    let sequences = pass.group.sequences
    let x = Buffer(count: sequences.count * width * modes.count).matrix(sequences.count, width * modes.count)
    for (row, sequence) in sequences.enumerated() where !sequence.columns.isEmpty {
      for (index, mode) in modes.enumerated() {
        let target = x.rows(row..<(row + 1)).columns((index * width)..<((index + 1) * width))
        pool(pass, sequence, mode, into: target)
      }
    }
    return x
  }

  /// The embeddings [rows, size] of pooled sequences [rows, H · modes], which may change.
  func finish(_ pooled: Matrix, _ backend: Backend) -> Matrix {
    var x = pooled
    for step in steps {
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
  private func pool(
    _ pass: ForwardPass, _ sequence: PackedSequence, _ mode: SentenceModule.PoolingMode, into target: Matrix
  ) {
    let tokens = pass.hidden.rows(sequence.keys)  // [S, H]
    /// The sum of the tokens, each times its weight.
    func add(_ weights: [Float]) {
      let factors = Buffer(count: weights.count).matrix(1, weights.count)
      factors.set(row: 0, to: weights.span)
      pass.backend.multiply(factors, tokens, into: target)  // [1, S] · [S, H]
    }
    switch mode {
    case .max: target.setToMaximum(of: tokens)
    case .cls: target.copyRows([0], of: tokens)
    case .lastToken: target.copyRows([tokens.rows - 1], of: tokens)
    case .mean: add(Array(repeating: 1 / Float(tokens.rows), count: tokens.rows))
    case .meanSqrtLength: add(Array(repeating: 1 / Float(tokens.rows).squareRoot(), count: tokens.rows))
    case .weightedMean:
      let sum = Float(sequence.columns.reduce(0) { $0 + $1 + 1 })
      add(sequence.columns.map { Float($0 + 1) / sum })
    }
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
        .unsupported, "the encoder does not run these modules of sentence-transformers", file: file,
        found: modules.map(\.description).joined(separator: ", then "),
        expected: "pooling, then dense layers, layer normalization or L2 normalization")
    }
    return modules
  }
}
