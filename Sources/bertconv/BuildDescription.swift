import CheckpointReaders
import Conversion
import Encoder
import ModelFamilies
import NativeFormat
import TensorIO
import WeightMapping

/// The output of `--version`: nothing in it comes from a clock or a host's name, so that a build is reproducible.
enum BuildDescription {
  static var text: String {
    let lines = [
      ("compiler", "Swift \(swift), \(Toolchain.cCompiler)"),
      ("build", "\(configuration), \(target)"),
      ("writes", "native files of profile \(NativeProfile.version)"),
      ("libraries", (ReaderLibraries.versions + [ModelFamily.libraryVersion]).joined(separator: ", ")),
      ("math", MathLibrary.found.joined(separator: ", ")),
      ("computes", "with \(MathLibrary.choice)"),
    ]
    return "\(ConversionTool.name)\n"
      + lines.map { $0.0 + String(repeating: " ", count: 11 - $0.0.utf8.count) + printable($0.1) }
      .joined(separator: "\n")
  }

  /// Source code can test only a lower bound; Clang's own version, next to it, gives the toolchain exactly.
  private static var swift: String {
    #if compiler(>=6.4)
      "6.4 or later"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }

  private static var configuration: String {
    #if DEBUG
      "debug"
    #else
      "release"
    #endif
  }

  private static var target: String {
    #if arch(x86_64)
      let processor = "x86_64"
    #elseif arch(arm64)
      let processor = "aarch64"
    #else
      let processor = "other"
    #endif
    #if canImport(Glibc)
      return processor + "-unknown-linux-gnu"
    #elseif canImport(Musl)
      return processor + "-swift-linux-musl"
    #else
      return processor + "-apple-macosx"
    #endif
  }
}
