import TensorIO

/// What torch.save writes, in its three containers: a zip archive, a stream of pickles, a tar archive.
public struct PyTorchFormat: CheckpointFormat {
  public init() {}

  public func recognises(_ file: Bytes, path: String) -> Bool {
    if ZipArchive.looksLikeZip(file) {
      guard let archive = try? ZipArchive(file) else { return false }
      return TorchZip.folder(of: archive) != nil
    }
    return TorchLegacy.recognises(file) || TorchTar.recognises(file)
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      if ZipArchive.looksLikeZip(file) { return try TorchZip.open(try ZipArchive(file), path: path) }
      if TorchTar.recognises(file) { return try TorchTar.open(file, path: path) }
      return try TorchLegacy.open(file, path: path)
    } catch {
      throw error.inFile(path)
    }
  }
}
