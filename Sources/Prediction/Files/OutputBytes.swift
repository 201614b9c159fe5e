import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Where the bytes of an output go, one after the other.
protocol OutputBytes: AnyObject {
  /// Bytes that are written so far.
  var count: Int { get }
  func append(_ bytes: [UInt8]) throws(FormatError)
  /// Writes over bytes that are there already.
  func rewrite(_ bytes: [UInt8], at offset: Int) throws(FormatError)
  /// All that was appended is in the file, where the output is one that keeps what is finished.
  func finishPart() throws(FormatError)
  func finish() throws(FormatError)
  func cancel()
}

/// An output that appears whole or not at all.
final class WholeOutput: OutputBytes {
  private let file: AtomicFile
  private var buffer: [UInt8] = []
  private var written = 0

  init(_ path: String, overwrites: Bool) throws(FormatError) {
    file = try AtomicFile(path, overwrites: overwrites)
  }

  var count: Int { written + buffer.count }

  func append(_ bytes: [UInt8]) throws(FormatError) {
    buffer += bytes
    if buffer.count >= 1 << 20 { try flush() }
  }

  private func flush() throws(FormatError) {
    try file.write(buffer, at: written)
    written += buffer.count
    buffer.removeAll(keepingCapacity: true)
  }

  func rewrite(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    try flush()
    try file.write(bytes, at: offset)
  }

  func finishPart() {}

  func finish() throws(FormatError) {
    try flush()
    try file.commit()
  }

  func cancel() { file.cancel() }
}

/// An output that grows in place, so that what is finished stays when the program ends before the rest is.
final class AppendedOutput: OutputBytes {
  // Memory safety: each call gets a buffer with its own length; what a read filled is at most that.

  let path: String
  private let descriptor: Int32
  private(set) var count: Int
  private var buffer: [UInt8] = []

  /// Opens a file that is there, or makes one.
  init(_ path: String) throws(FormatError) {
    self.path = path
    if let kind = FileSystem.kind(of: path), kind != .file {
      throw FormatError(.output, "the output is not a regular file", file: path, advice: .chooseOtherOutput)
    }
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666 as mode_t)
    guard descriptor >= 0 else {
      throw FormatError(.output, "cannot be written: \(systemError(errno))", file: path)
    }
    // Two programs that append to one file would mix their results.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      throw FormatError(
        .output,
        code == EWOULDBLOCK ? "another program writes to the output" : "cannot be locked: \(systemError(code))",
        file: path, advice: "Wait for it to end.")
    }
    count = FileSystem.size(of: path).flatMap { Int(exactly: $0) } ?? 0
  }

  deinit { close(descriptor) }

  private func failed(_ code: Int32) -> FormatError {
    FormatError(
      .output, "cannot be written: \(systemError(code))", file: path,
      advice: code == ENOSPC || code == EDQUOT
        ? "What is finished is in the file. Free some space, and append the rest." : nil)
  }

  /// Leaves out what is behind the first `length` bytes.
  func truncate(to length: Int) throws(FormatError) {
    guard ftruncate(descriptor, off_t(length)) == 0 else { throw failed(errno) }
    count = length
  }

  /// Some bytes of the file; fewer at its end.
  func read(_ length: Int, at offset: Int) throws(FormatError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: length)
    let descriptor = self.descriptor
    var done = 0
    while done < length {
      let part = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pread(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, off_t(offset + done))
      }
      if part < 0, errno == EINTR { continue }
      guard part >= 0 else { throw failed(errno) }
      if part == 0 { break }
      done += part
    }
    return Array(bytes[..<done])
  }

  func append(_ bytes: [UInt8]) { buffer += bytes }

  func rewrite(_ bytes: [UInt8], at offset: Int) throws(FormatError) { try write(bytes, at: offset) }

  private func write(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    let descriptor = self.descriptor
    let code: Int32 = unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let part = unsafe pwrite(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, off_t(offset + done))
        if part < 0, errno == EINTR { continue }
        guard part > 0 else { return errno }
        done += part
      }
      return 0
    }
    guard code == 0 else { throw failed(code) }
  }

  func finishPart() throws(FormatError) {
    try write(buffer, at: count)
    count += buffer.count
    buffer.removeAll(keepingCapacity: true)
  }

  func finish() throws(FormatError) {
    try finishPart()
    guard fsync(descriptor) == 0 else { throw failed(errno) }
  }

  func cancel() {}
}
