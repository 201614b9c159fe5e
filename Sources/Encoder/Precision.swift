import COneDNN
import COpenBLAS
import TensorIO

/// The numbers that matrix products are made of. Everything between them is f32.
public enum Precision: String, Sendable, CaseIterable {
  case f32
  /// bfloat16 by bfloat16, summed in f32.
  case bf16
  /// Unsigned 8 bits with a scale and a zero a row, found anew for each row of activations, by signed 8 bits with a scale
  /// an output; summed in 32 bits. Attention is bf16 where the processor has it, else f32.
  case int8

  var code: Int32 {
    switch self {
    case .f32: Int32(BERTCONV_F32.rawValue)
    case .bf16: Int32(BERTCONV_BF16.rawValue)
    case .int8: Int32(BERTCONV_INT8.rawValue)
    }
  }

  /// Bytes of a weight in a product.
  var weightSize: Int {
    switch self {
    case .f32: 4
    case .bf16: 2
    case .int8: 1
    }
  }

  /// What a file may hold that products of this precision take as it is, beside floats.
  var storedType: ElementType? {
    switch self {
    case .f32: nil
    case .bf16: .bf16
    case .int8: .i8
    }
  }
}

/// What computes the matrix products.
public enum MathLibrary: Sendable, Equatable {
  /// oneDNN on weights that are packed when the model is opened: fast, for more memory and some time at the start.
  case oneDNN
  /// OpenBLAS on the mapped file itself: the reference, in f32 only.
  case openBLAS
  /// Loops that read like the definitions, in f32 only: for comparison, many times slower than the others.
  case plain

  /// `nil` where oneDNN cannot be started.
  func makeBackend(_ precision: Precision) -> (Backend)? {
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

  /// oneDNN where it is there and the machine has instructions for the precision; otherwise OpenBLAS.
  ///
  /// Throws `FormatError` when the precision can be had with neither.
  static func best(for precision: Precision) throws(FormatError) -> MathLibrary {
    if bertconv_onednn_has(precision.code) != 0 { return .oneDNN }
    guard precision == .f32 else {
      let isLoaded = bertconv_onednn_load() == 0
      throw FormatError(
        isLoaded
          ? "this machine's processor has no instructions for products in this precision, or oneDNN was told to use fewer"
          : "oneDNN, which computes in this precision, is not installed", found: "precision \(precision.rawValue)",
        expected: "precision f32",
        advice: isLoaded
          ? "Leave --precision away." : "Leave --precision away, or install libdnnl and build again with its headers.")
    }
    return .openBLAS
  }

  /// Those that are on this machine, with their versions, and which are not.
  package static var found: [String] {
    // Memory safety: texts that the libraries keep, of functions that are there once the library is loaded.
    let oneDNN = bertconv_onednn_load() == 0 ? unsafe String(cString: bertconv_onednn_version()) : "is not there"
    let openBLAS =
      unsafe bertconv_openblas_load() == nil
      ? unsafe String(cString: bertconv_openblas_config()) : "OpenBLAS is not there"
    return ["oneDNN \(oneDNN)", openBLAS]
  }
}
