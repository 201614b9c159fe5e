import TensorIO
import Testing

@testable import Tokenizers

/// The scanner accepts and refuses what the strict parser of JSON does.
@Suite struct JSONScannerTests {
  static let texts: [String] = [
    "{}", "[]", "[1, 2.5, -3e5, 0]", #"{"a": "b\n\u00e9\ud83d\ude00", "c": [true, false, null]}"#, "[01]", "[1.]",
    "[1e]", "[-]", "[+1]",
    #"["\ud800"]"#, #"["\ud800\u0041"]"#, #"["\udc00"]"#, #"["\x"]"#, "[\"a\tb\"]", "[\"open", "[1,]", "[1 2]",
    "{\"a\" 1}", "{\"a\":1,}",
    "{1:2}", "[tru]", "[nul", "", "[1] 2", "nope",
    String(repeating: "[", count: 100) + String(repeating: "]", count: 100),
  ]

  @Test(arguments: texts) func agreesWithTheParser(_ text: String) throws {
    let bytes = Array(text.utf8)
    var scanner = JSONScanner(bytes, file: nil)
    let parsed = Result { () throws(FormatError) in try JSON.parse(bytes) }
    let scanned = Result { () throws(FormatError) in
      try scanner.skip()
      try scanner.finish()
    }
    if case .success = parsed {
      #expect(throws: Never.self) { try scanned.get() }
    } else {
      #expect(throws: FormatError.self) { try scanned.get() }
    }
  }

  /// Found by fuzzing: the scanner was taken as it was before the escapes were read.
  @Test(arguments: [#"{"model":{"type":"Unigram\","unk_id":0}}"#, #"{"model":{"unk_token":"\u00e9\n"}}"#])
  func escapesInNamesAreRead(_ json: String) {
    #expect(throws: FormatError.self) { _ = try TokenizerDefinition(json: Array(json.utf8)) }
  }

  @Test func stringsAreUnescaped() throws {
    var scanner = JSONScanner(Array(#""a\"\\\/\b\f\n\r\té😀\u00e9\uD83D\uDE00""#.utf8), file: nil)
    #expect(try Array(scanner.anyText().utf8) == Array("a\"\\/\u{8}\u{c}\n\r\té😀é😀".utf8))
  }

  @Test(
    arguments: ["", "f", "fo", "foo", "foob", "fooba", "foobar"],
    ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"])
  func base64IsThatOfTheRFC(_ text: String, _ base64: String) {
    let isPair = Base64.encode(Array(text.utf8)) == base64
    #expect((Base64.decode(base64) == Array(text.utf8)) == isPair)
    #expect(Base64.decode(base64 + "=") == nil && Base64.decode("=" + base64) == nil)
  }
}
