import TensorIO

/// A `.keras` archive of Keras 3, and of tf_keras (keras/src/saving/saving_lib.py): a zip of
///
///     metadata.json      {"keras_version": "3.15.1", …}
///     config.json        the model's layers
///     model.weights.h5   its weights, as HDF5
///
/// The tensors are those of the last.
public struct KerasZipFormat: ZipBasedFormat {
  private static let weights = "model.weights.h5"
  private static let maxTextLength = 64 << 20

  public init() {}

  public func recognizes(_ archive: ZipArchive) -> Bool {
    archive.index(ofEntry: "config.json") != nil && archive.index(ofEntry: "metadata.json") != nil
  }

  public func open(_ archive: ZipArchive, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      guard let index = archive.index(ofEntry: Self.weights) else {
        throw FormatError(
          .unrecognized, "the Keras archive contains no weights",
          found: archive.entries.prefix(6).map(\.name).joined(separator: ", "),
          expected: Self.weights, advice: "Save the model with model.save('….keras').")
      }
      var values: [(key: String, value: String)] = []
      if let metadata = archive.index(ofEntry: "metadata.json"),
        let version = try JSON.parse(try Self.text(archive, metadata), file: path)["keras_version"]?.stringValue
      {
        values.append(("keras_version", version))
      }
      if let config = archive.index(ofEntry: "config.json"),
        let text = String(fileText: try Self.text(archive, config))
      {
        values.append(("model_config", text))
      }
      return try KerasH5Source(
        try archive.bytes(ofEntryAt: index), in: SourceFile(path: path, size: UInt64(archive.file.count)),
        isInPlace: archive.dataOffset(ofEntryAt: index) != nil, format: .kerasZip, leading: values)
    } catch { throw error.inFile(path) }
  }

  private static func text(_ archive: ZipArchive, _ index: Int) throws(FormatError) -> [UInt8] {
    guard archive.entries[index].size <= maxTextLength else {
      throw FormatError(
        .limit, "'\(archive.entries[index].name)' is too large", found: "\(archive.entries[index].size) bytes")
    }
    return try archive.bytes(ofEntryAt: index).array()
  }
}
