import ArgumentParser
import CheckpointFormats
import CheckpointReaders
import Conversion
import TensorIO
import WeightMapping

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the shell offers for an argument.
extension CompletionKind {
  /// A native file or a plain safetensors file.
  static var models: CompletionKind { .file(extensions: ["safetensors"]) }
  /// Inputs and outputs of a model.
  static var arrays: CompletionKind { .file(extensions: ["npz", "safetensors"]) }
  static var configs: CompletionKind { .file(extensions: ["json"]) }
  static var tables: CompletionKind { .file(extensions: ["yaml", "yml"]) }
}

/// Runs a command's body; an input that cannot be used ends it with status 2.
func reportingErrors(_ body: () throws -> Void) throws {
  // A file that grows beyond the user's limit is a write that fails, with its error told, and not the end.
  _ = signal(SIGXFSZ, SIG_IGN)
  do {
    try body()
  } catch let error as FormatError {
    Console.error("error: \(error.text(wording: \.commandText))")
    throw ExitCode(2)
  }
}

extension FormatError.Advice {
  /// The advice in the words of this program's options.
  var commandText: String {
    switch self {
    case .allowReplacing: "Use --force to replace it."
    case .chooseOtherOutput: "Give another name with -o."
    case .giveConfig: "Give the config that belongs to these weights with --config."
    case .giveCheckpointWithConfig: "If this is a config, give the checkpoint, and this file with --config."
    case .giveTable: "Give a mapping table of your own with --table."
    case .convertFirst: "Convert it with 'bertconv convert' first."
    case .openAs(let kind, let title):
      "It is a checkpoint of \(title), whatever its name says: use \(kind)-to-native or auto-to-native."
    case .allowUnexpected(let glob): "Unexpected tensors can be left out on request: --allow-unexpected '\(glob)'."
    case .listUnmapped: "'bertconv inspect --unmapped' lists them."
    case .listImports: "'bertconv inspect' lists what it imports."
    case .chooseStorageType(let types): "Use --dtype \(types.joined(separator: " or "))."
    case .choosePrecision(let precisions): "Use --precision \(precisions.joined(separator: " or "))."
    case .all(let advice): advice.map(\.commandText).joined(separator: " ")
    case .sentence, .didYouMean: text
    }
  }
}

extension MappingReport.Dropped {
  /// The rule, in the words of this program's options.
  var commandRule: String {
    if case .allowed(let glob) = cause { "--allow-unexpected \(glob)" } else { rule }
  }
}

/// Standard output for results, standard error for the rest.
enum Console {
  /// Prints a result; when it cannot be written, that is no success.
  static func result(_ text: String) {
    let code = writeLine(text, to: 1)
    guard code == 0 || code == EPIPE else {
      error("error: standard output cannot be written: \(systemError(code))")
      exit(2)
    }
  }

  static func error(_ text: String) { writeLine(text, to: 2) }

  /// With one newline at its end, however many it has.
  @discardableResult
  private static func writeLine(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)
    while bytes.last == 0x0A { bytes.removeLast() }
    bytes.append(0x0A)
    return writeAll(bytes, to: descriptor)
  }

  static func warn(_ warnings: [String]) { for warning in warnings { error("warning: \(printable(warning))") } }

  static var showsProgress: Bool { isatty(2) == 1 }

  /// Writes to a descriptor. A reader that went away (`| head`) is no error of ours.
  @discardableResult
  private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
    // Memory safety: `done` is what was written of these bytes, so the rest begins inside of them.
    return unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = unsafe write(descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { return errno }
        done += count
      }
      return 0
    }
  }

  /// Lets a write to a closed pipe fail instead of ending the process without a word.
  static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

  /// How many columns a line of results may take; `nil` where they do not go to a terminal, and so can be as long as they
  /// are.
  static let lineWidth: Int? = {
    // Who wants colours in a file or a pipe wants what a terminal would show.
    guard isatty(1) == 1 || isForced else { return nil }
    if let columns = environment("COLUMNS").flatMap({ Int($0) }), columns >= 20 { return columns }
    var size = winsize()
    guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 20 else { return nil }
    return Int(size.ws_col)
  }()

  /// Whether results are to be coloured: on a terminal that can, unless NO_COLOR (no-color.org) says no.
  static let usesColour: Bool = {
    if environment("NO_COLOR") != nil { return false }
    return isForced || isatty(1) == 1 && environment("TERM") != "dumb"
  }()

  private static var isForced: Bool { environment("CLICOLOR_FORCE").map { $0 != "0" } ?? false }

  /// The value of a variable that is there and not empty.
  private static func environment(_ name: String) -> String? {
    // Memory safety: a copy is made at once, and this program changes no variable.
    guard let text = unsafe getenv(name) else { return nil }
    let value = unsafe String(cString: text)
    return value.isEmpty ? nil : value
  }
}

/// What a piece of a result is to catch the eye for.
enum Style: String {
  case plain
  case strong = "1"
  case faint = "2"
  case good = "32"
  case notable = "33"
  case bad = "31"

  func callAsFunction(_ text: String) -> String {
    guard self != .plain, Console.usesColour, !text.isEmpty else { return text }
    return "\u{1B}[\(rawValue)m\(text)\u{1B}[0m"
  }
}

/// A bar on the terminal for work of a known amount; nothing elsewhere, and nothing for what is done in half a second.
struct ProgressBar {
  enum Unit { case bytes, tokens }

  private let label: String
  private let total: Int
  private let started = Clock.now
  private var drawn = 0.0
  private var isVisible = false

  private let unit: Unit

  init(_ label: String, total: Int, unit: Unit = .bytes) {
    self.label = label
    self.unit = unit
    self.total = max(total, 1)
  }

  mutating func update(_ done: Int) {
    let now = Clock.now
    guard Console.showsProgress, now - started > 0.5, now - drawn > 0.1 else { return }
    drawn = now
    isVisible = true
    let share = min(1, Double(done) / Double(total))
    let filled = Int(share * 30)
    let rate = Double(done) / (now - started)
    let left = rate > 0 ? Double(total - done) / rate : 0
    Console.progress(
      "\r\(label) [\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 30 - filled))] "
        + "\(fixed(share * 100, digits: 0)) %  \(amount(rate))/s  \(fixed(left, digits: 0)) s left \u{1B}[K")
  }

  private func amount(_ value: Double) -> String {
    switch unit {
    case .bytes: humanBytes(UInt64(value))
    case .tokens: "\(grouped(Int(value))) tokens"
    }
  }

  /// Does work that tells how far it is, with a bar.
  static func during<R>(
    _ label: String, unit: Unit = .bytes, _ work: (_ progress: @escaping (Int, Int) -> Void) throws -> R
  ) rethrows -> R {
    var bar: ProgressBar?
    defer { bar?.finish() }
    return try work { done, total in
      if bar == nil { bar = ProgressBar(label, total: total, unit: unit) }
      bar?.update(done)
    }
  }

  mutating func finish() {
    if isVisible { Console.progress("\r\u{1B}[K") }
    isVisible = false
  }
}

extension Console {
  static func progress(_ text: String) { writeAll(Array(text.utf8), to: 2) }
}

enum Clock {
  /// Seconds of a clock that only goes forward.
  static var now: Double {
    var time = timespec()
    // Memory safety: the call fills the structure.
    unsafe _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
