import CTensorIO
import TensorIO
import Testing

@Suite("CRC32C")
struct ChecksumTests {
  /// The vectors of RFC 3720, B.4.
  static let vectors: [(bytes: [UInt8], checksum: UInt32)] = [
    ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
    ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
    (Array(0..<32), 0x46DD_794E),
    (Array((0..<32).reversed()), 0x113F_DB5C),
    (Array("123456789".utf8), 0xE306_9283),
    ([], 0),
  ]

  @Test(arguments: vectors)
  func standardVectors(_ bytes: [UInt8], _ expected: UInt32) {
    #expect(CRC32C.checksum(bytes) == expected)
  }

  @Test(arguments: [0, 1, 7, 8, 9, 63, 4095, 4096, 12_287, 12_288, 12_289, 40_000])
  func fastEqualsPlainAtAnyLengthAndAlignment(_ length: Int) {
    let bytes = (0..<(length + 3)).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 5) }
    for start in 0..<3 {
      let part = Array(bytes[start..<(start + length)])
      let plain = unsafe part.withUnsafeBytes { unsafe bertconv_crc32c_extend_plain(0, $0.baseAddress, $0.count) }
      let source = Bytes(bytes).slice(start, length)
      #expect(source?.crc32c() == plain)
    }
  }

  @Test(arguments: [0, 1, 5, 4096, 10_000])
  func checksumsOfPartsCombine(_ split: Int) {
    let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    var first = CRC32C()
    first.update(Array(bytes[..<split]))
    first.append(CRC32C(CRC32C.checksum(Array(bytes[split...]))), length: UInt64(bytes.count - split))
    #expect(first.value == CRC32C.checksum(bytes))
  }

  @Test func maskingIsUndone() {
    for value: UInt32 in [0, 1, 0xFFFF_FFFF, 0x1234_5678] { #expect(CRC32C.unmask(CRC32C.mask(value)) == value) }
    #expect(CRC32C.mask(0) == 0xA282_EAD8)
  }

  @Test(arguments: [(1, 1), (3, 5), (32, 32), (33, 65), (100, 7)], [1, 2, 4, 8, 16])
  func transposeMovesEveryElement(_ size: (rows: Int, columns: Int), _ elementSize: Int) {
    let count = size.rows * size.columns * elementSize
    let source = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    let target = Bytes(count: count) { span in
      Layout.transpose(
        unsafe source.span.bytes, into: &span, rows: size.rows, columns: size.columns, elementSize: elementSize)
    }.array()
    for row in 0..<size.rows {
      for column in 0..<size.columns {
        let from = (row * size.columns + column) * elementSize
        let to = (column * size.rows + row) * elementSize
        #expect(source[from..<(from + elementSize)] == target[to..<(to + elementSize)])
      }
    }
  }
}
