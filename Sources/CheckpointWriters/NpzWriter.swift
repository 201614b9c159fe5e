import CheckpointFormats
import TensorIO

/// Writes an `.npz` archive as `numpy.savez` does: stored entries `NAME.npy`, each an `NpyHeader` of version 1 and the
/// data.
///
/// The headers are padded so that the data within the entry starts on 64 bytes, and the entries so that it does in the
/// file.
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
      let header = try NpyHeader.encoded(tensor, file: path)
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
}
