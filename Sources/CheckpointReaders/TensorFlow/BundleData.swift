import CheckpointFormats
import TensorIO

/// The location of a tensor of a bundle, or of a slice of one.
struct BundlePart: Sendable {
  var shard: Int
  var offset: Int
  var size: Int
  /// CRC32C of the bytes as stored, unmasked.
  var checksum: UInt32
  /// First index in each dimension; empty when the part is the whole tensor.
  var start: [Int]
  var shape: [Int]
}

/// The data files of a bundle. All bytes are checked against their checksums before they are lent.
struct BundleData: Sendable {
  let prefix: String
  /// The mapped shards; `nil` for one that is missing.
  let shards: [Bytes?]
  let isBigEndian: Bool

  /// The bytes of a part as stored, not yet checked.
  private func stored(_ part: BundlePart, tensor: String) throws(FormatError) -> Bytes {
    guard let shard = shards[part.shard] else {
      throw FormatError(
        .unreadable, "the data file is missing", file: BundleFiles.shard(prefix, part.shard, of: shards.count),
        tensor: tensor,
        advice: "A checkpoint consists of the .index file and all .data files: put them into one folder.")
    }
    guard let bytes = shard.slice(part.offset, part.size) else {
      throw FormatError(
        .damaged, "the data lies beyond the end of its file", file: shard.file, tensor: tensor,
        found: "a file of \(shard.count) bytes", expected: "at least \(part.offset + part.size)",
        advice: "The data file was not copied or downloaded whole: fetch it again.")
    }
    return bytes
  }

  private func mismatch(_ bytes: Bytes, _ part: BundlePart, found: UInt32, tensor: String) -> FormatError {
    FormatError(
      .damaged, "the data is damaged: its checksum is wrong", file: bytes.file, offset: UInt64(part.offset),
      tensor: tensor,
      found: hexadecimal(found, digits: 8), expected: hexadecimal(part.checksum, digits: 8),
      advice: "Fetch the data file again.")
  }

  private func checked(_ part: BundlePart, tensor: String) throws(FormatError) -> Bytes {
    let bytes = try stored(part, tensor: tensor)
    let actual = bytes.crc32c()
    try bytes.checkIntact()
    guard actual == part.checksum else { throw mismatch(bytes, part, found: actual, tensor: tensor) }
    return bytes
  }

  private func refuseUnsized(_ tensor: TensorInfo) throws(FormatError) -> Int {
    guard let size = tensor.elementType.size else {
      throw FormatError(
        .unsupported, "the tensor has no numeric values", tensor: tensor.name, found: tensor.elementType.rawValue,
        advice: "Strings, variants and resources can be listed, but not converted.")
    }
    return size
  }

  func withBytes<R>(_ parts: [BundlePart], _ tensor: TensorInfo, _ body: (RawSpan) throws -> R) throws -> R {
    _ = try refuseUnsized(tensor)
    let swaps = isBigEndian && (tensor.elementType.swapUnit ?? 1) > 1
    if parts.count == 1, let part = parts.first, part.start.isEmpty, !swaps {
      let bytes = try checked(part, tensor: tensor.name)
      let result = try bytes.withSpan { try body($0) }
      try bytes.checkIntact()
      bytes.releasePages()
      return result
    }
    let whole = try assemble(parts, tensor)
    return try whole.withSpan { try body($0) }
  }

  func stream(_ parts: [BundlePart], _ tensor: TensorInfo, _ body: (RawSpan) throws -> Void) throws {
    _ = try refuseUnsized(tensor)
    guard parts.count == 1, let part = parts.first, part.start.isEmpty,
      !isBigEndian || tensor.elementType.swapUnit == 1
    else { return try withBytes(parts, tensor, body) }
    let bytes = try stored(part, tensor: tensor.name)
    var crc = CRC32C()
    try bytes.forEachChunk { chunk in
      try chunk.withSpan { span in
        crc.update(span)
        try body(span)
      }
    }
    guard crc.value == part.checksum else { throw mismatch(bytes, part, found: crc.value, tensor: tensor.name) }
  }

  /// The contiguous little-endian tensor: swapped if the bundle is big-endian, joined if it was partitioned.
  private func assemble(_ parts: [BundlePart], _ tensor: TensorInfo) throws(FormatError) -> Bytes {
    let size = try refuseUnsized(tensor)
    let unit = tensor.elementType.swapUnit ?? 1
    var sources: [Bytes] = []
    for part in parts {
      let bytes = try checked(part, tensor: tensor.name)
      if isBigEndian, unit > 1 {
        sources.append(
          Bytes(
            count: bytes.count, file: bytes.file,
            initializingWith: { target in
              bytes.withSpan { Layout.swapBytes($0, into: &target, unit: unit) }
            }))
      } else {
        sources.append(bytes)
      }
    }
    if parts.count == 1, parts[0].start.isEmpty, let only = sources.first { return only }
    return Bytes(count: tensor.byteCount, file: nil) { target in
      for (part, source) in zip(parts, sources) {
        source.withSpan { copySlice($0, part, of: tensor.shape, elementSize: size, into: &target) }
      }
    }
  }

  /// The strings of a tensor (tensor_bundle.cc, ReadStringTensor):
  ///
  ///     | lengths: a varint each | masked CRC32C of the lengths | the strings' bytes |
  ///
  /// The checksum of the lengths covers each as a 4-byte number (8 bytes where it does not fit), not as the varint that is
  /// stored; the entry's own goes on from there over the stored checksum and the bytes.
  func strings(_ part: BundlePart, count: Int, tensor: String) throws(FormatError) -> [[UInt8]] {
    if count == 0 { return [] }
    let bytes = try stored(part, tensor: tensor)
    var cursor = ByteCursor(bytes)
    do throws(FormatError) {
      var crc = CRC32C()
      var lengths: [Int] = []
      var total = 0
      for _ in 0..<count {
        let length = try cursor.varintSize("a string's length")
        guard length <= bytes.count - total else { throw cursor.error(.damaged, "a string is longer than the data") }
        total += length
        lengths.append(length)
        let isLong = length > Int(UInt32.max)
        let little = isLong ? [UInt8](littleEndian: UInt64(length)) : [UInt8](littleEndian: UInt32(length))
        crc.update(isBigEndian ? little.reversed() : little)
      }
      let sum = try cursor.take(4, "the checksum of the lengths")
      let raw =
        isBigEndian
        ? sum.withSpan { $0.littleEndian(UInt32.self, at: 0).byteSwapped }
        : sum.withSpan { $0.littleEndian(UInt32.self, at: 0) }
      guard CRC32C.unmask(raw) == crc.value else {
        throw FormatError(
          .damaged, "the lengths of the strings are damaged: their checksum is wrong", file: bytes.file,
          offset: UInt64(part.offset), found: hexadecimal(crc.value, digits: 8),
          expected: hexadecimal(CRC32C.unmask(raw), digits: 8), advice: "Fetch the data file again.")
      }
      sum.withSpan { crc.update($0) }
      var result: [[UInt8]] = []
      for length in lengths {
        let text = try cursor.take(length, "a string")
        text.withSpan { crc.update($0) }
        result.append(text.array())
      }
      guard cursor.isAtEnd else {
        throw cursor.error(.damaged, "there are bytes after the last string", found: "\(cursor.remaining)")
      }
      try bytes.checkIntact()
      guard crc.value == part.checksum else { throw mismatch(bytes, part, found: crc.value, tensor: tensor) }
      return result
    } catch {
      throw error.inTensor(tensor)
    }
  }
}

/// Copies a contiguous slice into the whole tensor, a run of the innermost dimensions at a time.
func copySlice(
  _ source: RawSpan, _ part: some TensorRegion, of shape: [Int], elementSize: Int, into target: inout MutableRawSpan
) {
  guard !source.isEmpty else { return }
  // The run: the trailing dimensions that the slice has whole, and the one before them.
  var axis = shape.count
  var run = elementSize
  while axis > 0, part.start[axis - 1] == 0, part.shape[axis - 1] == shape[axis - 1] {
    axis -= 1
    run *= shape[axis]
  }
  if axis > 0 {
    axis -= 1
    run *= part.shape[axis]
  }
  let strides = Strides.rowMajor(shape).map { $0 * elementSize }
  var base = 0
  for index in shape.indices { base += part.start[index] * strides[index] }
  var counter = [Int](repeating: 0, count: axis)
  var from = 0
  while from < source.byteCount {
    var to = base
    for index in 0..<axis { to += counter[index] * strides[index] }
    target.copy(source.extracting(from..<(from + run)), to: to)
    from += run
    var index = axis - 1
    while index >= 0 {
      counter[index] += 1
      if counter[index] < part.shape[index] { break }
      counter[index] = 0
      index -= 1
    }
  }
}
