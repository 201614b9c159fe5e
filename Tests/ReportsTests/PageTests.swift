import TensorIO
import Testing

@testable import Reports

/// Names that somebody could hope to break out of a page with, and their form in the page's data.
private let hostileNames: [(name: String, data: String)] = [
  ("<script>alert(1)</script>", #"\u003cscript\u003ealert(1)\u003c/script\u003e"#),
  ("</script><img src=x onerror=alert(1)>", #"\u003c/script\u003e\u003cimg src=x onerror=alert(1)\u003e"#),
  ("<!--<script>", #"\u003c!--\u003cscript\u003e"#),
  ("]]>", #"]]\u003e"#),
  ("a&lt;b&amp;", #"a\u0026lt;b\u0026amp;"#),
  ("\"'\\`${x}", #"\"'\\`${x}"#),
  // What a reader would not see, or see elsewhere than where it is, is written out.
  ("line\u{2028}and\u{2029}", #"line\\u{2028}and\\u{2029}"#),
  ("\u{0}\u{1B}[31m\n\r\t\u{7F}\u{85}", #"\\u{0}\\u{1b}[31m\\n\\r\\t\\u{7f}\\u{85}"#),
  ("\u{202E}flipped\u{200B}", #"\\u{202e}flipped\\u{200b}"#),
  // Bytes that are no UTF-8, as a reader repairs them.
  (String(decoding: [0x61, 0xFF, 0xC0, 0x3C] as [UInt8], as: UTF8.self), "a\u{FFFD}\u{FFFD}\\u003c"),
  ("层.权重/naïve-😀", "层.权重/naïve-😀"),
]

@Suite("Pages")
struct PageTests {
  private func page(_ value: JSON, title: String = "title") -> String {
    var page = Page(title: title, tool: "tool", body: Array("<main></main>\n".utf8), script: Array("// script".utf8))
    page.add("value", value)
    return String(decoding: page.bytes, as: UTF8.self)
  }

  @Test(arguments: hostileNames)
  func dataCannotBecomeMarkup(name: String, data: String) throws {
    let text = page(.object([.init(name, .array([.string(name)]))]))
    #expect(text.contains("id=\"data-value\">{\"\(data)\":[\"\(data)\"]}</script>\n"), "\(text.suffix(600))")
    // What a browser reads of it is the name, with what cannot be shown written out.
    let start = try #require(text.firstRange(of: "id=\"data-value\">")).upperBound
    let end = try #require(text[start...].firstRange(of: "</script>")).lowerBound
    #expect(try JSON.parse(String(text[start..<end])) == Page.printed(.object([.init(name, .array([.string(name)]))])))
  }

  @Test(arguments: hostileNames)
  func aTitleCannotBecomeMarkup(name: String, data: String) throws {
    let text = page(.null, title: name)
    let start = try #require(text.firstRange(of: "<title>")).upperBound
    let end = try #require(text[start...].firstRange(of: "</title>\n<style>")).lowerBound
    #expect(!text[start..<end].contains { "<>\"'".contains($0) })
    #expect(text[start..<end].unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202E}" && $0 != "\u{2028}" })
  }

  @Test func markupIsWritten() {
    #expect(Page.markup("a<b>&\"'\u{1B}") == "a&lt;b&gt;&amp;&quot;&#39;\\u{1b}")
  }

  @Test func rowsAreAList() throws {
    var page = Page(title: "", tool: "", body: [], script: [])
    page.add("rows", rows: [JSON.int(1), .string("<"), .array([.null])])
    page.add("none", rows: [JSON]())
    #expect(
      String(decoding: page.data, as: UTF8.self) == """
        <script type="application/json" id="data-rows">[
        1,
        "\\u003c",
        [null]]</script>
        <script type="application/json" id="data-none">[]</script>

        """)
  }

  /// The policy lets nothing be loaded, and names the style and the script that are in the page.
  @Test func thePolicyIsThatOfThePage() throws {
    let text = page(.null)
    func between(_ start: String, _ end: String) throws -> String {
      let from = try #require(text.firstRange(of: start)).upperBound
      return String(text[from..<(try #require(text[from...].firstRange(of: end)).lowerBound)])
    }
    let policy = try between("http-equiv=\"Content-Security-Policy\" content=\"", "\"")
    func hash(_ source: String) -> String { "'sha256-\(Page.base64(SHA256.digest(Array(source.utf8))))'" }
    #expect(
      policy == """
        default-src 'none'; script-src \(hash(try between("<script type=\"module\">", "</script>"))); \
        style-src \(hash(try between("<style>", "</style>"))); base-uri 'none'; form-action 'none'
        """)
  }

  @Test func nothingIsLoadedAndNoTextIsReadAsMarkup() {
    let sources = [
      PackageResources.checkpoint_html, PackageResources.checkpoint_js, PackageResources.verification_html,
      PackageResources.verification_js,
    ].map { String(decoding: $0, as: UTF8.self) }
    for text in [page(.null)] + sources {
      let text = text.split(separator: "\"http://www.w3.org/2000/svg\"").joined()
      for word in ["http:", "https:", "src=", "href=", "url(", "@import", "HTML(", "HTML =", "fetch(", "eval("] {
        #expect(!text.contains(word), "\(word)")
      }
    }
  }
}

@Suite("SHA-256 and base64")
struct HashTests {
  /// Of FIPS 180-2, appendix B.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func digests(text: String, expected: String) {
    #expect(SHA256.digest(Array(text.utf8)).map { hexadecimal($0, digits: 2) }.joined() == expected)
  }

  /// As many times an "a", about the size of a block and far beyond it; the values are those of coreutils' sha256sum.
  @Test(arguments: [
    (55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
    (63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"),
    (64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
    (100_000, "6d1cf22d7cc09b085dfc25ee1a1f3ae0265804c607bc2074ad253bcc82fd81ee"),
  ])
  func digestsOfLengths(count: Int, expected: String) {
    let digest = SHA256.digest([UInt8](repeating: UInt8(ascii: "a"), count: count))
    #expect(digest.map { hexadecimal($0, digits: 2) }.joined() == expected)
  }

  @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
  func base64(text: String, expected: String) {
    #expect(Page.base64(Array(text.utf8)) == expected)
  }
}
