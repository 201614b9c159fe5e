import ModelFamilies
import TensorIO

/// One sequence without its padding: consecutive rows of its group's activations.
struct PackedSequence {
  /// Row of the batch.
  let row: Int
  /// The first of its rows among the group's.
  let start: Int
  /// The columns whose mask is 1, one row each.
  let columns: [Int]
  /// Whether one more row follows: column 0, whose mask is 0 but which the pooler reads. It attends to the others, as in
  /// transformers, and no other attends to it.
  let hasExtraQuery: Bool
  /// The columns of ``queries`` where these are not next to each other; `nil` where only their distance from 0 is other.
  let scatteredColumns: [Int32]?

  init(row: Int, start: Int, columns: [Int], hasExtraQuery: Bool) {
    self.row = row
    self.start = start
    self.columns = columns
    self.hasExtraQuery = hasExtraQuery
    let isAdjacent = !hasExtraQuery && (columns.last ?? 0) - (columns.first ?? 0) < columns.count
    scatteredColumns = isAdjacent ? nil : (hasExtraQuery ? columns + [0] : columns).map { Int32($0) }
  }

  var keys: Range<Int> { start..<(start + columns.count) }
  var queries: Range<Int> { start..<(start + columns.count + (hasExtraQuery ? 1 : 0)) }
  var lastToken: Int { keys.upperBound - 1 }
  /// The row of column 0, if present.
  var firstToken: Int { hasExtraQuery ? keys.upperBound : start }

  /// Columns that are next to each other: in the group's rows and in the padded output alike.
  var runs: [Range<Int>] {
    var runs: [Range<Int>] = []
    for (index, column) in columns.enumerated() {
      if index > 0, columns[index - 1] == column - 1, let last = runs.last {
        runs[runs.count - 1] = last.lowerBound..<(index + 1)
      } else {
        runs.append(index..<(index + 1))
      }
    }
    return runs
  }
}

/// Sequences that go through the model together, packed row after row: T rows of activations in all.
struct PackedGroup {
  private(set) var sequences: [PackedSequence] = []
  /// Of each row: indices into the three tables of embeddings.
  private(set) var ids: [Int] = []
  private(set) var positions: [Int] = []
  /// `nil` where none are added.
  private(set) var types: [Int]? = []
  /// Empty for models without task types.
  private(set) var tasks: [Int] = []
  /// Of each row: the ids in the columns before and after, whatever their mask; `nil` at the ends of the padded row. Only
  /// for models that read them.
  private(set) var previousIDs: [Int?] = []
  private(set) var nextIDs: [Int?] = []
  /// Of each row: its row in the padded `[batch * sequence]`; `nil` for an extra query.
  private(set) var targets: [Int?] = []

  /// T
  var tokens: Int { ids.count }
  /// S: the most rows of one sequence.
  var longest: Int { sequences.map(\.queries.count).max() ?? 0 }

  /// More rows than this at a time make products no faster, and activations larger.
  private static let targetTokens = 2048
  /// A thread with fewer rows than this waits for the weights: all threads together on all rows read them once.
  private static let minimumTokens = 96

  /// The sequences of `input`, which was checked, in order: groups that go through the model side by side, each on one
  /// thread, and the next ones after them. A single group is for all threads together.
  static func split(
    _ input: EncoderInput, _ config: EncoderConfig, poolsFirstToken: Bool, groupsAtOnce: Int
  ) -> [[PackedGroup]] {
    let columns = (0..<input.batch).map { row in
      (0..<input.sequence).filter { input.isAttended(row * input.sequence + $0) }
    }
    var batches: [[Int]] = []
    var tokens = 0
    for row in 0..<input.batch {
      if batches.isEmpty || tokens + columns[row].count > targetTokens {
        batches.append([])
        tokens = 0
      }
      batches[batches.count - 1].append(row)
      tokens += columns[row].count
    }
    return batches.map { rows in
      share(rows, tokens: columns.map(\.count), among: groupsAtOnce).map { rows in
        var group = PackedGroup()
        if config.family.computation.tokenTypeIDs == .words, input.tokenTypeIDs == nil { group.types = nil }
        for row in rows { group.append(row, columns[row], of: input, config, poolsFirstToken: poolsFirstToken) }
        return group
      }
    }
  }

  /// `rows` in `count` parts, one for each thread, if each can have as much to do as the others; otherwise in one.
  private static func share(_ rows: [Int], tokens: [Int], among count: Int) -> [[Int]] {
    let total = rows.reduce(0) { $0 + tokens[$1] }
    guard count > 1, rows.count >= count, total >= count * minimumTokens else { return [rows] }
    // The longest first, each to the part that is the smallest so far.
    var parts = [(tokens: Int, rows: [Int])](repeating: (0, []), count: count)
    for row in rows.sorted(by: { tokens[$0] > tokens[$1] }) {
      let smallest = parts.indices.min { parts[$0].tokens < parts[$1].tokens } ?? 0
      parts[smallest].tokens += tokens[row]
      parts[smallest].rows.append(row)
    }
    let largest = parts.map(\.tokens).max() ?? 0
    // The time that one thread takes longer than the others is lost; so is that which all of them wait for each other in
    // every product.
    guard largest * count * 100 <= total * 104 else { return [rows] }
    return parts.map { $0.rows.sorted() }
  }

  private mutating func append(
    _ row: Int, _ columns: [Int], of input: EncoderInput, _ config: EncoderConfig, poolsFirstToken: Bool
  ) {
    let base = row * input.sequence
    let extra = poolsFirstToken && columns.first != 0
    sequences.append(PackedSequence(row: row, start: tokens, columns: columns, hasExtraQuery: extra))
    let rowPositions = Self.positions(input, base, config)
    for column in extra ? columns + [0] : columns {
      ids.append(input.inputIDs[base + column])
      positions.append(rowPositions[column])
      types?.append(input.tokenTypeIDs?[base + column] ?? config.family.computation.defaultTokenType)
      if config.taskTypeCount > 0 { tasks.append(input.taskTypeIDs?[base + column] ?? 0) }
      guard config.readsNeighbors else { continue }
      previousIDs.append(column > 0 ? input.inputIDs[base + column - 1] : nil)
      nextIDs.append(column + 1 < input.sequence ? input.inputIDs[base + column + 1] : nil)
    }
    targets += columns.map { base + $0 }
    if extra { targets.append(nil) }
  }

  /// The position of each column of the row that starts at `base`.
  private static func positions(_ input: EncoderInput, _ base: Int, _ config: EncoderConfig) -> [Int] {
    switch config.family.computation.positionIDs {
    case .column: return Array(0..<input.sequence)
    case .countedFromPadding:
      var last = config.paddingID
      return (0..<input.sequence).map { column in
        guard input.inputIDs[base + column] != config.paddingID else { return config.paddingID }
        last += 1
        return last
      }
    }
  }
}
