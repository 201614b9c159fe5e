import CheckpointFormats
import TensorIO

/// The value of ``NativeKey/checksums``: CRC32C, in eight hexadecimal digits, of the layout, of each other metadata value and
/// of each tensor's data.
///
///     {"layout": "…", "metadata": {"format": "…", …}, "tensors": {"embeddings.…": "…", …}}
struct NativeChecksums {
  let layout: String
  let metadata: [(key: String, value: String)]
  /// In the order of the data.
  let tensors: [(key: String, value: String)]

  /// The checksums of a file with these entries and other metadata, whose tensors have the given checksums.
  init(
    _ entries: [SafetensorsHeader.Entry], tensors: [String: UInt32], metadata: [(key: String, value: String)]
  ) {
    layout = Self.layout(of: entries)
    self.metadata = metadata.map { ($0.key, Self.checksum(of: $0.value)) }
    self.tensors = entries.map { ($0.name, hexadecimal(tensors[$0.name] ?? 0, digits: 8)) }
  }

  /// The checksums that `json` holds; `nil` where it lacks a part.
  init?(json: JSON) {
    func texts(_ key: String) -> [(key: String, value: String)]? {
      json[key]?.members?.map { ($0.key, $0.value.stringValue ?? "") }
    }
    guard let layout = json["layout"]?.stringValue, let metadata = texts("metadata"), let tensors = texts("tensors")
    else { return nil }
    self.layout = layout
    self.metadata = metadata
    self.tensors = tensors
  }

  var json: JSON {
    func object(_ values: [(key: String, value: String)]) -> JSON {
      .object(values.map { .init($0.key, .string($0.value)) })
    }
    return .object(["layout": .string(layout), "metadata": object(metadata), "tensors": object(tensors)])
  }

  /// The checksum in a member of ``tensors``; `nil` where it is malformed.
  static func number(_ text: String) -> UInt32? { text.utf8.count == 8 ? UInt32(text, radix: 16) : nil }

  static func checksum(of text: String) -> String { hexadecimal(CRC32C.checksum(Array(text.utf8)), digits: 8) }

  /// The checksum of a text with one line per tensor, in the order of the data: name, type, shape, offsets.
  static func layout(of entries: [SafetensorsHeader.Entry]) -> String {
    checksum(
      of: entries.map { entry in
        "\(entry.name)\t\(entry.elementType.rawValue)\t\(entry.shape.map(String.init).joined(separator: ","))"
          + "\t\(entry.range.lowerBound)\t\(entry.range.upperBound)\n"
      }.joined())
  }
}
