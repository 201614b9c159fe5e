/// Memory for activations, zero at first.
@safe
final class Buffer {
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

  /// Copies `values` into row `row`.
  func set(row: Int, to values: Span<Float>) {
    precondition(row >= 0 && row < rows && values.count == columns)
    unsafe withStart { start in
      unsafe values.withUnsafeBufferPointer { source in
        guard let source = source.baseAddress else { return }
        unsafe (start + row * stride).update(from: source, count: columns)
      }
    }
  }
}
