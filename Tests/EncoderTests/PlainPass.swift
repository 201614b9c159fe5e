import ModelFamilies
import TensorIO

@testable import Encoder

#if canImport(Glibc)
  import Glibc
#endif

/// The models once more, by the definitions: nested loops in double precision over the whole padded input, with a mask.
struct PlainPass {
  let model: TinyModel
  let values: [String: [Float]]
  let input: EncoderInput
  /// hidden[n][row][column]: number n of the hidden states.
  private(set) var hidden: [[[[Double]]]] = []
  private let found = Found()

  /// The parameters that were looked up, by role and layer.
  private final class Found {
    struct Key: Hashable {
      let role: TensorRole
      let layer: Int?
    }

    var values: [Key: [Float]] = [:]
  }

  private var family: ModelFamily { model.family }
  private var computation: Computation { model.family.computation }

  init(_ model: TinyModel, _ input: EncoderInput) {
    self.model = model
    values = model.values()
    self.input = input
    hidden = [(0..<input.batch).map(embed)]
    for layer in 0..<model.layers {
      let group = model.family.key(for: .groupCount) == nil ? layer : layer * model.groups / model.layers
      var states = hidden[layer]
      for block in 0..<model.blocks {
        states = (0..<input.batch).map { row in Block(self, layer: group, block: block).run(states[row], row) }
      }
      hidden.append(states)
    }
    if has(.finalNorm) { hidden[model.layers] = hidden[model.layers].map { $0.map { norm(.finalNorm, $0) } } }
  }

  // MARK: Weights by role

  /// The numbers of a parameter; empty where the model has none.
  func tensor(
    _ part: ModelPart, _ parameter: TensorRole.Parameter = .weight, layer: Int? = nil, block: Int = 0, index: Int = 0
  ) -> [Float] {
    let key = Found.Key(role: TensorRole(part, parameter, index: index, block: block), layer: layer)
    if let known = found.values[key] { return known }
    let parameter = model.names(key.role, layer: layer).lazy.compactMap { values[$0] }.first ?? []
    found.values[key] = parameter
    return parameter
  }

  func has(_ part: ModelPart) -> Bool { !tensor(part).isEmpty }

  func dense(
    _ part: ModelPart, _ x: [Double], layer: Int? = nil, block: Int = 0, index: Int = 0, rows: Range<Int>? = nil
  ) -> [Double] {
    let weight = tensor(part, layer: layer, block: block, index: index)
    let bias = tensor(part, .bias, layer: layer, block: block, index: index)
    let outputs = weight.count / x.count
    let isTransposed = layer != nil && computation.layerMatrices == .inputOutput
    return (rows ?? 0..<outputs).map { output in
      x.indices.reduce(bias.isEmpty ? 0 : Double(bias[output])) {
        $0 + x[$1] * Double(weight[isTransposed ? $1 * outputs + output : output * x.count + $1])
      }
    }
  }

  /// `own` is an epsilon that the family gives this one.
  func norm(
    _ part: ModelPart, _ x: [Double], layer: Int? = nil, block: Int = 0, index: Int = 0, own: Double? = nil,
    always: Bool = false
  ) -> [Double] {
    let gamma = tensor(part, layer: layer, block: block, index: index)
    let beta = tensor(part, .bias, layer: layer, block: block, index: index)
    guard model.takesStatistics || always else {
      return x.indices.map { x[$0] * Double(gamma[$0]) + Double(beta[$0]) }
    }
    let count = Double(x.count)
    let mean = x.reduce(0, +) / count
    let squares = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let epsilon = own ?? Double(model.epsilon) ?? 0
    let deviation =
      switch always ? .variance : computation.normKind {
      case .variance: (squares / count + epsilon).squareRoot()
      case .sampleDeviation: (squares / (count - 1)).squareRoot() + epsilon
      }
    return x.indices.map { (x[$0] - mean) / deviation * Double(gamma[$0]) + Double(beta[$0]) }
  }

  func activate(_ x: [Double], _ activation: Activation? = nil) -> [Double] {
    let function = activation ?? family.activation(named: model.activation)
    return x.map { x in
      switch function {
      case .gelu: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
      case .relu: max(x, 0)
      case .tanh: tanh(x)
      default: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      }
    }
  }

  // MARK: Embeddings

  private func embed(_ row: Int) -> [[Double]] {
    var count = model.paddingID
    return (0..<input.sequence).map { column in
      let index = row * input.sequence + column
      let id = input.inputIDs[index]
      var position = column
      if computation.positionIDs == .countedFromPadding {
        if id != model.paddingID { count += 1 }
        position = id == model.paddingID ? id : count
      }
      var sum = words(row, column)
      func add(_ part: ModelPart, _ row: Int) {
        let table = tensor(part)
        guard !table.isEmpty else { return }
        for i in sum.indices { sum[i] += Double(table[row * sum.count + i]) }
      }
      add(.positionEmbeddings, position)
      if computation.tokenTypeIDs == .words {
        if let type = input.tokenTypeIDs?[index] { add(.wordEmbeddings, type) }
      } else {
        add(.tokenTypeEmbeddings, input.tokenTypeIDs?[index] ?? computation.defaultTokenType)
      }
      add(.taskTypeEmbeddings, input.taskTypeIDs?[index] ?? 0)
      if has(.embeddingNorm) { sum = norm(.embeddingNorm, sum, own: computation.embeddingNormEpsilon) }
      return has(.embeddingProjection) ? dense(.embeddingProjection, sum) : sum
    }
  }

  /// The embedding of a word, or what the transformation makes of it and its neighbors.
  private func words(_ row: Int, _ column: Int) -> [Double] {
    let table = tensor(.wordEmbeddings)
    func word(_ column: Int) -> [Double] {
      (0..<model.embeddingSize).map { i in
        guard (0..<input.sequence).contains(column) else { return 0 }
        return Double(table[input.inputIDs[row * input.sequence + column] * model.embeddingSize + i])
      }
    }
    let own = model.readsNeighbors ? word(column + 1) + word(column) + word(column - 1) : word(column)
    return has(.embeddingTransformation) ? dense(.embeddingTransformation, own) : own
  }

  // MARK: Layers

  /// One block of a layer.
  private struct Block {
    let pass: PlainPass
    let layer: Int
    let block: Int

    init(_ pass: PlainPass, layer: Int, block: Int) {
      self.pass = pass
      self.layer = layer
      self.block = block
    }

    private func dense(_ part: ModelPart, _ x: [Double], index: Int = 0, rows: Range<Int>? = nil) -> [Double] {
      pass.dense(part, x, layer: layer, block: block, index: index, rows: rows)
    }

    private func norm(_ part: ModelPart, _ x: [Double], index: Int = 0, own: Double? = nil) -> [Double] {
      pass.norm(part, x, layer: layer, block: block, index: index, own: own)
    }

    func run(_ x: [[Double]], _ row: Int) -> [[Double]] {
      let model = pass.model
      let computation = pass.computation
      let isPreNorm = computation.normPlacement == .beforeBlock
      let read = isPreNorm ? x.map { norm(.attentionNorm, $0) } : x
      var (residual, attending, attended) = (x, read, read)
      if model.bottleneck != .none { residual = x.map { norm(.inputBottleneckNorm, dense(.inputBottleneck, $0)) } }
      if model.bottleneck == .attention { (attending, attended) = (residual, residual) }
      if model.bottleneck == .queriesAndKeys {
        attending = x.map { norm(.sharedBottleneckNorm, dense(.sharedBottleneck, $0)) }
      }
      let contexts = attention(attending, values: attended, row)
      return x.indices.map { column in
        let sum = add(dense(.attentionOutput, contexts[column]), residual[column])
        var state = isPreNorm ? sum : norm(.attentionNorm, sum)
        for index in Array(1..<model.feedForwards) + [0] {
          let entering = isPreNorm ? norm(.feedForwardNorm, state, index: index) : state
          let inner = pass.activate(dense(.feedForwardInput, entering, index: index))
          state = add(dense(.feedForwardOutput, inner, index: index), state)
          let own = index == 0 ? computation.feedForwardNormEpsilon : nil
          if !isPreNorm { state = norm(.feedForwardNorm, state, index: index, own: own) }
        }
        guard model.bottleneck != .none else { return state }
        return norm(.outputBottleneckNorm, add(dense(.outputBottleneck, state), x[column]))
      }
    }

    private func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }

    /// The heads' results side by side, for each column.
    private func attention(_ x: [[Double]], values: [[Double]], _ row: Int) -> [[Double]] {
      let (model, input) = (pass.model, pass.input)
      let inner = model.innerSize
      let size = inner / model.heads
      func project(_ x: [[Double]], _ part: ModelPart, _ number: Int) -> [[Double]] {
        guard !pass.tensor(.queryKeyValue, layer: layer).isEmpty else { return x.map { dense(part, $0) } }
        return x.map { dense(.queryKeyValue, $0, rows: (number * inner)..<((number + 1) * inner)) }
      }
      let query = project(x, .query, 0)
      let key = project(x, .key, 1)
      let value = project(values, .value, 2)
      return x.indices.map { column in
        var context = Array(repeating: 0.0, count: inner)
        for head in 0..<model.heads {
          let own = (head * size)..<((head + 1) * size)
          let scores = x.indices.map { other -> Double in
            guard input.isAttended(row * input.sequence + other), !pass.computation.isCausal || other <= column else {
              return -.infinity
            }
            let score = own.reduce(0) { $0 + query[column][$1] * key[other][$1] } / Double(size).squareRoot()
            return score + relativeBias(head, from: column, to: other)
          }
          let largest = scores.max() ?? 0
          // Only padding can see no token at all.
          var weights = scores.map { largest > -.infinity ? exp($0 - largest) : 0 }
          let sum = weights.reduce(0, +)
          if sum > 0 { weights = weights.map { $0 / sum } }
          for index in own { context[index] = x.indices.reduce(0) { $0 + weights[$1] * value[$1][index] } }
        }
        return context
      }
    }

    /// What is added for the distance of two columns: `relative_position_bucket` of modeling_mpnet.py, step by step.
    private func relativeBias(_ head: Int, from query: Int, to key: Int) -> Double {
      let table = pass.tensor(.relativeBias)
      guard !table.isEmpty else { return 0 }
      var n = query - key
      var bucket = n < 0 ? 16 : 0
      n = abs(n)
      bucket += n < 8 ? n : min(8 + Int(log(Float(n) / 8) / Float(log(16.0)) * 8), 15)
      return Double(table[bucket * pass.model.heads + head])
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

  private var firstTokens: [[Double]] { last.map { $0[0] } }

  private var pooled: [[Double]] {
    guard model.poolerIsDense, has(.pooler) else { return firstTokens }
    return firstTokens.map { activate(dense(.pooler, $0), .tanh) }
  }

  /// What the classifier of sequences reads.
  private var classified: [[Double]] {
    let heads = computation.heads
    if heads.classifierReadsLastToken {
      return last.enumerated().map { row, states in
        states[(0..<input.sequence).last { input.isAttended(row * input.sequence + $0) } ?? 0]
      }
    }
    for (part, activation) in [
      (ModelPart.sequenceClassifierTransform, heads.sequenceClassifierActivation),
      (.classifierTransform, heads.classifierTransformActivation),
    ] where has(part) {
      return firstTokens.map { activate(dense(part, $0), activation) }
    }
    return pooled
  }

  private func predict(_ x: [Double]) -> [Double] {
    let isTransformed = has(.predictionTransform)
    let activation = computation.heads.predictionActivation
    let transformed =
      isTransformed
      ? norm(.predictionNorm, activate(dense(.predictionTransform, x), activation), always: true) : x
    let size = model.embeddingSize
    let rest = tensor(.predictionRest)
    let projection = tensor(.embeddingTransformation)
    let features =
      !model.family.has(.predictionRest) && has(.embeddingTransformation)
      ? (0..<size).map { e in
        transformed.indices.reduce(0.0) { $0 + transformed[$1] * Double(projection[$1 * size + e]) }
      } : transformed
    let weight = model.hasOwnDecoder || !has(.wordEmbeddings) ? tensor(.predictionDecoder) : tensor(.wordEmbeddings)
    let bias = tensor(.predictionDecoder, .bias)
    return (0..<model.vocabulary).map { word in
      features.indices.reduce(bias.isEmpty ? 0 : Double(bias[word])) {
        let factor = $1 < size ? weight[word * size + $1] : rest[($1 - size) * model.vocabulary + word]
        return $0 + features[$1] * Double(factor)
      }
    }
  }

  func output(_ kind: OutputKind) -> [Double] {
    switch kind {
    case .hidden(let index): return tokens({ $0 }, of: hidden[index])
    case .pooled: return pooled.flatMap(\.self)
    case .prediction: return tokens(predict, of: last)
    case .nextSentence:
      let read = computation.heads.nextSentenceReadsFirstToken ? firstTokens : pooled
      return read.flatMap { dense(.nextSentence, $0) }
    case .sequenceClassification, .multipleChoice:
      let part = has(.sequenceClassifierOutput) ? ModelPart.sequenceClassifierOutput : .classifier
      return classified.flatMap { dense(part, $0) }
    case .tokenClassification: return tokens({ dense(.classifier, $0) }, of: last)
    case .replacedToken:
      return tokens({ dense(.replacedTokenOutput, activate(dense(.replacedTokenTransform, $0))) }, of: last)
    case .answer(let index): return tokens({ [dense(.questionAnswering, $0)[index]] }, of: last)
    case .relevance: return firstTokens.flatMap { dense(.relevance, $0) }
    case .sentence, .pooledSentence: preconditionFailure("heads of a test of their own")
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
