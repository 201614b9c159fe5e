import TensorIO

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

  private static let metadataKey = "__metadata__"
  /// Bytes of the number before the JSON text.
  public static let lengthSize = 8

  /// Bytes of the JSON text that the reference implementation allows.
  public static let maximumLength = 100_000_000

  public init(entries: [Entry], metadata: [(key: String, value: String)], dataStart: Int) {
    self.entries = entries
    self.metadata = metadata
    self.dataStart = dataStart
  }

  /// Whether `file` begins like a safetensors file.
  public static func recognizes(_ file: Bytes) -> Bool {
    guard file.count >= 10, let head = file.slice(0, 9) else { return false }
    return head.withSpan { span in
      let length = span.littleEndian(UInt64.self, at: 0)
      return length >= 2 && length <= UInt64(maximumLength) && span.byte(at: 8) == UInt8(ascii: "{")
    }
  }

  /// Whether the format can hold a tensor of this name: one is reserved for the metadata.
  public static func allows(tensorName name: String) -> Bool { name != metadataKey }

  /// Throws where the format has no form for one of `tensors`.
  package static func check(_ tensors: [TensorInfo], file: String) throws(FormatError) {
    for tensor in tensors {
      guard tensor.elementType.isInSafetensors else {
        throw FormatError(
          .unsupported, "safetensors has no such type", file: file, tensor: tensor.name,
          found: tensor.elementType.rawValue)
      }
      guard allows(tensorName: tensor.name) else {
        throw FormatError(.unsupported, "the name is reserved by the format", file: file, tensor: tensor.name)
      }
    }
  }

  /// Throws where a header, its length included, is longer than readers accept.
  package static func checkLength(_ length: Int, file: String) throws(FormatError) {
    guard length - lengthSize <= maximumLength else {
      throw FormatError(
        .limit, "the header is longer than the format allows", file: file, found: "\(length) bytes",
        expected: "at most \(maximumLength)")
    }
  }

  /// The value of a metadata key.
  public func value(_ key: String) -> String? { metadata.first { $0.key == key }?.value }
}

// MARK: Decoding

extension SafetensorsHeader {
  /// Reads and checks everything: length, JSON, types, that each tensor's bytes match its shape, that the tensors leave
  /// no gap, do not overlap and end where the file ends.
  public init(_ file: Bytes) throws(FormatError) {
    let (text, dataCount) = try Self.text(file)
    self.init(entries: [], metadata: [], dataStart: Self.lengthSize + text.count)
    var json = text.array()
    // The profile and other writers pad with spaces; the reference reader allows white space at the end.
    while let last = json.last, last == 0x20 { json.removeLast() }
    guard case .object(let members) = try JSON.parse(json, file: file.file, at: UInt64(Self.lengthSize)) else {
      throw FormatError(.damaged, "the header is not a JSON object", file: file.file)
    }
    try CheckpointLimits.check(members.count, file: file.file)
    entries.reserveCapacity(members.count)
    do throws(FormatError) {
      for member in members {
        if member.key == Self.metadataKey {
          metadata = try Self.metadata(member.value)
        } else {
          do throws(FormatError) { entries.append(try Self.entry(member, dataCount: dataCount)) } catch {
            throw error.inTensor(member.key)
          }
        }
      }
      entries.sort {
        ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
      }
      try checkCover(dataCount: dataCount)
    } catch {
      throw file.file.map { error.inFile($0) } ?? error
    }
  }

  /// The JSON text, and how many bytes of data follow it.
  private static func text(_ file: Bytes) throws(FormatError) -> (text: Bytes, dataCount: Int) {
    var cursor = ByteCursor(file)
    let length = try cursor.littleEndian(UInt64.self, "the header's length")
    guard length <= UInt64(maximumLength) else {
      throw FormatError(
        .limit, "the header is longer than the format allows", file: file.file, found: "\(length) bytes",
        expected: "at most \(maximumLength)", advice: .all(["It is not a safetensors file.", .convertFirst]))
    }
    guard Int(length) <= cursor.remaining else {
      throw FormatError(
        .damaged, "the header is cut short", file: file.file, found: "\(cursor.remaining) bytes",
        expected: "\(length)", advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    let text = try cursor.take(Int(length), "the header")
    guard text.byte(at: 0) == UInt8(ascii: "{") else {
      throw FormatError(
        .damaged, "the header does not begin with '{'", file: file.file, found: hexadecimal(text.array().prefix(8)))
    }
    return (text, cursor.remaining)
  }

  private static func metadata(_ json: JSON) throws(FormatError) -> [(key: String, value: String)] {
    guard case .object(let values) = json else {
      throw FormatError(.damaged, "\(metadataKey) is not a JSON object")
    }
    var metadata: [(key: String, value: String)] = []
    for value in values {
      guard case .string(let text) = value.value else {
        throw FormatError(.damaged, "\(metadataKey) has a value that is not a string", found: value.key)
      }
      metadata.append((value.key, text))
    }
    return metadata
  }

  private static func entry(_ member: JSON.Member, dataCount: Int) throws(FormatError) -> Entry {
    guard let fields = member.value.members else { throw FormatError(.damaged, "the entry is not a JSON object") }
    for field in fields where !["dtype", "shape", "data_offsets"].contains(field.key) {
      throw FormatError(.damaged, "the entry has an unknown key", found: field.key)
    }
    guard let type = member.value["dtype"]?.stringValue else { throw FormatError(.damaged, "the entry has no dtype") }
    guard let elementType = ElementType(rawValue: type), elementType.isInSafetensors else {
      throw FormatError(.unsupported, "unknown dtype", found: type)
    }
    let shape = try shape(member.value["shape"])
    guard let offsets = member.value["data_offsets"]?.elements, offsets.count == 2,
      case .number(let first) = offsets[0], case .number(let second) = offsets[1], let start = Int(first),
      let end = Int(second), start >= 0, end >= start
    else { throw FormatError(.damaged, "data_offsets is not a pair of offsets in order") }
    guard let byteCount = checkedByteCount(shape, elementType) else {
      throw FormatError(.limit, "the shape is too large", found: shapeText(shape))
    }
    guard byteCount == end - start else {
      throw FormatError(
        .damaged, "data_offsets do not match shape and dtype", found: "\(end - start) bytes",
        expected: "\(byteCount) for \(elementType.rawValue) \(shapeText(shape))")
    }
    guard end <= dataCount else {
      throw FormatError(
        .damaged, "the data lies beyond the end of the file", found: "\(dataCount) bytes of data",
        expected: "at least \(end)", advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    return Entry(name: member.key, elementType: elementType, shape: shape, range: start..<end)
  }

  private static func shape(_ json: JSON?) throws(FormatError) -> [Int] {
    guard let dimensions = json?.elements else { throw FormatError(.damaged, "the entry has no shape") }
    var shape: [Int] = []
    for dimension in dimensions {
      guard case .number(let digits) = dimension, let value = Int(digits), value >= 0 else {
        throw FormatError(.damaged, "a dimension is not a whole number")
      }
      shape.append(value)
    }
    return shape
  }

  /// The sorted entries must cover the data without gap or overlap.
  private func checkCover(dataCount: Int) throws(FormatError) {
    var end = 0
    for entry in entries {
      guard entry.range.lowerBound == end else {
        throw FormatError(
          .damaged,
          entry.range.lowerBound < end ? "the data overlaps that of another tensor" : "there is a gap before the data",
          tensor: entry.name, found: "offset \(entry.range.lowerBound)", expected: "\(end)")
      }
      end = entry.range.upperBound
    }
    guard end == dataCount else {
      throw FormatError(
        .damaged, "the file does not end with the last tensor", found: "\(dataCount) bytes of data",
        expected: "\(end)")
    }
  }
}

// MARK: Encoding

extension SafetensorsHeader {
  /// The bytes of a header with these entries and metadata, padded with spaces so that the data starts on a multiple
  /// of `alignment`.
  public static func encoded(
    _ entries: [Entry], metadata: [(key: String, value: String)], alignment: Int
  ) -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      members.append(.init(metadataKey, .object(metadata.map { .init($0.key, .string($0.value)) })))
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
    let text = Array(JSON.object(members).text().utf8)
    let total = (lengthSize + text.count + alignment - 1) / alignment * alignment
    var header: [UInt8] = []
    header.reserveCapacity(total)
    header += [UInt8](littleEndian: UInt64(total - lengthSize))
    header += text
    header.append(contentsOf: repeatElement(0x20, count: total - header.count))
    return header
  }
}

extension ElementType {
  /// Whether the safetensors format has this type.
  public var isInSafetensors: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool, .f8e4m3, .f8e5m2, .f8e8m0, .c64:
      true
    default: false
    }
  }

  /// Sizes of elements, largest first: tensors in this order are aligned without gaps.
  package static let descendingSizes = [16, 8, 4, 2, 1]
}
