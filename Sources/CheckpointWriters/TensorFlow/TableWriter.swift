import CSnappy
import CheckpointFormats
import TensorIO

/// Writes a sorted table of keys and values (tsl/lib/io/table_builder.cc); ``TableFormat`` has the layout.
package struct TableWriter {
  private(set) var bytes: [UInt8] = []
  private let compresses: Bool
  private let blockSize: Int
  private var block = BlockBuilder(restartInterval: 16)
  // Index entries are whole keys, as in LevelDB: they are searched, not scanned.
  private var index = BlockBuilder(restartInterval: 1)
  private var lastKey: [UInt8] = []

  package init(compresses: Bool = false, blockSize: Int = 256 << 10) {
    self.compresses = compresses
    self.blockSize = blockSize
  }

  /// Adds an entry; keys must come in ascending order.
  package mutating func add(_ key: [UInt8], _ value: [UInt8]) {
    block.add(key, value)
    lastKey = key
    if block.size >= blockSize { flush() }
  }

  private mutating func flush() {
    guard !block.isEmpty else { return }
    index.add(lastKey, write(block.finish()).encoded)
    block = BlockBuilder(restartInterval: 16)
  }

  private mutating func write(_ raw: [UInt8]) -> BlockHandle {
    let packed = compresses ? Self.snappy(raw) : nil
    let content = packed ?? raw
    let handle = BlockHandle(offset: bytes.count, size: content.count)
    bytes += content + BlockTrailer(content, packed == nil ? .uncompressed : .snappy).encoded
    return handle
  }

  package mutating func finish() -> [UInt8] {
    flush()
    let metaindex = write(BlockBuilder(restartInterval: 16).finish())
    bytes += TableFooter(metaindex: metaindex, index: write(index.finish())).encoded
    return bytes
  }

  private static func snappy(_ raw: [UInt8]) -> [UInt8]? {
    var packed = [UInt8](repeating: 0, count: snappy_max_compressed_length(raw.count))
    var length = packed.count
    // Memory safety: the array has as many bytes as snappy may need.
    let status = unsafe raw.withUnsafeBytes { from in
      unsafe packed.withUnsafeMutableBytes { to in
        unsafe snappy_compress(
          from.baseAddress?.assumingMemoryBound(to: CChar.self), from.count,
          to.baseAddress?.assumingMemoryBound(to: CChar.self), &length)
      }
    }
    return status == SNAPPY_OK ? Array(packed[..<length]) : nil
  }
}

/// One block of a table: each key is stored without the prefix that it shares with the key before, except one in
/// `restartInterval`.
private struct BlockBuilder {
  private var bytes: [UInt8] = []
  private var restarts: [UInt32] = [0]
  private var sinceRestart = 0
  private var last: [UInt8] = []
  private let restartInterval: Int

  init(restartInterval: Int) { self.restartInterval = restartInterval }

  var isEmpty: Bool { bytes.isEmpty }
  var size: Int { bytes.count + restarts.count * 4 + 4 }

  mutating func add(_ key: [UInt8], _ value: [UInt8]) {
    var shared = 0
    if sinceRestart < restartInterval {
      while shared < min(last.count, key.count), last[shared] == key[shared] { shared += 1 }
    } else {
      restarts.append(UInt32(bytes.count))
      sinceRestart = 0
    }
    bytes += BlockEntryHead(shared: shared, unshared: key.count - shared, valueLength: value.count).encoded
    bytes += key[shared...] + value
    last = key
    sinceRestart += 1
  }

  func finish() -> [UInt8] {
    bytes + restarts.flatMap { [UInt8](littleEndian: $0) } + [UInt8](littleEndian: UInt32(restarts.count))
  }
}
