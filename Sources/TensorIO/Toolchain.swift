import CTensorIO

/// What the package is built with.
package enum Toolchain {
  /// The compiler of the C targets in its own words, as `Clang 21.0.0 (…)`.
  // Memory safety: a constant of the program, with a NUL behind it.
  package static var cCompiler: String { unsafe String(cString: bertconv_compiler()) }
}
