import CKernels

/// Everything as its definition reads, in double precision, without a library: slow, and what the others are compared with.
final class PlainBackend: Backend {
  // Memory safety: as Backend.swift says; a product's operands were checked where they were put together.

  override var rowKernels: RowKernels { .plain }

  @unsafe
  override func product(_ p: Product) {
    unsafe bertconv_multiply_plain(
      p.isTransposed ? 1 : 0, p.m, p.n, p.k, p.scale, p.a, p.aStride, p.b, p.bStride, p.keeping, p.c, p.cStride)
  }

  override func attend(_ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, into context: Matrix) {
    precondition(projected.columns == 3 * context.columns && context.columns % form.heads == 0)
    precondition(projected.rows >= group.tokens && context.rows >= group.tokens)
    let width = context.columns
    let size = width / form.heads
    for sequence in group.sequences {
      for head in 0..<form.heads {
        unsafe DistanceBias.withStart(form.bias, head: head, sequence) { bias, columns in
          unsafe projected.withStart { p in
            unsafe context.withStart { c in
              let query = unsafe p + sequence.start * projected.stride + head * size
              unsafe bertconv_attend_plain(
                query, sequence.queries.count, query + width, query + 2 * width, sequence.keys.count,
                projected.stride, size, 1 / Float(size).squareRoot(), form.isCausal ? 1 : 0, bias, columns,
                c + sequence.start * context.stride + head * size, context.stride)
            }
          }
        }
      }
    }
  }
}
