import CTensorIO

/// Transposes and byte swaps, in cache blocks.
public enum Layout {
  // Memory safety: the preconditions check the spans' lengths against the shapes, in arithmetic that traps, before an address
  // is made of them. The target is borrowed for writing, so no source overlaps it; the C functions need no alignment.

  /// Writes the transpose of the row-major `rows` × `columns` matrix in `source` to `target`.
  public static func transpose(
    _ source: RawSpan, into target: inout MutableRawSpan, rows: Int, columns: Int, elementSize: Int
  ) {
    precondition(source.byteCount == rows * columns * elementSize)
    transpose(
      chunk: source, from: 0, into: &target, rows: rows, columns: columns, range: 0..<columns,
      elementSize: elementSize)
  }

  /// Writes the elements of a chunk of a matrix to the transpose of some of its columns.
  ///
  /// - Parameters:
  ///   - chunk: consecutive elements of the row-major `rows` × `columns` matrix
  ///   - start: the index of the chunk's first element in the matrix
  ///   - target: the row-major `range.count` × `rows` transpose of the columns `range`
  ///   - rows: of the matrix
  ///   - columns: of the matrix
  ///   - range: the columns to transpose
  ///   - elementSize: bytes per element
  public static func transpose(
    chunk: RawSpan, from start: Int, into target: inout MutableRawSpan, rows: Int, columns: Int, range: Range<Int>,
    elementSize: Int
  ) {
    let count = chunk.byteCount / elementSize
    precondition(
      start >= 0 && start + count <= rows * columns && range.lowerBound >= 0 && range.upperBound <= columns
        && target.byteCount == range.count * rows * elementSize)
    guard count > 0, !range.isEmpty else { return }
    unsafe chunk.withUnsafeBytes { from in
      unsafe target.withUnsafeMutableBytes { to in
        guard let source = from.baseAddress, let made = to.baseAddress else { return }
        /// Transposes the wanted part of `columnRange` in rows that the chunk contains.
        func move(_ rowRange: Range<Int>, _ columnRange: Range<Int>) {
          let wanted = columnRange.clamped(to: range)
          guard !rowRange.isEmpty, !wanted.isEmpty else { return }
          unsafe bertconv_transpose(
            source + (rowRange.lowerBound * columns + wanted.lowerBound - start) * elementSize, columns,
            made + ((wanted.lowerBound - range.lowerBound) * rows + rowRange.lowerBound) * elementSize, rows,
            rowRange.count, wanted.count, elementSize)
        }
        let end = start + count
        let (first, last) = (start / columns, end / columns)
        // An incomplete row at either end, and the complete ones between them.
        let firstWhole = start % columns == 0 ? first : first + 1
        if firstWhole > first { move(first..<(first + 1), (start % columns)..<min(columns, end - first * columns)) }
        if firstWhole < last { move(firstWhole..<last, 0..<columns) }
        if last >= firstWhole, end % columns > 0 { move(last..<(last + 1), 0..<(end % columns)) }
      }
    }
  }

  /// Reverses the bytes of every `unit` (2, 4 or 8) bytes of `source` while copying them to `target`.
  public static func swapBytes(_ source: RawSpan, into target: inout MutableRawSpan, unit: Int) {
    precondition(source.byteCount == target.byteCount && [2, 4, 8].contains(unit) && source.byteCount % unit == 0)
    guard source.byteCount > 0 else { return }
    unsafe source.withUnsafeBytes { from in
      unsafe target.withUnsafeMutableBytes { to in
        unsafe bertconv_swap_bytes(from.baseAddress, to.baseAddress, from.count / unit, unit)
      }
    }
  }
}
