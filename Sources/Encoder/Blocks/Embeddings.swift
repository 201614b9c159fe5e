import ModelFamilies
import TensorIO

/// What goes into the first layer: the sum of the embeddings of word, position and token type, normalized (Devlin et al.,
/// 2018, figure 2). Families leave parts out, and some have embeddings of another size E than the hidden size H.
struct Embeddings: Sendable {
  let words: Weight  // [V, E]
  /// Before the sum, whose other terms have H features then.
  let transformation: DenseWeights?  // [H, E], or [H, 3E] for a token with its neighbors
  let positions: Weight?  // [P, E or H]
  let tokenTypes: Weight?  // [types, E or H]
  let taskTypes: Weight?  // [tasks, E or H]
  let norm: NormWeights?  // [E or H]
  /// After the norm.
  let projection: DenseWeights?  // [H, E]
}

extension Embeddings {
  init(_ loader: inout WeightLoader, _ config: EncoderConfig) throws(FormatError) {
    let family = config.family
    let (hidden, size) = (config.hiddenSize, config.embeddingSize)
    words = try loader.load(.wordEmbeddings, [config.vocabularySize, size])
    transformation =
      config.transformsWords ? try loader.dense(.embeddingTransformation, hidden, config.transformationInput) : nil
    let width = config.transformsWords ? hidden : size
    func table(_ part: ModelPart, rows: Int) throws(FormatError) -> Weight? {
      family.has(part) ? try loader.load(part, [rows, width]) : nil
    }
    positions = try table(.positionEmbeddings, rows: config.positionCount)
    switch family.computation.tokenTypeIDs {
    case .words: tokenTypes = words
    case .types: tokenTypes = try table(.tokenTypeEmbeddings, rows: config.tokenTypeCount)
    }
    taskTypes = config.taskTypeCount > 0 ? try table(.taskTypeEmbeddings, rows: config.taskTypeCount) : nil
    let epsilon = family.computation.embeddingNormEpsilon
    norm =
      family.has(.embeddingNorm) ? try loader.norm(.embeddingNorm, width, config.normalization(epsilon)) : nil
    let isProjected = family.has(.embeddingProjection) && (size != hidden || loader.has(.embeddingProjection))
    projection = isProjected ? try loader.dense(.embeddingProjection, hidden, size) : nil
  }

  /// `hidden` [T, H] = norm(words + token types + positions + task types), projected where E is not H.
  func run(_ pass: ForwardPass) {
    let (group, backend) = (pass.group, pass.backend)
    let x = projection == nil ? pass.hidden : pass.state.context.matrix(group.tokens, words.columns)
    if let transformation {
      backend.dense(entering(pass), transformation, into: x)  // [T, E or 3E] · [H, E or 3E]ᵀ
    } else {
      x.lookUp(group.ids, in: words)  // [T, E]
    }
    if let tokenTypes, let types = group.types { x.lookUp(types, in: tokenTypes, adding: true) }
    if let positions { x.lookUp(group.positions, in: positions, adding: true) }
    if let taskTypes { x.lookUp(group.tasks, in: taskTypes, adding: true) }
    if let norm { backend.layerNorm(x, norm) }
    if let projection { backend.dense(x, projection, into: pass.hidden) }  // [T, E] · [H, E]ᵀ
  }

  /// What the transformation reads: words [T, E]; or each next to the words in the next and the previous column, in this
  /// order, [T, 3E].
  private func entering(_ pass: ForwardPass) -> Matrix {
    let group = pass.group
    let size = words.columns
    let x = pass.state.context.matrix(group.tokens, pass.config.transformationInput)
    guard pass.config.readsNeighbors else {
      x.lookUp(group.ids, in: words)
      return x
    }
    x.columns(0..<size).lookUp(group.nextIDs, orZeroIn: words)
    x.columns(size..<(2 * size)).lookUp(group.ids, in: words)
    x.columns((2 * size)..<(3 * size)).lookUp(group.previousIDs, orZeroIn: words)
    return x
  }
}
