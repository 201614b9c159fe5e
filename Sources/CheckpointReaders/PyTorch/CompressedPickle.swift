import TensorIO

/// A pickle that is compressed with zlib or gzip, as `joblib.dump(…, compress=…)` and `gzip.open` write it.
public struct CompressedPickleFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool {
    guard Self.isZlib(file) || Self.isGzip(file) else { return false }
    // A pickle of protocol 2 or later. What else is compressed so is named, and not unpacked.
    let head = Deflate.beginning(file, count: 2)
    return head.count == 2 && head[0] == 0x80 && (2...5).contains(head[1])
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) {
      let whole = try Deflate.unpackStream(file, what: "the compressed pickle")
      return try TorchLegacy.open(whole, storedSize: file.count, path: path)
    } catch {
      throw error.inFile(path)
    }
  }

  static func isGzip(_ file: Bytes) -> Bool { file.slice(0, 2)?.array() == [0x1F, 0x8B] }

  /// Whether a file begins like zlib's format: deflate with a window of 32 KiB, and a check of the two bytes.
  static func isZlib(_ file: Bytes) -> Bool {
    guard let head = file.slice(0, 2)?.array(), head[0] == 0x78 else { return false }
    return (Int(head[0]) << 8 + Int(head[1])) % 31 == 0
  }
}
