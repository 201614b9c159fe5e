import COneDNN
import Testing

@testable import Encoder

/// Skips the test case, and reports that, where this machine has no products of the precision.
func require(_ precision: Precision) throws {
  guard bertconv_onednn_has(precision.code) != 0 else {
    try Test.cancel("oneDNN has no fast products of \(precision.rawValue) on this machine")
  }
}

/// Skips the test case, and reports that, where the library is not on this machine.
func require(_ library: MathLibrary) throws {
  if library == .oneDNN { try require(.f32) }
}

/// For a test that tries several libraries; `require` of another test reports which of them is not on this machine.
func isAvailable(_ library: MathLibrary) -> Bool {
  library != .oneDNN || bertconv_onednn_has(Precision.f32.code) != 0
}
