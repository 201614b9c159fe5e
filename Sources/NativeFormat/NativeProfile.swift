import TensorIO

/// The rules of the native format, version 1: a safetensors file that is laid out for mapping and carries what proves
/// that it is whole. `docs/FORMAT.md` is the specification.
public enum NativeProfile {
  public static let version = "1"
  public static let pageSize = 4096
  public static let lineSize = 64

  public static let profileKey = "bertconv.profile"
  public static let configKey = "bertconv.config"
  public static let vocabularyKey = "bertconv.vocab"
  public static let checksumsKey = "bertconv.checksums"
  public static let sourceKey = "bertconv.source"

  /// The places of tensors given in forward order: those of whole 64-byte lines first, in that order, then the others
  /// by falling element size, so that every one is aligned and there are no holes.
  public static func layout(_ tensors: [TensorInfo]) -> [SafetensorsHeader.Entry] {
    let sizes = [16, 8, 4, 2, 1]
    let whole = tensors.filter { $0.byteCount % lineSize == 0 }
    let rest = tensors.filter { $0.byteCount % lineSize != 0 }
    let ordered = whole + sizes.flatMap { size in rest.filter { $0.elementType.size == size } }
    var offset = 0
    return ordered.map { tensor in
      defer { offset += tensor.byteCount }
      return SafetensorsHeader.Entry(
        name: tensor.name, elementType: tensor.elementType, shape: tensor.shape,
        range: offset..<(offset + tensor.byteCount))
    }
  }

  /// What the checksum of the layout covers: a line a tensor, in the order of the data.
  static func layoutText(_ entries: [SafetensorsHeader.Entry]) -> String {
    entries.map { entry in
      "\(entry.name)\t\(entry.elementType.rawValue)\t\(entry.shape.map(String.init).joined(separator: ","))"
        + "\t\(entry.range.lowerBound)\t\(entry.range.upperBound)\n"
    }.joined()
  }

  /// The value of `bertconv.checksums`.
  static func checksums(
    _ entries: [SafetensorsHeader.Entry], tensors: [String: UInt32], metadata: [(key: String, value: String)]
  ) -> JSON {
    .object([
      "layout": .string(hexadecimal(CRC32C.checksum(Array(layoutText(entries).utf8)), digits: 8)),
      "metadata": .object(
        metadata.map { .init($0.key, .string(hexadecimal(CRC32C.checksum(Array($0.value.utf8)), digits: 8))) }),
      "tensors": .object(entries.map { .init($0.name, .string(hexadecimal(tensors[$0.name] ?? 0, digits: 8))) }),
    ])
  }

  /// Checks alignment, order and the checksums of everything but the data.
  static func check(_ header: SafetensorsHeader, in file: Bytes, path: String) throws(FormatError) {
    func broken(_ problem: String, tensor: String? = nil, found: String? = nil, expected: String? = nil) -> FormatError
    {
      FormatError(
        "the native file breaks its profile: \(problem)", file: path, tensor: tensor, found: found, expected: expected,
        advice: "The file is damaged or was changed by another program: convert it again.")
    }
    guard header.dataStart % pageSize == 0 else {
      throw broken("the data does not start on a page", found: "\(header.dataStart)", expected: "a multiple of 4096")
    }
    // The header has one form only, so no byte of it can change unseen.
    let canonical = SafetensorsHeader.serialise(header.entries, metadata: header.metadata, alignment: pageSize)
    guard let stored = file.slice(0, header.dataStart), stored.withSpan({ $0.array() == canonical }) else {
      throw broken("the header is not in the form that the writer gives it")
    }
    for entry in header.entries {
      let alignment = entry.range.count % lineSize == 0 ? lineSize : entry.elementType.size ?? 1
      guard entry.range.lowerBound % alignment == 0 else {
        throw broken("a tensor is not aligned", tensor: entry.name, found: "\(entry.range.lowerBound)")
      }
    }
    let keys = header.metadata.map(\.key)
    let required = ["format", profileKey, configKey, sourceKey, checksumsKey]
    guard keys.filter({ $0 != vocabularyKey }) == required, keys == required || keys.firstIndex(of: vocabularyKey) == 3
    else {
      throw broken("the keys of the metadata are not those of the profile", found: keys.joined(separator: ", "))
    }
    // Whole lines first, then the others by falling element size.
    func rank(_ entry: SafetensorsHeader.Entry) -> Int {
      entry.range.count % lineSize == 0 ? Int.max : entry.elementType.size ?? 0
    }
    for (a, b) in zip(header.entries, header.entries.dropFirst()) where rank(a) < rank(b) {
      throw broken("a tensor is out of order", tensor: b.name)
    }
    guard header.value("format") == "pt" else { throw broken("the key 'format' is not 'pt'") }
    guard let text = header.value(checksumsKey) else { throw broken("there are no checksums") }
    let sums = try JSON.parse(text, file: path)
    guard sums.text() == text else { throw broken("the checksums are not in the form that the writer gives them") }
    guard let layout = sums["layout"]?.stringValue, let metadata = sums["metadata"]?.members,
      let tensors = sums["tensors"]?.members
    else { throw broken("the checksums lack a part") }
    let actual = hexadecimal(CRC32C.checksum(Array(layoutText(header.entries).utf8)), digits: 8)
    guard layout == actual else {
      throw broken("names, types, shapes or places were changed", found: actual, expected: layout)
    }
    let others = header.metadata.filter { $0.key != checksumsKey }
    guard metadata.map(\.key).sorted() == others.map(\.key).sorted() else {
      throw broken("metadata was added or is missing")
    }
    for (key, value) in others {
      let actual = hexadecimal(CRC32C.checksum(Array(value.utf8)), digits: 8)
      guard metadata.contains(where: { $0.key == key && $0.value == .string(actual) }) else {
        throw broken("the checksum of the metadata '\(key)' is wrong", found: actual)
      }
    }
    guard tensors.map(\.key) == header.entries.map(\.name) else { throw broken("the checksums name other tensors") }
    for tensor in tensors {
      guard let text = tensor.value.stringValue, text.utf8.count == 8, UInt32(text, radix: 16) != nil else {
        throw broken("a checksum is malformed", tensor: tensor.key)
      }
    }
  }
}

extension NativeModel {
  /// Checks the data of every tensor, and the padding of the header, against the file's checksums. Does nothing for a
  /// plain safetensors file, which has none. `progress` is told the bytes that have been read, and how many there are.
  public func verifyChecksums(progress: ((_ done: Int, _ total: Int) -> Void)? = nil) throws(FormatError) {
    guard isNative, let text = header.value(NativeProfile.checksumsKey),
      let sums = try JSON.parse(text, file: path)["tensors"]
    else { return }
    var expected: [String: UInt32] = [:]
    for member in sums.members ?? [] {
      expected[member.key] = member.value.stringValue.flatMap { UInt32($0, radix: 16) }
    }
    let total = tensorNames.reduce(0) { $0 + (tensor($1)?.bytes.count ?? 0) }
    var done = 0
    for name in tensorNames {
      guard let tensor = tensor(name) else { continue }
      defer {
        done += tensor.bytes.count
        progress?(done, total)
      }
      let actual = tensor.bytes.crc32c()
      try tensor.bytes.checkIntact()
      guard actual == expected[name] else {
        throw FormatError(
          "the data is damaged: its checksum is wrong", file: path, offset: tensor.bytes.offsetInFile, tensor: name,
          found: hexadecimal(actual, digits: 8), expected: hexadecimal(expected[name] ?? 0, digits: 8),
          advice: "Convert the model again, or fetch the file again.")
      }
    }
  }
}
