import CheckpointFormats
import TensorIO

/// The rules of the native format, version 1: a safetensors file that is laid out for mapping and carries checksums that
/// show whether it is complete. `docs/FORMAT.md` is the specification.
public enum NativeProfile {
  public static let version = "1"
  /// The data starts on a multiple of this.
  public static let pageSize = 4096
  /// Tensors of whole lines start on a multiple of this.
  public static let lineSize = 64

  /// What other programs look at to see that the tensors are PyTorch's.
  static let formatKey = "format"
  static let formatValue = "pt"

  /// The entries of tensors given in forward order: those of whole 64-byte lines first, in that order, then the others
  /// by falling element size, so that every one is aligned and there are no gaps.
  public static func layout(_ tensors: [TensorInfo]) -> [SafetensorsHeader.Entry] {
    let whole = tensors.filter { $0.byteCount % lineSize == 0 }
    let rest = tensors.filter { $0.byteCount % lineSize != 0 }
    let ordered = whole + ElementType.descendingSizes.flatMap { size in rest.filter { $0.elementType.size == size } }
    var offset = 0
    return ordered.map { tensor in
      defer { offset += tensor.byteCount }
      return SafetensorsHeader.Entry(
        name: tensor.name, elementType: tensor.elementType, shape: tensor.shape,
        range: offset..<(offset + tensor.byteCount))
    }
  }

  /// Whether a safetensors file has metadata of the native format. It must follow the profile then: a native file that lost
  /// only its profile number must not pass for a plain one, which has no checksums.
  package static func isClaimed(by header: SafetensorsHeader) -> Bool {
    header.metadata.contains { $0.key.hasPrefix(NativeKey.prefix) }
  }

  /// Checks the version, alignment, order and the checksums of everything but the data, and gives the checksums of the
  /// tensors' data in their order.
  static func check(_ header: SafetensorsHeader, in file: Bytes, path: String) throws(FormatError) -> [UInt32] {
    do throws(FormatError) {
      try checkVersion(of: header)
      try checkForm(of: header, in: file)
      try checkOrder(of: header.entries)
      try checkKeys(of: header)
      return try checkChecksums(of: header)
    } catch {
      throw error.inFile(path)
    }
  }

  private static func broken(
    _ problem: String, tensor: String? = nil, found: String? = nil, expected: String? = nil
  ) -> FormatError {
    FormatError(
      .damaged, "the native file breaks its profile: \(problem)", tensor: tensor, found: found, expected: expected,
      advice: "The file is damaged or was changed by another program: convert it again.")
  }

  private static func checkVersion(of header: SafetensorsHeader) throws(FormatError) {
    guard let profile = header.value(NativeKey.profile) else {
      throw FormatError(
        .damaged, "the file has metadata of the native format but no profile number",
        found: header.metadata.first { $0.key.hasPrefix(NativeKey.prefix) }?.key, expected: NativeKey.profile,
        advice: "The file is damaged: convert the model again.")
    }
    guard profile == version else {
      throw FormatError(
        .unsupported, "the file has a newer version of the native format", found: "profile \(profile)",
        expected: "profile \(version)", advice: "Update bertconv.")
    }
  }

  private static func checkForm(of header: SafetensorsHeader, in file: Bytes) throws(FormatError) {
    guard header.dataStart % pageSize == 0 else {
      throw broken(
        "the data does not start on a page", found: "\(header.dataStart)", expected: "a multiple of \(pageSize)")
    }
    // The header has one form only, so every changed byte of it is found.
    let canonical = SafetensorsHeader.encoded(header.entries, metadata: header.metadata, alignment: pageSize)
    guard let stored = file.slice(0, header.dataStart), stored.withSpan({ $0.array() == canonical }) else {
      throw broken("the header is not in canonical form")
    }
  }

  private static func checkOrder(of entries: [SafetensorsHeader.Entry]) throws(FormatError) {
    for entry in entries {
      let alignment = entry.range.count % lineSize == 0 ? lineSize : entry.elementType.size ?? 1
      guard entry.range.lowerBound % alignment == 0 else {
        throw broken("a tensor is not aligned", tensor: entry.name, found: "\(entry.range.lowerBound)")
      }
    }
    // Whole lines first, then the others by falling element size.
    func rank(_ entry: SafetensorsHeader.Entry) -> Int {
      entry.range.count % lineSize == 0 ? Int.max : entry.elementType.size ?? 0
    }
    for (a, b) in zip(entries, entries.dropFirst()) where rank(a) < rank(b) {
      throw broken("a tensor is out of order", tensor: b.name)
    }
  }

  private static func checkKeys(of header: SafetensorsHeader) throws(FormatError) {
    let keys = header.metadata.map(\.key)
    // Vocabulary and tokenizer may be absent.
    let allowed = [
      formatKey, NativeKey.profile, NativeKey.config, NativeKey.vocabulary, NativeKey.tokenizer, NativeKey.source,
      NativeKey.checksums,
    ]
    let optional = [NativeKey.vocabulary, NativeKey.tokenizer]
    guard keys == allowed.filter({ keys.contains($0) || !optional.contains($0) }) else {
      throw broken("the keys of the metadata are not those of the profile", found: keys.joined(separator: ", "))
    }
    guard header.value(formatKey) == formatValue else {
      throw broken("the key '\(formatKey)' is not '\(formatValue)'")
    }
  }

  private static func checkChecksums(of header: SafetensorsHeader) throws(FormatError) -> [UInt32] {
    guard let text = header.value(NativeKey.checksums) else { throw broken("there are no checksums") }
    let json = try JSON.parse(text)
    guard json.text() == text else { throw broken("the checksums are not in canonical form") }
    guard let sums = NativeChecksums(json: json) else { throw broken("the checksums are incomplete") }
    let layout = NativeChecksums.layout(of: header.entries)
    guard sums.layout == layout else {
      throw broken("names, types, shapes or offsets were changed", found: layout, expected: sums.layout)
    }
    let others = header.metadata.filter { $0.key != NativeKey.checksums }
    guard sums.metadata.map(\.key).sorted() == others.map(\.key).sorted() else {
      throw broken("metadata was added or is missing")
    }
    for (key, value) in others {
      let actual = NativeChecksums.checksum(of: value)
      guard sums.metadata.contains(where: { $0.key == key && $0.value == actual }) else {
        throw broken("the checksum of the metadata '\(key)' is wrong", found: actual)
      }
    }
    guard sums.tensors.map(\.key) == header.entries.map(\.name) else {
      throw broken("the checksums are for other tensors")
    }
    var numbers: [UInt32] = []
    for (name, sum) in sums.tensors {
      guard let number = NativeChecksums.number(sum) else { throw broken("a checksum is malformed", tensor: name) }
      numbers.append(number)
    }
    return numbers
  }
}
