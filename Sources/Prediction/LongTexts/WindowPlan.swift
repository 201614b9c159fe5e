import TensorIO

/// The tokens of a text, or of a pair, that one window has: of each text some ranges, one after the other.
struct Window: Equatable, Sendable {
  var first: [Range<Int>]
  var second: [Range<Int>] = []

  var tokenCount: Int { (first + second).reduce(0) { $0 + $1.count } }
}

/// How a text, or a pair, is cut into windows.
struct WindowPlan: Sendable {
  /// The most tokens of a window, special ones included.
  var maxLength: Int
  /// Tokens shared with the window before; `nil`: a quarter of the maximum length.
  var overlap: Int?
  var longTexts: LongTexts
  /// What a context is cut from while the other text of a pair stays whole.
  var slides = Sliding.longer
  /// Whether only the end of a long text matters, as for the token that follows it.
  var keepsEnd = false

  enum Sliding: Sendable { case longer, second }

  /// The windows, and the tokens that are in none.
  struct Outcome: Equatable, Sendable {
    var windows: [Window]
    var cutCount = 0
  }

  /// - Parameters:
  ///   - first: tokens of the first text, without special ones
  ///   - second: those of the second one; `nil` where there is none
  ///   - special: special tokens of each window
  func windows(first: Int, second: Int?, special: Int) throws(FormatError) -> Outcome {
    let total = first + (second ?? 0)
    guard total > maxLength - special else {
      return Outcome(windows: [Window(first: [0..<first], second: second.map { [0..<$0] } ?? [])])
    }
    if longTexts == .refuse {
      throw FormatError(
        .input, "a text is longer than the model's maximum length",
        found: counted(total + special, "token") + ", special ones included",
        expected: "at most \(grouped(maxLength))", advice: "Shorten the text, or let it be read in windows.")
    }
    let slidesSecond = second.map { slides == .second || $0 > first } ?? false
    let (sliding, fixed) = slidesSecond ? (second ?? 0, first) : (first, second ?? 0)
    let room = maxLength - special - fixed
    guard room > 0 else {
      throw FormatError(
        .input, "the \(slides == .second ? "question" : "shorter text of the pair") leaves no room for the other text",
        found: counted(fixed, "token"), expected: "fewer than \(grouped(maxLength - special))",
        advice: "Shorten it.")
    }
    let parts = try parts(of: sliding, room: room)
    let windows = parts.map { ranges in
      guard second != nil else { return Window(first: ranges) }
      let whole = [0..<fixed]
      return slidesSecond ? Window(first: whole, second: ranges) : Window(first: ranges, second: whole)
    }
    let isCut = longTexts != .windows || keepsEnd
    return Outcome(windows: windows, cutCount: isCut ? sliding - room : 0)
  }

  /// The ranges of each window of `count` tokens, of which `room` fit into one.
  private func parts(of count: Int, room: Int) throws(FormatError) -> [[Range<Int>]] {
    switch longTexts {
    case .head: return [[0..<room]]
    case .headTail:
      // The first quarter of the whole length, unless a question takes most of it.
      let head = min(maxLength / 4, room / 2)
      return [[0..<head, (count - room + head)..<count].filter { !$0.isEmpty }]
    case .refuse, .windows:
      if keepsEnd { return [[(count - room)..<count]] }
      let overlap = overlap ?? min(maxLength / 4, room / 2)
      guard overlap < room else {
        throw FormatError(
          .input, "the overlap leaves no room for new tokens in a window", found: counted(overlap, "token"),
          expected: "fewer than \(grouped(room))", advice: "Choose a smaller overlap or a larger maximum length.")
      }
      var ranges: [[Range<Int>]] = []
      var start = 0
      while true {
        let end = min(start + room, count)
        ranges.append([start..<end])
        guard end < count else { return ranges }
        start += room - overlap
      }
    }
  }

  /// For each of `count` tokens the window in which it is farthest from the nearer edge, the earlier on a tie; `windows` are
  /// ranges in order.
  static func bestWindows(_ windows: [Range<Int>], count: Int) -> [Int?] {
    var best = [Int?](repeating: nil, count: count)
    var distances = [Int](repeating: -1, count: count)
    for (number, window) in windows.enumerated() {
      for token in window where token < count {
        let distance = min(token - window.lowerBound, window.upperBound - 1 - token)
        if distance > distances[token] {
          distances[token] = distance
          best[token] = number
        }
      }
    }
    return best
  }
}
