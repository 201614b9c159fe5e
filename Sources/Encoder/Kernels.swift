import CKernels
import COpenBLAS

// The operations of the forward pass. Each checks its shapes, so that nothing above this file can reach outside a matrix.
//
// Memory safety: `withStart` lends the address of a whole matrix or weight, which lives until it returns. C reads and writes
// the rows, columns and strides that it is given with it: those of the matrix itself, or of another that a precondition
// found to be of the same shape. What C writes to is a buffer of its own, or other columns of one, than what it reads: the
// forward pass has one for each result. A weight without elements has no address, and stops the program.

/// How the heads of an attention attend.
struct AttentionForm {
  let heads: Int
  /// To the tokens before, and to itself, alone.
  let isCausal: Bool
}

/// Those that packed weights change go through `packed` where it is there, and spread over its threads; without it
/// everything is computed by OpenBLAS and one loop after the other: the reference.
struct Kernels {
  let packed: PackedMath?

  /// `y = activation(x · wᵀ + bias)` with x [m, k], w [n, k], y [m, n].
  func dense(_ x: Matrix, _ dense: DenseWeights, _ activation: Activation? = nil, into y: Matrix) {
    if let packed, let w = dense.weight.packed {
      packed.multiply(x, by: w, bias: dense.bias, activation: activation, into: y)
      return
    }
    Self.product(x, by: dense.weight, into: y)
    if let activation {
      Self.activate(y, activation, bias: dense.bias)
    } else {
      Self.add(bias: dense.bias, to: y)
    }
  }

  /// `y = x · wᵀ` with x [m, k], w [n, k], y [m, n].
  func multiply(_ x: Matrix, by w: Weight, into y: Matrix) {
    if let packed, let w = w.packed {
      packed.multiply(x, by: w, bias: nil, activation: nil, into: y)
    } else {
      Self.product(x, by: w, into: y)
    }
  }

  /// `y = activation(x · aᵀ + bias) · bᵀ` with x [m, k], a [i, k], b [n, i], y [m, n]; `between` is [m, i], or of fewer
  /// rows where the weights are packed.
  func feedForward(
    _ x: Matrix, _ a: DenseWeights, _ activation: Activation, by b: Weight, between: Matrix, into y: Matrix
  ) {
    if let packed, let first = a.weight.packed, let second = b.packed {
      packed.feedForward(x, first, bias: a.bias, activation: activation, second, between: between, into: y)
    } else {
      dense(x, a, activation, into: between)
      multiply(between, by: b, into: y)
    }
  }

  /// `y = attend(x · wᵀ + bias) · outputᵀ` with x [T, k], w [3N, k] of query, key and value, output [n, N], y [T, n];
  /// `projected` [T, 3N], `scores` and `context` [T, N] hold what lies between.
  func attention(
    _ x: Matrix, _ projection: DenseWeights, _ group: PackedGroup, _ form: AttentionForm, output: Weight,
    projected: Matrix,
    scores: Buffer, context: Matrix, into y: Matrix
  ) {
    if let packed, let w = projection.weight.packed, let output = output.packed {
      packed.attention(
        x, by: w, bias: projection.bias, group, form, output: output, projected: projected, context: context, into: y)
    } else {
      dense(x, projection, into: projected)
      attend(projected, group, form, scores: scores, into: context)
      multiply(context, by: output, into: y)
    }
  }

  /// softmax(Q Kᵀ / √D) V for each head of each sequence: `projected` [T, 3N] holds query, key and value side by side,
  /// `context` [T, N] the results; `scores` has room for a matrix of the longest sequence.
  func attend(
    _ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, scores: Buffer, into context: Matrix
  ) {
    precondition(projected.columns == 3 * context.columns && context.columns % form.heads == 0)
    if let packed {
      packed.attend(projected, group, form, into: context)
      return
    }
    let width = context.columns
    let size = width / form.heads
    let scale = 1 / Float(size).squareRoot()
    for sequence in group.sequences {
      let queries = projected.rows(sequence.queries)
      let keys = projected.rows(sequence.keys)
      let result = context.rows(sequence.queries)
      let scores = scores.matrix(queries.rows, keys.rows)  // [S, S]
      for head in 0..<form.heads {
        let own = (head * size)..<((head + 1) * size)
        let key = (own.lowerBound + width)..<(own.upperBound + width)
        let value = (own.lowerBound + 2 * width)..<(own.upperBound + 2 * width)
        Self.multiplyTransposed(queries.columns(own), keys.columns(key), scale: scale, into: scores)
        Self.softmax(scores, isCausal: form.isCausal)
        Self.multiply(scores, keys.columns(value), into: result.columns(own))  // [S, S] · [S, D]
      }
    }
  }

  /// Calls `body` with the rows of matrices of that many, part by part.
  private func forRows(_ count: Int, _ body: (Range<Int>) -> Void) {
    if packed != nil { PackedMath.parallel(count, body) } else { body(0..<count) }
  }

  /// Each row of `x` normalised as its kind says, then scaled by gamma and shifted by beta.
  func normalise(_ x: Matrix, _ norm: NormWeights) {
    forRows(x.rows) { Self.normalise(x.rows($0), norm) }
  }

  /// `y = normalise(x)`.
  func normalise(_ x: Matrix, _ norm: NormWeights, into y: Matrix) {
    forRows(x.rows) { rows in
      Self.copy(x.rows(rows), to: y.rows(rows))
      Self.normalise(y.rows(rows), norm)
    }
  }

  /// `x += bias + residual`, bias [columns].
  func addResidual(_ x: Matrix, bias: Weight, residual: Matrix) {
    forRows(x.rows) { Self.addResidual(x.rows($0), bias: bias, residual: residual.rows($0)) }
  }

  /// `x = normalise(x + bias + residual)`.
  func normaliseSum(_ x: Matrix, bias: Weight, residual: Matrix, _ norm: NormWeights) {
    forRows(x.rows) { Self.normaliseSum(x.rows($0), bias: bias, residual: residual.rows($0), norm) }
  }

  // MARK: On one thread, but for OpenBLAS's own

  /// `y = x · wᵀ` with x [m, k], w [n, k], y [m, n].
  private static func product(_ x: Matrix, by w: Weight, into y: Matrix) {
    precondition(x.columns == w.columns && x.rows == y.rows && w.rows == y.columns)
    unsafe x.withStart { a in
      unsafe w.withStart { b in
        unsafe y.withStart { c in
          unsafe gemm(
            transposed: true, y.rows, y.columns, x.columns, 1, a, x.stride, b, w.columns, c, y.stride)
        }
      }
    }
  }

  /// The same into rows `firstRow…` of `values`, a matrix of as many columns as `w` has rows; adds `bias` to each row.
  static func multiply(_ x: Matrix, by dense: DenseWeights, into values: inout [Float], firstRow: Int) {
    let w = dense.weight
    precondition(x.columns == w.columns && dense.bias.columns == w.rows)
    precondition(firstRow >= 0 && (firstRow + x.rows) * w.rows <= values.count)
    unsafe values.withUnsafeMutableBufferPointer { values in
      guard let start = values.baseAddress else { return }
      let c = unsafe start + firstRow * w.rows
      unsafe x.withStart { a in
        unsafe w.withStart { b in
          unsafe gemm(transposed: true, x.rows, w.rows, x.columns, 1, a, x.stride, b, w.columns, c, w.rows)
        }
      }
      unsafe dense.bias.withStart { bias in unsafe bertconv_bias(c, bias, x.rows, w.rows, w.rows) }
    }
  }

  /// `y += x · wᵀ` with x [m, k], w [n, k], y [m, n].
  static func multiply(_ x: Matrix, by w: Weight, addingTo y: Matrix) {
    precondition(x.columns == w.columns && x.rows == y.rows && w.rows == y.columns)
    unsafe x.withStart { a in
      unsafe w.withStart { b in
        unsafe y.withStart { c in
          unsafe gemm(
            transposed: true, y.rows, y.columns, x.columns, 1, a, x.stride, b, w.columns, c, y.stride, keeping: 1)
        }
      }
    }
  }

  /// Adds `x · w` with x [m, k], w [k, n] to rows `firstRow…` of `values`, a matrix of n columns.
  static func multiply(_ x: Matrix, byTransposed w: Weight, addingTo values: inout [Float], firstRow: Int) {
    precondition(x.columns == w.rows)
    precondition(firstRow >= 0 && (firstRow + x.rows) * w.columns <= values.count)
    unsafe values.withUnsafeMutableBufferPointer { values in
      guard let start = values.baseAddress else { return }
      let c = unsafe start + firstRow * w.columns
      unsafe x.withStart { a in
        unsafe w.withStart { b in
          unsafe gemm(
            transposed: false, x.rows, w.columns, x.columns, 1, a, x.stride, b, w.columns, c, w.columns, keeping: 1)
        }
      }
    }
  }

  /// `c = scale · a · bᵀ` with a [m, k], b [n, k], c [m, n].
  private static func multiplyTransposed(_ a: Matrix, _ b: Matrix, scale: Float, into c: Matrix) {
    precondition(a.columns == b.columns && a.rows == c.rows && b.rows == c.columns)
    unsafe a.withStart { pa in
      unsafe b.withStart { pb in
        unsafe c.withStart { pc in
          unsafe gemm(transposed: true, c.rows, c.columns, a.columns, scale, pa, a.stride, pb, b.stride, pc, c.stride)
        }
      }
    }
  }

  /// `c = a · b` with a [m, k], b [k, n], c [m, n].
  static func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix) {
    precondition(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns)
    unsafe a.withStart { pa in
      unsafe b.withStart { pb in
        unsafe c.withStart { pc in
          unsafe gemm(transposed: false, c.rows, c.columns, a.columns, 1, pa, a.stride, pb, b.stride, pc, c.stride)
        }
      }
    }
  }

  /// `c = scale · a · b + keeping · c`.
  @unsafe
  private static func gemm(
    transposed: Bool, _ m: Int, _ n: Int, _ k: Int, _ scale: Float, _ a: UnsafePointer<Float>, _ aStride: Int,
    _ b: UnsafePointer<Float>, _ bStride: Int, _ c: UnsafeMutablePointer<Float>, _ cStride: Int, keeping: Float = 0
  ) {
    guard m > 0, n > 0, k > 0 else { return }
    unsafe bertconv_openblas_multiply(
      transposed ? 1 : 0, Int32(m), Int32(n), Int32(k), scale, a, Int32(aStride), b, Int32(bStride), keeping, c,
      Int32(cStride))
  }

  /// `x += bias`, bias [columns].
  static func add(bias: Weight, to x: Matrix) {
    precondition(bias.rows == 1 && bias.columns == x.columns)
    unsafe x.withStart { x0 in
      unsafe bias.withStart { b in unsafe bertconv_bias(x0, b, x.rows, x.columns, x.stride) }
    }
  }

  /// `x = activation(x + bias)`, bias [columns].
  private static func activate(_ x: Matrix, _ activation: Activation, bias: Weight) {
    precondition(bias.rows == 1 && bias.columns == x.columns)
    unsafe x.withStart { x0 in
      unsafe bias.withStart { b in
        switch activation {
        case .gelu: unsafe bertconv_bias_gelu(x0, b, x.rows, x.columns, x.stride)
        case .geluTanh: unsafe bertconv_bias_gelu_tanh(x0, b, x.rows, x.columns, x.stride)
        case .relu: unsafe bertconv_bias_relu(x0, b, x.rows, x.columns, x.stride)
        case .tanh: unsafe bertconv_bias_tanh(x0, b, x.rows, x.columns, x.stride)
        }
      }
    }
  }

  /// Each row of `x` normalised as its kind says, then scaled by gamma and shifted by beta.
  private static func normalise(_ x: Matrix, _ norm: NormWeights) {
    precondition(x.isContiguous && norm.gamma.columns == x.columns && norm.beta.columns == x.columns)
    unsafe x.withStart { x0 in
      unsafe norm.gamma.withStart { gamma in
        unsafe norm.beta.withStart { beta in
          switch norm.kind {
          case .variance(let epsilon): unsafe bertconv_layer_norm(x0, gamma, beta, epsilon, x.rows, x.columns)
          case .sampleDeviation(let epsilon):
            unsafe bertconv_deviation_norm(x0, gamma, beta, epsilon, x.rows, x.columns)
          case .affine: unsafe bertconv_affine(x0, gamma, beta, x.rows, x.columns)
          }
        }
      }
    }
  }

  /// `x += bias + residual`, bias [columns].
  private static func addResidual(_ x: Matrix, bias: Weight, residual: Matrix) {
    precondition(x.isContiguous && residual.isContiguous && x.rows == residual.rows && x.columns == residual.columns)
    add(bias: bias, to: x)
    unsafe x.withStart { x0 in
      unsafe residual.withStart { r in unsafe bertconv_add(x0, r, x.rows * x.columns) }
    }
  }

  /// `y = x`.
  static func copy(_ x: Matrix, to y: Matrix) {
    precondition(x.rows == y.rows)
    for row in 0..<x.rows { x.withRow(row) { y.set(row: row, to: $0) } }
  }

  /// `x = normalise(x + bias + residual)`.
  private static func normaliseSum(_ x: Matrix, bias: Weight, residual: Matrix, _ norm: NormWeights) {
    precondition(x.isContiguous && residual.isContiguous && x.rows == residual.rows && x.columns == residual.columns)
    precondition(norm.gamma.columns == x.columns && norm.beta.columns == x.columns && bias.columns == x.columns)
    unsafe x.withStart { x0 in
      unsafe residual.withStart { r in
        unsafe bias.withStart { b in
          unsafe norm.gamma.withStart { gamma in
            unsafe norm.beta.withStart { beta in
              switch norm.kind {
              case .variance(let epsilon):
                unsafe bertconv_residual_layer_norm(x0, b, r, gamma, beta, epsilon, x.rows, x.columns)
              case .sampleDeviation(let epsilon):
                unsafe bertconv_bias(x0, b, x.rows, x.columns, x.columns)
                unsafe bertconv_add(x0, r, x.rows * x.columns)
                unsafe bertconv_deviation_norm(x0, gamma, beta, epsilon, x.rows, x.columns)
              case .affine: unsafe bertconv_residual_affine(x0, b, r, gamma, beta, x.rows, x.columns)
              }
            }
          }
        }
      }
    }
  }

  /// Each row of `x` to weights that sum to 1; `isCausal` leaves row `i` the columns 0 to `i` alone.
  private static func softmax(_ x: Matrix, isCausal: Bool) {
    guard isCausal else {
      unsafe x.withStart { unsafe bertconv_softmax($0, x.rows, x.columns, x.stride) }
      return
    }
    for row in 0..<x.rows {
      let seen = min(row + 1, x.columns)
      unsafe x.withStart { unsafe bertconv_softmax($0 + row * x.stride, 1, seen, x.stride) }
      x.withMutableRow(row) { weights in
        for column in seen..<x.columns { weights[column] = 0 }
      }
    }
  }

  /// A step of an LSTM: `gates` [m, 4 n], `cell` and `y` [m, n].
  static func lstm(_ gates: Matrix, cell: Matrix, into y: Matrix) {
    precondition(gates.isContiguous && cell.isContiguous && y.isContiguous)
    precondition(gates.rows == y.rows && cell.rows == y.rows && gates.columns == 4 * y.columns)
    precondition(cell.columns == y.columns)
    unsafe gates.withStart { gates0 in
      unsafe cell.withStart { cell0 in
        unsafe y.withStart { y0 in unsafe bertconv_lstm(gates0, cell0, y0, y.rows, y.columns) }
      }
    }
  }

  /// The largest value of each column of `x`, which has rows, in the one row of `y`.
  static func maximum(of x: Matrix, into y: Matrix) {
    precondition(x.rows > 0 && y.rows == 1 && x.columns == y.columns)
    gather(x, [0], into: y)
    y.withMutableRow(0) { largest in
      for row in 1..<x.rows {
        x.withRow(row) { values in
          for column in values.indices where values[column] > largest[column] || values[column].isNaN {
            largest[column] = values[column]
          }
        }
      }
    }
  }

  /// Each row of `x` to a Euclidean length of 1; one shorter than 1e-12 is divided by that, as torch does.
  static func normalize(_ x: Matrix) {
    for row in 0..<x.rows {
      x.withMutableRow(row) { values in
        var sum = 0.0
        for column in values.indices { sum += Double(values[column]) * Double(values[column]) }
        let factor = Float(1 / max(sum.squareRoot(), 1e-12))
        for column in values.indices { values[column] *= factor }
      }
    }
  }

  /// `x[row] = table[index]`, or `x[row] += table[index]`, for each row's index.
  static func gather(_ table: Weight, _ indices: [Int], into x: Matrix, adding: Bool) {
    guard adding else { return gather(table, indices, into: x) }
    precondition(x.columns == table.columns && indices.count == x.rows)
    unsafe x.withStart { x0 in
      unsafe table.withStart { table0 in
        for (row, index) in indices.enumerated() {
          precondition(index >= 0 && index < table.rows)
          unsafe bertconv_add(x0 + row * x.stride, table0 + index * table.columns, x.columns)
        }
      }
    }
  }

  /// `x[row] = table[index]` for each row's index, zeros where there is none.
  static func gather(_ table: Weight, _ indices: [Int?], into x: Matrix) {
    precondition(indices.count == x.rows)
    for (row, index) in indices.enumerated() {
      if let index {
        table.withRow(index) { x.set(row: row, to: $0) }
      } else {
        x.withMutableRow(row) { $0.update(repeating: 0) }
      }
    }
  }

  /// Copies row `indices[i]` of `x` to row `i` of `y`.
  static func gather(_ x: Matrix, _ indices: [Int], into y: Matrix) {
    precondition(indices.count == y.rows)
    for (row, index) in indices.enumerated() { x.withRow(index) { y.set(row: row, to: $0) } }
  }

  /// Copies row `i` of `x` to row `rows[i]` of `values`, a matrix of as many columns.
  static func scatter(_ x: Matrix, to rows: [Int], of values: inout [Float]) {
    precondition(rows.count == x.rows)
    var target = values.mutableSpan
    for (row, place) in rows.enumerated() { x.withRow(row) { target.copy($0, to: place * x.columns) } }
  }
}
