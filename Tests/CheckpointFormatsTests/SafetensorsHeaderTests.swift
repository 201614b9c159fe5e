import CheckpointFormats
import TensorIO
import TestSupport
import Testing

@Suite struct SafetensorsHeaderTests {
  @Test(arguments: 0..<40) func headers(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    let types = ElementType.allCases.filter(\.isInSafetensors)
    var entries: [SafetensorsHeader.Entry] = []
    var end = 0
    for number in 0..<Int.random(in: 0...20, using: &random) {
      let type = types.randomElement(using: &random) ?? .f32
      let shape = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int.random(in: 0...5, using: &random) }
      let size = try #require(checkedByteCount(shape, type))
      entries.append(.init(name: "größe.\(number)\n\"", elementType: type, shape: shape, range: end..<(end + size)))
      end += size
    }
    // Where several begin at one byte, the empty ones come first.
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    let metadata = seed % 2 == 0 ? [] : [(key: "format", value: "pt"), (key: "🦉", value: String(seed))]
    let alignment = [1, 8, 64, 4096][seed % 4]
    let bytes = SafetensorsHeader.encoded(entries, metadata: metadata, alignment: alignment)
    #expect(bytes.count % alignment == 0)
    let file = Bytes(bytes + [UInt8](repeating: 0, count: end))
    #expect(SafetensorsHeader.recognizes(file))
    let header = try SafetensorsHeader(file)
    #expect(Set(header.entries.map(\.name)) == Set(entries.map(\.name)) && header.dataStart == bytes.count)
    for entry in header.entries { #expect(entries.contains(entry)) }
    #expect(header.metadata.map(\.key) == metadata.map(\.key) && header.metadata.map(\.value) == metadata.map(\.value))
    #expect(metadata.allSatisfy { header.value($0.key) == $0.value })
  }

  @Test func sizesAreInFallingOrder() {
    #expect(ElementType.descendingSizes == Set(ElementType.allCases.compactMap(\.size)).sorted(by: >))
  }
}
