/// Parts of a text by code points; those in order cost one pass over the text.
struct TextSlicer {
  private let scalars: String.UnicodeScalarView
  private var index: String.UnicodeScalarView.Index
  private var position = 0

  init(_ text: String) {
    scalars = text.unicodeScalars
    index = scalars.startIndex
  }

  private mutating func move(to target: Int) {
    while position < target, index < scalars.endIndex {
      scalars.formIndex(after: &index)
      position += 1
    }
    while position > max(0, target) {
      scalars.formIndex(before: &index)
      position -= 1
    }
  }

  /// The code points from `start` up to `end`.
  mutating func text(_ start: Int, _ end: Int) -> String {
    guard start < end else { return "" }
    move(to: start)
    let first = index
    move(to: end)
    return String(scalars[first..<index])
  }
}
