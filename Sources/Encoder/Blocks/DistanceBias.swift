import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Relative positions in buckets (T5; Raffel et al., 2020, section 2.1), as MPNet has them: what is added to the scores of
/// each head by the distance from query to key. One table serves all layers, so that this is made once for a run.
///
/// Source: `MPNetEncoder.compute_position_bias` of `transformers` modeling_mpnet.py.
struct DistanceBias {
  // Memory safety: a head's part of `values` has 2 S - 1 floats, and the columns of a sequence lie in 0..<S, which `split`
  // sees to: so does every distance between two of them. C reads no other.

  /// [A, 2 S - 1]: for each head the distances -(S - 1) to S - 1, column of the key minus column of the query.
  private let values: [Float]
  private let heads: Int
  /// S: columns of the padded input.
  private let length: Int

  /// Buckets of both directions, and the distance from which on all are in the last: `transformers` computes these whatever
  /// the config gives, so that a larger table has rows that nothing reads.
  static let bucketCount = 32
  private static let maximumDistance = 128

  /// Spreads `table` [buckets, A] over the distances of sequences of `length` columns.
  init(_ table: Weight, length: Int) {
    precondition(table.rows >= Self.bucketCount && length > 0)
    heads = table.columns
    self.length = length
    let width = 2 * length - 1
    var values = [Float](repeating: 0, count: heads * width)
    for index in 0..<width {
      table.withRow(Self.bucket(ofDistance: index - (length - 1))) { row in
        for head in row.indices { values[head * width + index] = row[head] }
      }
    }
    self.values = values
  }

  /// The row of the table for the distance from query to key. A half of the buckets is for keys that come later; a half of
  /// each for one distance per bucket, the other for distances in logarithmic steps.
  static func bucket(ofDistance distance: Int) -> Int {
    let half = bucketCount / 2
    let exact = half / 2
    let first = distance > 0 ? half : 0
    let size = distance.magnitude
    guard size >= exact else { return first + Int(size) }
    // Base 2 is exact at the powers of 2, where buckets begin.
    let part = log2(Double(size) / Double(exact)) / log2(Double(maximumDistance) / Double(exact))
    return first + min(exact + Int(part * Double(half - exact)), half - 1)
  }

  /// Calls `body` with the address of distance 0 in the part of a head, and with the columns of the sequence's rows where
  /// these are not adjacent; with `nil` for both where there is no bias.
  @unsafe
  static func withStart<R>(
    _ bias: DistanceBias?, head: Int, _ sequence: PackedSequence,
    _ body: (UnsafePointer<Float>?, UnsafePointer<Int32>?) -> R
  ) -> R {
    guard let bias else { return body(nil, nil) }
    precondition(head >= 0 && head < bias.heads)
    let center = head * (2 * bias.length - 1) + bias.length - 1
    return unsafe bias.values.withUnsafeBufferPointer { values in
      guard let start = values.baseAddress else { preconditionFailure("a bias without values") }
      let distance0 = unsafe start + center
      guard let columns = sequence.scatteredColumns else { return unsafe body(distance0, nil) }
      return unsafe columns.withUnsafeBufferPointer { unsafe body(distance0, $0.baseAddress) }
    }
  }

  /// Adds the bias of a head to `scores` [queries, keys] of a sequence.
  func add(head: Int, _ sequence: PackedSequence, to scores: Matrix) {
    precondition(scores.rows == sequence.queries.count && scores.columns == sequence.keys.count)
    unsafe scores.withStart { scores0 in
      unsafe Self.withStart(self, head: head, sequence) { bias, columns in
        unsafe bertconv_add_distance_bias(scores0, bias, columns, scores.rows, scores.columns, scores.stride)
      }
    }
  }
}
