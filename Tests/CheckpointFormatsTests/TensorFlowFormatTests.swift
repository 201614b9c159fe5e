import CheckpointFormats
import TensorIO
import TestSupport
import Testing

@Suite struct TensorFlowFormatTests {
  /// A name with the bytes that are escaped, and a slice with numbers of every length.
  @Test(arguments: 0..<200) func sliceKeys(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    let name = random.bytes(upTo: 12) + (seed % 3 == 0 ? [0, 0xFF, 0, 1] : [])
    let slice = (0..<Int.random(in: 0...5, using: &random)).map { _ in
      SliceExtent(
        start: Int(random.anySize() >> 1), length: Bool.random(using: &random) ? Int(random.anySize() >> 1) : nil)
    }
    let key = OrderedCode.sliceKey(name: name, slice: slice)
    #expect(key.first == 0)
    let decoded = try #require(OrderedCode.decode(sliceKey: key))
    #expect(decoded.name == name && decoded.slice == slice)
    #expect(OrderedCode.decode(sliceKey: Array(key.dropLast())) == nil)
    #expect(OrderedCode.decode(sliceKey: key + [0]) == nil)
  }

  /// Signed numbers of one to ten bytes: the limits of each length and their neighbors.
  private static var signed: [Int64] {
    var numbers: [Int64] = [0, 63, 64, -64, -65, .max, .min]
    for length in Int64(1)...8 {
      let limit: Int64 = 1 << (7 * length - 1)
      for neighbor in Int64(-1)...1 { numbers += [limit + neighbor, -limit + neighbor] }
    }
    return numbers
  }

  @Test func keysSortAsTheirNumbersDo() {
    func key(_ value: Int64) -> [UInt8] {
      var key: [UInt8] = []
      OrderedCode.append(signed: value, to: &key)
      return key
    }
    let sorted = Self.signed.sorted()
    for (a, b) in zip(sorted, sorted.dropFirst()) where a != b {
      #expect(key(a).lexicographicallyPrecedes(key(b)), "\(a) and \(b)")
    }
    // Examples of ordered_code_test.cc.
    #expect(key(0) == [0x80] && key(-1) == [0x7F] && key(63) == [0xBF] && key(64) == [0xC0, 0x40])
    #expect(key(-65) == [0x3F, 0xBF] && key(.max).count == 10 && key(.min).count == 10)
  }

  @Test(arguments: ElementType.allCases) func dataTypes(type: ElementType) {
    guard let number = type.tensorFlowNumber else {
      #expect([.f8e8m0, .c32].contains(type))
      return
    }
    #expect(ElementType(tensorFlow: number) == type)
    // A reference variable.
    #expect(ElementType(tensorFlow: number + 100) == type)
  }

  @Test(arguments: [0, -1, 34, 99, 100, 134, Int32.max, .min]) func unknownDataTypes(number: Int32) {
    #expect(ElementType(tensorFlow: number) == nil)
  }

  @Test(arguments: ProtobufKey.WireType.allCases) func keysOfProtocolBuffers(type: ProtobufKey.WireType) {
    for field in [1, 15, 16, 1 << 28] as [UInt64] {
      let key = ProtobufKey(field: field, type: type)
      #expect(ProtobufKey(key.value) == key)
    }
    #expect(ProtobufKey(field: 2, type: .bytes).value == 0x12)
    for group in [3, 4, 6, 7] as [UInt64] { #expect(ProtobufKey(1 << 3 | group) == nil) }
  }

  @Test(arguments: [(0, 1), (7, 12), (99_998, 99_999)]) func namesOfShards(number: Int, count: Int) {
    for prefix in ["m", "a.data-1", "model.ckpt-100"] {
      #expect(BundleFiles.prefix(ofShard: BundleFiles.shard(prefix, number, of: count)) == prefix)
    }
    #expect(BundleFiles.shard("m", 0, of: 1) == "m.data-00000-of-00001")
    #expect(BundleFiles.partV1("m", 1, of: 2) == "m-00001-of-00002")
  }

  @Test(arguments: ["m", "m.index", "m.data-0-of", "m.data-a-of-1", "m.data-0-in-1"]) func otherNames(name: String) {
    #expect(BundleFiles.prefix(ofShard: name) == nil)
  }
}
