import Testing

@testable import Encoder

/// Skips the test case, and reports that, where this machine has no products of the precision by oneDNN.
func require(_ precision: Precision) throws {
  guard MathLibrary.oneDNN.computes(precision) else {
    try Test.cancel("oneDNN has no fast products of \(precision.rawValue) on this machine")
  }
}

/// The same of any library: only oneDNN may lack something.
func require(_ library: MathLibrary, _ precision: Precision) throws {
  if library == .oneDNN { try require(precision) }
}

/// Skips the test case, and reports that, where the library is not on this machine.
func require(_ library: MathLibrary) throws {
  if library == .oneDNN { try require(.f32) }
}

/// For a test that tries several libraries; `require` of another test reports which of them is not on this machine.
func isAvailable(_ library: MathLibrary) -> Bool {
  library.computes(.f32)
}
