import CKernels
import NativeFormat
import TensorIO

/// A matrix `[rows, columns]` of floats, or a vector as one row: a view on the mapped file where the file holds floats,
/// otherwise a buffer that was converted when the model was opened.
struct Weight: Sendable {
  // Memory safety: `init` sees to it that there are `rows * columns` floats on a float's boundary: a mapping and a buffer
  // both start on one of at least 16 bytes. The bytes live until `withStart` returns.

  let rows: Int
  let columns: Int
  private let bytes: Bytes
  /// The same for fast products; the floats are not kept then.
  let packed: PackedMatrix?

  /// `bytes` are aligned floats, `rows * columns` of them.
  init(rows: Int, columns: Int, bytes: Bytes) {
    precondition(bytes.count == rows * columns * 4 && bytes.offsetInFile % 4 == 0)
    self.rows = rows
    self.columns = columns
    self.bytes = bytes
    packed = nil
  }

  init(_ packed: PackedMatrix) {
    rows = packed.rows
    columns = packed.columns
    bytes = Bytes([])
    self.packed = packed
  }

  /// Vectors, one behind the other.
  static func joining(_ parts: [Weight]) -> Weight {
    if parts.count == 1 { return parts[0] }
    let bytes = Bytes(count: parts.reduce(0) { $0 + $1.bytes.count }) { target in
      var end = 0
      for part in parts {
        part.bytes.withSpan { target.copy($0, to: end) }
        end += part.bytes.count
      }
    }
    return Weight(rows: 1, columns: bytes.count / 4, bytes: bytes)
  }

  /// A vector of zeros, for a bias that is not there.
  static func zeros(_ count: Int) -> Weight {
    // Memory of this size is aligned for any number.
    Weight(rows: 1, columns: count, bytes: Bytes(count: count * 4, filledBy: { _ in }))
  }

  /// Calls `body` with the address of the first element.
  @unsafe
  func withStart<R>(_ body: (UnsafePointer<Float>) -> R) -> R {
    bytes.withSpan { span in
      unsafe span.withUnsafeBytes { buffer in
        // No weight that a pass uses is empty, and the floats of a packed one are not kept.
        guard let start = buffer.baseAddress else { preconditionFailure("an empty weight") }
        return unsafe body(start.assumingMemoryBound(to: Float.self))
      }
    }
  }

  /// Calls `body` with the elements of a row.
  func withRow<R>(_ row: Int, _ body: (Span<Float>) -> R) -> R {
    precondition(row >= 0 && row < rows)
    return unsafe withStart { unsafe body(UnsafeBufferPointer(start: $0 + row * columns, count: columns).span) }
  }

  func withSpan<R>(_ body: (RawSpan) -> R) -> R { bytes.withSpan(body) }

  /// A copy, columns and rows exchanged.
  func transposed() -> Weight {
    let turned = Bytes(count: bytes.count) { target in
      bytes.withSpan { Layout.transpose($0, into: &target, rows: rows, columns: columns, elementSize: 4) }
    }
    return Weight(rows: columns, columns: rows, bytes: turned)
  }

  /// The values, row by row.
  func array() -> [Float] { bytes.withSpan { $0.floats() } }
}

/// What becomes of a row before it is scaled and shifted.
enum Normalisation: Sendable, Equatable {
  /// Mean 0 and variance 1, but for what epsilon adds to the variance.
  case variance(epsilon: Float)
  /// Mean 0 and a sample's deviation of 1, but for what epsilon adds to the deviation.
  case sampleDeviation(epsilon: Float)
  /// Nothing.
  case affine
}

/// The two tensors of a layer normalisation, [columns] each.
struct NormWeights: Sendable {
  let gamma: Weight
  let beta: Weight
  let kind: Normalisation
}

/// `x · weightᵀ + bias`, weight [out, in], bias [out].
struct DenseWeights: Sendable {
  let weight: Weight
  let bias: Weight
}

/// Query, key and value: one fused matrix [3N, H] and one bias [3N] where they are packed, or adjacent and read the same; otherwise
/// query and key [2N, N] and value [N, H], or three of each.
struct ProjectionWeights: Sendable {
  let weights: [Weight]
  let biases: [Weight]
}

/// Finds the weights of a model, checks their shapes and turns each into floats.
struct WeightLoader {
  // Memory safety: the model's header was checked, so that a tensor has as many bytes as its shape asks for; the buffer that
  // they are turned into floats in is made for the elements of the same shapes.

  let model: NativeModel
  /// In what the matrices of layers are packed; `nil` to use them as they lie in the file.
  let packing: Precision?

  /// What was asked for and is not there, so that one error can name all.
  private(set) var missing: [String] = []
  /// The names of the tensors that were loaded.
  private(set) var used: Set<String> = []
  /// How the family calls and lays out the tensors of a layer.
  private let family: ModelFamily

  init(_ model: NativeModel, _ family: ModelFamily, packing: Precision?) {
    self.model = model
    self.family = family
    self.packing = packing
  }

  func has(_ name: String) -> Bool { find(name) != nil }

  /// The first tensor under `prefix` that nothing has loaded; the scales of 8-bit weights go with their weights.
  func firstUnused(under prefix: String) -> String? {
    model.tensorNames.first { name in
      let owner = name.hasSuffix("_scale") ? String(name.dropLast("_scale".count)) : name
      return name.hasPrefix(prefix) && !used.contains(name) && !used.contains(owner)
    }
  }

  /// The tensor of that name. The oldest checkpoints, and files made from them, call the two vectors of a layer
  /// normalisation gamma and beta.
  private func find(_ name: String) -> NativeModel.Tensor? {
    if let tensor = model.tensor(name) { return tensor }
    for (new, old) in [(".LayerNorm.weight", ".LayerNorm.gamma"), (".LayerNorm.bias", ".LayerNorm.beta")]
    where name.hasSuffix(new) {
      return model.tensor(name.dropLast(new.count) + old)
    }
    return nil
  }

  /// The tensor `name` of exactly this shape, all but its last dimension taken together. One that is not there is noted, and a placeholder given.
  mutating func load(_ name: String, _ shape: [Int]) throws(FormatError) -> Weight {
    guard let tensor = find(name) else {
      missing.append(name)
      return Weight(rows: 0, columns: 0, bytes: Bytes([]))
    }
    used.insert(tensor.name)
    guard tensor.shape == shape else {
      throw FormatError(
        "the shape does not fit the config", file: model.path, tensor: tensor.name, found: shapeText(tensor.shape),
        expected: shapeText(shape), advice: "Use the config that belongs to this model.")
    }
    return Weight(
      rows: shape.dropLast().reduce(1, *), columns: shape[shape.count - 1], bytes: try floats([tensor]))
  }

  /// A layer's matrix [output, input], which may lie there turned.
  private mutating func layerMatrix(_ name: String, _ output: Int, _ input: Int) throws(FormatError) -> Weight {
    guard family.layersAreTurned else { return try load(name, [output, input]) }
    let turned = try load(name, [input, output])
    return turned.columns == 0 ? turned : turned.transposed()
  }

  mutating func dense(_ name: String, _ output: Int, _ input: Int) throws(FormatError) -> DenseWeights {
    DenseWeights(weight: try load(name + ".weight", [output, input]), bias: try load(name + ".bias", [output]))
  }

  /// The same of a layer: packed where that is wanted.
  mutating func layerDense(_ name: String, _ output: Int, _ input: Int) throws(FormatError) -> DenseWeights {
    let bias = try load(name + ".bias", [output])
    if !family.layersAreTurned, let weight = try packedAsStored([name + ".weight"], [output, input]) {
      return DenseWeights(weight: weight, bias: bias)
    }
    return DenseWeights(weight: try packed([layerMatrix(name + ".weight", output, input)])[0], bias: bias)
  }

  /// One packed matrix, or the parts as they are where nothing is to be packed, or something is missing.
  private func packed(_ parts: [Weight]) throws(FormatError) -> [Weight] {
    guard let packing, parts.allSatisfy({ $0.rows > 0 }) else { return parts }
    let shape = [parts.reduce(0) { $0 + $1.rows }, parts[0].columns]
    try checkWidth(shape)
    return [Weight(try checked(.rounding(parts, packing), shape))]
  }

  private func checkWidth(_ shape: [Int]) throws(FormatError) {
    let limit = Int(Int32.max) / (255 * 128)
    guard packing != .int8 || shape[1] <= limit else {
      throw FormatError(
        "a matrix is too wide for products of 8 bits, whose sums have 32", file: model.path, found: shapeText(shape),
        expected: "at most \(limit) columns", advice: "Use --precision f32 or bf16.")
    }
  }

  private func checked(_ packed: PackedMatrix?, _ shape: [Int]) throws(FormatError) -> PackedMatrix {
    guard let packed else {
      throw FormatError(
        "oneDNN cannot pack a matrix", file: model.path, found: shapeText(shape),
        advice: "There may be too little memory.")
    }
    return packed
  }

  /// One packed matrix of tensors of that shape, one below the other, which the file stores as the products take them:
  /// bfloat16, or 8 bits with scales. `nil` where it does not.
  private mutating func packedAsStored(_ names: [String], _ shape: [Int]) throws(FormatError) -> Weight? {
    guard let packing, let type = packing.storedType else { return nil }
    let tensors = names.compactMap { find($0) }
    guard tensors.count == names.count, tensors.allSatisfy({ $0.shape == shape && $0.elementType == type }) else {
      return nil
    }
    try checkWidth(shape)
    var scales: [Float] = []
    if type == .i8 { for tensor in tensors { scales += try scale(of: tensor).withSpan { $0.floats() } } }
    used.formUnion(tensors.map(\.name))
    // A copy: the file promises no alignment, and the parts need not be adjacent.
    let stored = tensors.flatMap { $0.bytes.array() }
    let whole = [shape[0] * tensors.count, shape[1]]
    return Weight(
      try checked(
        .packing(unsafe stored.span.bytes, scales: scales, rows: whole[0], columns: whole[1], packing), whole))
  }

  mutating func norm(_ name: String, _ size: Int, _ kind: Normalisation) throws(FormatError) -> NormWeights {
    let names = family.normNames
    return NormWeights(
      gamma: try load(name + names.gamma, [size]), beta: try load(name + names.beta, [size]), kind: kind)
  }

  /// Query, key and value as one matrix [3 size, columns] of that name.
  mutating func projection(fused name: String, _ size: Int, columns: Int) throws(FormatError) -> ProjectionWeights {
    let whole = try layerDense(name, 3 * size, columns)
    return ProjectionWeights(weights: [whole.weight], biases: [whole.bias])
  }

  /// Query, key and value of `rows` rows each, fused where that needs no copy of stored floats; the value apart where it
  /// reads something else.
  mutating func projection(
    _ names: [String], _ rows: Int, columns: Int, valueColumns: Int, sharesInput: Bool
  ) throws(FormatError) -> ProjectionWeights {
    let weights = names.map { $0 + ".weight" }
    let biases = try fused(names.map { $0 + ".bias" }, [rows])
    guard !sharesInput else {
      let stored = try packedAsStored(weights, [rows, columns])
      let parts = if let stored { [stored] } else { try packed(fused(weights, [rows, columns])) }
      let isPacked = parts[0].packed != nil && biases.allSatisfy { $0.columns > 0 }
      return ProjectionWeights(weights: parts, biases: isPacked ? [.joining(biases)] : biases)
    }
    return ProjectionWeights(
      weights: try fused(Array(weights.dropLast()), [rows, columns])
        + fused(Array(weights.suffix(1)), [rows, valueColumns]),
      biases: biases)
  }

  private mutating func fused(_ names: [String], _ shape: [Int]) throws(FormatError) -> [Weight] {
    let tensors = names.compactMap { find($0) }
    let fit = tensors.count == names.count && tensors.allSatisfy { $0.shape == shape }
    if fit, let bytes = try adjacent(tensors) {
      used.formUnion(tensors.map(\.name))
      let count = bytes.count / 4
      let columns = shape.count == 1 ? count : shape[shape.count - 1]
      return [Weight(rows: count / columns, columns: columns, bytes: bytes)]
    }
    // Not adjacent, or an error to be told.
    var parts: [Weight] = []
    for name in names { parts.append(try load(name, shape)) }
    return parts
  }

  /// The floats of several tensors in a row: a view when they lie so in the file, a new buffer when they have to be
  /// converted anyhow, `nil` when they are stored floats in different places.
  private func adjacent(_ tensors: [NativeModel.Tensor]) throws(FormatError) -> Bytes? {
    guard tensors.allSatisfy(isUsableAsStored) else {
      return tensors.contains(where: isUsableAsStored) ? nil : try floats(tensors)
    }
    guard let first = tensors.first else { return nil }
    var end = first.bytes.offsetInFile
    for tensor in tensors {
      guard tensor.bytes.offsetInFile == end else { return nil }
      end += UInt64(tensor.bytes.count)
    }
    return model.file.slice(Int(first.bytes.offsetInFile), Int(end - first.bytes.offsetInFile))
  }

  /// Whether the tensor's bytes are floats on a float's boundary. A plain safetensors file promises no alignment.
  private func isUsableAsStored(_ tensor: NativeModel.Tensor) -> Bool {
    tensor.elementType == .f32 && tensor.bytes.offsetInFile % 4 == 0
  }

  /// The elements of `tensors`, one after the other, as floats.
  private func floats(_ tensors: [NativeModel.Tensor]) throws(FormatError) -> Bytes {
    if tensors.count == 1, isUsableAsStored(tensors[0]) { return tensors[0].bytes }
    var scales: [Bytes] = []
    for tensor in tensors {
      switch tensor.elementType {
      case .f32, .f16, .bf16, .f64: scales.append(Bytes([]))
      case .i8: scales.append(try scale(of: tensor))
      default:
        throw FormatError(
          "the encoder cannot use weights of this type", file: model.path, tensor: tensor.name,
          found: tensor.elementType.rawValue, expected: "F32, F16, BF16, F64 or I8 with a scale")
      }
    }
    let count = tensors.reduce(0) { $0 + (checkedElementCount($1.shape) ?? 0) }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: 4)
    guard !overflow else { throw FormatError("the weights are too large", file: model.path, tensor: tensors[0].name) }
    let parts = Array(zip(tensors, scales))
    return Bytes(
      count: byteCount, file: model.path,
      filledBy: { target in
        unsafe target.withUnsafeMutableBytes { buffer in
          guard var start = unsafe buffer.baseAddress?.assumingMemoryBound(to: Float.self) else { return }
          for (tensor, scale) in parts {
            unsafe Self.convert(tensor, scale, to: start)
            unsafe start += checkedElementCount(tensor.shape) ?? 0
          }
        }
      })
  }

  /// The scales of a quantised matrix, one a row; a copy, since they need not be aligned.
  private func scale(of tensor: NativeModel.Tensor) throws(FormatError) -> Bytes {
    let name = tensor.name + "_scale"
    guard let scale = model.tensor(name) else {
      throw FormatError(
        "the 8-bit tensor has no scale", file: model.path, tensor: tensor.name, expected: "a tensor '\(name)'")
    }
    let rows = tensor.shape.count > 1 ? tensor.shape[0] : 1
    guard scale.elementType == .f32, checkedElementCount(scale.shape) == rows else {
      throw FormatError(
        "the scale does not fit its 8-bit tensor", file: model.path, tensor: name,
        found: "\(scale.elementType.rawValue) \(shapeText(scale.shape))", expected: "F32 \(shapeText([rows]))")
    }
    return Bytes(scale.bytes.array(), file: model.path)
  }

  /// `target` has room for the tensor's elements; `scale` holds a float for each row of an 8-bit tensor.
  @unsafe
  private static func convert(_ tensor: NativeModel.Tensor, _ scale: Bytes, to target: UnsafeMutablePointer<Float>) {
    let count = checkedElementCount(tensor.shape) ?? 0
    tensor.bytes.withSpan { span in
      unsafe span.withUnsafeBytes { source in
        guard let source = source.baseAddress else { return }
        switch tensor.elementType {
        case .f16: unsafe bertconv_from_f16(source, target, count)
        case .bf16: unsafe bertconv_from_bf16(source, target, count)
        case .f64: unsafe bertconv_from_f64(source, target, count)
        case .i8:
          let rows = scale.count / 4
          scale.withSpan { scales in
            unsafe scales.withUnsafeBytes { scales in
              guard rows > 0, let scales = unsafe scales.baseAddress?.assumingMemoryBound(to: Float.self) else {
                return
              }
              unsafe bertconv_from_i8(source, scales, target, rows, count / rows)
            }
          }
        default: unsafe UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
        }
      }
    }
  }
}
