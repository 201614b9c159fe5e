import TensorIO

/// Writes a native file: places known from the start, data at its place as it comes, the header with the checksums last.
public final class NativeWriter: TensorSink {
  private let file: AtomicFile
  /// All metadata but the checksums.
  private var metadata: [(key: String, value: String)]
  private var entries: [SafetensorsHeader.Entry] = []
  /// For each declared tensor: its entry's index.
  private var places: [Int] = []
  private var written: [Int] = []
  private var checksums: [CRC32C] = []
  private var dataStart = 0

  /// The path that the finished file will have.
  public var path: String { file.path }

  /// - Parameters:
  ///   - path: of the finished file
  ///   - overwrites: whether a file that is there already is replaced
  ///   - config: the canonical config
  ///   - vocabulary: the vocabulary's text, kept as it is
  ///   - source: what the tensors come from (`bertconv.source`)
  public init(
    path: String, overwrites: Bool, config: JSON, vocabulary: String?, source: JSON
  ) throws(FormatError) {
    file = try AtomicFile(path, overwrites: overwrites)
    var metadata = [("format", "pt"), (NativeProfile.profileKey, NativeProfile.version)]
    metadata.append((NativeProfile.configKey, config.text()))
    if let vocabulary { metadata.append((NativeProfile.vocabularyKey, vocabulary)) }
    metadata.append((NativeProfile.sourceKey, source.text()))
    self.metadata = metadata.map { (key: $0.0, value: $0.1) }
  }

  /// Gives `bertconv.source` anew, in as many bytes: what is said of the source may take until the data is written.
  public func setSource(_ source: JSON) throws(FormatError) {
    let text = source.text()
    guard let index = metadata.firstIndex(where: { $0.key == NativeProfile.sourceKey }),
      metadata[index].value.utf8.count == text.utf8.count
    else { throw FormatError("the description of the source has another length than it had at first", file: path) }
    metadata[index].value = text
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    var names: Set<String> = []
    var total = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw FormatError("the tensor is declared twice", file: path, tensor: tensor.name)
      }
      guard tensor.elementType.isInSafetensors, checkedByteCount(tensor.shape, tensor.elementType) == tensor.byteCount
      else {
        throw FormatError(
          "the tensor's type cannot be stored", file: path, tensor: tensor.name, found: tensor.elementType.rawValue)
      }
      let (sum, overflow) = total.addingReportingOverflow(tensor.byteCount)
      guard !overflow else { throw FormatError("the tensors are too large for one file", file: path) }
      total = sum
    }
    entries = NativeProfile.layout(tensors)
    var indices: [String: Int] = [:]
    for (index, entry) in entries.enumerated() { indices[entry.name] = index }
    places = tensors.map { indices[$0.name] ?? 0 }
    written = entries.map { _ in 0 }
    checksums = entries.map { _ in CRC32C() }
    // Checksums have a fixed width, so the header's length is known before they are.
    dataStart = header().count
    guard dataStart - 8 <= SafetensorsHeader.maximumLength else {
      throw FormatError(
        "the header would be longer than the format allows", file: path, found: "\(dataStart) bytes",
        expected: "at most \(SafetensorsHeader.maximumLength)")
    }
    try file.reserve(dataStart + total)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let place = places[index]
    let entry = entries[place]
    guard bytes.byteCount <= entry.range.count - written[place] else {
      throw FormatError("more data than was declared", file: path, tensor: entry.name)
    }
    try file.write(bytes, at: dataStart + entry.range.lowerBound + written[place])
    checksums[place].update(bytes)
    written[place] += bytes.byteCount
  }

  public func finish() throws {
    for (entry, count) in zip(entries, written) where count != entry.range.count {
      throw FormatError(
        "less data than was declared", file: path, tensor: entry.name, found: "\(count) bytes",
        expected: "\(entry.range.count)")
    }
    try file.write(header(), at: 0)
    try file.commit()
  }

  public func cancel() { file.cancel() }

  private func header() -> [UInt8] {
    var sums: [String: UInt32] = [:]
    for (entry, sum) in zip(entries, checksums) { sums[entry.name] = sum.value }
    let text = NativeProfile.checksums(entries, tensors: sums, metadata: metadata).text()
    return SafetensorsHeader.serialise(
      entries, metadata: metadata + [(key: NativeProfile.checksumsKey, value: text)],
      alignment: NativeProfile.pageSize)
  }
}
