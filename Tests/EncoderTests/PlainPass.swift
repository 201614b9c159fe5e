import TensorIO

@testable import Encoder

#if canImport(Glibc)
  import Glibc
#endif

/// BERT once more, by the definitions: nested loops in double precision over the whole padded input, with a mask.
struct PlainPass {
  let model: TinyModel
  let values: [String: [Float]]
  let input: EncoderInput
  /// hidden[n][row][column]: number n of the hidden states.
  private(set) var hidden: [[[[Double]]]] = []

  init(_ model: TinyModel, _ input: EncoderInput) {
    self.model = model
    values = model.values()
    self.input = input
    hidden = [(0..<input.batch).map(embed)]
    for layer in 0..<model.layers {
      let name = model.layerName(model.family.layer.contains("{layer}") ? layer : 0)
      let below = hidden[layer]
      hidden.append((0..<input.batch).map { row in self.layer(name, below[row], row) })
    }
    if let name = model.family.finalNorm {
      hidden[model.layers] = hidden[model.layers].map { $0.map { norm(model.prefix + name, $0) } }
    }
  }

  private func tensor(_ name: String) -> [Float] { values[name] ?? [] }

  func dense(_ name: String, _ x: [Double]) -> [Double] {
    let weight = tensor(name + ".weight")
    return tensor(name + ".bias").enumerated().map { output, bias in
      var sum = Double(bias)
      for (index, value) in x.enumerated() { sum += value * Double(weight[output * x.count + index]) }
      return sum
    }
  }

  /// A dense layer inside of the stack, whose matrix may lie turned; of its outputs those of `part`, of so many parts.
  private func layerDense(_ name: String, _ x: [Double], part: Int = 0, of parts: Int = 1) -> [Double] {
    guard model.family.layersAreTurned || parts > 1 else { return dense(name, x) }
    let weight = tensor(name + ".weight")
    let bias = tensor(name + ".bias")
    let count = bias.count / parts
    return (part * count..<(part + 1) * count).map { output in
      x.indices.reduce(Double(bias[output])) {
        let place = model.family.layersAreTurned ? $1 * bias.count + output : output * x.count + $1
        return $0 + x[$1] * Double(weight[place])
      }
    }
  }

  /// `own` is an epsilon that the family gives this one.
  private func norm(_ name: String, _ x: [Double], own: Float? = nil, always: Bool = false) -> [Double] {
    let gamma = tensor(name + model.family.normNames.gamma)
    let beta = tensor(name + model.family.normNames.beta)
    guard model.takesStatistics || always else {
      return x.indices.map { x[$0] * Double(gamma[$0]) + Double(beta[$0]) }
    }
    let count = Double(x.count)
    let mean = x.reduce(0, +) / count
    let squares = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let epsilon = own.map(Double.init) ?? Double(model.epsilon) ?? 0
    let deviation =
      switch model.family.normKind {
      case .variance: (squares / count + epsilon).squareRoot()
      case .sampleDeviation: (squares / (count - 1)).squareRoot() + epsilon
      }
    return x.indices.map { (x[$0] - mean) / deviation * Double(gamma[$0]) + Double(beta[$0]) }
  }

  private func activate(_ x: [Double]) -> [Double] {
    x.map { x in
      switch model.activation {
      case "gelu": 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
      case "relu": max(x, 0)
      default: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      }
    }
  }

  private func embed(_ row: Int) -> [[Double]] {
    let family = model.family
    var count = 1
    return (0..<input.sequence).map { column in
      let index = row * input.sequence + column
      let id = input.inputIDs[index]
      var position = column
      if case .countedFromPadding = family.positions {
        if id == 1 {
          position = 1
        } else {
          count += 1
          position = count
        }
      }
      let words = tensor(model.prefix + family.wordEmbeddings + ".weight")
      func word(_ column: Int) -> [Double] {
        (0..<model.embeddingSize).map { i in
          guard (0..<input.sequence).contains(column) else { return 0 }
          return Double(words[input.inputIDs[row * input.sequence + column] * model.embeddingSize + i])
        }
      }
      var own = word(column)
      if model.readsNeighbours { own = word(column + 1) + own + word(column - 1) }
      if model.transformsWords, let name = family.embeddingTransformation { own = dense(model.prefix + name, own) }
      let size = own.count
      let sum = (0..<size).map { i -> Double in
        var sum = own[i]
        if let name = family.positionEmbeddings {
          let table = tensor(model.prefix + name + (family.positionsAreBuffer ? "" : ".weight"))
          sum += Double(table[position * size + i])
        }
        if let name = family.typesAreWords ? family.wordEmbeddings : family.tokenTypeEmbeddings {
          let type = input.tokenTypeIDs?[index] ?? (family.typesAreWords ? nil : family.defaultTokenType)
          if let type { sum += Double(tensor(model.prefix + name + ".weight")[type * size + i]) }
        }
        return sum
      }
      let normed = family.embeddingNorm.map { norm(model.prefix + $0, sum, own: family.embeddingNormEpsilon) } ?? sum
      guard let projection = family.embeddingProjection else { return normed }
      return dense(model.prefix + projection, normed)
    }
  }

  private func layer(_ name: String, _ x: [[Double]], _ row: Int) -> [[Double]] {
    let family = model.family
    let isPreNorm = if case .beforeBlock = family.normPlacement { true } else { false }
    let read = isPreNorm ? x.map { norm(name + family.attentionNorm, $0) } : x
    let names = family.bottleneck
    func narrow(_ part: String?) -> [[Double]] {
      guard let part, let names else { return x }
      return x.map { norm(name + part + "." + names.norm, dense(name + part + "." + names.dense, $0)) }
    }
    var residual = x
    var attending = read
    var attended = read
    if model.bottleneck != .none { residual = narrow(names?.input) }
    if model.bottleneck == .attention { (attending, attended) = (residual, residual) }
    if model.bottleneck == .queriesAndKeys { attending = narrow(names?.queriesAndKeys) }
    func project(_ x: [[Double]], _ part: Int, _ own: String) -> [[Double]] {
      x.map {
        if let fused = family.fusedProjection { return layerDense(name + fused, $0, part: part, of: 3) }
        return dense(name + own, $0)
      }
    }
    let query = project(attending, 0, family.query)
    let key = project(attending, 1, family.key)
    let value = project(attended, 2, family.value)
    let size = model.innerSize / model.heads
    return x.indices.map { column in
      var context = Array(repeating: 0.0, count: model.innerSize)
      for head in 0..<model.heads {
        let own = (head * size)..<((head + 1) * size)
        let scores = x.indices.map { other -> Double in
          guard input.isAttended(row * input.sequence + other), !family.isCausal || other <= column else {
            return -.infinity
          }
          return own.reduce(0) { $0 + query[column][$1] * key[other][$1] } / Double(size).squareRoot()
        }
        let largest = scores.max() ?? 0
        // Only padding can see no token at all.
        var weights = scores.map { largest > -.infinity ? exp($0 - largest) : 0 }
        let sum = weights.reduce(0, +)
        if sum > 0 { weights = weights.map { $0 / sum } }
        for index in own { context[index] = x.indices.reduce(0) { $0 + weights[$1] * value[$1][index] } }
      }
      let attention = zip(layerDense(name + family.attentionOutput, context), residual[column]).map { $0 + $1 }
      var attended = isPreNorm ? attention : norm(name + family.attentionNorm, attention)
      for number in 0..<(model.feedForwards - 1) {
        let place = name + family.earlierFeedForwardName(number)
        let inner = activate(layerDense(place + family.intermediate, attended))
        let sum = zip(layerDense(place + family.output, inner), attended).map { $0 + $1 }
        attended = norm(place + family.outputNorm, sum)
      }
      let entering = isPreNorm ? norm(name + family.outputNorm, attended) : attended
      let inner = activate(layerDense(name + family.intermediate, entering))
      let sum = zip(layerDense(name + family.output, inner), attended).map { $0 + $1 }
      guard !isPreNorm else { return sum }
      let result = norm(name + family.outputNorm, sum, own: family.outputNormEpsilon)
      guard model.bottleneck != .none, let names else { return result }
      let place = name + names.output + "."
      return norm(place + names.norm, zip(dense(place + names.dense, result), x[column]).map { $0 + $1 })
    }
  }

  // MARK: Outputs, padded and flattened

  private var last: [[[Double]]] { hidden[model.layers] }

  /// A vector for each token that counts, zeros for the others.
  private func tokens(_ vector: ([Double]) -> [Double], of states: [[[Double]]]) -> [Double] {
    (0..<input.batch).flatMap { row in
      (0..<input.sequence).flatMap { column in
        let result = vector(states[row][column])
        return input.isAttended(row * input.sequence + column) ? result : result.map { _ in 0 }
      }
    }
  }

  private var pooled: [[Double]] {
    last.enumerated().map { row, states in
      if model.family.heads.classifierReadsLastToken {
        let tokens = (0..<input.sequence).filter { input.isAttended(row * input.sequence + $0) }
        return states[tokens.last ?? 0]
      }
      return model.poolerIsPlain || model.family.pooler == nil
        ? states[0] : dense(model.prefix + (model.family.pooler ?? ""), states[0]).map { tanh($0) }
    }
  }

  private func predict(_ x: [Double]) -> [Double] {
    let heads = model.family.heads
    let transformed =
      heads.predictionTransform.map { norm(heads.predictionNorm, activate(dense($0, x)), always: true) } ?? x
    let size = model.embeddingSize
    let rest = heads.predictionRest.map { tensor($0 + ".weight") } ?? []
    let weight = tensor(
      model.hasOwnDecoder
        ? heads.predictionDecoder + ".weight" : model.prefix + model.family.wordEmbeddings + ".weight")
    let bias = heads.predictionBiases.first.map(tensor) ?? Array(repeating: 0, count: model.vocabulary)
    return bias.enumerated().map { word, bias in
      transformed.indices.reduce(Double(bias)) {
        let factor = $1 < size ? weight[word * size + $1] : rest[($1 - size) * model.vocabulary + word]
        return $0 + transformed[$1] * Double(factor)
      }
    }
  }

  func output(_ kind: OutputKind) -> [Double] {
    let heads = model.family.heads
    switch kind {
    case .hidden(let index): return tokens({ $0 }, of: hidden[index])
    case .pooled: return pooled.flatMap(\.self)
    case .prediction: return tokens(predict, of: last)
    case .nextSentence: return pooled.flatMap { dense(heads.nextSentence, $0) }
    case .sequenceClassification where heads.classifierReadsLastToken:
      let weight = tensor(heads.classifier + ".weight")
      return pooled.flatMap { x in
        (0..<(weight.count / x.count)).map { label in
          x.indices.reduce(0) { $0 + x[$1] * Double(weight[label * x.count + $1]) }
        }
      }
    case .sequenceClassification, .multipleChoice: return pooled.flatMap { dense(heads.classifier, $0) }
    case .tokenClassification: return tokens({ dense(heads.classifier, $0) }, of: last)
    case .replacedToken, .sentence: preconditionFailure("no head of BERT's")
    case .answer(let index): return tokens({ [dense(heads.questionAnswering, $0)[index]] }, of: last)
    }
  }
}

/// The largest difference; infinite when the sizes differ.
func distance(_ a: [Float], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  // `max` would lose a NaN on one of its two sides.
  return zip(a, b).reduce(0) { largest, pair in
    let difference = (Double(pair.0) - pair.1).magnitude
    return difference.isNaN ? .infinity : max(largest, difference)
  }
}

func distance(_ a: [Float], _ b: [Float]) -> Double { distance(a, b.map(Double.init)) }
