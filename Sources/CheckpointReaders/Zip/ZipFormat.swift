import TensorIO

/// A format that is a zip archive of certain files.
public protocol ZipBasedFormat: CheckpointFormat {
  func recognizes(_ archive: ZipArchive) -> Bool
  func open(_ archive: ZipArchive, path: String) throws(FormatError) -> any TensorSource
}

extension ZipBasedFormat {
  public func recognizes(_ file: Bytes, path: String) -> Bool {
    guard ZipArchive.looksLikeZip(file), let archive = try? ZipArchive(file) else { return false }
    return recognizes(archive)
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    let archive: ZipArchive
    do throws(FormatError) { archive = try ZipArchive(file) } catch { throw error.inFile(path) }
    return try open(archive, path: path)
  }
}

/// All zip archives: the directory is read once, and the first format that knows the archive's entries opens it.
public struct ZipFormat: CheckpointFormat {
  /// Every format that is a zip archive, in the order in which they are tried.
  public static let builtIn: [any ZipBasedFormat] = [NpzFormat(), KerasZipFormat(), TorchZipFormat()]

  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { ZipArchive.looksLikeZip(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      let archive = try ZipArchive(file)
      for format in Self.builtIn where format.recognizes(archive) { return try format.open(archive, path: path) }
      throw UnknownFormat.error(forZip: archive.entries.map(\.name), path: path)
    } catch {
      throw error.inFile(path)
    }
  }
}
