import TensorIO

/// Matrices of layers in the layout of the backend's products, where that is wanted.
extension WeightLoader {
  // Memory safety: `span.bytes` shows bytes, which have no padding.

  /// One packed matrix, or the parts as they are where nothing is to be packed, or something is missing.
  func packed(_ parts: [Weight]) throws(FormatError) -> [Weight] {
    guard let packing, parts.allSatisfy({ $0.rows > 0 }) else { return parts }
    let shape = [parts.reduce(0) { $0 + $1.rows }, parts[0].columns]
    try checkWidth(shape)
    return [Weight(try checked(.rounding(parts, packing), shape))]
  }

  /// One packed matrix of tensors of that shape, one below the other, which the file stores as the products take them:
  /// bfloat16, or 8 bits with scales. `nil` where it does not.
  mutating func packedAsStored(_ names: [String], _ shape: [Int]) throws(FormatError) -> Weight? {
    guard let packing, let type = packing.precision.storedType else { return nil }
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

  private func checkWidth(_ shape: [Int]) throws(FormatError) {
    let limit = Int(Int32.max) / (255 * 128)
    guard packing?.precision != .int8 || shape[1] <= limit else {
      throw FormatError(
        .limit, "a matrix is too wide for products of 8 bits, whose sums have 32", file: model.path,
        found: shapeText(shape), expected: "at most \(limit) columns",
        advice: .choosePrecision([Precision.f32.rawValue, Precision.bf16.rawValue]))
    }
  }

  private func checked(_ packed: PackedMatrix?, _ shape: [Int]) throws(FormatError) -> PackedMatrix {
    guard let packed else {
      throw FormatError(
        .system, "a matrix cannot be packed", file: model.path, found: shapeText(shape),
        advice: "There may be too little memory.")
    }
    return packed
  }
}
