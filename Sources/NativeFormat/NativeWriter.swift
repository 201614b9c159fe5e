import CheckpointFormats
import TensorIO

/// Writes a native file. The layout is known before any data; the header with the checksums is written last.
public final class NativeWriter: TensorSink {
  private let file: AtomicFile
  /// All metadata but the checksums.
  private var metadata: [(key: String, value: String)]
  /// In the order of the file.
  private var entries: [SafetensorsHeader.Entry] = []
  /// For each declared tensor: the index of its entry.
  private var entryIndices: [Int] = []
  private var progress = SinkProgress([], file: "")
  /// For each entry.
  private var checksums: [CRC32C] = []
  private var dataStart = 0

  /// The path that the finished file will have.
  public var path: String { file.path }

  /// - Parameters:
  ///   - path: of the finished file
  ///   - overwrites: whether an existing file is replaced
  ///   - config: the canonical config
  ///   - vocabulary: the vocabulary's text, kept as it is
  ///   - tokenizer: the tokenizer in the JSON form of Hugging Face's `tokenizer.json`
  ///   - source: what the tensors come from (`NativeKey.source`)
  public init(
    path: String, overwrites: Bool, config: JSON, vocabulary: String?, tokenizer: String? = nil, source: JSON
  ) throws(FormatError) {
    file = try AtomicFile(path, overwrites: overwrites)
    metadata = [
      (NativeProfile.formatKey, NativeProfile.formatValue), (NativeKey.profile, NativeProfile.version),
      (NativeKey.config, config.text()),
    ]
    if let vocabulary { metadata.append((NativeKey.vocabulary, vocabulary)) }
    if let tokenizer { metadata.append((NativeKey.tokenizer, tokenizer)) }
    metadata.append((NativeKey.source, source.text()))
  }

  /// Replaces `NativeKey.source` by a text of the same length: some of it may only be known when the data is written.
  public func setSource(_ source: JSON) throws(FormatError) {
    let text = source.text()
    guard let index = metadata.firstIndex(where: { $0.key == NativeKey.source }),
      metadata[index].value.utf8.count == text.utf8.count
    else { throw FormatError(.output, "the description of the source changed in length", file: path) }
    metadata[index].value = text
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: path)
    try SafetensorsHeader.check(tensors, file: path)
    var total = 0
    for tensor in tensors {
      let (sum, overflow) = total.addingReportingOverflow(tensor.byteCount)
      guard !overflow else { throw FormatError(.limit, "the tensors are too large for one file", file: path) }
      total = sum
    }
    entries = NativeProfile.layout(tensors)
    var indices: [String: Int] = [:]
    for (index, entry) in entries.enumerated() { indices[entry.name] = index }
    entryIndices = tensors.map { indices[$0.name] ?? 0 }
    checksums = entries.map { _ in CRC32C() }
    progress = SinkProgress(tensors, file: path)
    // Checksums have a fixed width, so the header's length is known before they are.
    dataStart = header().count
    try SafetensorsHeader.checkLength(dataStart, file: path)
    try file.reserve(dataStart + total)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    let entry = entryIndices[index]
    try file.write(bytes, at: dataStart + entries[entry].range.lowerBound + offset)
    checksums[entry].update(bytes)
  }

  public func finish() throws {
    try progress.checkComplete()
    try file.write(header(), at: 0)
    try file.commit()
  }

  public func cancel() { file.cancel() }

  private func header() -> [UInt8] {
    var sums: [String: UInt32] = [:]
    for (entry, sum) in zip(entries, checksums) { sums[entry.name] = sum.value }
    let text = NativeChecksums(entries, tensors: sums, metadata: metadata).json.text()
    return SafetensorsHeader.encoded(
      entries, metadata: metadata + [(key: NativeKey.checksums, value: text)],
      alignment: NativeProfile.pageSize)
  }
}
