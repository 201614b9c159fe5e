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

  private func problem(_ entries: [(String, [UInt8])], header: [UInt8] = header) throws -> FormatError? {
    let folder = TemporaryFolder()
    var table = TableWriter()
    table.add([], header)
    for entry in entries { table.add(Array(entry.0.utf8), entry.1) }
    _ = try folder.write(table.finish(), "m.index")
    _ = try folder.write([UInt8](repeating: 0, count: 64), "m.data-00000-of-00001")
    return formatError { try readAll(try CheckpointOpener().open(folder.file("m")).source) }
  }

  @Test(
    arguments: [
      (TestMessage.entry(shape: [4], offset: 0, size: 12), FormatError.Kind.damaged, "12 bytes"),
      (.entry(shape: [1 << 62, 8], offset: 0, size: 16), .limit, "[4611686018427387904, 8]"),
      (.entry(shape: [1 << 61], offset: 0, size: 16), .limit, "[2305843009213693952]"),
      (.entry(shape: [1 << 39], offset: 0, size: 16), .damaged, "16 bytes"),
      (.entry(shape: [-4], offset: 0, size: 16), .damaged, "-4"),
      (.entry(shape: [4], offset: 60, size: 16), .damaged, "a file of 64 bytes"),
      (.entry(shape: [4], offset: .max, size: 16), .damaged, "9223372036854775807, 16"),
      (.entry(shape: [4], offset: -4, size: 16), .damaged, "-4, 16"),
      (.entry(shape: [4], shard: 1, offset: 0, size: 16), .damaged, "1"),
      (.entry(type: 99, shape: [4], offset: 0, size: 16), .unsupported, "number 99"),
      (.entry(type: 7, shape: [1 << 40], offset: 0, size: 64), .limit, "1099511627776 in 64 bytes"),
      (.entry(type: 21, shape: [], offset: 0, size: 16), .unsupported, "VARIANT"),
      (.entry(shape: [4], offset: 0, size: 16, data: [1]), .damaged, nil),
      (TestMessage(bytes: [0xFF, 0xFF]), .damaged, nil),
    ] as [(TestMessage, FormatError.Kind, String?)])
  func sizesAndOffsets(entry: TestMessage, kind: FormatError.Kind, found: String?) throws {
    let error = try problem([("a", entry.bytes)])
    #expect(error?.kind == kind && error?.tensor == "a", "\(String(describing: error))")
    if let found { #expect(error?.found == found) }
  }

  @Test func overlaps() throws {
    let zeros = [UInt8](repeating: 0, count: 16)
    let a = TestMessage.entry(shape: [4], offset: 0, size: 16, data: zeros)
    let b = TestMessage.entry(shape: [4], offset: 8, size: 16, data: zeros)
    let error = try problem([("a", a.bytes), ("b", b.bytes)])
    #expect(error?.kind == .damaged && error?.tensor == "b" && error?.found == "offset 8")
  }

  @Test func slices() throws {
    func tensor(_ slices: [[(Int64, Int64?)]]) -> TestMessage {
      slices.reduce(TestMessage().number(1, 1).message(2, .shape([4, 2]))) { $0.message(7, .slice($1)) }
    }
    let missing = try problem([("a", tensor([[(0, 2), (0, nil)]]).bytes)])
    #expect(missing?.kind == .damaged && missing?.tensor == "a" && missing?.found == "0+2, all")
    let negative = try problem([("a", tensor([[(-1, 2), (0, nil)]]).bytes)])
    #expect(negative?.kind == .damaged && negative?.found == "-1, 2")
  }

  @Test func headers() throws {
    for count in [0, 1 << 40] as [Int64] {
      let error = try problem([], header: TestMessage().number(1, count).bytes)
      #expect(error?.kind == .damaged && error?.found == "0")
    }
    let order = try problem([], header: TestMessage().number(1, 1).number(2, 7).bytes)
    #expect(order?.kind == .unsupported && order?.found == "7")
    let version = TestMessage().number(1, 9).number(2, 9)
    let newer = try problem([], header: TestMessage().number(1, 1).message(3, version).bytes)
    #expect(newer?.kind == .unsupported && newer?.found == "bundle version 9")
  }

  @Test func keysOutOfOrder() throws {
    let entry = TestMessage.entry(shape: [0], offset: 0, size: 0).bytes
    #expect(try problem([("b", entry), ("a", entry)])?.found == "'a' after 'b'")
    #expect(try problem([("a", entry), ("a", entry)])?.found == "'a' after 'a'")
  }

  /// A block of a few bytes that declares two gigabytes.
  @Test func aSnappyBomb() throws {
    let folder = TemporaryFolder()
    func little(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    var file: [UInt8] = []
    func block(_ content: [UInt8], _ type: UInt8) -> [UInt8] {
      let sizes = TestMessage.varint(UInt64(file.count)) + TestMessage.varint(UInt64(content.count))
      file += content + [type] + little(UInt64(CRC32C.mask(CRC32C.checksum(content + [type]))), 4)
      return sizes
    }
    let empty = little(0, 4) + little(1, 4)
    let bomb = block(TestMessage.varint(2_000_000_000) + [0, 0], 1)
    let metaindex = block(empty, 0)
    let index = block([0, 1, UInt8(bomb.count), 0x7A] + bomb + little(0, 4) + little(1, 4), 0)
    let handles = metaindex + index
    file += handles + [UInt8](repeating: 0, count: 40 - handles.count) + little(0xdb47_7524_8b80_fb57, 8)
    let path = try folder.write(file, "m.index")
    let error = #expect(throws: FormatError.self) { try CheckpointOpener().open(path) }
    #expect(error?.kind == .limit && error?.found == "2000000000 bytes", "\(String(describing: error))")
  }
}
