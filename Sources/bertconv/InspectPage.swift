import CheckpointReaders
import Reports
import TensorIO
import WeightMapping

extension Inspect {
  /// Writes the page that --html asks for; what was found of the tensors that were `shown`, and so read, by their indices.
  func writePage(
    _ checkpoint: OpenedCheckpoint, _ shown: [Int], _ mapper: Mapper, _ recognition: Recognition, config: JSON?
  ) throws -> [Int: TensorStatistics] {
    guard let html else { return [:] }
    let source = checkpoint.source
    let inputs = source.files.map(\.path) + [checkpoint.configPath, checkpoint.vocabularyPath].compactMap(\.self)
    let file = try PageFile(html, inputs: inputs + table)
    let tensors = try read(source, shown)
    let isNative = source.format == .native
    let configFile: CheckpointPage.Companion? =
      isNative
      ? .init("in the file")
      : checkpoint.configPath.map {
        .init($0, note: config == nil ? "The config is there but cannot be used: \($0)." : nil)
      }
    let vocabulary = vocabulary(checkpoint, config: config)
    let page = CheckpointPage(
      tool: "bertconv \(Bertconv.version)", path: checkpoint.path, source: source,
      warnings: checkpoint.warnings + vocabulary.warnings, recognition: recognition,
      mapping: mapper.report(for: source.tensors, metadata: source.metadata, config: config, allowUnexpected: []),
      config: config, configFile: configFile, vocabulary: vocabulary.file, filter: filter, tensors: tensors)
    try file.write(page.bytes())
    let known = zip(shown, tensors).compactMap { index, tensor in tensor.statistics.map { (index, $0) } }
    return Dictionary(uniqueKeysWithValues: known)
  }

  private func read(_ source: any TensorSource, _ shown: [Int]) throws -> [CheckpointPage.Tensor] {
    let tensors = source.tensors
    var bar = ProgressBar("reading", total: shown.reduce(0) { $0 + tensors[$1].byteCount })
    defer { bar.finish() }
    var done = 0
    return try shown.map { index in
      let info = tensors[index]
      guard info.elementType.size != nil else { return .init(info, nil, nil) }
      let (statistics, histogram) = try source.withBytes(ofTensorAt: index) { bytes in
        let statistics = TensorStatistics(bytes, info.elementType)
        return (statistics, statistics.flatMap { Histogram(bytes, info.elementType, $0) })
      }
      done += info.byteCount
      bar.update(done)
      return .init(info, statistics, histogram)
    }
  }

  private func vocabulary(
    _ checkpoint: OpenedCheckpoint, config: JSON?
  ) -> (file: CheckpointPage.Companion?, warnings: [String]) {
    let place: String
    let text: String?
    if let own = SourceDescription.embeddedVocabulary(checkpoint.source) {
      (place, text) = ("in the file", own)
    } else if let path = checkpoint.vocabularyPath {
      (place, text) = (path, try? FileSystem.text(path))
    } else {
      return (nil, [])
    }
    guard let text else { return (.init(place), ["the vocabulary cannot be read: \(place)"]) }
    let tokens = "\(grouped(Vocabulary.tokenCount(text))) tokens"
    return (
      .init("\(place), \(tokens)", note: tokens), config.map { Vocabulary.warnings(text, config: $0) } ?? []
    )
  }
}
