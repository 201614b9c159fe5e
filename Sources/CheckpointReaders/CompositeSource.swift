import TensorIO

/// Several checkpoints as one: the tensors of each in order, their names after its prefix.
///
/// Format and metadata are those of the first; warnings, imports and code those of all.
final class CompositeSource: TensorSource {
  let format: FormatName
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let imports: [ImportedGlobal]
  let code: [ContainedCode]
  let metadata: [(key: String, value: String)]
  let config: JSON?
  private let parts: [any TensorSource]
  private let origins: [(part: Int, index: Int)]

  /// - Parameter leading: files listed before those of the parts, such as an index of shards
  init(
    _ parts: [(prefix: String, source: any TensorSource)], leading: [SourceFile] = [],
    metadata ownMetadata: [(key: String, value: String)] = []
  ) {
    var files = leading
    var tensors: [TensorInfo] = []
    var warnings: [String] = []
    var imports = ImportList()
    var code = UniqueList<ContainedCode>()
    var origins: [(part: Int, index: Int)] = []
    var storages = 0
    for (part, (prefix, source)) in parts.enumerated() {
      for (index, tensor) in source.tensors.enumerated() {
        var info = tensor
        info.name = prefix + tensor.name
        info.location?.file += files.count
        if let storage = tensor.sharedStorage { info.sharedStorage = storages + storage }
        tensors.append(info)
        origins.append((part, index))
      }
      storages += (source.tensors.compactMap(\.sharedStorage).max() ?? -1) + 1
      files += source.files
      warnings += source.warnings
      imports.add(source.imports)
      code.add(source.code)
    }
    format = parts.first?.source.format ?? .safetensors
    config = parts.first?.source.config
    self.files = files
    self.tensors = tensors
    self.warnings = warnings
    self.imports = imports.items
    self.code = code.items
    self.origins = origins
    self.parts = parts.map(\.source)
    metadata = ownMetadata + (parts.first?.source.metadata ?? [])
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try parts[origins[index].part].withBytes(ofTensorAt: origins[index].index, body)
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try parts[origins[index].part].streamBytes(ofTensorAt: origins[index].index, body)
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    try parts[origins[index].part].strings(ofTensorAt: origins[index].index)
  }
}
