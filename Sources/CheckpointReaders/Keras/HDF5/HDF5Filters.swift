import TensorIO

/// The filters that the chunks of a dataset pass before they are stored: | version | count | each: id, flags, parameters |.
struct HDF5Filters {
  enum Filter {
    case deflate
    case shuffle(size: Int)
    case fletcher32
  }

  let filters: [Filter]

  init() { filters = [] }

  init(_ message: HDF5Cursor) throws(FormatError) {
    var cursor = message
    let version = try cursor.byte("filters")
    let count = Int(try cursor.byte("the number of filters"))
    guard version == 1 || version == 2, count <= 32 else {
      throw cursor.error(
        .unsupported, "the list of filters has an unknown version", found: "\(version)", expected: "1 or 2")
    }
    if version == 1 { try cursor.skip(6) }
    var filters: [Filter] = []
    for _ in 0..<count {
      let id = try cursor.size(2, "a filter")
      let nameSize = version == 1 || id >= 256 ? try cursor.size(2, "a filter's name") : 0
      try cursor.skip(2)
      let parameters = try cursor.size(2, "a filter's parameters")
      let start = cursor.position
      try cursor.skip(nameSize)
      if version == 1 { try cursor.alignTo8(from: start) }
      var values: [Int] = []
      for _ in 0..<parameters { values.append(try cursor.size(4, "a filter's parameter")) }
      if version == 1, parameters % 2 == 1 { try cursor.skip(4) }
      switch id {
      case 1: filters.append(.deflate)
      case 2: filters.append(.shuffle(size: max(values.first ?? 1, 1)))
      case 3: filters.append(.fletcher32)
      default:
        let names = [
          4: "szip", 5: "nbit", 6: "scale-offset", 307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4",
          32015: "zstd",
        ]
        throw cursor.error(
          .unsupported, "the data is stored through an unsupported filter", found: names[id] ?? "filter \(id)",
          expected: "gzip, shuffle or fletcher32", advice: "Write it again with compression='gzip': h5repack -f GZIP=4."
        )
      }
    }
    self.filters = filters
  }

  /// The unfiltered bytes of a chunk, `size` of them; the bits of `mask` are the filters that were left out.
  func decode(_ stored: Bytes, mask: UInt32, size: Int) throws(FormatError) -> Bytes {
    var sizes: [Int] = []
    var length = size
    for (index, filter) in filters.enumerated() {
      sizes.append(length)
      if case .fletcher32 = filter, mask >> UInt32(index) & 1 == 0 { length += 4 }
    }
    var data = stored
    for (index, filter) in filters.enumerated().reversed() where mask >> UInt32(index) & 1 == 0 {
      switch filter {
      case .deflate: data = try Deflate.unpack(data, size: sizes[index], what: "a chunk", isWrapped: true)
      case .shuffle(let size): data = Self.unshuffle(data, size)
      case .fletcher32: data = try Self.checked(data)
      }
    }
    guard data.count == size else {
      throw FormatError(
        .damaged, "a chunk has the wrong size", file: stored.file, offset: stored.offsetInFile,
        found: "\(data.count) bytes",
        expected: "\(size)")
    }
    return data
  }

  /// First bytes of all elements, then second bytes, and so on; what is left over stays at the end.
  private static func unshuffle(_ data: Bytes, _ size: Int) -> Bytes {
    let count = data.count / size
    guard size > 1, count > 1 else { return data }
    let whole = Bytes(
      count: count * size, file: data.file,
      initializingWith: { target in
        data.withSpan {
          Layout.transpose(
            $0.extracting(0..<(count * size)), into: &target, rows: size, columns: count, elementSize: 1)
        }
      })
    guard let rest = data.suffix(from: count * size), !rest.isEmpty else { return whole }
    return Bytes(
      count: data.count, file: data.file,
      initializingWith: { target in
        whole.withSpan { target.copy($0, to: 0) }
        rest.withSpan { target.copy($0, to: count * size) }
      })
  }

  /// Without the checksum in the last four bytes (H5_checksum_fletcher32): of big-endian words of 16 bits.
  private static func checked(_ data: Bytes) throws(FormatError) -> Bytes {
    guard let body = data.slice(0, data.count - 4), let tail = data.suffix(from: data.count - 4) else {
      throw FormatError(.damaged, "a chunk is cut short", file: data.file, offset: data.offsetInFile)
    }
    let stored = tail.withSpan { $0.littleEndian(UInt32.self, at: 0) }
    let found = body.withSpan { span -> UInt32 in
      var (first, second) = (UInt32(0), UInt32(0))
      var offset = 0
      while offset < span.byteCount {
        // As many words as fit into the sums.
        let end = min(offset + 720, span.byteCount)
        while offset < end {
          let high = UInt32(span.byte(at: offset)) << 8
          first &+= offset + 1 < span.byteCount ? high | UInt32(span.byte(at: offset + 1)) : high
          second &+= first
          offset += 2
        }
        first = (first & 0xFFFF) &+ (first >> 16)
        second = (second & 0xFFFF) &+ (second >> 16)
      }
      first = (first & 0xFFFF) &+ (first >> 16)
      second = (second & 0xFFFF) &+ (second >> 16)
      return second << 16 | first
    }
    guard ParsedChecksum.isRight(found, stored) else {
      throw FormatError(
        .damaged, "a chunk is damaged: its checksum is wrong", file: data.file, offset: data.offsetInFile,
        found: hexadecimal(found, digits: 8), expected: hexadecimal(stored, digits: 8), advice: "Fetch the file again.")
    }
    return body
  }
}
