import TensorIO
import TestSupport
import Testing

/// Texts that Swift's comparison would take minutes for are none.
@Suite("Text of files")
struct FileTextTests {
  static func heap(_ count: Int) -> [UInt8] {
    Array(("a" + String(repeating: "\u{301}\u{323}", count: count / 2)).utf8)
  }

  @Test func thirtyMarksAreText() {
    #expect(String(fileText: Self.heap(30)) != nil && String(fileText: Self.heap(32)) == nil)
    #expect(String(fileText: Self.heap(30) + Self.heap(30)) != nil)
    #expect(String(fileText: [0x61, 0xFF]) == nil && String(fileText: Array("größe й ไม้เอก".utf8)) == "größe й ไม้เอก")
    #expect(FileText.problem(Self.heap(32)).contains("more than 30 combining marks"))
    #expect(FileText.problem([0x61, 0xFF]) == "is not UTF-8")
  }

  @Test func whatIsTooMuchIsReplaced() {
    let text = String(decodingFileText: Self.heap(34) + [0xFF] + Array("é".utf8))
    #expect(text.unicodeScalars.count { $0 == "\u{FFFD}" } == 5)
    #expect(text.unicodeScalars.count == 1 + 34 + 2 && text.hasSuffix("é"))
    #expect(String(decodingFileText: Self.heap(30)).unicodeScalars.count == 31)
  }

  /// Each would take minutes.
  @Test func everyWayIntoTheProgramAsks() throws {
    let heap = Self.heap(400_000)
    #expect(Bytes(heap).utf8String() == nil && Bytes(heap).text().unicodeScalars.contains("\u{FFFD}"))
    let json = Array("{\"".utf8) + heap + Array("\": 1}".utf8)
    #expect(formatError { _ = try JSON.parse(json, file: "a") }?.problem.contains("combining marks") == true)
    let escaped = "{\"a" + String(repeating: "\\u0301\\u0323", count: 200_000) + "\": 1}"
    #expect(formatError { _ = try JSON.parse(escaped) }?.problem.contains("combining marks") == true)
    let folder = TemporaryFolder()
    let path = try folder.write(heap, "vocab.txt")
    #expect(formatError { _ = try FileSystem.text(path) }?.problem.contains("combining marks") == true)
  }
}
