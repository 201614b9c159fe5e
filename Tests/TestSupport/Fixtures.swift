import TensorIO

#if canImport(Glibc)
  import Glibc
#endif

/// The path of a fixture, from its path below Tests/Fixtures.
public func fixture(_ relative: String, here: String = #filePath) -> String {
  FileSystem.join(FileSystem.join(FileSystem.folder(of: FileSystem.folder(of: here)), "Fixtures"), relative)
}

/// A new empty folder, removed when the value goes away.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() {
    var template = Array("/tmp/bertconv-test-XXXXXX".utf8CString)
    path = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) }.map { unsafe String(cString: $0) } ?? "/tmp"
    }
  }

  public func file(_ name: String) -> String { FileSystem.join(path, name) }

  /// Writes a file and returns its path. A file of that name is replaced and not changed, so that whoever has opened it
  /// keeps its content. Nothing waits for the disk, as ``AtomicFile`` does: tests write very many files.
  public func write(_ bytes: [UInt8], _ name: String) throws -> String {
    let path = file(name)
    unsafe _ = unlink(path)
    guard let stream = unsafe fopen(path, "wb") else { throw WriteError(path: path, reason: systemError(errno)) }
    let count = unsafe fwrite(bytes, 1, bytes.count, stream)
    guard unsafe fclose(stream) == 0, count == bytes.count else {
      throw WriteError(path: path, reason: systemError(errno))
    }
    return path
  }

  /// A file of a test that cannot be written.
  public struct WriteError: Error { let path, reason: String }

  /// Makes a folder in the folder and returns its path.
  @discardableResult
  public func makeFolder(_ name: String) -> String {
    unsafe _ = mkdir(file(name), 0o755)
    return file(name)
  }

  /// Copies a file into the folder and returns the copy's path.
  public func copy(_ source: String, as name: String? = nil) throws -> String {
    try write(try contents(source), name ?? FileSystem.baseName(source))
  }

  deinit { remove(path) }

  private func remove(_ path: String) {
    if FileSystem.kind(of: path) == .folder {
      for name in (try? FileSystem.names(inFolder: path)) ?? [] { remove(FileSystem.join(path, name)) }
      unsafe _ = rmdir(path)
    } else {
      unsafe _ = unlink(path)
    }
  }
}

/// The bytes of a file.
public func contents(_ path: String) throws -> [UInt8] { try MappedFile.open(path).array() }
