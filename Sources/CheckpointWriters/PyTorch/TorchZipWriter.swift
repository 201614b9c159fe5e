import CheckpointFormats
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
/// reads it.
public final class TorchZipWriter: TensorSink {
  private static let folder = "archive/"
  private static let alignment = 64

  private let file: AtomicFile
  private let path: String
  private var layout = ZipLayout()
  private var checksums: [CRC32] = []
  /// The content of the entries that are not tensors; `nil` for those of tensors. The last entry is not in it.
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
    try add(TorchArchive.pickle, try StatePickle(tensors, file: path).bytes)
    try add(".format_version", Array("1".utf8))
    try add(".storage_alignment", Array("\(Self.alignment)".utf8))
    try add(TorchArchive.byteOrder, Array(TorchArchive.littleEndian.utf8))
    firstEntry = contents.count
    for (index, tensor) in tensors.enumerated() {
      try layout.add(
        Self.folder + TorchArchive.storage("\(index)"), size: tensor.byteCount, alignment: Self.alignment)
      contents.append(nil)
      checksums.append(CRC32())
    }
    try add(TorchArchive.version, Array("3\n".utf8))
    try layout.add(
      Self.folder + TorchArchive.serializationID, size: 2 * FNV1a.digitCount, alignment: Self.alignment)
    progress = SinkProgress(tensors, file: path)
    try file.reserve(layout.dataEnd)
  }

  private func add(_ name: String, _ content: [UInt8]) throws(FormatError) {
    try layout.add(Self.folder + name, size: content.count, alignment: Self.alignment)
    contents.append(content)
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    let offset = try progress.advance(index, by: bytes.byteCount)
    checksums[index].update(bytes)
    try file.write(bytes, at: layout.entries[firstEntry + index].dataOffset + offset)
  }

  public func finish() throws {
    try progress.checkComplete()
    for (index, content) in contents.enumerated() {
      var checksum = CRC32()
      if let content {
        checksum.update(content)
        try file.write(content, at: layout.entries[index].dataOffset)
      } else {
        checksum = checksums[index - firstEntry]
      }
      layout.setChecksum(checksum.value, ofEntryAt: index)
    }
    try writeSerializationID()
    for index in layout.entries.indices {
      try file.write(layout.localHeader(index), at: layout.entries[index].headerOffset)
    }
    try file.write(layout.directory(), at: layout.dataEnd)
    try file.commit()
  }

  /// The content of the last entry: it follows from names and checksums of the others.
  private func writeSerializationID() throws {
    var names = FNV1a()
    var sums = FNV1a()
    for entry in layout.entries.dropLast() {
      names.add(entry.name)
      sums.add([UInt8](littleEndian: entry.checksum))
    }
    let id = names.digits + sums.digits
    var checksum = CRC32()
    checksum.update(id)
    let last = layout.entries.count - 1
    try file.write(id, at: layout.entries[last].dataOffset)
    layout.setChecksum(checksum.value, ofEntryAt: last)
  }

  public func cancel() { file.cancel() }
}

extension FNV1a {
  /// As many as the largest 64-bit number has.
  fileprivate static let digitCount = 20

  /// The hash in decimal with leading zeros, as torch writes a 64-bit number. An archive's identity needs to be its own, not
  /// secret.
  fileprivate var digits: [UInt8] {
    let text = Array(String(value).utf8)
    return [UInt8](repeating: UInt8(ascii: "0"), count: Self.digitCount - text.count) + text
  }
}
