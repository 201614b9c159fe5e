import TensorIO

/// Several checkpoints as one: the tensors of each under their own names behind its prefix, in order.
///
/// Format and metadata are the first one's; warnings and imports are those of all.
final class CompositeSource: TensorSource {
  let format: FormatName
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let imports: [ImportedGlobal]
  let metadata: [(key: String, value: String)]
  private let parts: [any TensorSource]
  private let places: [(part: Int, index: Int)]

  /// - Parameter leading: files beside those of the parts, as a list of them
  init(
    _ parts: [(prefix: String, source: any TensorSource)], leading: [SourceFile] = [],
    metadata ownMetadata: [(key: String, value: String)] = []
  ) {
    var files = leading
    var tensors: [TensorInfo] = []
    var warnings: [String] = []
    var imports = ImportList()
    var places: [(part: Int, index: Int)] = []
    var storages = 0
    for (part, (prefix, source)) in parts.enumerated() {
      for (index, tensor) in source.tensors.enumerated() {
        var info = tensor
        info.name = prefix + tensor.name
        info.location?.file += files.count
        if let storage = tensor.sharedStorage { info.sharedStorage = storages + storage }
        tensors.append(info)
        places.append((part, index))
      }
      storages += (source.tensors.compactMap(\.sharedStorage).max() ?? -1) + 1
      files += source.files
      warnings += source.warnings
      imports.add(source.imports)
    }
    format = parts.first?.source.format ?? .safetensors
    self.files = files
    self.tensors = tensors
    self.warnings = warnings
    self.imports = imports.items
    self.places = places
    self.parts = parts.map(\.source)
    metadata = ownMetadata + (parts.first?.source.metadata ?? [])
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try parts[places[index].part].withBytes(ofTensorAt: places[index].index, body)
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try parts[places[index].part].streamBytes(ofTensorAt: places[index].index, body)
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    try parts[places[index].part].strings(ofTensorAt: places[index].index)
  }
}
