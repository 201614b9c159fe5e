import CTensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Writes a file that appears completely or not at all.
///
/// The bytes go to a file without a name in the target's folder (`O_TMPFILE`), so that even a killed process leaves
/// nothing behind; where the file system does not support that, to a hidden one that is removed on any error.
/// ``commit()`` syncs it, gives it the target's name in one step and syncs the folder. An existing target keeps its content
/// until then.
public final class AtomicFile {
  // Memory safety: each call gets names, which Swift keeps for it, or a buffer with its own length; none keeps a pointer.

  public let path: String
  private var descriptor: Int32
  private var temporaryName: String?
  private let overwrites: Bool

  /// Opens a file for `path`. With `overwrites` false an existing target is an error, now and at ``commit()``.
  public init(_ path: String, overwrites: Bool) throws(FormatError) {
    self.overwrites = overwrites
    // A link is followed, so that the file that it names is replaced and not the link.
    var target = path
    var links = 0
    while let next = Self.linkTarget(target) {
      links += 1
      guard links <= 40 else {
        throw FormatError(
          .output, "the output is a symbolic link without a target", file: path,
          advice: .all(["Remove it.", .chooseOtherOutput]))
      }
      target = next.hasPrefix("/") ? next : FileSystem.join(FileSystem.folder(of: target), next)
    }
    self.path = target
    switch FileSystem.kind(of: target) {
    case .folder:
      throw FormatError(.output, "the output is a folder", file: path, advice: .chooseOtherOutput)
    case .other:
      throw FormatError(
        .output, "the output is not a regular file", file: path,
        advice: .all(["The output is written completely before it gets its name.", .chooseOtherOutput]))
    case .file where !overwrites:
      throw FormatError(.output, "the output already exists", file: path, advice: .allowReplacing)
    default: break
    }
    let folder = FileSystem.folder(of: target)
    guard FileSystem.isFolder(folder) else {
      throw FormatError(.output, "the output folder does not exist", file: folder, advice: "Create it first.")
    }
    #if os(Linux)
      descriptor = unsafe Glibc.open(folder, O_WRONLY | 0o20200000 | O_CLOEXEC, 0o666 as mode_t)  // O_TMPFILE
    #else
      descriptor = -1
    #endif
    if descriptor < 0 {
      let name = FileSystem.join(folder, ".\(FileSystem.baseName(target)).\(getpid()).partial")
      descriptor = unsafe Glibc.open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
      guard descriptor >= 0 else {
        throw FormatError(
          .output, "cannot be written: \(systemError(errno))", file: path,
          advice: "Choose a writable folder with enough free space.")
      }
      temporaryName = name
      TemporaryFiles.add(name)
    }
  }

  deinit { cancel() }

  private static func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBufferPointer { pointer in
      unsafe pointer.baseAddress.map { unsafe readlink(path, $0, pointer.count) } ?? -1
    }
    guard count > 0, count < buffer.count else { return nil }
    return String(validating: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func failed(_ code: Int32) -> FormatError {
    FormatError(
      .output, "cannot be written: \(systemError(code))", file: path,
      advice: code == ENOSPC || code == EDQUOT
        ? "No file was left behind. Free some space, or choose another folder." : nil)
  }

  /// Sets the final size at once, so that a full disk is found before the work.
  public func reserve(_ size: Int) throws(FormatError) {
    guard size > 0 else { return }
    let code = posix_fallocate(descriptor, 0, off_t(size))
    // Some file systems do not support this; they fail while writing.
    if code == ENOSPC || code == EDQUOT || code == EFBIG { throw failed(code) }
  }

  /// Writes all of `bytes` at `offset`.
  public func write(_ bytes: RawSpan, at offset: Int) throws(FormatError) {
    guard !bytes.isEmpty else { return }
    let descriptor = self.descriptor
    let code: Int32 = unsafe bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        // `done` bytes of these were written, so the rest begins inside them.
        let count = unsafe pwrite(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done, off_t(offset + done))
        if count < 0 {
          if errno == EINTR { continue }
          return errno
        }
        done += count
      }
      return 0
    }
    guard code == 0 else { throw failed(code) }
    // The disk works while the next chunk is made, so that commit() has less to wait for.
    if bytes.byteCount >= Self.largeWrite {
      bertconv_start_writing(descriptor, Int64(offset), Int64(bytes.byteCount))
    }
  }

  private static let largeWrite = 1 << 20

  public func write(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    try write(unsafe bytes.span.bytes, at: offset)
  }

  /// Syncs the content and gives it the target's name.
  public func commit() throws(FormatError) {
    guard fsync(descriptor) == 0 else { throw failed(errno) }
    let folder = FileSystem.folder(of: path)
    if temporaryName == nil {
      let source = "/proc/self/fd/\(descriptor)"
      if unsafe linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0 {
        guard errno == EEXIST else { throw failed(errno) }
        guard overwrites else {
          throw FormatError(.output, "the output already exists", file: path, advice: .allowReplacing)
        }
        // A link cannot replace a name, a rename can: link under a hidden name, then rename over the target.
        let name = FileSystem.join(folder, ".\(FileSystem.baseName(path)).\(getpid()).partial")
        unsafe _ = unlink(name)
        TemporaryFiles.add(name)
        guard unsafe linkat(AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 else { throw failed(errno) }
        temporaryName = name
      }
    } else if !overwrites, FileSystem.kind(of: path) != nil {
      throw FormatError(.output, "the output already exists", file: path, advice: .allowReplacing)
    }
    if let name = temporaryName {
      guard unsafe rename(name, path) == 0 else { throw failed(errno) }
      TemporaryFiles.remove(name)
      temporaryName = nil
    }
    close(descriptor)
    descriptor = -1
    let handle = unsafe Glibc.open(folder, O_RDONLY | O_CLOEXEC)
    if handle >= 0 {
      fsync(handle)
      close(handle)
    }
  }

  /// Removes what was written so far; does nothing after ``commit()``.
  public func cancel() {
    if let name = temporaryName {
      unsafe _ = unlink(name)
      TemporaryFiles.remove(name)
      temporaryName = nil
    }
    if descriptor >= 0 {
      close(descriptor)
      descriptor = -1
    }
  }

  /// Writes a small file in one go.
  public static func write(_ bytes: [UInt8], to path: String, overwrites: Bool) throws(FormatError) {
    let file = try AtomicFile(path, overwrites: overwrites)
    try file.write(bytes, at: 0)
    try file.commit()
  }
}

/// The hidden files that exist at the moment, so that a signal can remove them.
enum TemporaryFiles {
  // Memory safety: the names are copied before the call ends.

  static func add(_ path: String) { unsafe bertconv_temporary_add(path) }
  static func remove(_ path: String) { unsafe bertconv_temporary_remove(path) }
}
