import CKernels
import COpenBLAS

/// Products by OpenBLAS on weights as they lie in the file, in f32.
class OpenBLASBackend: Backend {
  // Memory safety: as Backend.swift says; a product's operands were checked where they were put together.

  @unsafe
  override func product(_ p: Product) {
    guard unsafe p.m > 0 && p.n > 0 && p.k > 0 else { return }
    unsafe bertconv_openblas_multiply(
      p.isTransposed ? 1 : 0, Int32(p.m), Int32(p.n), Int32(p.k), p.scale, p.a, Int32(p.aStride), p.b,
      Int32(p.bStride), p.keeping, p.c, Int32(p.cStride))
  }

  override func attend(_ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, into context: Matrix) {
    precondition(projected.columns == 3 * context.columns && context.columns % form.heads == 0)
    let width = context.columns
    let size = width / form.heads
    for sequence in group.sequences {
      let queries = projected.rows(sequence.queries)
      let keys = projected.rows(sequence.keys)
      let result = context.rows(sequence.queries)
      let scores = scratch(queries.rows, keys.rows)  // [S, S]
      for head in 0..<form.heads {
        let own = (head * size)..<((head + 1) * size)
        let key = (own.lowerBound + width)..<(own.upperBound + width)
        let value = (own.lowerBound + 2 * width)..<(own.upperBound + 2 * width)
        multiplyTransposed(
          queries.columns(own), keys.columns(key), scale: 1 / Float(size).squareRoot(), into: scores)
        form.bias?.add(head: head, sequence, to: scores)
        softmax(scores, isCausal: form.isCausal)
        multiply(scores, keys.columns(value), into: result.columns(own))  // [S, S] · [S, D]
      }
    }
  }

  /// `c = scale · a · bᵀ` with a [m, k], b [n, k], c [m, n].
  private func multiplyTransposed(_ a: Matrix, _ b: Matrix, scale: Float, into c: Matrix) {
    precondition(a.columns == b.columns && a.rows == c.rows && b.rows == c.columns)
    unsafe a.withStart { pa in
      unsafe b.withStart { pb in
        unsafe c.withStart { pc in
          unsafe product(
            Product(
              isTransposed: true, m: c.rows, n: c.columns, k: a.columns, scale: scale, a: pa, aStride: a.stride,
              b: pb, bStride: b.stride, keeping: 0, c: pc, cStride: c.stride))
        }
      }
    }
  }

  /// Each row of `x` to weights that sum to 1; where `isCausal`, row `i` keeps only the columns 0 to `i`.
  private func softmax(_ x: Matrix, isCausal: Bool) {
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
}
