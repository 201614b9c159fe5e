import CTensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file mapped into memory for reading.
///
/// If the file is truncated while it is mapped, the lost pages read as zeros and ``Bytes/checkIntact()`` throws, as it does
/// where the file was written to; the process is not killed. A file that is replaced by a rename keeps its old content here.
public enum MappedFile {
  // Memory safety: a mapping is as long as the file was then, and goes to a `ByteStorage` at once, which owns it from there.
  // The other calls are of functions that read a path, which Swift keeps for them, or fill a structure of this frame.

  /// Maps the whole of the regular file at `path`.
  public static func open(_ path: String) throws(FormatError) -> Bytes {
    let descriptor = openForReading(path)
    guard descriptor >= 0 else { throw unreadable(path, errno) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FormatError(
        .unreadable, "not a regular file", file: path, advice: "Give the path of a checkpoint file or folder.")
    }
    guard let count = Int(exactly: status.st_size) else {
      throw FormatError(.limit, "the file is too large to map", file: path)
    }
    if count == 0 { return Bytes([], file: path) }
    let start = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let start = unsafe start, unsafe start != MAP_FAILED else {
      throw FormatError(.system, "cannot be mapped into memory: \(systemError(errno))", file: path)
    }
    return Bytes(
      try unsafe ByteStorage(mapped: UnsafeRawPointer(start), count: count, file: path, stamp: FileStamp(status)))
  }

  private static func openForReading(_ path: String) -> Int32 {
    // O_NONBLOCK keeps a FIFO given by mistake from blocking us; it means nothing for a regular file.
    while true {
      let descriptor = Self.openCall(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      if descriptor >= 0 || errno != EINTR { return descriptor }
    }
  }

  private static func openCall(_ path: String, _ flags: Int32) -> Int32 {
    #if canImport(Glibc)
      unsafe Glibc.open(path, flags)
    #elseif canImport(Musl)
      unsafe Musl.open(path, flags)
    #else
      unsafe Darwin.open(path, flags)
    #endif
  }

  static func unreadable(_ path: String, _ code: Int32) -> FormatError {
    switch code {
    case ENOENT, ENOTDIR: FormatError(.unreadable, "no such file or folder", file: path, advice: "Check the path.")
    case EACCES, EPERM:
      FormatError(.unreadable, "permission denied", file: path, advice: "Check the file's permissions.")
    default: FormatError(.unreadable, "cannot be opened: \(systemError(code))", file: path)
    }
  }

  /// `start` is that of a mapping of `count` bytes that is no longer used.
  @unsafe
  static func unmap(_ start: UnsafeRawPointer?, _ count: Int) {
    if let start = unsafe start { unsafe _ = munmap(UnsafeMutableRawPointer(mutating: start), count) }
  }

  /// `start` is that of a mapping of a file, of `count` bytes: memory of another kind would lose its content.
  @unsafe
  static func discard(_ start: UnsafeRawPointer?, _ count: Int, _ range: Range<Int>) {
    // A fault maps the surrounding pages too, up to a large page. Those that are in use are simply mapped again.
    let page = 2 << 20
    let low = range.lowerBound / page * page
    let high = min(count, (range.upperBound + page - 1) / page * page)
    guard let start = unsafe start, low < high else { return }
    unsafe _ = madvise(UnsafeMutableRawPointer(mutating: start + low), high - low, MADV_DONTNEED)
  }
}

/// Which file it was, and when it was written to.
struct FileStamp: Equatable, Sendable {
  // Memory safety: as for `FileSystem`.

  let size: Int64
  private let device: UInt64
  private let number: UInt64
  private let seconds: Int64
  private let nanoseconds: Int64

  init(_ status: stat) {
    size = Int64(status.st_size)
    device = UInt64(truncatingIfNeeded: status.st_dev)
    number = UInt64(truncatingIfNeeded: status.st_ino)
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    seconds = Int64(time.tv_sec)
    nanoseconds = Int64(time.tv_nsec)
  }

  /// `nil` where there is no file.
  init?(ofFileAt path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  func isSameFile(as other: FileStamp) -> Bool { device == other.device && number == other.number }
}

/// The system's text for an error number.
public func systemError(_ code: Int32) -> String {
  // Constant, or the calling thread's own, and copied before it calls again.
  guard let text = unsafe strerror(code) else { return "error \(code)" }
  return unsafe String(cString: text)
}

/// Paths and files.
public enum FileSystem {
  // Memory safety: each call gets a path, which Swift keeps for it, and fills a structure of this frame.

  public enum Kind: Sendable, Equatable { case file, folder, other }

  public static func kind(of path: String) -> Kind? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    default: return .other
    }
  }

  public static func isFile(_ path: String) -> Bool { kind(of: path) == .file }
  public static func isFolder(_ path: String) -> Bool { kind(of: path) == .folder }

  public static func size(of path: String) -> UInt64? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return UInt64(exactly: status.st_size)
  }

  /// Whether both paths name the same file.
  public static func isSameFile(_ a: String, _ b: String) -> Bool {
    var first = stat()
    var second = stat()
    guard unsafe stat(a, &first) == 0, unsafe stat(b, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }

  /// The names in a folder, sorted by bytes.
  public static func names(inFolder path: String) throws(FormatError) -> [String] {
    guard let handle = unsafe opendir(path) else { throw MappedFile.unreadable(path, errno) }
    defer { unsafe _ = closedir(handle) }
    var names: [String] = []
    // An entry lives until the next call. Its name ends with a NUL and is read where it lies: in a copy of the whole field
    // there would be bytes behind a short entry.
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return sortedByBytes(names)
  }

  public static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    let folder = path[..<slash]
    return folder.isEmpty ? "/" : String(folder)
  }

  public static func baseName(_ path: String) -> String {
    var trimmed = Substring(path)
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
    guard let slash = trimmed.lastIndex(of: "/"), trimmed.count > 1 else { return String(trimmed) }
    return String(trimmed[trimmed.index(after: slash)...])
  }

  public static func join(_ folder: String, _ name: String) -> String {
    folder == "." ? name : folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// Whether `name` is one component that stays in its folder.
  public static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.contains("/") && !name.utf8.contains(0)
  }

  /// The whole of a small text file, at most `limit` bytes.
  public static func text(_ path: String, limit: Int = 64 << 20) throws(FormatError) -> String {
    let bytes = try MappedFile.open(path)
    guard bytes.count <= limit else {
      throw FormatError(
        .limit, "the file is too large for a file of this purpose", file: path, found: "\(bytes.count) bytes",
        expected: "at most \(limit)")
    }
    let array = bytes.array()
    try bytes.checkIntact()
    guard let text = String(validating: array, as: UTF8.self) else {
      let valid = validPrefix(of: array)
      throw FormatError(
        .damaged, "the file is not UTF-8 text", file: path, offset: UInt64(valid),
        found: hexadecimal(array[valid...].prefix(4)),
        advice:
          "Line \(grouped(array[..<valid].count { $0 == 0x0A } + 1)) is in another encoding: save the file as UTF-8.")
    }
    guard !FileText.hasTooManyMarks(text) else {
      throw FormatError(.damaged, "the file \(FileText.problem(array))", file: path)
    }
    return text
  }

  /// How many of `bytes` come before the first that is not UTF-8.
  private static func validPrefix(of bytes: [UInt8]) -> Int {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var count = 0
    while case .scalarValue(let scalar) = decoder.decode(&iterator) { count += UTF8.width(scalar) }
    return count
  }
}
