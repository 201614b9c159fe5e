import TensorIO

/// A format that is a zip archive of files that it knows.
public protocol ZipBasedFormat: CheckpointFormat {
  func recognises(_ archive: ZipArchive) -> Bool
  func open(_ archive: ZipArchive, path: String) throws(FormatError) -> any TensorSource
}

extension ZipBasedFormat {
  public func recognises(_ file: Bytes, path: String) -> Bool {
    guard ZipArchive.looksLikeZip(file), let archive = try? ZipArchive(file) else { return false }
    return recognises(archive)
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    let archive: ZipArchive
    do throws(FormatError) { archive = try ZipArchive(file) } catch { throw error.inFile(path) }
    return try open(archive, path: path)
  }
}

/// All zip archives: the directory is read once, and the first format that knows the archive's entries opens it.
public struct ZipFormat: CheckpointFormat {
  /// Every format that is a zip archive, in the order in which they are asked.
  public static let builtIn: [any ZipBasedFormat] = [NpzFormat(), KerasZipFormat(), TorchZipFormat()]

  public init() {}

  public func recognises(_ file: Bytes, path: String) -> Bool { ZipArchive.looksLikeZip(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      let archive = try ZipArchive(file)
      for format in Self.builtIn where format.recognises(archive) { return try format.open(archive, path: path) }
      let names = archive.entries.prefix(3).map { "'\($0.name)'" }
      throw FormatError(
        "the archive holds no checkpoint", found: names.isEmpty ? "no files" : names.joined(separator: ", "),
        expected: "a torch checkpoint (data.pkl), NumPy arrays (.npy) or a Keras model (config.json)",
        advice: "If the checkpoint was packed into this archive, unpack it first.")
    } catch {
      throw error.inFile(path)
    }
  }
}
