import CTensorIO
import TensorIO
import TestSupport
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

  @Test(arguments: [0, 1, 8 << 20, 8 << 20 + 1, 20_000_000])
  func ofAFileIsThatOfItsBytes(_ size: Int) throws {
    let folder = TemporaryFolder()
    var bytes = [UInt8](repeating: 7, count: size)
    for index in stride(from: 0, to: size, by: 4099) { bytes[index] = UInt8(truncatingIfNeeded: index >> 12) }
    let path = try folder.write(bytes, "some.bin")
    #expect(try CRC32C.checksum(ofFile: path) == CRC32C.checksum(bytes))
    #expect(throws: FormatError.self) { try CRC32C.checksum(ofFile: folder.file("none")) }
  }

  /// The check value of the algorithm (CRC-32/ISO-HDLC), and what zlib gives.
  @Test func zipChecksums() {
    let vectors: [(text: String, checksum: UInt32)] = [
      ("", 0), ("123456789", 0xCBF4_3926), ("The quick brown fox jumps over the lazy dog", 0x414F_A339),
    ]
    for vector in vectors { #expect(CRC32.checksum(Bytes(Array(vector.text.utf8))) == vector.checksum) }
  }

  @Test(arguments: [0, 1, 15, 16, 63, 64, 65, 127, 128, 129, 191, 192, 255, 1000, 40_000])
  func zipChecksumFastEqualsPlain(_ length: Int) {
    let bytes = (0..<(length + 3)).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 5) }
    for start in 0..<3 {
      let part = Array(bytes[start..<(start + length)])
      // From a state that something went before, too.
      let plain = unsafe part.withUnsafeBytes { unsafe bertconv_crc32_extend_plain(0, $0.baseAddress, $0.count) }
      var crc = CRC32()
      crc.update(Array(part[..<(length / 3)]))
      crc.update(Array(part[(length / 3)...]))
      #expect(crc.value == plain)
    }
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
  /// Parts that begin and end within a row, of the whole and of some columns.
  @Test(arguments: [(1, 7), (9, 1), (5, 8), (70, 130)], [1, 3, 8, 100])
  func transposeOfParts(_ size: (rows: Int, columns: Int), _ step: Int) {
    let count = size.rows * size.columns
    let source = (0..<count).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    let bytes = Bytes(source)
    for range in [0..<size.columns, 0..<1, (size.columns / 2)..<size.columns] {
      let target = Bytes(count: range.count * size.rows * 2) { span in
        for start in stride(from: 0, to: count, by: step) {
          let part = bytes.slice(start * 2, min(step, count - start) * 2)
          part?.withSpan {
            Layout.transpose(
              chunk: $0, from: start, into: &span, rows: size.rows, columns: size.columns, range: range,
              elementSize: 2)
          }
        }
      }.array()
      let expected = range.flatMap { column in
        (0..<size.rows).flatMap { row in
          let from = (row * size.columns + column) * 2
          return source[from..<(from + 2)]
        }
      }
      #expect(target == expected)
    }
  }
}
