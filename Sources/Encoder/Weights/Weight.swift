import TensorIO

/// A matrix `[rows, columns]` of floats, or a vector as one row: a view on the mapped file where the file has floats,
/// otherwise a buffer that was converted when the model was opened.
struct Weight: Sendable {
  // Memory safety: `init` checks that there are `rows * columns` floats on a float's boundary: a mapping and a buffer both
  // start on one of at least 16 bytes. The bytes live until `withStart` returns.

  let rows: Int
  let columns: Int
  private let bytes: Bytes
  /// The same in the layout of the backend's products; the floats are not kept then.
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

  /// Vectors, one after the other.
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

  /// A vector of zeros, for an absent bias.
  static func zeros(_ count: Int) -> Weight {
    // Memory of this size is aligned for any number.
    Weight(rows: 1, columns: count, bytes: Bytes(count: count * 4, initializingWith: { _ in }))
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

  /// The same of a weight that may be absent, whose address is `nil` then.
  @unsafe
  static func withStart<R>(of weight: Weight?, _ body: (UnsafePointer<Float>?) -> R) -> R {
    guard let weight else { return body(nil) }
    return unsafe weight.withStart { unsafe body($0) }
  }

  /// Calls `body` with the elements of a row.
  func withRow<R>(_ row: Int, _ body: (Span<Float>) -> R) -> R {
    precondition(row >= 0 && row < rows)
    return unsafe withStart { unsafe body(UnsafeBufferPointer(start: $0 + row * columns, count: columns).span) }
  }

  func withSpan<R>(_ body: (RawSpan) -> R) -> R { bytes.withSpan(body) }

  /// A copy, columns and rows exchanged.
  func transposed() -> Weight {
    let transposed = Bytes(count: bytes.count) { target in
      bytes.withSpan { Layout.transpose($0, into: &target, rows: rows, columns: columns, elementSize: 4) }
    }
    return Weight(rows: columns, columns: rows, bytes: transposed)
  }

  /// The values, row by row.
  func array() -> [Float] { bytes.withSpan { $0.floats() } }
}

/// A dense (linear) layer: `x · weightᵀ + bias`.
struct DenseWeights: Sendable {
  let weight: Weight  // [out, in]
  let bias: Weight  // [out]
}
