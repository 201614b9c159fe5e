import CKernels

/// Memory for activations, zero at first.
@safe
final class Buffer {
  // Memory safety: `start` has `count` initialized floats, one where `count` is 0, as long as the buffer lives, which
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

  /// A buffer of at least `count` elements in place of a smaller one.
  static func grown(_ buffer: Buffer, to count: Int) -> Buffer {
    buffer.count >= count ? buffer : Buffer(count: count)
  }

  /// The first `rows * columns` elements as a matrix.
  func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(buffer: self, offset: 0, rows: rows, columns: columns, stride: columns)
  }
}

/// A row-major `[rows, columns]` view on a buffer, whose rows start `stride` elements apart.
struct Matrix {
  // Memory safety: `init` checks the shape against the buffer, so that every row lies in it; a row that is lent as a span is
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

  /// `y = x`.
  func copy(to y: Matrix) {
    precondition(rows == y.rows)
    for row in 0..<rows { withRow(row) { y.set(row: row, to: $0) } }
  }

  /// Copies row `indices[i]` of `x` to row `i` of this matrix.
  func copyRows(_ indices: [Int], of x: Matrix) {
    precondition(indices.count == rows)
    for (row, index) in indices.enumerated() { x.withRow(index) { set(row: row, to: $0) } }
  }

  /// Copies row `i` to row `indices[i]` of `values`, a matrix of as many columns.
  func copy(toRows indices: [Int], of values: inout [Float]) {
    precondition(indices.count == rows)
    var target = values.mutableSpan
    for (row, index) in indices.enumerated() { withRow(row) { target.copy($0, to: index * columns) } }
  }

  /// Copies `values` into row `row`.
  func set(row: Int, to values: Span<Float>) {
    precondition(values.count == columns)
    withMutableRow(row) { $0.copy(values, to: 0) }
  }
}

extension MutableSpan where Element: BitwiseCopyable {
  /// Copies `source` to the elements from `offset` on; what does not fit stops the program.
  mutating func copy(_ source: Span<Element>, to offset: Int) {
    precondition(offset >= 0 && offset <= count && source.count <= count - offset)
    unsafe withUnsafeMutableBufferPointer { target in
      unsafe source.withUnsafeBufferPointer { source in
        // Only one without elements has no address.
        guard let start = target.baseAddress, let first = source.baseAddress else { return }
        unsafe (start + offset).update(from: first, count: source.count)
      }
    }
  }
}

extension Matrix {
  // MARK: Rows of tables

  /// `x[row] = table[index]`, or `x[row] += table[index]`, for each row's index.
  func lookUp(_ indices: [Int], in table: Weight, adding: Bool = false) {
    precondition(columns == table.columns && indices.count == rows)
    guard adding else { return lookUp(indices.map(Optional.some), orZeroIn: table) }
    unsafe withStart { x0 in
      unsafe table.withStart { table0 in
        for (row, index) in indices.enumerated() {
          precondition(index >= 0 && index < table.rows)
          unsafe bertconv_add(x0 + row * stride, table0 + index * table.columns, columns)
        }
      }
    }
  }

  /// `x[row] = table[index]` for each row's index, zeros where there is none.
  func lookUp(_ indices: [Int?], orZeroIn table: Weight) {
    precondition(indices.count == rows)
    for (row, index) in indices.enumerated() {
      if let index {
        table.withRow(index) { set(row: row, to: $0) }
      } else {
        withMutableRow(row) { $0.update(repeating: 0) }
      }
    }
  }

  // MARK: Sentences

  /// The largest value of each column of `x`, which has rows, in the one row of this matrix.
  func setToMaximum(of x: Matrix) {
    precondition(x.rows > 0 && rows == 1 && x.columns == columns)
    copyRows([0], of: x)
    withMutableRow(0) { largest in
      for row in 1..<x.rows {
        x.withRow(row) { values in
          for column in values.indices where values[column] > largest[column] || values[column].isNaN {
            largest[column] = values[column]
          }
        }
      }
    }
  }

  /// Each row to a Euclidean length of 1; one shorter than 1e-12 is divided by that, as torch does.
  func l2Normalize() {
    for row in 0..<rows {
      withMutableRow(row) { values in
        var sum = 0.0
        for column in values.indices { sum += Double(values[column]) * Double(values[column]) }
        let factor = Float(1 / max(sum.squareRoot(), 1e-12))
        for column in values.indices { values[column] *= factor }
      }
    }
  }
}
