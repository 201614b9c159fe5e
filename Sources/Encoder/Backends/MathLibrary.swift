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

  /// Loads what runs on the library need, and lets it take its memory. With oneDNN too, what is not packed, such as the heads,
  /// is multiplied by OpenBLAS.
  ///
  /// - Parameters:
  ///   - threads: what was asked for; `nil` leaves it to the libraries and the environment
  ///   - memory: bytes that the model will need besides, which a limit must leave
  func load(threads: Int?, memory: Int) throws(FormatError) {
    guard self != .plain else { return }
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
    func count(_ usual: Int) -> Int32 {
      Int32(max(1, Self.threadsThatFit(min(max(1, asked ?? usual), Self.largestTeam))))
    }
    bertconv_openblas_set_threads(count(Self.usualThreads))
    if self == .oneDNN { bertconv_onednn_set_threads(count(Int(bertconv_onednn_usual_threads()))) }
  }

  /// Those of OpenBLAS as it was loaded, before anything changed them.
  private static let usualThreads = Int(bertconv_openblas_threads())

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
      unsafe bertconv_openblas_load(0) == nil
      ? unsafe String(cString: bertconv_openblas_config()) : "OpenBLAS is not there"
    return ["oneDNN \(oneDNN)", openBLAS]
  }
}
