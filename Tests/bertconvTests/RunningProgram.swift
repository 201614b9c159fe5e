import TensorIO
import TestSupport

#if canImport(Glibc)
  import Glibc
#endif

// Memory safety: posix_spawn, open and kill get texts and arrays that live until the call returns.

/// The built program while it runs, so that a test can interrupt it at a moment that it knows.
///
/// Moments are counted in bytes that the program has written, not in time: a machine may be fast or slow.
final class RunningProgram {
  enum End: Equatable {
    case exited(Int32)
    case killed(by: Int32)
  }

  /// What went wrong with a test's own process.
  struct Failure: Error, CustomStringConvertible { let description: String }

  let process: pid_t
  private let folder: String
  private(set) var end: End?

  /// Starts the program in `folder`. What it prints goes to the file `printed` there.
  init(_ arguments: [String], in folder: String) throws {
    self.folder = folder
    let command = "cd '\(folder)' && exec '\(Program.path)' \"$@\" > printed 2>&1 < /dev/null"
    let words = ["sh", "-c", command, "sh"] + arguments
    var pointers = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
    // The threads that run tests block signals, and a new process would keep them blocked.
    var attributes = posix_spawnattr_t()
    var none = sigset_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var process: pid_t = 0
    let code = unsafe posix_spawn(&process, "/bin/sh", nil, &attributes, &pointers, environ)
    guard code == 0 else { throw Failure(description: "the program cannot be started: \(systemError(code))") }
    self.process = process
  }

  deinit {
    guard end == nil else { return }
    kill(process, SIGKILL)
    _ = try? wait()
  }

  /// All that the program has printed.
  var printed: String { (try? FileSystem.text(FileSystem.join(folder, "printed"))) ?? "" }

  // MARK: Moments

  /// Waits until the program has written so many bytes and stops it there, before it ends.
  func stop(afterWriting count: Int) throws {
    while try written() < count {
      guard try !hasEnded() else {
        throw Failure(description: "the program ended before it had written \(count) bytes: \(printed)")
      }
      usleep(200)
    }
    kill(process, SIGSTOP)
    // A stop that comes too late is no interruption.
    while try state() != "T" {
      guard try !hasEnded() else { throw Failure(description: "the program ended before it could be stopped") }
      usleep(200)
    }
  }

  /// Lets a stopped program go on.
  func resume() { kill(process, SIGCONT) }

  /// Sends a signal; a stopped program gets it when it goes on, but for SIGKILL, which needs no going on.
  func send(_ signal: Int32) {
    kill(process, signal)
    if signal != SIGKILL { resume() }
  }

  /// The bytes that the program has given to the system to write so far.
  private func written() throws -> Int {
    guard let line = try fields("io").split(separator: "\n").first(where: { $0.hasPrefix("wchar: ") }) else { return 0 }
    return Int(line.dropFirst("wchar: ".count)) ?? 0
  }

  /// `R` running, `S` sleeping, `D` waiting for a disk, `T` stopped, `Z` ended.
  private func state() throws -> Character? {
    // After the name, which is in parentheses and may hold anything.
    try fields("stat").split(separator: ")").last?.drop { $0 == " " }.first
  }

  private func fields(_ name: String) throws -> String {
    let descriptor = unsafe open("/proc/\(process)/\(name)", O_RDONLY)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe read(descriptor, &buffer, buffer.count)
    return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
  }

  // MARK: The end

  /// Waits for the end of the program.
  @discardableResult
  func wait() throws -> End {
    if let end { return end }
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0 {
      guard errno == EINTR else { throw Failure(description: "waitpid: \(systemError(errno))") }
    }
    let ended: End = status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .killed(by: status & 0x7F)
    end = ended
    return ended
  }

  private func hasEnded() throws -> Bool { try end != nil || state() == "Z" }
}
