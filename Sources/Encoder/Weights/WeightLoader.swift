import CheckpointFormats
import ModelFamilies
import NativeFormat
import TensorIO

/// Which of a model's layers a weight is of; of layers that share weights, which group of them.
struct BlockIndex: Sendable {
  var layer: Int?
  /// The block of the layer, for layers that consist of several.
  var block = 0
  /// Which one it is where a layer has several of a part.
  var index = 0

  /// Outside of the layers.
  static let none = BlockIndex(layer: nil)
}

/// Finds the weights of a model by their roles, checks their shapes and turns each into floats.
struct WeightLoader {
  let model: NativeModel
  let family: ModelFamily
  /// What the matrices of layers are packed in; `nil` to use them as they lie in the file.
  let packing: Packing?
  /// Whether the file is of a base model saved without its prefix.
  private let isBare: Bool

  /// What was requested and is absent, so that one error can name all.
  private var missing: [String] = []
  /// The names of the tensors that were loaded.
  var used: Set<String> = []

  /// Finds out whether names have the prefix of the base model: by the word embeddings, which every model has.
  init(_ model: NativeModel, _ family: ModelFamily, packing: Packing?) throws(FormatError) {
    self.model = model
    self.family = family
    self.packing = packing
    let names = family.names(TensorRole(.wordEmbeddings))
    let bare = names.map { Self.withoutPrefix($0, family) }
    if names.contains(where: { model.tensor($0) != nil }) {
      isBare = false
    } else if bare.contains(where: { model.tensor($0) != nil }) {
      isBare = true
    } else {
      let expected = bare == names ? names : names + bare
      throw FormatError(
        .mismatch, "the file has no word embeddings of \(family.description)", file: model.path,
        expected: expected.map { "'\($0)'" }.joined(separator: " or "), advice: .convertFirst)
    }
  }

  private static func withoutPrefix(_ name: String, _ family: ModelFamily) -> String {
    name.hasPrefix(family.basePrefix) ? String(name.dropFirst(family.basePrefix.count)) : name
  }

  // MARK: Names

  /// The names of a role as this file writes them, the preferred one first.
  func names(
    _ part: ModelPart, _ parameter: TensorRole.Parameter = .weight, in block: BlockIndex = .none
  ) -> [String] {
    let role = TensorRole(part, parameter, index: block.index, block: block.block)
    let names = family.names(role, layer: block.layer)
    return isBare ? names.map { Self.withoutPrefix($0, family) } : names
  }

  /// The name that is present, or else the preferred one.
  private func name(
    _ part: ModelPart, _ parameter: TensorRole.Parameter, _ block: BlockIndex
  ) throws(FormatError) -> String {
    let names = names(part, parameter, in: block)
    guard let first = names.first else {
      throw FormatError(
        .table, "the family has no tensor of this role", file: model.path, found: family.name,
        expected: TensorRole(part, parameter, index: block.index, block: block.block).description)
    }
    return names.first { find($0) != nil } ?? first
  }

  /// Whether the file has that part: its weight, or another parameter.
  func has(
    _ part: ModelPart, _ parameter: TensorRole.Parameter = .weight, in block: BlockIndex = .none
  ) -> Bool {
    names(part, parameter, in: block).contains { find($0) != nil }
  }

  /// The first dimension of a part's weight; `nil` where the file has none.
  func rows(of part: ModelPart) -> Int? { names(part).lazy.compactMap { find($0)?.shape.first }.first }

  /// The tensor of that name. The oldest checkpoints, and files made from them, call the two vectors of a layer
  /// normalization gamma and beta.
  func find(_ name: String) -> NativeModel.Tensor? {
    if let tensor = model.tensor(name) { return tensor }
    for (new, old) in [(".LayerNorm.weight", ".LayerNorm.gamma"), (".LayerNorm.bias", ".LayerNorm.beta")]
    where name.hasSuffix(new) {
      return model.tensor(name.dropLast(new.count) + old)
    }
    return nil
  }

  // MARK: Weights

  /// The tensor `name` of exactly this shape, all but its last dimension taken together. One that is absent is noted, and
  /// a placeholder returned.
  mutating func load(named name: String, _ shape: [Int]) throws(FormatError) -> Weight {
    guard let tensor = find(name) else {
      missing.append(name)
      return Weight(rows: 0, columns: 0, bytes: Bytes([]))
    }
    used.insert(tensor.name)
    guard tensor.shape == shape else {
      throw FormatError(
        .mismatch, "the shape does not fit the config", file: model.path, tensor: tensor.name,
        found: shapeText(tensor.shape), expected: shapeText(shape), advice: .giveConfig)
    }
    return Weight(
      rows: shape.dropLast().reduce(1, *), columns: shape[shape.count - 1], bytes: try floats([tensor]))
  }

  /// A parameter of a part, of this shape; a family may have dimensions of 1 before it, as buffers do.
  mutating func load(
    _ part: ModelPart, _ shape: [Int], _ parameter: TensorRole.Parameter = .weight, in block: BlockIndex = .none
  ) throws(FormatError) -> Weight {
    let role = TensorRole(part, parameter, index: block.index, block: block.block)
    let rank = family.tensors(role).first?.shape.count ?? shape.count
    let ones = Array(repeating: 1, count: max(rank - shape.count, 0))
    return try load(named: try name(part, parameter, block), ones + shape)
  }

  /// A bias, zeros for families without.
  private mutating func bias(_ part: ModelPart, _ size: Int, in block: BlockIndex) throws(FormatError) -> Weight {
    names(part, .bias, in: block).isEmpty ? .zeros(size) : try load(part, [size], .bias, in: block)
  }

  /// A dense layer as it lies in the file, weight [output, input].
  mutating func dense(
    _ part: ModelPart, _ output: Int, _ input: Int, in block: BlockIndex = .none
  ) throws(FormatError) -> DenseWeights {
    DenseWeights(
      weight: try load(part, [output, input], in: block), bias: try bias(part, output, in: block))
  }

  /// A dense layer inside of the layers: packed where that is wanted, transposed where the family stores [input, output].
  mutating func layerDense(
    _ part: ModelPart, _ output: Int, _ input: Int, in block: BlockIndex
  ) throws(FormatError) -> DenseWeights {
    let bias = try bias(part, output, in: block)
    if family.computation.layerMatrices == .inputOutput {
      let stored = try load(part, [input, output], in: block)
      return DenseWeights(weight: try packed([stored.columns == 0 ? stored : stored.transposed()])[0], bias: bias)
    }
    let name = try name(part, .weight, block)
    if let weight = try packedAsStored([name], [output, input]) { return DenseWeights(weight: weight, bias: bias) }
    return DenseWeights(weight: try packed([load(named: name, [output, input])])[0], bias: bias)
  }

  mutating func norm(
    _ part: ModelPart, _ size: Int, _ kind: Normalization, in block: BlockIndex = .none
  ) throws(FormatError) -> NormWeights {
    NormWeights(
      gamma: try load(part, [size], in: block), beta: try load(part, [size], .bias, in: block), kind: kind,
      name: moduleName(part, block))
  }

  /// What is common to the names of a part's tensors, below its layer or the base model.
  private func moduleName(_ part: ModelPart, _ block: BlockIndex) -> String {
    let role = TensorRole(part, index: block.index, block: block.block)
    guard let pattern = family.tensors(role).first?.pattern.text else { return part.rawValue }
    let module = pattern.split(separator: ".").dropLast()
    let start = module.lastIndex(of: "{layer}").map { module.index(after: $0) } ?? module.startIndex
    let name = module[start...].joined(separator: ".")
    return part.isPerLayer ? name : Self.withoutPrefix(name, family)
  }

  // MARK: Query, key and value

  /// Query, key and value as one matrix [3 size, size].
  mutating func projection(
    fused part: ModelPart, _ size: Int, in block: BlockIndex
  ) throws(FormatError) -> ProjectionWeights {
    let whole = try layerDense(part, 3 * size, size, in: block)
    return ProjectionWeights(weights: [whole.weight], biases: [whole.bias])
  }

  /// Query, key and value of `size` rows each, fused where that needs no copy of stored floats; the value apart where it
  /// reads something else, of `valueColumns` features.
  mutating func projection(
    _ parts: [ModelPart], _ size: Int, valueColumns: Int, sharesInput: Bool, in block: BlockIndex
  ) throws(FormatError) -> ProjectionWeights {
    var weights: [String] = []
    var biasNames: [String] = []
    for part in parts {
      weights.append(try name(part, .weight, block))
      biasNames.append(try name(part, .bias, block))
    }
    let biases = try fused(biasNames, [size])
    guard !sharesInput else {
      let stored = try packedAsStored(weights, [size, size])
      let parts = if let stored { [stored] } else { try packed(fused(weights, [size, size])) }
      let isPacked = parts[0].packed != nil && biases.allSatisfy { $0.columns > 0 }
      return ProjectionWeights(weights: parts, biases: isPacked ? [.joining(biases)] : biases)
    }
    return ProjectionWeights(
      weights: try fused(Array(weights.dropLast()), [size, size])
        + fused(Array(weights.suffix(1)), [size, valueColumns]),
      biases: biases)
  }

  /// Tensors of one shape as one matrix where they are adjacent, or have to be converted anyhow; else each as it is.
  private mutating func fused(_ names: [String], _ shape: [Int]) throws(FormatError) -> [Weight] {
    let tensors = names.compactMap { find($0) }
    let fit = tensors.count == names.count && tensors.allSatisfy { $0.shape == shape }
    if fit, let bytes = try adjacent(tensors) {
      used.formUnion(tensors.map(\.name))
      let count = bytes.count / 4
      let columns = shape.count == 1 ? count : shape[shape.count - 1]
      return [Weight(rows: count / columns, columns: columns, bytes: bytes)]
    }
    // Not adjacent, or an error to be reported.
    var parts: [Weight] = []
    for name in names { parts.append(try load(named: name, shape)) }
    return parts
  }

  // MARK: Completeness

  /// Throws where something requested is absent, or the file has a weight of a layer that nothing requested: a
  /// config with fewer layers than the file would give another model's outputs without a word.
  func checkCompleteness(layerCount: Int) throws(FormatError) {
    if let unused = firstUnusedOfLayers() {
      throw FormatError(
        .mismatch, "the file holds a weight of a layer that the config does not name", file: model.path,
        tensor: unused, expected: "\(layerCount) layers as the config has them", advice: .giveConfig)
    }
    guard missing.isEmpty else {
      let names = missing.prefix(8).joined(separator: ", ")
      let rest = missing.count - 8
      throw FormatError(
        .mismatch, missing.count == 1 ? "a weight is missing" : "\(missing.count) weights are missing",
        file: model.path, expected: names + (rest > 0 ? " and \(rest) more" : ""),
        advice: "The file is not complete, or its config has more layers than the file.")
    }
  }

  /// The first tensor of the layers that nothing has loaded; the scales of 8-bit weights go with their weights.
  private func firstUnusedOfLayers() -> String? {
    guard let text = family.tensors.first(where: { $0.pattern.isPerLayer })?.pattern.text,
      let start = text.prefix(before: "{layer}")
    else { return nil }
    let prefix = isBare ? Self.withoutPrefix(start, family) : start
    return model.tensorNames.first { name in
      let owner = Int8Quantization.weightName(ofScale: name) ?? name
      return name.hasPrefix(prefix) && !used.contains(name) && !used.contains(owner)
    }
  }
}

extension String {
  /// What comes before `placeholder`; `nil` where it is absent.
  fileprivate func prefix(before placeholder: String) -> String? {
    for index in indices where self[index...].hasPrefix(placeholder) { return String(self[..<index]) }
    return nil
  }
}
