/// The texts nearest to some queries by the cosine of their embeddings, found while the texts go by.
public struct NearestTexts: Sendable {
  public struct Match: Sendable, Equatable {
    public var text: String
    /// Line of its file.
    public var line: Int?
    /// Cosine of the angle between the embeddings.
    public var score: Double
  }

  /// For each query the best first.
  public private(set) var matches: [[Match]]
  private let queries: [[Float]]
  private let count: Int

  /// - Parameters:
  ///   - queries: their embeddings
  ///   - count: how many texts are kept for each
  public init(_ queries: [[Float]], count: Int) {
    self.queries = queries.map(Self.unit)
    self.count = max(0, count)
    matches = queries.map { _ in [] }
  }

  /// Compares a text with all queries; of equal ones the earlier stays in front.
  public mutating func add(_ item: PredictionItem, _ embedding: [Float]) {
    let unit = Self.unit(embedding)
    for (index, query) in queries.enumerated() where query.count == unit.count {
      var sum: Float = 0
      for feature in unit.indices { sum += query[feature] * unit[feature] }
      let score = Double(sum)
      if matches[index].count == count, let last = matches[index].last, score <= last.score { continue }
      let position = matches[index].firstIndex { $0.score < score } ?? matches[index].count
      matches[index].insert(Match(text: item.text, line: item.line, score: score), at: position)
      if matches[index].count > count { matches[index].removeLast() }
    }
  }

  private static func unit(_ values: [Float]) -> [Float] {
    let length = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    let factor = Float(1 / max(length, 1e-12))
    return values.map { $0 * factor }
  }
}
