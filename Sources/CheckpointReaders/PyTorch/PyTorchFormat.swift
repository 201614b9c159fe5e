import TensorIO

/// What torch.save writes since torch 1.6: a zip archive.
public struct TorchZipFormat: ZipBasedFormat {
  public init() {}

  public func recognizes(_ archive: ZipArchive) -> Bool { TorchZip.folder(of: archive) != nil }

  public func open(_ archive: ZipArchive, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) { return try TorchZip.open(archive, path: path) } catch { throw error.inFile(path) }
  }
}

/// What torch.save wrote before: a stream of pickles, or a tar archive.
public struct TorchLegacyFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool {
    TorchLegacy.recognizes(file) || TorchTar.recognizes(file)
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      if TorchTar.recognizes(file) { return try TorchTar.open(file, path: path) }
      return try TorchLegacy.open(file, path: path)
    } catch {
      throw error.inFile(path)
    }
  }
}
