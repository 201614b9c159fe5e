import CKernels
import ModelFamilies

/// Memory for activations in the form that products take, with a scale and a zero for each row of bytes. It is kept, and used
/// again.
final class NarrowMemory {
  // Memory safety: `grown` makes memory as large as was asked for; numbers of 32 bits have the size of a float.

  private(set) var values = Buffer(count: 0)
  private var scales = Buffer(count: 0)
  private var zeros = Buffer(count: 0)

  /// What the kernels of 8 bits call an activation that follows their sums.
  static func code(of activation: Activation?) -> Int32 {
    switch activation {
    case nil: Int32(BERTCONV_THEN_NOTHING.rawValue)
    case .gelu: Int32(BERTCONV_THEN_GELU.rawValue)
    case .geluTanh: Int32(BERTCONV_THEN_GELU_TANH.rawValue)
    case .relu: Int32(BERTCONV_THEN_RELU.rawValue)
    case .tanh: preconditionFailure("only of heads, whose weights are not packed")
    }
  }

  func reserve(floats: Int, rows: Int = 0) {
    values = .grown(values, to: floats)
    scales = .grown(scales, to: rows)
    zeros = .grown(zeros, to: rows)
  }

  /// Calls `body` with as many scales and zeros as were reserved.
  @unsafe
  func withScales(_ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>) -> Void) {
    unsafe scales.withStart { scales in
      unsafe zeros.withStart { zeros in
        unsafe body(scales, UnsafeMutableRawPointer(zeros).assumingMemoryBound(to: Int32.self))
      }
    }
  }
}
