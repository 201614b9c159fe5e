import TensorIO

/// Counts the elements that differ between the chunks of a tensor and the whole of another.
package struct Tally {
  private let shape: [Int]
  private let size: Int
  private var position = 0
  private var differing = 0
  private var first: Int?
  private var isShort = false

  package init(shape: [Int], size: Int) {
    self.shape = shape
    self.size = size
  }

  package mutating func add(_ chunk: RawSpan, _ whole: RawSpan) {
    defer { position += chunk.byteCount }
    guard position + chunk.byteCount <= whole.byteCount else {
      isShort = true
      return
    }
    let other = whole.extracting(position..<(position + chunk.byteCount))
    if chunk.elementsEqual(other) { return }
    for element in 0..<(chunk.byteCount / size) {
      let range = (element * size)..<((element + 1) * size)
      if !chunk.extracting(range).elementsEqual(other.extracting(range)) {
        differing += 1
        if first == nil { first = position / size + element }
      }
    }
  }

  /// `nil` when all is equal.
  package var problem: String? {
    let total = checkedElementCount(shape) ?? 0
    if isShort || position != total * size { return "the two differ in their number of bytes" }
    guard let first else { return nil }
    var index: [Int] = []
    var rest = first
    for dimension in shape.reversed() {
      index.append(rest % max(dimension, 1))
      rest /= max(dimension, 1)
    }
    return "\(grouped(differing)) of \(grouped(total)) values differ, the first at \(shapeText(index.reversed()))"
  }
}
