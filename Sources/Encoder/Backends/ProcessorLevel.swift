import CKernels
import TensorIO

/// The instructions that the encoder uses, which decide its speed alone: every level has the same meaning.
///
/// The environment variable `BERTCONV_MAX_ISA` lowers it (`plain`, `avx2`, `avx2_vnni`, `avx512`): for comparison, or to test on one
/// processor what another one will compute.
public enum ProcessorLevel: String, Sendable, CaseIterable, Comparable {
  /// C for any processor.
  case plain
  /// AVX2 and FMA (x86-64-v3).
  case avx2
  /// The same with AVX-VNNI: products of 8 bits on 256 bits.
  case avx2VNNI = "avx2_vnni"
  /// AVX-512 (x86-64-v4), and what the processor has besides: VNNI, BF16, AMX.
  case avx512

  public static func < (a: ProcessorLevel, b: ProcessorLevel) -> Bool { a.code < b.code }

  var code: Int32 {
    switch self {
    case .plain: Int32(BERTCONV_PLAIN.rawValue)
    case .avx2: Int32(BERTCONV_AVX2.rawValue)
    case .avx2VNNI: Int32(BERTCONV_AVX2_VNNI.rawValue)
    case .avx512: Int32(BERTCONV_AVX512.rawValue)
    }
  }

  private init(code: Int32) { self = Self.allCases.first { $0.code == code } ?? .plain }

  /// What this processor has; ``plain`` on others than x86-64.
  public static var ofProcessor: ProcessorLevel { ProcessorLevel(code: bertconv_processor_level()) }

  /// What is used: the processor's level, or the lower one that the environment asks for.
  public static var current: ProcessorLevel { ProcessorLevel(code: bertconv_level()) }

  /// What is used where the environment asks for no more than `level`.
  static func lowered(to level: ProcessorLevel) -> ProcessorLevel {
    ProcessorLevel(code: bertconv_lowered_level(level.code))
  }

  /// Whether the environment asks for less than the processor has.
  static var isLowered: Bool { current < ofProcessor }

  /// Throws `FormatError` where the environment asks for a level that does not exist.
  package static func checkEnvironment() throws(FormatError) {
    guard bertconv_allowed_level() < 0 else { return }
    throw FormatError(
      .input, "the environment variable BERTCONV_MAX_ISA has no meaning",
      // Memory safety: the text is copied at once, and this program does not change the variable.
      found: unsafe bertconv_allowed_level_name().map { "'\(unsafe String(cString: $0))'" },
      expected: allCases.map(\.rawValue).joined(separator: ", "), advice: "Unset it, or choose one of these.")
  }
}
