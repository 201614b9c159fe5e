import TensorIO
import Tokenizers

/// A text, or a pair, as tokens, and the windows that it is read in.
struct PreparedSequence: Sendable {
  let first: Encoding
  let second: Encoding?
  let windows: [Window]
  let cutCount: Int
  /// For each token of the text that slides the window that speaks for it; `nil` where there is one window.
  let owners: [Int?]?
  /// Whether windows slide over the second text.
  let slidesSecond: Bool

  init(_ first: Encoding, _ second: Encoding?, _ outcome: WindowPlan.Outcome) {
    self.first = first
    self.second = second
    windows = outcome.windows
    cutCount = outcome.cutCount
    slidesSecond = second != nil && Set(windows.map(\.second)).count > 1
    let slides = slidesSecond
    let sliding = windows.compactMap { (slides ? $0.second : $0.first).first }
    owners =
      windows.count > 1
      ? WindowPlan.bestWindows(sliding, count: (slides ? second : first)?.count ?? 0) : nil
  }

  /// Whether window `number` speaks for a token of the first (0) or the second text (1).
  func owns(_ number: Int, token: Int, of text: Int) -> Bool {
    guard let owners else { return true }
    // What stays whole is read in the first window.
    guard (text == 1) == slidesSecond else { return number == 0 }
    return token < owners.count && owners[token] == number
  }
}

/// An item with its sequences: one, or one for each choice.
struct PreparedText: Sendable {
  let item: PredictionItem
  let sequences: [PreparedSequence]

  var windowCount: Int { sequences.reduce(0) { $0 + $1.windows.count } }
  /// The windows of the sequences that need more than one.
  var extraWindowCount: Int { sequences.reduce(0) { $0 + ($1.windows.count > 1 ? $1.windows.count : 0) } }
}

/// One row of a batch: a window of a sequence of a text.
struct WindowRow: Sendable {
  /// Index among the texts that are read together.
  let text: Int
  let sequence: Int
  /// Index among the windows of the sequence.
  let number: Int
  /// Columns that are tokens.
  let length: Int
  /// For each column the text (0 or 1) and the token of it; `nil` for a special token.
  let columns: [Column?]

  struct Column: Equatable, Sendable {
    let text: Int
    let token: Int
  }
}
