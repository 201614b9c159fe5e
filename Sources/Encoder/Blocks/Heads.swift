import ModelFamilies
import TensorIO

/// The heads over the last hidden states, those that the file has. Modules of sentence-transformers are a ``SentenceHead``.
///
/// T tokens of hidden size H in a group of sequences; V words.
struct Heads: Sendable {
  let pooler: Pooler?
  let prediction: PredictionHead?
  let nextSentence: SequenceHead?  // [2, H]
  let sequenceClassifier: SequenceHead?  // [labels, H]
  let tokenClassifier: DenseWeights?  // [labels, H]
  let replacedToken: ReplacedTokenHead?
  let questionAnswering: DenseWeights?  // [2, H]
  let relevance: SequenceHead?  // [1, H]
}

/// Scores of a sequence: `output` of what the pooler makes of it.
struct SequenceHead: Sendable {
  let pooler: Pooler
  let output: DenseWeights  // [labels, H]

  /// [sequences, labels]
  func run(_ pass: ForwardPass) -> Matrix { output.scores(pass, pooler.run(pass)) }
}

/// Masked LM (Devlin et al., 2018) or language model: the next word, or the hidden one, from each token.
struct PredictionHead: Sendable {
  /// `nil` where the decoder reads the hidden states as they are.
  let transform: (dense: TransformWeights, norm: NormWeights)?  // [E, H], or [H, H] before a rest or a projection
  /// Back from what the embeddings make of words to the words' own features, where the family's decoder is tied to both.
  let projection: DenseWeights?  // [E, H]
  let decoder: DenseWeights  // [V, E]
  /// What features beyond the first E add.
  let rest: Weight?  // [H - E, V]
}

/// The discriminator of ELECTRA (Clark et al., 2020): whether a token was replaced.
struct ReplacedTokenHead: Sendable {
  let transform: TransformWeights  // [H, H]
  let output: DenseWeights  // [1, H]
}

// MARK: Weights

extension Heads {
  init(_ loader: inout WeightLoader, _ config: EncoderConfig, words: Weight) throws(FormatError) {
    let hidden = config.hiddenSize
    let pooler = try Pooler(&loader, config)
    self.pooler = pooler
    prediction = try PredictionHead(&loader, config, words: words)
    let ownPooler = config.family.computation.heads.nextSentenceReadsFirstToken ? .firstToken : pooler
    let pairs = loader.has(.nextSentence) ? try loader.dense(.nextSentence, 2, hidden) : nil
    nextSentence = if let ownPooler, let pairs { SequenceHead(pooler: ownPooler, output: pairs) } else { nil }
    questionAnswering = loader.has(.questionAnswering) ? try loader.dense(.questionAnswering, 2, hidden) : nil
    relevance =
      loader.has(.relevance) ? SequenceHead(pooler: .firstToken, output: try loader.dense(.relevance, 1, hidden)) : nil
    replacedToken = try ReplacedTokenHead(&loader, config)

    let (transform, output) = try Self.classifierTransform(&loader, config)
    // Only its shape gives the number of labels; a matrix of no labels or of one dimension is reported as wrong.
    let classifier =
      if let labels = loader.rows(of: output) { try loader.dense(output, max(labels, 1), hidden) } else {
        DenseWeights?.none
      }
    let reads = transform ?? pooler
    sequenceClassifier =
      if let classifier, let reads { SequenceHead(pooler: reads, output: classifier) } else { nil }
    // A classifier behind a transform of its own reads sequences; without one the same weights may read tokens.
    tokenClassifier = transform == nil ? classifier : nil
  }

  /// What the first token goes through before the classifier in place of the pooler, where a family has that; and which
  /// part the classifier is.
  private static func classifierTransform(
    _ loader: inout WeightLoader, _ config: EncoderConfig
  ) throws(FormatError) -> (Pooler?, ModelPart) {
    let heads = config.family.computation.heads
    for (part, activation, output) in [
      (ModelPart.sequenceClassifierTransform, heads.sequenceClassifierActivation, .sequenceClassifierOutput),
      (.classifierTransform, heads.classifierTransformActivation, ModelPart.classifier),
    ] where loader.has(part) {
      let dense = try loader.dense(part, config.hiddenSize, config.hiddenSize)
      return (.dense(TransformWeights(dense: dense, activation: activation)), output)
    }
    return (heads.classifierReadsLastToken ? .lastToken : nil, .classifier)
  }
}

extension PredictionHead {
  /// `nil` where the model has none.
  init?(_ loader: inout WeightLoader, _ config: EncoderConfig, words: Weight) throws(FormatError) {
    let (family, size, hidden) = (config.family, config.embeddingSize, config.hiddenSize)
    let heads = family.computation.heads
    let isTransformed = family.has(.predictionTransform)
    guard
      loader.has(isTransformed ? .predictionTransform : .predictionDecoder)
        || heads.tiedPrediction.includes(config.architecture)
    else { return nil }
    // transformers ties the decoder to the word embeddings unless the config sets otherwise. A decoder of its own in the
    // file is the same matrix then, or it was not tied.
    let isTied = config.tiesWordEmbeddings ?? !loader.has(.predictionDecoder)
    let weight = isTied ? words : try loader.load(.predictionDecoder, [config.vocabularySize, size])
    // Of a decoder without a transform it may be absent.
    let hasBias = isTransformed || loader.has(.predictionDecoder, .bias)
    decoder = DenseWeights(
      weight: weight,
      bias: hasBias
        ? try loader.load(.predictionDecoder, [config.vocabularySize], .bias) : .zeros(config.vocabularySize))
    let hasRest = family.has(.predictionRest)
    guard !hasRest || hidden >= size else {
      throw FormatError(
        .config, "the masked LM head does not fit embeddings that are wider than the layers", file: loader.model.path,
        found: "embeddings of \(size), layers of \(hidden)", expected: "embeddings of at most \(hidden)")
    }
    // Where nothing is left over, an empty matrix is in the file.
    rest = hasRest && hidden > size ? try loader.load(.predictionRest, [hidden - size, config.vocabularySize]) : nil
    projection =
      config.transformsWords && !hasRest
      ? DenseWeights(
        weight: try loader.load(.embeddingTransformation, [hidden, config.transformationInput]).transposed(),
        bias: .zeros(config.transformationInput)) : nil
    guard isTransformed else {
      transform = nil
      return
    }
    let width = hasRest || projection != nil ? hidden : size
    transform = (
      dense: TransformWeights(
        dense: try loader.dense(.predictionTransform, width, hidden),
        activation: heads.predictionActivation ?? config.activation),
      // Norms of layers may only scale and shift; the head's divides by a deviation in any case.
      norm: try loader.norm(
        .predictionNorm, width,
        config.takesStatistics ? config.normalization() : .variance(epsilon: config.layerNormEpsilon))
    )
  }
}

extension Computation.TiedPrediction {
  /// Whether a model of this architecture has the head even where the file has no weight of it.
  fileprivate func includes(_ architecture: String?) -> Bool {
    switch self {
    case .never: false
    case .always: true
    case .architectures(let names): architecture.map(names.contains) ?? false
    }
  }
}

extension ReplacedTokenHead {
  /// `nil` where the file has none.
  init?(_ loader: inout WeightLoader, _ config: EncoderConfig) throws(FormatError) {
    guard loader.has(.replacedTokenTransform) else { return nil }
    let dense = try loader.dense(.replacedTokenTransform, config.hiddenSize, config.hiddenSize)
    transform = TransformWeights(dense: dense, activation: config.activation)
    output = try loader.dense(.replacedTokenOutput, 1, config.hiddenSize)
  }
}

// MARK: Running

extension Heads {
  /// Fills in whatever is in `results` of what the heads compute.
  func run(_ pass: ForwardPass, into results: [OutputKind: OutputValues]) {
    func perSequence(_ kinds: OutputKind..., body: () -> Matrix) {
      guard let result = kinds.lazy.compactMap({ results[$0] }).first else { return }
      let rows = body()
      result.fill { rows.copy(toRows: pass.group.sequences.map(\.row), of: &$0) }
    }
    if let pooler { perSequence(.pooled) { pooler.run(pass) } }  // [sequences, H]
    if let nextSentence { perSequence(.nextSentence) { nextSentence.run(pass) } }  // [sequences, 2]
    if let relevance { perSequence(.relevance) { relevance.run(pass) } }  // [sequences, 1]
    if let sequenceClassifier {
      perSequence(.sequenceClassification, .multipleChoice) { sequenceClassifier.run(pass) }  // [sequences, labels]
    }
    if let replacedToken, let result = results[.replacedToken] {
      pass.scatter(replacedToken.run(pass), to: result)  // [T, 1]
    }
    if let tokenClassifier, let result = results[.tokenClassification] {
      pass.scatter(tokenClassifier.scores(pass, pass.hidden), to: result)  // [T, labels]
    }
    let answers = (0...1).compactMap { index in results[.answer(index)].map { (index, $0) } }
    if let questionAnswering, !answers.isEmpty {
      let scores = questionAnswering.scores(pass, pass.hidden)  // [T, 2]
      for (index, result) in answers { pass.scatter(scores.columns(index..<(index + 1)), to: result) }
    }
    guard let prediction, let result = results[.prediction] else { return }
    if let rows = pass.predictionRows {
      prediction.run(pass, rows, into: result)
    } else {
      result.fill { prediction.run(pass, into: &$0) }
    }
  }
}

extension DenseWeights {
  /// `x · wᵀ + b` in a matrix of its own, for heads of few columns.
  func scores(_ pass: ForwardPass, _ x: Matrix) -> Matrix {
    let y = Buffer(count: x.rows * weight.rows).matrix(x.rows, weight.rows)
    pass.backend.dense(x, self, into: y)
    return y
  }
}

extension ReplacedTokenHead {
  /// A score for each token: [T, 1].
  func run(_ pass: ForwardPass) -> Matrix {
    let x = pass.state.attended.matrix(pass.group.tokens, pass.config.hiddenSize)
    transform.run(pass, pass.hidden, into: x)
    return output.scores(pass, x)
  }
}

extension PredictionHead {
  /// What the decoder reads of hidden states [T, H], at most as many as those of the group.
  private func features(_ pass: ForwardPass, _ hidden: Matrix) -> Matrix {
    var x = hidden
    if let (dense, norm) = transform {
      x = pass.state.attended.matrix(hidden.rows, dense.dense.weight.rows)
      dense.run(pass, hidden, into: x)  // [T, H] · [E or H, H]ᵀ
      pass.backend.layerNorm(x, norm)
    }
    if let projection { x = projection.scores(pass, x) }  // [T, H] · [E, H]ᵀ
    return x
  }

  /// The same for those tokens of the group alone that have a row of `result`, by their index in the padded input.
  func run(_ pass: ForwardPass, _ rows: [Int: Int], into result: OutputValues) {
    var chosen: [Int] = []
    var targets: [Int] = []
    for (row, token) in pass.group.targets.enumerated() {
      guard let token, let target = rows[token] else { continue }
      chosen.append(row)
      targets.append(target)
    }
    guard !chosen.isEmpty else { return }
    let size = decoder.weight.columns
    let hidden = pass.state.context.matrix(chosen.count, pass.config.hiddenSize)
    hidden.copyRows(chosen, of: pass.hidden)
    let x = features(pass, hidden)
    var scores = [Float](repeating: 0, count: chosen.count * decoder.weight.rows)  // [chosen, V]
    pass.backend.multiply(x.columns(0..<size), by: decoder, into: &scores, firstRow: 0)
    if let rest {
      pass.backend.multiply(x.columns(size..<x.columns), byTransposed: rest, addingTo: &scores, firstRow: 0)
    }
    let width = decoder.weight.rows
    result.fill { values in
      var values = values.mutableSpan
      for (row, target) in targets.enumerated() {
        values.copy(scores.span.extracting((row * width)..<((row + 1) * width)), to: target * width)
      }
    }
  }

  /// norm(activation(dense(hidden))) · decoderᵀ + bias straight into the padded `values` [batch * sequence, V]: at this
  /// width a copy of the packed rows would be the largest buffer of all.
  func run(_ pass: ForwardPass, into values: inout [Float]) {
    let size = decoder.weight.columns
    let x = features(pass, pass.hidden)
    for sequence in pass.group.sequences {
      for run in sequence.runs {
        let rows = (sequence.start + run.lowerBound)..<(sequence.start + run.upperBound)
        let target = sequence.row * pass.sequenceLength + sequence.columns[run.lowerBound]
        let tokens = x.rows(rows)
        // [S, E] · [V, E]ᵀ
        pass.backend.multiply(tokens.columns(0..<size), by: decoder, into: &values, firstRow: target)
        if let rest {
          // [S, H - E] · [H - E, V]
          pass.backend.multiply(
            tokens.columns(size..<x.columns), byTransposed: rest, addingTo: &values, firstRow: target)
        }
      }
    }
  }
}
