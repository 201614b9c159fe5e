import COneDNN
import COpenBLAS
import TensorIO

/// What computes the matrix products: the choice of a `Backend`.
public enum MathLibrary: Sendable, Equatable {
  /// oneDNN on weights that are packed when the model is opened: fast, for more memory and some time at the start.
  case oneDNN
  /// OpenBLAS on the mapped file itself, only in f32.
  case openBLAS
  /// Loops that read like the definitions, only in f32: for comparison, many times slower than the others.
  case plain

  /// oneDNN where it is installed and the processor has instructions for the precision; otherwise OpenBLAS.
  ///
  /// Throws `FormatError` when neither has the precision.
  static func best(for precision: Precision) throws(FormatError) -> MathLibrary {
    if bertconv_onednn_has(precision.code) != 0 { return .oneDNN }
    if precision == .f32 { return .openBLAS }
    let f32 = FormatError.Advice.choosePrecision([Precision.f32.rawValue])
    let isLoaded = bertconv_onednn_load() == 0
    throw FormatError(
      .system,
      isLoaded
        ? "the processor has no instructions for products in this precision, or oneDNN is configured to use fewer"
        : "oneDNN, which computes in this precision, is not installed", found: "precision \(precision.rawValue)",
      expected: "precision f32",
      advice: isLoaded ? f32 : .all([f32, "Or install libdnnl, and build again with its headers."]))
  }

  /// Loads what runs on the library need. With oneDNN too, what is not packed, such as the heads, is multiplied by OpenBLAS.
  func load() throws(FormatError) {
    guard self != .plain else { return }
    // Memory safety: the problem is a text that the library keeps.
    guard let problem = unsafe bertconv_openblas_load() else { return }
    throw FormatError(
      .system, "OpenBLAS (libopenblas.so.0) cannot be loaded: \(unsafe String(cString: problem))",
      advice: "Install libopenblas0, as the package is called in Debian and Ubuntu.")
  }

  /// `nil` where oneDNN cannot be started.
  func makeBackend(_ precision: Precision) -> Backend? {
    switch self {
    case .oneDNN: OneDNNBackend(precision)
    case .openBLAS: OpenBLASBackend()
    case .plain: PlainBackend()
    }
  }

  /// Threads of products.
  var threads: Int {
    switch self {
    case .oneDNN: OneDNNThreads.count
    case .openBLAS: Int(bertconv_openblas_threads())
    case .plain: 1
    }
  }

  /// The libraries on this machine with their versions, and those that are absent.
  package static var found: [String] {
    // Memory safety: texts that the libraries keep, of functions that are there once the library is loaded.
    let oneDNN = bertconv_onednn_load() == 0 ? unsafe String(cString: bertconv_onednn_version()) : "is not there"
    let openBLAS =
      unsafe bertconv_openblas_load() == nil
      ? unsafe String(cString: bertconv_openblas_config()) : "OpenBLAS is not there"
    return ["oneDNN \(oneDNN)", openBLAS]
  }
}
