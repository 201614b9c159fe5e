import Encoder
import ModelFamilies
import TensorIO
import Tokenizers

/// Windows that go through the model together.
struct WindowBatch {
  let rows: [WindowRow]
  let input: EncoderInput

  /// Index of a column of a row in the padded input.
  func index(_ row: Int, _ column: Int) -> Int { row * input.sequence + column }
}

/// Puts special tokens around windows, and windows into batches.
struct BatchBuilder: Sendable {
  let single: [TokenTemplate]
  let pair: [TokenTemplate]
  /// Whether the model has embeddings of token types.
  let usesTypes: Bool
  let paddingID: Int

  init(_ tokenizer: Tokenizer, _ config: EncoderConfig) {
    single = tokenizer.template(isPair: false)
    pair = tokenizer.template(isPair: true)
    let family = config.family
    usesTypes =
      family.has(.tokenTypeEmbeddings) && family.computation.tokenTypeIDs == .types && config.tokenTypeCount > 1
    paddingID = config.paddingID
  }

  func specialCount(isPair: Bool) -> Int {
    (isPair ? pair : single).count { if case .special = $0 { true } else { false } }
  }

  /// A batch of windows, given as indices of text, sequence and window.
  func batch(_ windows: [WindowIndex], of texts: [PreparedText]) -> WindowBatch {
    var rows: [WindowRow] = []
    rows.reserveCapacity(windows.count)
    var ids: [[Int]] = []
    var types: [[Int]] = []
    for index in windows {
      let sequence = texts[index.text].sequences[index.sequence]
      let window = sequence.windows[index.number]
      var rowIDs: [Int] = []
      var rowTypes: [Int] = []
      var columns: [WindowRow.Column?] = []
      rowIDs.reserveCapacity(index.length)
      columns.reserveCapacity(index.length)
      for piece in sequence.second == nil ? single : pair {
        switch piece {
        case .special(let id, let typeID):
          rowIDs.append(Int(id))
          rowTypes.append(Int(typeID))
          columns.append(nil)
        case .text(let number, let typeID):
          guard let encoding = number == 0 ? sequence.first : sequence.second else { continue }
          for range in number == 0 ? window.first : window.second {
            for token in range {
              rowIDs.append(Int(encoding.tokens[token].id))
              rowTypes.append(Int(typeID))
              columns.append(WindowRow.Column(text: number, token: token))
            }
          }
        }
      }
      rows.append(
        WindowRow(
          text: index.text, sequence: index.sequence, number: index.number, length: rowIDs.count, columns: columns))
      ids.append(rowIDs)
      types.append(rowTypes)
    }
    return WindowBatch(rows: rows, input: input(ids, types))
  }

  /// The padded input of some rows.
  func input(_ ids: [[Int]], _ types: [[Int]]) -> EncoderInput {
    let longest = ids.map(\.count).max() ?? 0
    var flat = [Int](repeating: paddingID, count: ids.count * longest)
    var mask = [Int](repeating: 0, count: flat.count)
    var flatTypes = [Int](repeating: 0, count: usesTypes ? flat.count : 0)
    for row in ids.indices {
      for column in ids[row].indices {
        flat[row * longest + column] = ids[row][column]
        mask[row * longest + column] = 1
        if usesTypes { flatTypes[row * longest + column] = types[row][column] }
      }
    }
    return EncoderInput(
      batch: ids.count, sequence: longest, inputIDs: flat, attentionMask: mask,
      tokenTypeIDs: usesTypes ? flatTypes : nil)
  }
}

/// A window of a sequence of a text, and its tokens with special ones.
struct WindowIndex: Sendable {
  let text: Int
  let sequence: Int
  let number: Int
  let length: Int

  /// All windows of some texts, the longest first; those of equal length in order.
  static func sorted(_ texts: [PreparedText], special: (Bool) -> Int) -> [WindowIndex] {
    var windows: [WindowIndex] = []
    for (text, prepared) in texts.enumerated() {
      for (sequence, content) in prepared.sequences.enumerated() {
        let extra = special(content.second != nil)
        for (number, window) in content.windows.enumerated() {
          windows.append(
            WindowIndex(text: text, sequence: sequence, number: number, length: window.tokenCount + extra))
        }
      }
    }
    return windows.enumerated().sorted { ($1.element.length, $0.offset) < ($0.element.length, $1.offset) }
      .map(\.element)
  }

  /// Parts of sorted windows that have at most `budget` tokens with their padding and `maxRows` windows, and at least one
  /// window.
  static func batches(_ windows: [WindowIndex], budget: Int, maxRows: Int = .max) -> [ArraySlice<WindowIndex>] {
    var batches: [ArraySlice<WindowIndex>] = []
    var start = 0
    while start < windows.count {
      let count = max(1, min(maxRows, budget / max(1, windows[start].length)))
      let end = min(windows.count, start + count)
      batches.append(windows[start..<end])
      start = end
    }
    return batches
  }
}
