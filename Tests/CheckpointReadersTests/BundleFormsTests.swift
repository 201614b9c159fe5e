import CheckpointReaders
import CheckpointWriters
import TensorIO
import TestSupport
import Testing

/// A way to store the same tensors.
enum BundleForm: String, CaseIterable, CustomTestStringConvertible {
  case plain, bigEndian, snappy, smallBlocks, partitioned, everything
  var testDescription: String { rawValue }

  var options: TensorFlowBundleWriter.Options {
    var options = TensorFlowBundleWriter.Options()
    if self == .bigEndian || self == .everything { options.isBigEndian = true }
    if self == .snappy || self == .everything { options.compressesIndex = true }
    if self == .smallBlocks || self == .everything { options.blockSize = 64 }
    if self == .partitioned || self == .everything { options.partitions = ["b/f32": 3, "b/f64": 2] }
    return options
  }
}

@Suite("Forms of TensorFlow bundles")
struct BundleFormsTests {
  /// Whatever the form, the values are the same.
  @Test(arguments: BundleForm.allCases)
  func readTheSame(_ form: BundleForm) throws {
    let folder = TemporaryFolder()
    let types: [ElementType] = [
      .f32, .f64, .f16, .bf16, .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool, .c64, .c128,
    ]
    var tensors = types.compactMap {
      TensorInfo(name: "b/\($0.rawValue.lowercased())", elementType: $0, shape: [7, 5])
    }
    tensors += [
      TensorInfo(name: "scalar", elementType: .f32, shape: []),
      TensorInfo(name: "none", elementType: .f32, shape: [0, 3]),
    ]
    .compactMap(\.self)
    let writer = try TensorFlowBundleWriter(prefix: folder.file("m"), overwrites: false, options: form.options)
    try writer.begin(tensors)
    for (index, tensor) in tensors.enumerated() {
      let values = (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ index) }
      try writer.append(unsafe values.span.bytes, toTensorAt: index)
    }
    try writer.finish()
    let source = try CheckpointOpener().open(folder.file("m")).source
    #expect(source.tensors.count == tensors.count)
    for (index, tensor) in tensors.enumerated() {
      let found = try #require(source.index(ofTensor: tensor.name))
      #expect(source.tensors[found].shape == tensor.shape)
      let expected = (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ index) }
      var streamed: [UInt8] = []
      try source.streamBytes(ofTensorAt: found) { streamed += $0.array() }
      #expect(streamed == expected, "\(tensor.name)")
      #expect(try source.withBytes(ofTensorAt: found) { $0.array() } == expected, "\(tensor.name)")
    }
    if form == .bigEndian { #expect(source.metadata.contains { $0.key == "byte order" }) }
  }
}

/// An index whose content is wrong although every checksum is right: what a hostile writer makes.
@Suite("Indexes that lie")
struct LyingIndexTests {
  private static let header = TestMessage().number(1, 1).message(3, TestMessage().number(1, 1)).bytes

  private func problem(_ entries: [(String, [UInt8])], header: [UInt8] = header) throws -> String {
    let folder = TemporaryFolder()
    var table = TableWriter()
    table.add([], header)
    for entry in entries { table.add(Array(entry.0.utf8), entry.1) }
    _ = try folder.write(table.finish(), "m.index")
    _ = try folder.write([UInt8](repeating: 0, count: 64), "m.data-00000-of-00001")
    let error = #expect(throws: FormatError.self) {
      let source = try CheckpointOpener().open(folder.file("m")).source
      for index in source.tensors.indices {
        if source.tensors[index].elementType == .string {
          _ = try source.strings(ofTensorAt: index)
        } else {
          try source.withBytes(ofTensorAt: index) { _ in }
        }
      }
    }
    return error?.description ?? ""
  }

  @Test func sizesAndPlaces() throws {
    func one(_ entry: TestMessage) throws -> String { try problem([("a", entry.bytes)]) }
    #expect(try one(.entry(shape: [4], offset: 0, size: 12)).contains("does not fit shape"))
    #expect(try one(.entry(shape: [1 << 62, 8], offset: 0, size: 16)).contains("too large"))
    #expect(try one(.entry(shape: [1 << 61], offset: 0, size: 16)).contains("does not fit shape"))
    #expect(try one(.entry(shape: [-4], offset: 0, size: 16)).contains("negative"))
    #expect(try one(.entry(shape: [4], offset: 60, size: 16)).contains("beyond the end"))
    #expect(try one(.entry(shape: [4], offset: .max, size: 16)).contains("impossible"))
    #expect(try one(.entry(shape: [4], offset: -4, size: 16)).contains("impossible"))
    #expect(try one(.entry(shape: [4], shard: 1, offset: 0, size: 16)).contains("shard does not exist"))
    #expect(try one(.entry(type: 99, shape: [4], offset: 0, size: 16)).contains("unknown"))
    #expect(try one(.entry(type: 7, shape: [1 << 40], offset: 0, size: 64)).contains("more strings"))
    #expect(try one(.entry(type: 21, shape: [], offset: 0, size: 16)).contains("VARIANT"))
    #expect(try one(.entry(shape: [4], offset: 0, size: 16, data: [1])).contains("checksum"))
    #expect(try one(TestMessage(bytes: [0xFF, 0xFF])).contains("protocol buffer"))
  }

  @Test func overlaps() throws {
    let zeros = [UInt8](repeating: 0, count: 16)
    let a = TestMessage.entry(shape: [4], offset: 0, size: 16, data: zeros)
    let b = TestMessage.entry(shape: [4], offset: 8, size: 16, data: zeros)
    #expect(try problem([("a", a.bytes), ("b", b.bytes)]).contains("overlaps"))
  }

  @Test func slices() throws {
    func tensor(_ slices: [[(Int64, Int64?)]]) -> TestMessage {
      slices.reduce(TestMessage().number(1, 1).message(2, .shape([4, 2]))) { $0.message(7, .slice($1)) }
    }
    #expect(try problem([("a", tensor([[(0, 2), (0, nil)]]).bytes)]).contains("not in the index"))
    #expect(try problem([("a", tensor([[(-1, 2), (0, nil)]]).bytes)]).contains("negative"))
  }

  @Test func headers() throws {
    #expect(try problem([], header: TestMessage().number(1, 0).bytes).contains("shards"))
    #expect(try problem([], header: TestMessage().number(1, 1 << 40).bytes).contains("shards"))
    #expect(try problem([], header: TestMessage().number(1, 1).number(2, 7).bytes).contains("byte order"))
    #expect(
      try problem([], header: TestMessage().number(1, 1).message(3, TestMessage().number(1, 9).number(2, 9)).bytes)
        .contains(
          "newer"))
  }

  @Test func keysOutOfOrder() throws {
    let entry = TestMessage.entry(shape: [0], offset: 0, size: 0).bytes
    #expect(try problem([("b", entry), ("a", entry)]).contains("not in order"))
    #expect(try problem([("a", entry), ("a", entry)]).contains("not in order"))
  }

  /// A block of a few bytes that declares two gigabytes.
  @Test func aSnappyBomb() throws {
    let folder = TemporaryFolder()
    func little(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    var file: [UInt8] = []
    func block(_ content: [UInt8], _ type: UInt8) -> [UInt8] {
      let place = TestMessage.varint(UInt64(file.count)) + TestMessage.varint(UInt64(content.count))
      file += content + [type] + little(UInt64(CRC32C.mask(CRC32C.checksum(content + [type]))), 4)
      return place
    }
    let empty = little(0, 4) + little(1, 4)
    let bomb = block(TestMessage.varint(2_000_000_000) + [0, 0], 1)
    let metaindex = block(empty, 0)
    let index = block([0, 1, UInt8(bomb.count), 0x7A] + bomb + little(0, 4) + little(1, 4), 0)
    let handles = metaindex + index
    file += handles + [UInt8](repeating: 0, count: 40 - handles.count) + little(0xdb47_7524_8b80_fb57, 8)
    let path = try folder.write(file, "m.index")
    let error = #expect(throws: FormatError.self) { try CheckpointOpener().open(path) }
    #expect(error?.description.contains("declares more") == true, "\(String(describing: error))")
  }
}
