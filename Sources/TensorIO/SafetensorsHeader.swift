/// The header of a safetensors file (huggingface/safetensors, safetensors/src/tensor.rs):
///
///     | 8 bytes: N, little-endian | N bytes: JSON, padded with spaces | data … to the end of the file |
///
/// Both the reader of plain safetensors files and the native format, which is a profile of them, start here.
public struct SafetensorsHeader: Sendable {
  public struct Entry: Sendable, Equatable {
    public var name: String
    public var elementType: ElementType
    public var shape: [Int]
    /// Offsets from the first data byte.
    public var range: Range<Int>

    public init(name: String, elementType: ElementType, shape: [Int], range: Range<Int>) {
      self.name = name
      self.elementType = elementType
      self.shape = shape
      self.range = range
    }
  }

  /// In the order of their data.
  public var entries: [Entry]
  public var metadata: [(key: String, value: String)]
  /// Offset of the first data byte in the file.
  public var dataStart: Int

  /// The limit that the reference implementation sets.
  public static let maximumLength = 100_000_000

  /// Whether `file` begins like a safetensors file.
  public static func recognises(_ file: Bytes) -> Bool {
    guard file.count >= 10, let head = file.slice(0, 9) else { return false }
    return head.withSpan { span in
      let length = span.littleEndian(UInt64.self, at: 0)
      return length >= 2 && length <= UInt64(maximumLength) && span.byte(at: 8) == UInt8(ascii: "{")
    }
  }

  /// Reads and checks everything: length, JSON, types, that each tensor's bytes fit its shape, that the tensors leave
  /// no hole, do not overlap and end where the file ends.
  public init(_ file: Bytes) throws(FormatError) {
    var cursor = ByteCursor(file)
    let length = try cursor.littleEndian(UInt64.self, "the header's length")
    func fail(
      _ problem: String, tensor: String? = nil, found: String? = nil, expected: String? = nil, advice: FormatError.Advice? = nil
    ) -> FormatError {
      FormatError(problem, file: file.file, tensor: tensor, found: found, expected: expected, advice: advice)
    }
    guard length <= UInt64(Self.maximumLength) else {
      throw fail(
        "the header is longer than the format allows", found: "\(length) bytes",
        expected: "at most \(Self.maximumLength)",
        advice: "It is not a safetensors file. A checkpoint of another format is converted first: bertconv convert.")
    }
    guard Int(length) <= cursor.remaining else {
      throw fail(
        "the header is cut short", found: "\(cursor.remaining) bytes", expected: "\(length)",
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    let text = try cursor.take(Int(length), "the header")
    guard text.byte(at: 0) == UInt8(ascii: "{") else {
      throw fail("the header does not begin with '{'", found: hexadecimal(text.array().prefix(8)))
    }
    dataStart = cursor.position
    let dataCount = cursor.remaining
    var bytes = text.array()
    // The profile and other writers pad with spaces; the reference reader allows white space at the end.
    while let last = bytes.last, last == 0x20 { bytes.removeLast() }
    guard case .object(let members) = try JSON.parse(bytes, file: file.file, at: 8) else {
      throw fail("the header is not a JSON object")
    }
    try CheckpointLimits.check(members.count, file: file.file)
    entries = []
    metadata = []
    entries.reserveCapacity(members.count)
    for member in members {
      if member.key == "__metadata__" {
        guard case .object(let values) = member.value else { throw fail("__metadata__ is not a JSON object") }
        for value in values {
          guard case .string(let text) = value.value else {
            throw fail("__metadata__ has a value that is not a string", found: value.key)
          }
          metadata.append((value.key, text))
        }
        continue
      }
      let name = member.key
      guard let fields = member.value.members else { throw fail("the entry is not a JSON object", tensor: name) }
      for field in fields where !["dtype", "shape", "data_offsets"].contains(field.key) {
        throw fail("the entry has an unknown key", tensor: name, found: field.key)
      }
      guard let type = member.value["dtype"]?.stringValue else { throw fail("the entry has no dtype", tensor: name) }
      guard let elementType = ElementType(rawValue: type), elementType.isInSafetensors else {
        throw fail("unknown dtype", tensor: name, found: type)
      }
      guard let dimensions = member.value["shape"]?.elements else { throw fail("the entry has no shape", tensor: name) }
      var shape: [Int] = []
      for dimension in dimensions {
        guard case .number(let digits) = dimension, let value = Int(digits), value >= 0 else {
          throw fail("a dimension is not a whole number", tensor: name)
        }
        shape.append(value)
      }
      guard let offsets = member.value["data_offsets"]?.elements, offsets.count == 2,
        case .number(let first) = offsets[0], case .number(let second) = offsets[1], let start = Int(first),
        let end = Int(second), start >= 0, end >= start
      else { throw fail("data_offsets is not a pair of offsets in order", tensor: name) }
      guard let byteCount = checkedByteCount(shape, elementType) else {
        throw fail("the shape is too large", tensor: name, found: shapeText(shape))
      }
      guard byteCount == end - start else {
        throw fail(
          "data_offsets do not fit shape and dtype", tensor: name, found: "\(end - start) bytes",
          expected: "\(byteCount) for \(elementType.rawValue) \(shapeText(shape))")
      }
      guard end <= dataCount else {
        throw fail(
          "the data lies beyond the end of the file", tensor: name, found: "\(dataCount) bytes of data",
          expected: "at least \(end)", advice: "The file was not copied or downloaded whole: fetch it again.")
      }
      entries.append(Entry(name: name, elementType: elementType, shape: shape, range: start..<end))
    }
    entries.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    var end = 0
    for entry in entries {
      guard entry.range.lowerBound == end else {
        throw fail(
          entry.range.lowerBound < end ? "the data overlaps that of another tensor" : "there is a hole before the data",
          tensor: entry.name, found: "offset \(entry.range.lowerBound)", expected: "\(end)")
      }
      end = entry.range.upperBound
    }
    guard end == dataCount else {
      throw fail(
        "the file does not end with the last tensor", found: "\(dataCount) bytes of data", expected: "\(end)")
    }
  }

  /// The value of a metadata key.
  public func value(_ key: String) -> String? { metadata.first { $0.key == key }?.value }

  /// The bytes of a header with these entries and metadata, padded with spaces so that the data starts on a multiple
  /// of `alignment`.
  public static func serialise(
    _ entries: [Entry], metadata: [(key: String, value: String)], alignment: Int
  ) -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      members.append(.init("__metadata__", .object(metadata.map { .init($0.key, .string($0.value)) })))
    }
    for entry in entries {
      members.append(
        .init(
          entry.name,
          .object([
            "dtype": .string(entry.elementType.rawValue), "shape": .ints(entry.shape),
            "data_offsets": .ints([entry.range.lowerBound, entry.range.upperBound]),
          ])))
    }
    var text = Array(JSON.object(members).text().utf8)
    let total = (8 + text.count + alignment - 1) / alignment * alignment
    text.append(contentsOf: repeatElement(0x20, count: total - 8 - text.count))
    var header: [UInt8] = []
    header.reserveCapacity(total)
    for shift in stride(from: 0, to: 64, by: 8) {
      header.append(UInt8(truncatingIfNeeded: UInt64(text.count) >> shift))
    }
    return header + text
  }
}
