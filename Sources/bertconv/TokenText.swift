import TensorIO
import Tokenizers

/// The tokens of a text for people: each above its id, in lines as wide as the terminal.
struct TokenText {
  private let item: InputText
  private let encoding: Encoding

  init(_ item: InputText, _ encoding: Encoding) {
    self.item = item
    self.encoding = encoding
  }

  private static let longestTitle = 60
  private static let plainWidth = 100

  var text: String {
    let width = Console.lineWidth ?? Self.plainWidth
    var lines = [Style.strong(title) + Style.faint("  \(counted(encoding.count, "token"))")]
    var tokens = ""
    var ids = ""
    var columns = 0
    func endLine() {
      guard columns > 0 else { return }
      lines += [tokens, Style.faint(ids)]
      (tokens, ids, columns) = ("", "", 0)
    }
    for (index, token) in encoding.tokens.enumerated() {
      let text = printable(encoding.text(at: index))
      let id = String(token.id)
      let size = max(TextTable.columns(of: text), id.count)
      if columns > 0, columns + size + 2 > width { endLine() }
      tokens += "  " + (token.isSpecial ? Style.faint(text) : text) + space(size - TextTable.columns(of: text))
      ids += "  " + id + space(size - id.count)
      columns += size + 2
    }
    endLine()
    return lines.map { $0.trimmingEnd + "\n" }.joined()
  }

  private func space(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

  private var title: String {
    let texts = [item.text, item.pair].compactMap(\.self).map { text in
      TextTable.cut("\"" + printable(String(text.unicodeScalars.prefix(200))) + "\"", to: Self.longestTitle)
    }
    return texts.joined(separator: " + ")
  }
}

extension String {
  /// The same without spaces at its end.
  fileprivate var trimmingEnd: String {
    var rest = Substring(self)
    while rest.last == " " { rest.removeLast() }
    return String(rest)
  }
}
