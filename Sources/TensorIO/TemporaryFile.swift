#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file without a name, gone with this object or with the process, however it ends.
package final class TemporaryFile {
  // Memory safety: each call gets a buffer with its own length; what a read filled is at most that.

  private let descriptor: Int32
  private let folder: String

  package init(inFolder folder: String) throws(FormatError) {
    self.folder = folder
    var template = Array(FileSystem.join(folder, ".bertconv-XXXXXX").utf8CString)
    descriptor = unsafe template.withUnsafeMutableBufferPointer { name in
      guard let start = name.baseAddress else { return -1 }
      let opened = unsafe mkstemp(start)
      if opened >= 0 { unsafe _ = unlink(start) }
      return opened
    }
    guard descriptor >= 0 else {
      throw FormatError(.output, "no temporary file can be made: \(systemError(errno))", file: folder)
    }
  }

  deinit { close(descriptor) }

  private func failed(_ code: Int32) -> FormatError {
    FormatError(.output, "a temporary file cannot be used: \(systemError(code))", file: folder)
  }

  package func write(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    let descriptor = self.descriptor
    let code: Int32 = unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = unsafe pwrite(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, off_t(offset + done))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return errno }
        done += count
      }
      return 0
    }
    guard code == 0 else { throw failed(code) }
  }

  /// `count` bytes that were written.
  package func read(_ count: Int, at offset: Int) throws(FormatError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let descriptor = self.descriptor
    var done = 0
    while done < count {
      let part = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pread(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, off_t(offset + done))
      }
      if part < 0, errno == EINTR { continue }
      guard part > 0 else { throw failed(part < 0 ? errno : EIO) }
      done += part
    }
    return bytes
  }
}
