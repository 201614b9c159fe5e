import TensorIO

/// One self-contained HTML page: its style, its script and its data are in it, and nothing is loaded from anywhere.
///
/// The content of a checkpoint goes into the page as JSON in a script element of a type that no browser runs, and from there
/// through `textContent` into the document: it is never read as markup. A Content-Security-Policy forbids every request, and
/// every script and style but the page's own.
struct Page {
  let title: String
  /// The program that made it, with its version.
  let tool: String
  /// Of the document, up to the data.
  let body: [UInt8]
  let script: [UInt8]
  private(set) var data: [UInt8] = []

  init(title: String, tool: String, body: [UInt8], script: [UInt8]) {
    self.title = title
    self.tool = tool
    self.body = body
    self.script = PackageResources.common_js + script
  }

  /// Adds an object, or with `rows` a list that is made row by row, so that only its text takes memory. The script asks
  /// for it by `name`.
  mutating func add(_ name: String, _ value: JSON) { add(name, Self.escaped(Self.printed(value).text())) }

  mutating func add(_ name: String, rows: some Sequence<JSON>) {
    var text = "["
    for (index, row) in rows.enumerated() {
      text += index == 0 ? "\n" : ",\n"
      text += Self.escaped(Self.printed(row).text())
    }
    add(name, text + "]")
  }

  private mutating func add(_ name: String, _ text: String) {
    data += "<script type=\"application/json\" id=\"data-\(name)\">\(text)</script>\n".utf8
  }

  var bytes: [UInt8] {
    let style = PackageResources.page_css
    let policy = """
      default-src 'none'; script-src '\(Self.hash(script))'; style-src '\(Self.hash(style))'; base-uri 'none'; \
      form-action 'none'
      """
    var page = Array(
      """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="\(policy)">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="generator" content="\(Self.markup(tool))">
      <title>\(Self.markup(title))</title>
      <style>
      """.utf8)
    page += style
    page += "</style>\n</head>\n<body>\n".utf8
    page += body
    page += data
    page += "<script type=\"module\">".utf8
    page += script
    page += "</script>\n</body>\n</html>\n".utf8
    return page
  }

  private static func hash(_ source: [UInt8]) -> String { "sha256-\(base64(SHA256.digest(source)))" }

  /// The value with every text in it made ``printable(_:keepingNewlines:)``: what could mislead a terminal could mislead
  /// the reader of a page, too.
  static func printed(_ value: JSON) -> JSON {
    switch value {
    case .string(let text): .string(printable(text))
    case .array(let elements): .array(elements.map(printed))
    case .object(let members): .object(members.map { .init(printable($0.key), printed($0.value)) })
    default: value
    }
  }

  /// JSON that is safe in a script element: these characters occur in strings alone, where an escape means the same.
  static func escaped(_ json: String) -> String {
    guard json.utf8.contains(where: { $0 == 0x3C || $0 == 0x3E || $0 == 0x26 || $0 == 0xE2 }) else { return json }
    var result = ""
    result.reserveCapacity(json.utf8.count)
    for scalar in json.unicodeScalars {
      switch scalar {
      case "<", ">", "&", "\u{2028}", "\u{2029}": result += "\\u" + hexadecimal(scalar.value, digits: 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Text that is safe in an element or in a quoted attribute.
  static func markup(_ text: String) -> String {
    var result = ""
    for scalar in printable(text).unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// RFC 4648, with padding.
  static func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var digits: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let word = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
      for position in 0..<4 {
        let digit = alphabet[Int(word >> UInt32(18 - 6 * position) & 0x3F)]
        digits.append(position <= group.count ? digit : UInt8(ascii: "="))
      }
    }
    return String(decoding: digits, as: UTF8.self)
  }
}
