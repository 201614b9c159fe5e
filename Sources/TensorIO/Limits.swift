import CTensorIO
import Dispatch

// Memory safety: the calls take numbers; the arguments of the process are there as long as it is.

/// The processors of this machine.
public enum Processors {
  /// How many this process may use.
  public static var count: Int { max(1, Int(bertconv_processor_count())) }

  /// How many threads can run at once, at most `wanted`: fewer where the process may not have so many, or not their memory.
  package static func startableThreads(_ wanted: Int) -> Int { max(1, Int(bertconv_startable_threads(Int32(wanted)))) }

  /// Whether Dispatch can run work on `workers` threads. It has one more, and waits for ever for one that it cannot have.
  package static func canStart(workers: Int) -> Bool { startableThreads(workers + 2) == workers + 2 }

  /// Calls `body` with each of `0..<count`, several at once where there are threads.
  package static func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    guard count > 1, canStart(workers: min(count, Self.count)) else {
      for number in 0..<count { body(number) }
      return
    }
    DispatchQueue.concurrentPerform(iterations: count, execute: body)
  }
}

/// The memory that this process may use.
package enum Memory {
  /// Whether the process has a limit of its own.
  package static var isLimited: Bool { bertconv_memory_is_limited() != 0 }

  /// Whether `bytes` more of address space can be had at this moment.
  package static func has(_ bytes: Int) -> Bool { bertconv_can_map(bytes) != 0 }

  /// Throws where `bytes` more cannot be had: where the machine does not have them at all, or a limit of the process
  /// (`ulimit -v`) does not leave them.
  ///
  /// - Parameters:
  ///   - bytes: how many; `nil` where the number does not fit
  ///   - purpose: what they are for, as "the outputs"
  package static func require(_ bytes: Int?, for purpose: String, advice: FormatError.Advice) throws(FormatError) {
    if let bytes, bytes >= 0 {
      if bytes == 0 || UInt64(bytes) <= bertconv_memory_size() && has(bytes) { return }
    }
    throw FormatError(
      .system, "there is not enough memory for \(purpose)",
      found: bytes.map { "\(humanBytes(UInt64($0))) requested" } ?? "more requested than can be counted",
      advice: advice)
  }
}

/// The process that this runs in.
public enum Processes {
  /// The arguments after the program's name.
  public static var arguments: [String] {
    let count = bertconv_argument_count()
    // Swift reads them in /proc, which a sandbox may lack.
    guard count > 0 else { return Array(CommandLine.arguments.dropFirst()) }
    return (1..<max(count, 1)).compactMap { unsafe bertconv_argument($0).map { unsafe String(cString: $0) } }
  }

  /// Throws where an argument is not UTF-8: ``arguments`` has U+FFFD for what is not, and a text would be another one.
  public static func requireTextArguments() throws(FormatError) {
    for index in 1..<max(Int(bertconv_argument_count()), 1) {
      guard let pointer = unsafe bertconv_argument(Int32(index)), unsafe String(validatingCString: pointer) == nil
      else {
        continue
      }
      throw FormatError(
        .input, "argument \(index) of the command is not UTF-8",
        found: printable(unsafe String(cString: pointer)),
        advice: "Use a terminal with a UTF-8 locale, or give the text in a file.")
    }
  }
}
