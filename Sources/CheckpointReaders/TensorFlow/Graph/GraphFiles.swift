import CheckpointFormats
import TensorIO

/// The files with a program next to a checkpoint of TensorFlow: `PREFIX.meta` of TensorFlow 1, or the `saved_model.pb` above
/// `variables/` and the `keras_metadata.pb` next to it.
///
/// A file that cannot be read is a warning: the weights do not depend on it.
struct GraphFiles {
  private(set) var graph: TensorFlowGraph?
  private(set) var code: [ContainedCode] = []
  private(set) var warnings: [String] = []

  /// Those of the checkpoint whose first file is `index`.
  init(ofCheckpoint index: String) {
    let folder = FileSystem.folder(of: index)
    let name = FileSystem.baseName(index)
    if name == "variables.index" {
      func above(_ name: String) -> String {
        folder == "." ? "../" + name : FileSystem.join(FileSystem.folder(of: folder), name)
      }
      graph = read(above("saved_model.pb")) { (file, path) throws(FormatError) in
        try GraphReader.read(file, as: .savedModel, path: path)
      }
      addKeras(above("keras_metadata.pb"))
    }
    if graph == nil {
      let isIndex = name.hasSuffix(BundleFiles.indexSuffix)
      let prefix = isIndex ? String(index.dropLast(BundleFiles.indexSuffix.count)) : index
      graph = read(prefix + ".meta") { (file, path) throws(FormatError) in
        try GraphReader.read(file, as: .metaGraph, path: path)
      }
    }
    code = (graph?.code ?? []) + code
    warnings += ContainedCode.warnings(of: code)
  }

  /// Layers that carry code. Classes of the user do not matter: a SavedModel is run without them.
  private mutating func addKeras(_ path: String) {
    let more = read(path) { (file, _) throws(FormatError) in try GraphReader.layerConfigs(file) }
    code = KerasCode.code(inConfigs: (graph?.layerConfigs ?? []) + (more ?? [])).filter { $0.verdict == .dangerous }
  }

  private mutating func read<Result>(
    _ path: String, _ body: (Bytes, String) throws(FormatError) -> Result
  ) -> Result? {
    guard FileSystem.isFile(path) else { return nil }
    do throws(FormatError) {
      let file = try MappedFile.open(path)
      if let pointer = gitLFSPointer(file) { throw pointer }
      return try body(file, path)
    } catch {
      warnings.append(
        "the graph in \(FileSystem.baseName(path)) cannot be read, so nothing is taken from it: \(error)")
      return nil
    }
  }
}
