import CKernels

/// Attention of each head in the cache, without a matrix of all scores; heads on several threads at once.
class FusedAttentionBackend: OpenBLASBackend {
  // Memory safety: as Backend.swift says. What is attended to side by side writes heads, or sequences, of its own, each with a
  // workspace that no other uses meanwhile.

  /// Calls `body` for each head of each sequence, several at once, each with a workspace of that many floats.
  func forEachHead(
    _ group: PackedGroup, _ form: AttentionForm, workspace: Int,
    _ body: (PackedSequence, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    preconditionFailure("a backend has threads for heads")
  }

  override func attend(_ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, into context: Matrix) {
    precondition(projected.columns == 3 * context.columns && context.columns % form.heads == 0)
    precondition(projected.rows >= group.tokens && context.rows >= group.tokens)
    let width = context.columns
    let size = width / form.heads
    let scale = 1 / Float(size).squareRoot()
    unsafe forEachHead(group, form, workspace: bertconv_attention_workspace(group.longest, size)) {
      sequence, head, space in
      unsafe DistanceBias.withStart(form.bias, head: head, sequence) { bias, columns in
        unsafe projected.withStart { p in
          unsafe context.withStart { c in
            let query = unsafe p + sequence.start * projected.stride + head * size
            unsafe bertconv_attend(
              query, sequence.queries.count, query + width, query + 2 * width, sequence.keys.count, projected.stride,
              size, scale, form.isCausal ? 1 : 0, bias, columns, space,
              c + sequence.start * context.stride + head * size, context.stride)
          }
        }
      }
    }
  }

  /// Attention of `projected`, [T, 3 width] of bfloat16; the results [T, width] as floats, or as bfloat16 in rows of `result`'s
  /// memory which are `narrow` of them apart. Only where ``hasBF16`` is true.
  final func attendWords(
    _ projected: Buffer, _ group: PackedGroup, _ form: AttentionForm, width: Int, into result: Matrix, narrow: Int?
  ) {
    precondition(width % form.heads == 0 && projected.count >= (group.tokens * 3 * width + 1) / 2)
    if let narrow {
      precondition(narrow >= width && result.isContiguous)
      precondition(2 * result.rows * result.columns >= group.tokens * narrow)
    } else {
      precondition(result.rows >= group.tokens && result.columns == width)
    }
    let size = width / form.heads
    let scale = 1 / Float(size).squareRoot()
    let stride = narrow ?? result.stride
    unsafe forEachHead(group, form, workspace: bertconv_attention_bf16_workspace(group.longest, size)) {
      sequence, head, space in
      unsafe DistanceBias.withStart(form.bias, head: head, sequence) { bias, columns in
        unsafe projected.withStart { p in
          unsafe result.withStart { c in
            let query =
              unsafe UnsafeMutableRawPointer(p).assumingMemoryBound(to: UInt16.self)
              + sequence.start * 3 * width + head * size
            let offset = (sequence.start * stride + head * size) * (narrow == nil ? 4 : 2)
            unsafe bertconv_attend_bf16(
              query, sequence.queries.count, query + width, query + 2 * width, sequence.keys.count, 3 * width, size,
              scale, form.isCausal ? 1 : 0, bias, columns, space, UnsafeMutableRawPointer(c) + offset, stride,
              narrow == nil ? 0 : 1)
          }
        }
      }
    }
  }

  /// Whether this processor has an attention of bfloat16.
  static var hasBF16: Bool { bertconv_has_bf16_attention() != 0 }
}
