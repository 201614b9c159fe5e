import CSnappy
import TensorIO

/// Writes a sorted table of key and value (LevelDB's format, tsl/lib/io/table_builder.cc):
///
///     | data block … | metaindex block | index block | footer: 48 bytes |
///     block  = | entries | restart offsets: 4 each | their number: 4 | type: 1 | masked CRC32C: 4 |
///     entry  = | shared: varint | unshared: varint | value length: varint | key's unshared bytes | value |
///     footer = | metaindex handle | index handle | zeros up to 40 bytes | magic 0xdb4775248b80fb57 |
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
    index.add(lastKey, handle(write(block.finish())))
    block = BlockBuilder(restartInterval: 16)
  }

  private func handle(_ place: (offset: Int, size: Int)) -> [UInt8] {
    Protobuf.varint(UInt64(place.offset)) + Protobuf.varint(UInt64(place.size))
  }

  private mutating func write(_ raw: [UInt8]) -> (offset: Int, size: Int) {
    let packed = compresses ? Self.snappy(raw) : nil
    let content = packed ?? raw
    let place = (offset: bytes.count, size: content.count)
    let typed = content + [packed == nil ? 0 : 1]
    bytes += typed
    bytes += little(CRC32C.mask(CRC32C.checksum(typed)))
    return place
  }

  package mutating func finish() -> [UInt8] {
    flush()
    let metaindex = handle(write(BlockBuilder(restartInterval: 16).finish()))
    let index = handle(write(index.finish()))
    let handles = metaindex + index
    bytes += handles + [UInt8](repeating: 0, count: 40 - handles.count) + little(UInt64(0xdb47_7524_8b80_fb57))
    return bytes
  }

  private static func snappy(_ raw: [UInt8]) -> [UInt8]? {
    var packed = [UInt8](repeating: 0, count: snappy_max_compressed_length(raw.count))
    var length = packed.count
    // Memory safety: the array has the room that snappy says it may need for so many bytes.
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

/// One block of a table: keys share what they have in common with the key before, but for one in `restartInterval`.
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
    bytes += Protobuf.varint(UInt64(shared)) + Protobuf.varint(UInt64(key.count - shared))
    bytes += Protobuf.varint(UInt64(value.count)) + key[shared...] + value
    last = key
    sinceRestart += 1
  }

  func finish() -> [UInt8] { bytes + restarts.flatMap { little($0) } + little(UInt32(restarts.count)) }
}
