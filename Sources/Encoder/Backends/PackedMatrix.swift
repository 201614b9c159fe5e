import CKernels
import COneDNN
import NativeFormat
import TensorIO

/// A weight matrix `[rows, columns]` in the layout that oneDNN's products want.
///
/// Thread safety: made once, and only read from then on, by oneDNN too.
@safe
final class PackedMatrix: @unchecked Sendable {
  // Memory safety: `packed` lives from `init` to `deinit`. What is packed, rounded or summed is as long as rows and columns
  // say, by a precondition or because the array was made so; `span.bytes` shows numbers, which have no padding.

  let precision: Precision
  let rows: Int
  let columns: Int
  private let packed: OpaquePointer
  /// Of 8-bit weights: a scale per output, and the sum of its weights, which undoes the zero of the activations.
  private let scales: [Float]
  private let sums: [Int32]

  /// Takes over `packed`.
  @unsafe
  private init(
    _ packed: OpaquePointer, scales: [Float], sums: [Int32], rows: Int, columns: Int, _ precision: Precision
  ) {
    unsafe self.packed = packed
    self.precision = precision
    self.rows = rows
    self.columns = columns
    self.scales = scales
    self.sums = sums
  }

  /// Packs `values`, row by row what products of this precision take: floats, bfloat16, or signed bytes with a scale per row.
  /// `nil` when oneDNN cannot.
  static func packing(
    _ values: RawSpan, scales: [Float], rows: Int, columns: Int, _ precision: Precision
  ) -> PackedMatrix? {
    precondition(rows > 0 && columns > 0 && values.byteCount == rows * columns * precision.weightSize)
    precondition(scales.count == (precision == .int8 ? rows : 0))
    let code = precision.code
    return unsafe values.withUnsafeBytes { buffer in
      guard let packed = unsafe bertconv_pack(code, buffer.baseAddress, rows, columns) else { return nil }
      var sums = [Int32](repeating: 0, count: scales.count)
      if precision == .int8, let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: Int8.self) {
        unsafe bertconv_row_sums(start, &sums, rows, columns)
      }
      return unsafe PackedMatrix(packed, scales: scales, sums: sums, rows: rows, columns: columns, precision)
    }
  }

  /// Packs the rows of `parts`, one matrix below the other, rounded to what the precision takes.
  static func rounding(_ parts: [Weight], _ precision: Precision) -> PackedMatrix? {
    guard let columns = parts.first?.columns, parts.allSatisfy({ $0.columns == columns }) else { return nil }
    let rows = parts.reduce(0) { $0 + $1.rows }
    func pack(_ values: RawSpan, _ scales: [Float] = []) -> PackedMatrix? {
      packing(values, scales: scales, rows: rows, columns: columns, precision)
    }
    switch precision {
    case .f32:
      if parts.count == 1 { return parts[0].withSpan { pack($0) } }
      let joined = parts.flatMap { $0.array() }
      return pack(unsafe joined.span.bytes)
    case .bf16:
      let narrow = halves(parts, columns)
      return pack(unsafe narrow.span.bytes)
    case .int8:
      let (small, scales) = quantized(parts, columns)
      return pack(unsafe small.span.bytes, scales)
    }
  }

  private static func halves(_ parts: [Weight], _ columns: Int) -> [UInt16] {
    var narrow = [UInt16](repeating: 0, count: parts.reduce(0) { $0 + $1.rows } * columns)
    unsafe narrow.withUnsafeMutableBufferPointer { target in
      guard var next = target.baseAddress else { return }
      for part in parts {
        unsafe part.withStart { unsafe bertconv_to_bf16($0, columns, next, part.rows, columns) }
        unsafe next += part.rows * columns
      }
    }
    return narrow
  }

  private static func quantized(_ parts: [Weight], _ columns: Int) -> (values: [Int8], scales: [Float]) {
    let rows = parts.reduce(0) { $0 + $1.rows }
    var small = [Int8](repeating: 0, count: rows * columns)
    var scales = [Float](repeating: 0, count: rows)
    unsafe small.withUnsafeMutableBufferPointer { target in
      unsafe scales.withUnsafeMutableBufferPointer { scales in
        guard var next = target.baseAddress, var scale = scales.baseAddress else { return }
        for part in parts {
          unsafe part.withStart { unsafe bertconv_quantize_weights($0, next, scale, part.rows, columns) }
          unsafe next += part.rows * columns
          unsafe scale += part.rows
        }
      }
    }
    return (small, scales)
  }

  deinit { unsafe bertconv_packed_free(packed) }

  @unsafe
  func withPacked<R>(_ body: (_ packed: OpaquePointer, _ scales: [Float], _ sums: [Int32]) -> R) -> R {
    withExtendedLifetime(self) { unsafe body(packed, scales, sums) }
  }
}
