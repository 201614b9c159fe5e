import CKernels
import COneDNN
import NativeFormat
import TensorIO

/// A weight matrix `[rows, columns]` in the layout that oneDNN's products want. Made once; read by any thread.
@safe
final class PackedMatrix: @unchecked Sendable {
  let precision: Precision
  let rows: Int
  let columns: Int
  private let packed: OpaquePointer
  /// Of 8-bit weights: a scale an output, and the sum of its weights, which undoes the zero of the activations.
  private let scales: [Float]
  private let sums: [Int32]

  /// Packs the rows of `parts`, one below the other; `nil` when oneDNN cannot.
  init?(_ parts: [Weight], _ precision: Precision) {
    guard let columns = parts.first?.columns, parts.allSatisfy({ $0.columns == columns }) else { return nil }
    let rows = parts.reduce(0) { $0 + $1.rows }
    guard rows > 0, columns > 0 else { return nil }
    var packed: OpaquePointer?
    var scales: [Float] = []
    var sums: [Int32] = []
    switch precision {
    case .f32:
      if parts.count == 1 {
        unsafe parts[0].withStart { unsafe packed = bertconv_pack(precision.code, $0, rows, columns) }
      } else {
        let joined = parts.flatMap { $0.array() }
        unsafe packed = bertconv_pack(precision.code, joined, rows, columns)
      }
    case .bf16:
      var narrow = [UInt16](repeating: 0, count: rows * columns)
      unsafe narrow.withUnsafeMutableBufferPointer { target in
        guard var place = target.baseAddress else { return }
        for part in parts {
          unsafe part.withStart { unsafe bertconv_to_bf16($0, columns, place, part.rows, columns) }
          unsafe place += part.rows * columns
        }
      }
      unsafe packed = bertconv_pack(precision.code, narrow, rows, columns)
    case .int8:
      var small = [Int8](repeating: 0, count: rows * columns)
      scales = Array(repeating: 0, count: rows)
      sums = Array(repeating: 0, count: rows)
      unsafe small.withUnsafeMutableBufferPointer { target in
        unsafe scales.withUnsafeMutableBufferPointer { scales in
          guard var place = target.baseAddress, var scale = scales.baseAddress else { return }
          for part in parts {
            unsafe part.withStart { unsafe bertconv_quantise_weights($0, place, scale, part.rows, columns) }
            unsafe place += part.rows * columns
            unsafe scale += part.rows
          }
        }
      }
      unsafe bertconv_row_sums(small, &sums, rows, columns)
      unsafe packed = bertconv_pack(precision.code, small, rows, columns)
    }
    guard let packed = unsafe packed else { return nil }
    unsafe self.packed = packed
    self.precision = precision
    self.rows = rows
    self.columns = columns
    self.scales = scales
    self.sums = sums
  }

  deinit { unsafe bertconv_packed_free(packed) }

  @unsafe
  func withPacked<R>(_ body: (_ packed: OpaquePointer, _ scales: [Float], _ sums: [Int32]) -> R) -> R {
    withExtendedLifetime(self) { unsafe body(packed, scales, sums) }
  }
}
