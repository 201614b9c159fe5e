import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The bytes of a file or of standard input, a part at a time.
final class ByteStream {
  // Memory safety: a read gets a buffer with its own length, and what it filled is at most that.

  /// The path, or `standard input`.
  let name: String
  /// Bytes of the file; `nil` where that is not known.
  let size: Int?
  private(set) var position = 0
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 1 << 18)

  /// - Parameter path: a file, or `-` for standard input
  init(_ path: String) throws(FormatError) {
    guard path != "-" else {
      name = "standard input"
      size = nil
      descriptor = 0
      return
    }
    name = path
    switch FileSystem.kind(of: path) {
    case nil:
      throw FormatError(.unreadable, "no such file or folder", file: path, advice: "Check the path.")
    case .folder: throw FormatError(.unreadable, "a folder, not a file of texts", file: path)
    case .file, .other: break
    }
    let opened = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard opened >= 0 else {
      throw FormatError(.unreadable, "cannot be opened: \(systemError(errno))", file: path)
    }
    descriptor = opened
    size = FileSystem.kind(of: path) == .file ? FileSystem.size(of: path).flatMap { Int(exactly: $0) } : nil
  }

  deinit { if descriptor > 0 { close(descriptor) } }

  /// The next bytes; `nil` at the end.
  func next() throws(FormatError) -> ArraySlice<UInt8>? {
    let descriptor = self.descriptor
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw FormatError(.unreadable, "cannot be read: \(systemError(errno))", file: name, offset: UInt64(position))
      }
      position += count
      return count == 0 ? nil : buffer[..<count]
    }
  }
}
