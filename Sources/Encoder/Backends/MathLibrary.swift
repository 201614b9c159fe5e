import COneDNN
import COpenBLAS
import TensorIO

/// What computes the matrix products: the choice of a `Backend`.
public enum MathLibrary: Sendable, Equatable {
  /// oneDNN on weights that are packed when the model is opened: the fastest on processors with AMX.
  case oneDNN
  /// Kernels of this package on weights that are packed when the model is opened: in each precision, on any processor, with
  /// code for AVX2 and AVX-512.
  case builtIn
  /// OpenBLAS on the mapped file itself, only in f32.
  case openBLAS
  /// Loops that read like the definitions, only in f32: for comparison, many times slower than the others.
  case plain

  /// The fastest one on this processor: oneDNN in bf16 and int8 with AMX, and on other architectures than x86-64, where it is
  /// installed and has the precision; otherwise the package's own kernels. In f32 without AVX2 it is OpenBLAS, which has code
  /// for older processors.
  static func best(for precision: Precision) -> MathLibrary {
    let level = ProcessorLevel.current
    #if arch(x86_64)
      limitLibraries()
      if level == .avx512, bertconv_onednn_has_tiles(precision.code) != 0 { return .oneDNN }
    #else
      if MathLibrary.oneDNN.computes(precision) { return .oneDNN }
    #endif
    return precision == .f32 && level == .plain ? .openBLAS : .builtIn
  }

  /// Whether the library is there, and has products in this precision on this processor.
  func computes(_ precision: Precision) -> Bool {
    switch self {
    case .oneDNN:
      Self.limitLibraries()
      return bertconv_onednn_has(precision.code) != 0
    case .builtIn: return true
    case .openBLAS, .plain: return precision == .f32
    }
  }

  /// Before the libraries are loaded: they use no more than we do.
  private static func limitLibraries() { _ = limits }

  private static let limits: Void = {
    guard ProcessorLevel.isLowered else { return }
    switch ProcessorLevel.current {
    case .plain:
      unsafe bertconv_onednn_limit("SSE41")
      unsafe bertconv_openblas_limit("Prescott")
    case .avx2:
      unsafe bertconv_onednn_limit("AVX2")
      unsafe bertconv_openblas_limit("Haswell")
    case .avx2VNNI:
      unsafe bertconv_onednn_limit("AVX2_VNNI")
      unsafe bertconv_openblas_limit("Haswell")
    case .avx512: break
    }
  }()

  /// Loads what runs on the library need, and lets it take its memory. What is not packed, such as the heads, is always
  /// multiplied by OpenBLAS.
  ///
  /// - Parameters:
  ///   - threads: what was asked for; `nil` leaves it to the libraries and the environment
  ///   - memory: bytes that the model will need besides, which a limit must leave
  func load(threads: Int?, memory: Int) throws(FormatError) {
    guard self != .plain else { return }
    Self.limitLibraries()
    let wanted = min(threads ?? Processors.count, Self.largestTeam)
    let count = Self.threadsThatFit(wanted, besides: memory)
    guard count > 0 else {
      throw FormatError(
        .system, "there is not enough memory for OpenBLAS, which computes the products",
        found:
          "a limit of address space below the \(humanBytes(UInt64(Self.addressSpace(threads: 1) + memory))) that it takes",
        advice: "Raise the limit (ulimit -v).")
    }
    // Memory safety: the problem is a text that the library keeps.
    if let problem = unsafe bertconv_openblas_load(count < wanted ? Int32(count) : 0) {
      throw FormatError(
        .system, "OpenBLAS (libopenblas.so.0) cannot be loaded: \(unsafe String(cString: problem))",
        advice: "Install libopenblas0, as the package is called in Debian and Ubuntu.")
    }
    _ = Self.usualThreads
    setThreads(threads)
    if Memory.isLimited { bertconv_openblas_warm_up() }
  }

  // MARK: Threads

  /// More threads than processors only cost memory and time; some machines are told to have fewer than they have.
  private static let largestTeam = max(Processors.count, 16)

  /// The address space that OpenBLAS takes for each of its threads (128 MiB, common_x86_64.h) with the thread's stack, and
  /// the libraries and threads of oneDNN besides.
  private static func addressSpace(threads: Int) -> Int { (96 + 160 * threads) << 20 }

  /// For each number of threads that was asked for, how many of them can be had: asked once, since threads and memory that the
  /// libraries keep count too.
  private static let known = Lock<[Int: Int]>([:])

  /// How many of `wanted` threads can be started and have their memory; 0 where there is none for one.
  private static func threadsThatFit(_ wanted: Int, besides memory: Int = 0) -> Int {
    known.withLock { known in
      if let count = known[wanted] { return count }
      // OpenBLAS keeps its threads, and OpenMP has as many of its own.
      var count = (Processors.startableThreads(2 * wanted - 1) + 1) / 2
      if Memory.isLimited {
        while count > 0, !Memory.has(addressSpace(threads: count) + memory) { count -= 1 }
      }
      known[wanted] = count
      return count
    }
  }

  /// Lets each library use the threads that were asked for, else those that the environment asks of it, and no more than can
  /// be had. OpenBLAS has one number for the process, OpenMP one for each thread that calls it. Only after
  /// ``load(threads:memory:)``.
  func setThreads(_ asked: Int?) {
    guard self != .plain else { return }
    bertconv_openblas_set_threads(Int32(Self.team(asked, usual: Self.usualThreads)))
    if self == .oneDNN {
      bertconv_onednn_set_threads(Int32(Self.team(asked, usual: Int(bertconv_onednn_usual_threads()))))
    }
  }

  /// The threads that were asked for, or else the usual ones, as far as they can be had.
  private static func team(_ asked: Int?, usual: Int) -> Int {
    max(1, threadsThatFit(min(max(1, asked ?? usual), largestTeam)))
  }

  /// Those of OpenBLAS as it was loaded, before anything changed them.
  private static let usualThreads = Int(bertconv_openblas_threads())

  /// `nil` where there is no memory for it.
  func makeBackend(_ precision: Precision, threads asked: Int?) -> Backend? {
    switch self {
    case .oneDNN: OneDNNBackend(precision)
    case .builtIn: PackedKernelBackend(precision, threads: threads(asked))
    case .openBLAS: OpenBLASBackend()
    case .plain: PlainBackend()
    }
  }

  /// Threads of products, if so many were asked for.
  func threads(_ asked: Int?) -> Int {
    switch self {
    case .oneDNN: OneDNNThreads.count
    case .builtIn: Self.team(asked, usual: Self.usualThreads)
    case .openBLAS: Int(bertconv_openblas_threads())
    case .plain: 1
    }
  }

  // MARK: Descriptions

  /// The library that computes and its version.
  public var description: String {
    // Memory safety: texts that the libraries keep, of functions that are there once the library is loaded.
    switch self {
    case .oneDNN: bertconv_onednn_load() == 0 ? "oneDNN \(unsafe String(cString: bertconv_onednn_version()))" : "oneDNN"
    case .builtIn: "own kernels"
    case .openBLAS:
      unsafe bertconv_openblas_load(0) == nil
        ? unsafe String(cString: bertconv_openblas_config()).split(separator: " ").prefix(2).joined(separator: " ")
        : "OpenBLAS"
    case .plain: "loops in double precision"
    }
  }

  /// The instructions that it uses: oneDNN's name for them, otherwise that of the level.
  public var level: String {
    guard self == .oneDNN, bertconv_onednn_load() == 0 else { return ProcessorLevel.current.rawValue }
    return unsafe String(cString: bertconv_onednn_isa())
  }

  /// The libraries on this machine with their versions, and those that are absent.
  package static var found: [String] {
    limitLibraries()
    let oneDNN = bertconv_onednn_load() == 0 ? MathLibrary.oneDNN.description : "oneDNN is not there"
    let openBLAS =
      unsafe bertconv_openblas_load(0) == nil
      ? unsafe String(cString: bertconv_openblas_config()) : "OpenBLAS is not there"
    return [oneDNN, openBLAS]
  }

  /// What computes in each precision: "oneDNN 2.6.3, avx512_core_bf16", or the precisions apart where they differ.
  package static var choice: String {
    let choices = Precision.allCases.map { precision in
      let library = best(for: precision)
      return (precision.rawValue, "\(library.description), \(library.level)")
    }
    guard choices.contains(where: { $0.1 != choices[0].1 }) else { return choices[0].1 }
    return choices.map { "\($0.0) \($0.1)" }.joined(separator: "; ")
  }
}
