import TensorIO

/// The last resort among the formats that are zip archives: says why an archive that none of them took is of no use.
public struct ZipFallbackFormat: CheckpointFormat {
  public init() {}

  public func recognises(_ file: Bytes, path: String) -> Bool { ZipArchive.looksLikeZip(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      let names = try ZipArchive(file).entries.prefix(3).map { "'\($0.name)'" }
      throw FormatError(
        "the archive holds no checkpoint", found: names.isEmpty ? "no files" : names.joined(separator: ", "),
        expected: "a torch checkpoint (data.pkl), NumPy arrays (.npy) or a Keras model (config.json)",
        advice: "If the checkpoint was packed into this archive, unpack it first.")
    } catch {
      throw error.inFile(path)
    }
  }
}
