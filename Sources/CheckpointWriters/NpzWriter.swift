import TensorIO

/// Writes an `.npz` archive as `numpy.savez` does: stored entries `NAME.npy`, each an npy header of version 1 and the
/// data (numpy/lib/format.py):
///
///     | 93 'NUMPY' 1 0 | length: 2 bytes | {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } … \n | data |
///
/// The headers are padded so that the data within the entry starts on 64 bytes, and the entries so that it does in the
/// file. Metadata has no place in the format and is left out.
public final class NpzWriter: TensorSink {
  private let file: AtomicFile
  private let path: String
  private var layout: ZipLayout
  private var headers: [[UInt8]] = []
  private var checksums: [CRC32] = []
  private var progress = SinkProgress([], file: "")

  public convenience init(path: String, overwrites: Bool) throws(FormatError) {
    try self.init(path: path, overwrites: overwrites, alwaysZip64: false)
  }

  /// `alwaysZip64` is for tests, which cannot write four gigabytes to see the 64-bit forms.
  package init(path: String, overwrites: Bool, alwaysZip64: Bool) throws(FormatError) {
    self.path = path
    layout = ZipLayout(alwaysZip64: alwaysZip64)
    file = try AtomicFile(path, overwrites: overwrites)
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    try SinkProgress.check(tensors, file: path)
    for tensor in tensors {
      let header = try Self.header(tensor, file: path)
      try layout.add(tensor.name + ".npy", size: header.count + tensor.byteCount, alignment: 64)
      var checksum = CRC32()
      checksum.update(header)
      checksums.append(checksum)
      headers.append(header)
    }
    progress = SinkProgress(tensors, file: path)
    try file.reserve(layout.dataEnd)
    for (index, entry) in layout.entries.enumerated() { try file.write(headers[index], at: entry.dataOffset) }
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    checksums[index].update(bytes)
    try file.write(bytes, at: layout.entries[index].dataOffset + headers[index].count + offset)
  }

  public func finish() throws {
    try progress.checkComplete()
    for index in layout.entries.indices {
      layout.setChecksum(checksums[index].value, ofEntryAt: index)
      try file.write(layout.localHeader(index), at: layout.entries[index].headerOffset)
    }
    try file.write(layout.directory(), at: layout.dataEnd)
    try file.commit()
  }

  public func cancel() { file.cancel() }

  /// The npy header of a tensor, its length a multiple of 64.
  static func header(_ tensor: TensorInfo, file: String) throws(FormatError) -> [UInt8] {
    guard let descr = descr(tensor.elementType) else {
      throw FormatError(
        "NumPy has no such type", file: file, tensor: tensor.name, found: tensor.elementType.rawValue,
        advice: "Write a safetensors file instead.")
    }
    let dimensions = tensor.shape.map(String.init).joined(separator: ", ")
    let shape = tensor.shape.count == 1 ? "(\(dimensions),)" : "(\(dimensions))"
    var text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    let total = (10 + text.count + 1 + 63) / 64 * 64
    text += [UInt8](repeating: 0x20, count: total - 10 - text.count - 1) + [0x0A]
    guard let length = UInt16(exactly: text.count) else {
      throw FormatError("the tensor has too many dimensions", file: file, tensor: tensor.name)
    }
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + little(length) + text
  }

  private static func descr(_ type: ElementType) -> String? {
    switch type {
    case .f64: "<f8"
    case .f32: "<f4"
    case .f16: "<f2"
    // NumPy has no bfloat16; this is what an array of ml_dtypes' becomes.
    case .bf16: "<V2"
    case .i64: "<i8"
    case .i32, .quantizedI32: "<i4"
    case .i16, .quantizedI16: "<i2"
    case .i8, .quantizedI8, .i4, .i2: "|i1"
    case .u64: "<u8"
    case .u32: "<u4"
    case .u16, .quantizedU16: "<u2"
    case .u8, .quantizedU8, .u4, .u2: "|u1"
    case .bool: "|b1"
    case .c64: "<c8"
    case .c128: "<c16"
    default: nil
    }
  }
}
