import TensorIO

/// Writes what `torch.save(state_dict)` writes (torch/serialization.py, caffe2/serialize/inline_container.cc): a zip
/// archive of stored entries
///
///     archive/data.pkl                 OrderedDict of name → _rebuild_tensor_v2(storage, 0, shape, strides, …)
///     archive/.format_version          1
///     archive/.storage_alignment       64
///     archive/byteorder                little
///     archive/data/N                   the bytes of the tensor that was declared as number N
///     archive/version                  3
///     archive/.data/serialization_id   40 digits that follow from names and checksums
///
/// The data of every tensor starts on 64 bytes, so that torch can map it. `torch.load(…, weights_only=True, mmap=True)`
/// reads it. Metadata has no place in the format and is left out.
public final class TorchZipWriter: TensorSink {
  private let file: AtomicFile
  private let path: String
  private var layout = ZipLayout()
  private var checksums: [CRC32] = []
  /// The content of the entries that are no tensors; `nil` for those that are, and for the last.
  private var contents: [[UInt8]?] = []
  /// Of the first tensor.
  private var firstEntry = 0
  private var progress = SinkProgress([], file: "")

  public init(path: String, overwrites: Bool) throws(FormatError) {
    self.path = path
    file = try AtomicFile(path, overwrites: overwrites)
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: path)
    try add("data.pkl", try StatePickle.bytes(tensors, file: path))
    try add(".format_version", Array("1".utf8))
    try add(".storage_alignment", Array("64".utf8))
    try add("byteorder", Array("little".utf8))
    firstEntry = contents.count
    for (index, tensor) in tensors.enumerated() {
      try layout.add("archive/data/\(index)", size: tensor.byteCount, alignment: 64)
      contents.append(nil)
      checksums.append(CRC32())
    }
    try add("version", Array("3\n".utf8))
    try layout.add("archive/.data/serialization_id", size: 40, alignment: 64)
    progress = SinkProgress(tensors, file: path)
    try file.reserve(layout.dataEnd)
  }

  private func add(_ name: String, _ content: [UInt8]) throws(FormatError) {
    try layout.add("archive/" + name, size: content.count, alignment: 64)
    contents.append(content)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    checksums[index].update(bytes)
    try file.write(bytes, at: layout.entries[firstEntry + index].dataOffset + offset)
  }

  public func finish() throws {
    try progress.checkComplete()
    var names = FNV()
    var sums = FNV()
    for (index, content) in contents.enumerated() {
      var checksum = CRC32()
      if let content {
        checksum.update(content)
        try file.write(content, at: layout.entries[index].dataOffset)
      } else {
        checksum = checksums[index - firstEntry]
      }
      layout.setChecksum(checksum.value, ofEntryAt: index)
      names.add(layout.entries[index].name)
      sums.add(little(checksum.value))
    }
    let id = names.digits + sums.digits
    var checksum = CRC32()
    checksum.update(id)
    try file.write(id, at: layout.entries[contents.count].dataOffset)
    layout.setChecksum(checksum.value, ofEntryAt: contents.count)
    for index in layout.entries.indices {
      try file.write(layout.localHeader(index), at: layout.entries[index].headerOffset)
    }
    try file.write(layout.directory(), at: layout.dataEnd)
    try file.commit()
  }

  public func cancel() { file.cancel() }
}

/// The FNV-1a hash: the identity of an archive needs to be its own, not secret.
private struct FNV {
  private var state: UInt64 = 14_695_981_039_346_656_037

  mutating func add(_ bytes: [UInt8]) {
    for byte in bytes { state = (state ^ UInt64(byte)) &* 1_099_511_628_211 }
  }

  /// Twenty digits, as torch writes a 64-bit number.
  var digits: [UInt8] {
    let text = Array(String(state).utf8)
    return [UInt8](repeating: UInt8(ascii: "0"), count: 20 - text.count) + text
  }
}

/// The pickle of a state dict, in protocol 2 as torch writes it.
private enum StatePickle {
  static func bytes(_ tensors: [TensorInfo], file: String) throws(FormatError) -> [UInt8] {
    var out: [UInt8] = [0x80, 2]
    out += global("collections", "OrderedDict") + memo(0) + [UInt8(ascii: ")"), UInt8(ascii: "R")]
    // SETITEMS takes what lies above the mark.
    if !tensors.isEmpty { out.append(UInt8(ascii: "(")) }
    var storages: [String: Int] = [:]
    for (index, tensor) in tensors.enumerated() {
      guard let storage = storageType(tensor.elementType) else {
        throw FormatError(
          "torch has no such type", file: file, tensor: tensor.name, found: tensor.elementType.rawValue,
          advice: "Write a safetensors file instead.")
      }
      out += text(tensor.name)
      out += index == 0 ? global("torch._utils", "_rebuild_tensor_v2") + memo(1) : recall(1)
      // The persistent id: ('storage', type, key, location, number of elements).
      out += [UInt8(ascii: "("), UInt8(ascii: "(")]
      out += index == 0 ? text("storage") + memo(2) : recall(2)
      if let known = storages[storage] {
        out += recall(known)
      } else {
        let number = 4 + storages.count
        storages[storage] = number
        out += global("torch", storage) + memo(number)
      }
      out += text("\(index)") + (index == 0 ? text("cpu") + memo(3) : recall(3)) + number(tensor.elementCount)
      out += [UInt8(ascii: "t"), UInt8(ascii: "Q")]
      out += number(0) + tuple(tensor.shape) + tuple(strides(tensor.shape))
      // requires_grad, and no hooks.
      out.append(0x89)
      out += recall(0) + [UInt8(ascii: ")"), UInt8(ascii: "R"), UInt8(ascii: "t"), UInt8(ascii: "R")]
    }
    if !tensors.isEmpty { out.append(UInt8(ascii: "u")) }
    return out + [UInt8(ascii: ".")]
  }

  private static func global(_ module: String, _ name: String) -> [UInt8] {
    [UInt8(ascii: "c")] + Array("\(module)\n\(name)\n".utf8)
  }

  private static func memo(_ number: Int) -> [UInt8] { [UInt8(ascii: "q"), UInt8(number)] }
  private static func recall(_ number: Int) -> [UInt8] { [UInt8(ascii: "h"), UInt8(number)] }

  private static func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X")] + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }

  private static func number(_ value: Int) -> [UInt8] {
    if let byte = UInt8(exactly: value) { return [UInt8(ascii: "K"), byte] }
    if let short = UInt16(exactly: value) { return [UInt8(ascii: "M")] + little(short) }
    if let int = Int32(exactly: value) { return [UInt8(ascii: "J")] + little(int) }
    return [0x8A, 8] + little(Int64(value))
  }

  private static func tuple(_ values: [Int]) -> [UInt8] {
    let items = values.flatMap(number)
    switch values.count {
    case 0: return [UInt8(ascii: ")")]
    case 1: return items + [0x85]
    case 2: return items + [0x86]
    case 3: return items + [0x87]
    default: return [UInt8(ascii: "(")] + items + [UInt8(ascii: "t")]
    }
  }

  /// Those of a contiguous tensor; a dimension of nothing counts as one, as in torch.
  private static func strides(_ shape: [Int]) -> [Int] {
    var result: [Int] = []
    var step = 1
    for dimension in shape.reversed() {
      result.append(step)
      step = step.multipliedReportingOverflow(by: max(dimension, 1)).partialValue
    }
    return result.reversed()
  }

  private static func storageType(_ type: ElementType) -> String? {
    switch type {
    case .f64: "DoubleStorage"
    case .f32: "FloatStorage"
    case .f16: "HalfStorage"
    case .bf16: "BFloat16Storage"
    case .i64: "LongStorage"
    case .i32: "IntStorage"
    case .i16: "ShortStorage"
    case .i8: "CharStorage"
    case .u8: "ByteStorage"
    case .bool: "BoolStorage"
    case .c64: "ComplexFloatStorage"
    case .c128: "ComplexDoubleStorage"
    default: nil
    }
  }
}
