import ModelFamilies
import TensorIO

/// Columns that line up, and fit the line where the first of them can be cut to do so.
struct TextTable {
  enum Alignment { case left, right }

  struct Cell: ExpressibleByStringLiteral {
    let text: String
    let style: Style
    /// A shorter form for where the text does not fit the line; it is cut where it does not fit either.
    let short: String?

    init(_ text: String, _ style: Style = .plain, short: String? = nil) {
      self.text = text
      self.style = style
      self.short = short
    }

    init(stringLiteral text: String) { self.init(text) }
  }

  private var columns: [(title: String, alignment: Alignment)]
  private var rows: [[Cell]] = []
  /// A name of a megabyte must not make every line as long: what is longer than this sticks out.
  private static let widest = 200
  /// The first column is not cut further.
  private static let narrowest = 24
  /// Columns that can be done without go before the first column has less than this.
  private static let legible = 44
  private var optional: Set<String> = []

  init(columns: [(String, Alignment)]) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

  mutating func add(columns more: [(String, Alignment)]) { columns += more.map { (title: $0.0, alignment: $0.1) } }
  /// The columns of these titles are left out, the last first, where they would leave too little space for the names.
  mutating func leaveOut(_ titles: [String]) { optional.formUnion(titles) }
  mutating func add(_ row: [Cell]) { rows.append(row) }
  mutating func add(_ row: [String]) { rows.append(row.map { Cell($0) }) }

  var text: String { text(width: Console.lineWidth) }

  /// `width` is how many columns of the terminal there are, `nil` for as many as it takes.
  func text(width: Int?) -> String {
    var all = [columns.map { Cell($0.title, .strong) }] + rows
    var counts = all.map { $0.map { Self.columns(of: $0.text) } }
    var widths = columns.indices.map { column in counts.map { $0[column] }.filter { $0 <= Self.widest }.max() ?? 0 }
    if let width, let first = widths.first {
      func available() -> Int { width - widths.dropFirst().reduce(0) { $0 + $1 + 2 } }
      for column in columns.indices.reversed() where optional.contains(columns[column].title) {
        if available() >= min(first, Self.legible) { break }
        var narrower = self
        narrower.columns.remove(at: column)
        narrower.rows = rows.map { row in row.enumerated().filter { $0.offset != column }.map(\.element) }
        return narrower.text(width: width)
      }
      let others = widths.dropFirst().reduce(0) { $0 + $1 + 2 }
      let available = max(Self.narrowest, width - others)
      if first > available || counts.contains(where: { $0[0] > available }) {
        for row in all.indices where counts[row][0] > available {
          let cell = all[row][0]
          all[row][0] = Cell(Self.cut(cell.short ?? cell.text, to: available), cell.style)
          counts[row][0] = Self.columns(of: all[row][0].text)
        }
        widths[0] = min(first, available)
      }
    }
    return zip(all, counts).map { row, counts in
      var line = ""
      let last = row.lastIndex { !$0.text.isEmpty } ?? -1
      for (index, cell) in row.enumerated() where index <= last {
        let space = String(repeating: " ", count: max(0, widths[index] - counts[index]))
        let text = cell.style(cell.text)
        if index > 0 { line += "  " }
        line += columns[index].alignment == .right ? space + text : index < last ? text + space : text
      }
      return line
    }.joined(separator: "\n")
  }

  /// The end of a name distinguishes it best: many begin alike. The number of a layer stays, since two names may differ in
  /// nothing else.
  static func cut(_ text: String, to width: Int) -> String {
    guard width > 1, columns(of: text) > width else { return text }
    if let layer = layer(in: text) {
      let lead = layer.isFirst ? "" : "…"
      let available = width - columns(of: String(layer.text)) - columns(of: lead)
      // Where less than half is left for the end, the end would show too little.
      if available >= width / 2 {
        return lead + layer.text + shortened(String(layer.rest), to: available, endsOnly: true)
      }
    }
    return shortened(text, to: width, endsOnly: false)
  }

  /// The part of a name that the first number of a layer is in, and what follows it.
  private static func layer(in text: String) -> (text: Substring, rest: Substring, isFirst: Bool)? {
    guard text.utf8.count <= 1024, let layer = LayerNumber.all(in: text).first, !layer.prefix.hasSuffix("{") else {
      return nil
    }
    let separators: [UInt8] = [UInt8(ascii: "/"), UInt8(ascii: ".")]
    // A number that is a part by itself means little without the part before it.
    let prefix = layer.prefix.utf8.reversed().drop { separators.contains($0) }
    let before = prefix.firstIndex { separators.contains($0) }
    let start = before?.base ?? text.startIndex
    return (text[start..<layer.suffix.startIndex], text[layer.suffix.startIndex...], start == text.startIndex)
  }

  private static func shortened(_ text: String, to width: Int, endsOnly: Bool) -> String {
    guard columns(of: text) > width else { return text }
    let isHuge = text.utf8.count > 8 * width + 4096
    let characters = isHuge ? Array(text.prefix(width)) + Array(text.suffix(width)) : Array(text)
    var (head, tail) = ("", "")
    var available = width - 1
    var (start, end) = (0, characters.count)
    while start < end {
      // Four of five for the end.
      let takesEnd = endsOnly || tail.count < 4 * (head.count + 1)
      let next = takesEnd ? characters[end - 1] : characters[start]
      let size = columns(of: String(next))
      guard size <= available else { break }
      available -= size
      if takesEnd {
        tail.append(next)
        end -= 1
      } else {
        head.append(next)
        start += 1
      }
    }
    return head + "…" + String(tail.reversed())
  }

  /// How many columns of a terminal a text takes.
  static func columns(of text: String) -> Int {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.reduce(0) { sum, character in
      let value = character.unicodeScalars.first?.value ?? 0
      return sum + (wide.contains { $0.contains(value) } ? 2 : 1)
    }
  }

  /// The blocks whose characters are two columns wide (Unicode's East Asian Width W and F, roughly).
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
    0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD,
  ]
}
