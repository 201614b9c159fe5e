import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Standard output for results, standard error for the rest.
enum Console {
  /// Prints a result; when it cannot be written, that is a failure.
  static func result(_ text: String) {
    let code = writeLine(text, to: 1)
    guard code == 0 || code == EPIPE else {
      error("error: standard output cannot be written: \(systemError(code))")
      exit(2)
    }
  }

  /// Writes a part of a result; false where its reader has gone.
  static func part(_ bytes: [UInt8]) -> Bool {
    let code = writeAll(bytes, to: 1)
    guard code == 0 || code == EPIPE else {
      error("error: standard output cannot be written: \(systemError(code))")
      exit(2)
    }
    return code == 0
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

  /// Each warning once, with its count where it is repeated.
  static func warn(_ warnings: [String]) {
    var counts: [String: Int] = [:]
    for warning in warnings { counts[warning, default: 0] += 1 }
    for warning in warnings {
      guard let count = counts.removeValue(forKey: warning) else { continue }
      error("warning: \(printable(warning))" + (count > 1 ? " (\(grouped(count)) times)" : ""))
    }
  }

  static var showsProgress: Bool { isatty(2) == 1 }

  /// Writes a part of a line, which a later one may replace.
  static func progress(_ text: String) { writeAll(Array(text.utf8), to: 2) }

  /// Writes to a descriptor. A reader that went away (`| head`) is not an error of ours.
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
    // Who wants colors in a file or a pipe wants what a terminal would show.
    guard isatty(1) == 1 || isForced else { return nil }
    if let columns = environment("COLUMNS").flatMap({ Int($0) }), columns >= 20 { return columns }
    var size = winsize()
    guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 20 else { return nil }
    return Int(size.ws_col)
  }()

  /// Whether results have colors: on a terminal that has them, unless NO_COLOR (no-color.org) is set.
  static let usesColor: Bool = {
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

/// Why a part of a result is highlighted.
enum Style: String {
  case plain
  case strong = "1"
  case faint = "2"
  case good = "32"
  case notable = "33"
  case bad = "31"

  func callAsFunction(_ text: String) -> String {
    guard self != .plain, Console.usesColor, !text.isEmpty else { return text }
    return "\u{1B}[\(rawValue)m\(text)\u{1B}[0m"
  }
}
