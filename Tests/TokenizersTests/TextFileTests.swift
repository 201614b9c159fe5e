import TensorIO
import TestSupport
import Testing

@testable import Tokenizers

@Suite("Files of texts")
struct TextFileTests {
  private func texts(_ bytes: [UInt8], _ form: TextFile.Form = .plain) throws -> [InputText] {
    var file = try TextFile(Bytes(bytes, file: nil), name: "texts", form: form)
    var texts: [InputText] = []
    while let text = try file.next() { texts.append(text) }
    return texts
  }

  private func error(_ bytes: [UInt8], _ form: TextFile.Form = .plain) -> FormatError? {
    do {
      _ = try texts(bytes, form)
      return nil
    } catch {
      return error as? FormatError
    }
  }

  @Test(arguments: [
    ("a\nb\n", ["a", "b"]), ("a\nb", ["a", "b"]), ("a\r\nb\r\n", ["a", "b"]), ("\n\n", ["", ""]), ("", []),
    ("\u{FEFF}a\n", ["a"]), ("a\u{85}b\u{2028}c\rd\n", ["a\u{85}b\u{2028}c\rd"]), ("a\0b\n", ["a\0b"]),
  ])
  func linesOfText(text: String, expected: [String]) throws {
    let found = try texts(Array(text.utf8)).map(\.text)
    #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  @Test func objects() throws {
    let lines = #"""
      {"id": 1, "text": "a\u00e9\ud83d\ude00", "text_pair": null}

      {"text_pair": "c\nd", "text": "b", "label": {"x": [1]}}
      """#
    #expect(
      try texts(Array(lines.utf8), .jsonLines) == [InputText("aé😀", line: 1), InputText("b", pair: "c\nd", line: 3)])
  }

  /// What is in a text is not limited: only names are compared.
  @Test func anyNumberOfMarks() throws {
    let text = "e" + String(repeating: "\u{301}", count: 200)
    #expect(try texts(Array(#"{"text": "\#(text)"}"#.utf8), .jsonLines)[0].text.utf8.count == text.utf8.count)
  }

  @Test(
    arguments: [
      ([0x61, 0x0A, 0x62, 0xFF, 0x0A], 3), ([0xED, 0xA0, 0x80], 0), ([0x61, 0xE4, 0xB8], 1),
      ([0xFF, 0xFE, 0x61, 0], 0),
    ] as [([UInt8], UInt64)])
  func badTextIsAnErrorWithItsOffset(bytes: [UInt8], offset: UInt64) {
    let error = error(bytes)
    #expect(error?.file == "texts" && error?.offset == offset && error?.kind == .input)
  }

  @Test(arguments: [
    #"{"text": "x""#, #"{"body": "x"}"#, #"{"text": 5}"#, #"{"text": "a\ud800b"}"#, #"["x"]"#,
    #"{"text": "a", "text": "b"}"#, #"{"text": "a"} x"#,
  ])
  func aBadLineIsAnErrorWithItsNumber(line: String) {
    let error = error(Array("{\"text\": \"good\"}\n\(line)\n".utf8), .jsonLines)
    #expect(error?.problem.hasPrefix("line 2: ") == true && error?.file == "texts")
  }

  @Test func theNameShowsTheForm() throws {
    let folder = TemporaryFolder()
    let path = try folder.write(Array("a".utf8), "texts.pdf")
    #expect(throws: FormatError.self) { try TextFile(path: path) }
  }
}
