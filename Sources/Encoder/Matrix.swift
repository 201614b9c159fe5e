/// Memory for activations, zero at first.
@safe
final class Buffer {
  // Memory safety: `start` has `count` initialised floats, one where `count` is 0, as long as the buffer lives, which
  // `withStart` sees to. Whoever calls that keeps to `count`; a `Matrix` does, for all that use one.
  private let start: UnsafeMutablePointer<Float>
  let count: Int

  init(count: Int) {
    self.count = count
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    unsafe start = memory.bindMemory(to: Float.self, capacity: max(count, 1))
    unsafe start.initialize(repeating: 0, count: max(count, 1))
  }

  deinit { unsafe start.deallocate() }

  @unsafe
  func withStart<R>(_ body: (UnsafeMutablePointer<Float>) -> R) -> R {
    withExtendedLifetime(self) { unsafe body(start) }
  }

  /// The first `rows * columns` elements as a matrix.
  func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(buffer: self, offset: 0, rows: rows, columns: columns, stride: columns)
  }
}

/// A row-major `[rows, columns]` view on a buffer, whose rows start `stride` elements apart.
struct Matrix {
  // Memory safety: `init` holds the shape against the buffer, so that every row lies in it; a row that is lent as a span is
  // one of them.

  private let buffer: Buffer
  private let offset: Int
  let rows: Int
  let columns: Int
  let stride: Int

  init(buffer: Buffer, offset: Int, rows: Int, columns: Int, stride: Int) {
    precondition(offset >= 0 && rows >= 0 && columns >= 0 && stride >= columns)
    precondition(rows == 0 || offset + (rows - 1) * stride + columns <= buffer.count)
    self.buffer = buffer
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  /// Whether the rows are adjacent.
  var isContiguous: Bool { stride == columns || rows <= 1 }

  func rows(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    return Matrix(
      buffer: buffer, offset: offset + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
  }

  func columns(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns)
    return Matrix(
      buffer: buffer, offset: offset + range.lowerBound, rows: rows, columns: range.count, stride: stride)
  }

  @unsafe
  func withStart<R>(_ body: (UnsafeMutablePointer<Float>) -> R) -> R {
    unsafe buffer.withStart { unsafe body($0 + offset) }
  }

  /// Calls `body` with the elements of a row.
  func withRow<R>(_ row: Int, _ body: (Span<Float>) -> R) -> R {
    precondition(row >= 0 && row < rows)
    return unsafe withStart { start in
      unsafe body(UnsafeBufferPointer(start: start + row * stride, count: columns).span)
    }
  }

  /// The same, to be written to.
  func withMutableRow<R>(_ row: Int, _ body: (inout MutableSpan<Float>) -> R) -> R {
    precondition(row >= 0 && row < rows)
    return unsafe withStart { start in
      let elements = unsafe UnsafeMutableBufferPointer(start: start + row * stride, count: columns)
      var span = unsafe elements.mutableSpan
      return body(&span)
    }
  }

  /// Copies `values` into row `row`.
  func set(row: Int, to values: Span<Float>) {
    precondition(values.count == columns)
    withMutableRow(row) { $0.copy(values, to: 0) }
  }
}

extension MutableSpan where Element: BitwiseCopyable {
  /// Copies `source` to the places from `offset` on; what does not fit stops the program.
  mutating func copy(_ source: Span<Element>, to offset: Int) {
    precondition(offset >= 0 && offset <= count && source.count <= count - offset)
    unsafe withUnsafeMutableBufferPointer { target in
      unsafe source.withUnsafeBufferPointer { source in
        // Only one without elements has no address.
        guard let place = target.baseAddress, let first = source.baseAddress else { return }
        unsafe (place + offset).update(from: first, count: source.count)
      }
    }
  }
}
