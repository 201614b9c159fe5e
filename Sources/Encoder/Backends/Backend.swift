import CKernels
import ModelFamilies

// Memory safety: of all files in this folder. `withStart` lends the address of a whole matrix or weight, which lives until it returns. C
// reads and writes the rows, columns and strides that it is given with it: those of the matrix itself, or of another that a
// precondition found to have the same shape. What C writes to is a buffer of its own, or other columns of one, than what it
// reads: the forward pass has one for each result. A weight without elements has no address, and stops the program.

/// What computes the operations of the forward pass. The encoder makes one when it is made, and the pass only calls it.
///
/// | backend | products | weights |
/// |---|---|---|
/// | ``OneDNNBackend`` | oneDNN, in each ``Precision`` | packed when the model is opened |
/// | ``PackedKernelBackend`` | kernels of this package, in each ``Precision`` | packed when the model is opened |
/// | ``OpenBLASBackend`` | OpenBLAS, in f32 | the mapped file |
/// | ``PlainBackend`` | loops in double precision, as the definitions read | the mapped file |
///
/// Subclasses override the operations that they compute in another way. Each operation checks its shapes, so that nothing
/// above can reach outside a matrix. A backend keeps scratch memory: one run uses it at a time, and within that one thread,
/// which may start others.
class Backend {
  /// How the matrices of layers are packed for this backend; `nil` where it uses them as they lie in the file.
  var packing: Packing? { nil }

  /// Groups of sequences that go through the layers side by side, each on one thread; 1 where all threads share a group.
  var groupsAtOnce: Int { 1 }

  /// Calls `body` for each of `0..<count`; several at once where ``groupsAtOnce`` is more than 1.
  func forEachGroup(_ count: Int, _ body: (Int) -> Void) {
    for index in 0..<count { body(index) }
  }

  /// Calls `body` with parts of `0..<count`, several at once where there are threads: what one writes, no other reads.
  func forRows(_ count: Int, _ body: (Range<Int>) -> Void) { body(0..<count) }

  // MARK: Products

  /// `c = scale · a · b + keeping · c` with a [m, k], b [k, n] or, where `transposed`, [n, k], c [m, n].
  @unsafe
  func product(_ operands: Product) { preconditionFailure("a backend has a product") }

  /// `y = x · wᵀ` with x [m, k], w [n, k], y [m, n].
  func multiply(_ x: Matrix, by w: Weight, into y: Matrix) { multiply(x, by: w, keeping: 0, into: y) }

  /// `y += x · wᵀ` with x [m, k], w [n, k], y [m, n]; the weight is not packed.
  final func multiply(_ x: Matrix, by w: Weight, addingTo y: Matrix) { multiply(x, by: w, keeping: 1, into: y) }

  private func multiply(_ x: Matrix, by w: Weight, keeping: Float, into y: Matrix) {
    precondition(x.columns == w.columns && x.rows == y.rows && w.rows == y.columns)
    unsafe x.withStart { a in
      unsafe w.withStart { b in
        unsafe y.withStart { c in
          unsafe product(
            Product(
              isTransposed: true, m: y.rows, n: y.columns, k: x.columns, scale: 1, a: a, aStride: x.stride, b: b,
              bStride: w.columns, keeping: keeping, c: c, cStride: y.stride))
        }
      }
    }
  }

  /// `c = a · b` with a [m, k], b [k, n], c [m, n].
  final func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix) {
    precondition(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns)
    unsafe a.withStart { pa in
      unsafe b.withStart { pb in
        unsafe c.withStart { pc in
          unsafe product(
            Product(
              isTransposed: false, m: c.rows, n: c.columns, k: a.columns, scale: 1, a: pa, aStride: a.stride, b: pb,
              bStride: b.stride, keeping: 0, c: pc, cStride: c.stride))
        }
      }
    }
  }

  /// `x · wᵀ + bias` with x [m, k], w [n, k] into rows `firstRow…` of `values`, a matrix of n columns.
  final func multiply(_ x: Matrix, by dense: DenseWeights, into values: inout [Float], firstRow: Int) {
    let w = dense.weight
    precondition(x.columns == w.columns && dense.bias.columns == w.rows)
    precondition(firstRow >= 0 && (firstRow + x.rows) * w.rows <= values.count)
    unsafe values.withUnsafeMutableBufferPointer { values in
      guard let start = values.baseAddress else { return }
      let c = unsafe start + firstRow * w.rows
      unsafe x.withStart { a in
        unsafe w.withStart { b in
          unsafe product(
            Product(
              isTransposed: true, m: x.rows, n: w.rows, k: x.columns, scale: 1, a: a, aStride: x.stride, b: b,
              bStride: w.columns, keeping: 0, c: c, cStride: w.rows))
        }
      }
      unsafe dense.bias.withStart { bias in unsafe bertconv_bias(c, bias, x.rows, w.rows, w.rows) }
    }
  }

  /// Adds `x · w` with x [m, k], w [k, n] to rows `firstRow…` of `values`, a matrix of n columns.
  final func multiply(_ x: Matrix, byTransposed w: Weight, addingTo values: inout [Float], firstRow: Int) {
    precondition(x.columns == w.rows)
    precondition(firstRow >= 0 && (firstRow + x.rows) * w.columns <= values.count)
    unsafe values.withUnsafeMutableBufferPointer { values in
      guard let start = values.baseAddress else { return }
      let c = unsafe start + firstRow * w.columns
      unsafe x.withStart { a in
        unsafe w.withStart { b in
          unsafe product(
            Product(
              isTransposed: false, m: x.rows, n: w.columns, k: x.columns, scale: 1, a: a, aStride: x.stride, b: b,
              bStride: w.columns, keeping: 1, c: c, cStride: w.columns))
        }
      }
    }
  }

  // MARK: Blocks

  /// `y = activation(x · wᵀ + bias)` with x [m, k], w [n, k], y [m, n].
  func dense(_ x: Matrix, _ dense: DenseWeights, _ activation: Activation? = nil, into y: Matrix) {
    multiply(x, by: dense.weight, into: y)
    add(dense.bias, to: y, activation)
  }

  /// `y = activation(x · aᵀ + bias) · bᵀ` with x [m, k], a [i, k], b [n, i], y [m, n].
  func feedForward(_ x: Matrix, _ a: DenseWeights, _ activation: Activation, by b: Weight, into y: Matrix) {
    let between = scratch(x.rows, a.weight.rows)
    dense(x, a, activation, into: between)
    multiply(between, by: b, into: y)
  }

  /// `y = attend(x · wᵀ + bias) · outputᵀ` with x [T, k], w [3N, k] of query, key and value, output [n, N], y [T, n];
  /// `projected` [T, 3N] and `context` [T, N] hold what lies between.
  func attention(
    _ x: Matrix, _ projection: DenseWeights, _ group: PackedGroup, _ form: AttentionForm, output: Weight,
    projected: Matrix, context: Matrix, into y: Matrix
  ) {
    dense(x, projection, into: projected)
    attend(projected, group, form, into: context)
    multiply(context, by: output, into: y)
  }

  /// softmax(Q Kᵀ / √D + bias) V of each head of each sequence: `projected` [T, 3N] has query, key and value side by side,
  /// `context` [T, N] the results.
  func attend(_ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, into context: Matrix) {
    preconditionFailure("a backend has an attention")
  }

  /// Floats between the two matrices of a feed-forward network, or scores of attention.
  private var scratchBuffer = Buffer(count: 0)

  /// A matrix in memory that is used again: what it held before is lost.
  final func scratch(_ rows: Int, _ columns: Int) -> Matrix {
    scratchBuffer = .grown(scratchBuffer, to: rows * columns)
    return scratchBuffer.matrix(rows, columns)
  }

  // MARK: Rows

  /// The loops over rows that this backend uses.
  var rowKernels: RowKernels { .fast }

  /// `x = activation(x + bias)`, bias [columns].
  final func add(_ bias: Weight, to x: Matrix, _ activation: Activation? = nil) {
    rowKernels.add(bias, to: x, activation)
  }

  /// Each row of `x` normalized as its kind says, then scaled by gamma and shifted by beta.
  final func layerNorm(_ x: Matrix, _ norm: NormWeights) {
    let kernels = rowKernels
    forRows(x.rows) { kernels.layerNorm(x.rows($0), norm) }
  }

  /// `y = layerNorm(x)`.
  final func layerNorm(_ x: Matrix, _ norm: NormWeights, into y: Matrix) {
    let kernels = rowKernels
    forRows(x.rows) { rows in
      x.rows(rows).copy(to: y.rows(rows))
      kernels.layerNorm(y.rows(rows), norm)
    }
  }

  /// `x = layerNorm(x + bias + residual)`.
  final func residualLayerNorm(_ x: Matrix, bias: Weight, residual: Matrix, _ norm: NormWeights) {
    let kernels = rowKernels
    forRows(x.rows) { kernels.residualLayerNorm(x.rows($0), bias: bias, residual: residual.rows($0), norm) }
  }

  /// `x += bias + residual`, bias [columns].
  final func addResidual(_ x: Matrix, bias: Weight, residual: Matrix) {
    let kernels = rowKernels
    forRows(x.rows) { kernels.addResidual(x.rows($0), bias: bias, residual: residual.rows($0)) }
  }

  /// A step of an LSTM: `gates` [m, 4 n], `cell` and `y` [m, n].
  final func lstm(_ gates: Matrix, cell: Matrix, into y: Matrix) { rowKernels.lstm(gates, cell: cell, into: y) }
}

/// The operands of `c = scale · a · b + keeping · c`; see ``Backend/product(_:)``.
@unsafe
struct Product {
  var isTransposed: Bool
  var m: Int
  var n: Int
  var k: Int
  var scale: Float
  var a: UnsafePointer<Float>
  var aStride: Int
  var b: UnsafePointer<Float>
  var bStride: Int
  var keeping: Float
  var c: UnsafeMutablePointer<Float>
  var cStride: Int
}

/// How the heads of an attention attend.
struct AttentionForm {
  let heads: Int
  /// Only to the tokens before, and to itself.
  let isCausal: Bool
  /// What is added to the scores by the distance from query to key; `nil` for none.
  let bias: DistanceBias?
}
