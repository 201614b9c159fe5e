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
/// nothing behind; where the system does not support that, to a hidden one that is removed on any error.
/// ``commit()`` syncs it, gives it the target's name in one step and syncs the folder. An existing target keeps its content
/// until then. ``commit(_:)`` does that with several files, all or none of which appear.
public final class AtomicFile {
  // Memory safety: each call gets names, which Swift keeps for it, or a buffer with its own length; none keeps a pointer.

  public let path: String
  private var descriptor: Int32
  private var temporaryName: String?
  /// Where the file that had the target's name is kept while others are committed with this one.
  private var keptName: String?
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
      // It gets its name by way of /proc, which a sandbox may lack.
      descriptor =
        FileSystem.isFolder(Self.descriptors)
        ? unsafe Glibc.open(folder, O_WRONLY | 0o20200000 | O_CLOEXEC, 0o666 as mode_t) : -1  // O_TMPFILE
    #else
      descriptor = -1
    #endif
    if descriptor < 0 {
      temporaryName = try withHiddenName("partial") { name in
        descriptor = unsafe Glibc.open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
        return descriptor >= 0
      }
    }
  }

  private static let descriptors = "/proc/self/fd"

  /// Calls `body` with hidden names in the target's folder until it does not fail because of an existing file, and gives the
  /// name. A signal that ends the process removes the file, unless it is an old one that is kept.
  private func withHiddenName(_ suffix: String, _ body: (String) -> Bool) throws(FormatError) -> String {
    let isTemporary = suffix != Self.keptSuffix
    let folder = FileSystem.folder(of: path)
    let base = String(String.UnicodeScalarView(FileSystem.baseName(path).unicodeScalars.prefix(40)))
    for number in 0..<Self.hiddenNames {
      let name = FileSystem.join(folder, ".\(base).\(getpid())-\(number).\(suffix)")
      if isTemporary { TemporaryFiles.add(name) }
      if body(name) { return name }
      let code = errno
      if isTemporary { TemporaryFiles.remove(name) }
      if code == EEXIST { continue }
      throw FormatError(
        .output, "cannot be written: \(systemError(code))", file: path,
        advice: "Choose a writable folder with enough free space.")
    }
    throw failed(EEXIST)
  }

  private static let hiddenNames = 1000
  private static let keptSuffix = "old"

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
  public func commit() throws(FormatError) { try Self.commit([self]) }

  /// Syncs the content of all files and gives them their names, in order. Where one cannot be given its name, those before it
  /// lose theirs, and what they replaced is there again.
  public static func commit(_ files: [AtomicFile]) throws(FormatError) {
    for file in files {
      guard fsync(file.descriptor) == 0 else { throw file.failed(errno) }
    }
    try withoutSignals { () throws(FormatError) in
      var done = 0
      do throws(FormatError) {
        for file in files {
          try file.publish(keepingOld: files.count > 1)
          done += 1
        }
      } catch {
        for file in files[..<done].reversed() { file.retract() }
        throw error
      }
      for file in files { file.forgetOld() }
    }
    for folder in Set(files.map { FileSystem.folder(of: $0.path) }) {
      let handle = unsafe Glibc.open(folder, O_RDONLY | O_CLOEXEC)
      guard handle >= 0 else { continue }
      fsync(handle)
      close(handle)
    }
  }

  /// A signal to this thread waits until `body` is done: between two names there is a state that must not stay.
  private static func withoutSignals(_ body: () throws(FormatError) -> Void) throws(FormatError) {
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    let isBlocked = unsafe pthread_sigmask(SIG_BLOCK, &all, &before) == 0
    defer { if isBlocked { unsafe _ = pthread_sigmask(SIG_SETMASK, &before, nil) } }
    try body()
  }

  private var exists: FormatError {
    FormatError(.output, "the output already exists", file: path, advice: .allowReplacing)
  }

  /// Gives the file its name.
  private func publish(keepingOld: Bool) throws(FormatError) {
    if temporaryName == nil {
      let source = "\(Self.descriptors)/\(descriptor)"
      if unsafe linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 { return closeDescriptor() }
      guard errno == EEXIST else { throw failed(errno) }
      guard overwrites else { throw exists }
      // A link cannot replace a name, a rename can: link under a hidden name, then rename over the target.
      temporaryName = try withHiddenName("partial") { name in
        unsafe linkat(AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0
      }
    }
    guard let name = temporaryName else { return }
    if !overwrites {
      if unsafe link(name, path) == 0 {
        unsafe _ = unlink(name)
        TemporaryFiles.remove(name)
        temporaryName = nil
        return closeDescriptor()
      }
      guard errno != EEXIST else { throw exists }
      // A file system without links.
      try claim()
    } else if keepingOld, FileSystem.kind(of: path) == .file {
      let path = self.path
      keptName = try withHiddenName(Self.keptSuffix) { name in
        if unsafe link(path, name) == 0 { return true }
        // Without links on this file system there is a moment without the old file.
        guard errno != EEXIST, FileSystem.kind(of: name) == nil else { return false }
        return unsafe rename(path, name) == 0
      }
    }
    guard unsafe rename(name, path) == 0 else {
      let code = errno
      if !overwrites { unsafe _ = unlink(path) }
      restoreOld()
      throw failed(code)
    }
    TemporaryFiles.remove(name)
    temporaryName = nil
    closeDescriptor()
  }

  /// Takes the target's name with an empty file, which the rename replaces: of two programs one alone succeeds.
  private func claim() throws(FormatError) {
    let claimed = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666 as mode_t)
    guard claimed >= 0 else { throw errno == EEXIST ? exists : failed(errno) }
    close(claimed)
  }

  /// Undoes ``publish(keepingOld:)``.
  private func retract() {
    if keptName == nil { unsafe _ = unlink(path) } else { restoreOld() }
  }

  private func restoreOld() {
    guard let name = keptName else { return }
    unsafe _ = rename(name, path)
    // Where both are one file, a rename does nothing.
    unsafe _ = unlink(name)
    keptName = nil
  }

  private func forgetOld() {
    guard let name = keptName else { return }
    unsafe _ = unlink(name)
    keptName = nil
  }

  private func closeDescriptor() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
  }

  /// Removes what was written so far; does nothing after ``commit()``.
  public func cancel() {
    if let name = temporaryName {
      unsafe _ = unlink(name)
      TemporaryFiles.remove(name)
      temporaryName = nil
    }
    closeDescriptor()
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
