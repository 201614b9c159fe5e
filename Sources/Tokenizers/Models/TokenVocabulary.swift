/// The tokens of a model and their ids, as the `vocab` of a `tokenizer.json` has them: each token once.
public struct TokenVocabulary: Equatable, Sendable {
  /// In the order of their ids.
  public let tokens: TokenList
  /// The id of each token, rising; `nil` where it is the token's index.
  private let ids: [Int32]?

  public static let empty = TokenVocabulary(TokenList())

  /// Tokens whose ids are their indices. Of equal tokens the last one counts.
  public init(_ tokens: TokenList) {
    self.init(sorted: tokens, nil)
  }

  /// Tokens with the ids that a file has for them, in its order. Of equal tokens the last one counts, as in the dictionaries
  /// of the original tokenizers.
  public init(_ tokens: TokenList, ids: [Int32]) {
    precondition(tokens.count == ids.count, "each token has an id")
    guard !ids.indices.allSatisfy({ ids[$0] == Int32(truncatingIfNeeded: $0) }) else {
      self.init(tokens)
      return
    }
    let last = TokenTrie(tokens, ids: ids)
    var order = (0..<tokens.count).filter { index in tokens.withBytes(index) { last.id(of: $0) } == ids[index] }
    order.sort { (ids[$0], $0) < (ids[$1], $1) }
    var sorted = TokenList()
    sorted.reserve(tokens: order.count, bytes: tokens.bytes.count)
    var sortedIDs: [Int32] = []
    for index in order {
      // Equal tokens with equal ids.
      if sortedIDs.last == ids[index], let before = sorted.lastBytes,
        before.elementsEqual(tokens.bytes[tokens.range(index)])
      {
        continue
      }
      tokens.withBytes(index) { sorted.append($0) }
      sortedIDs.append(ids[index])
    }
    let areIndices = sortedIDs.indices.allSatisfy { sortedIDs[$0] == Int32(truncatingIfNeeded: $0) }
    self.init(sorted: sorted, areIndices ? nil : sortedIDs)
  }

  private init(sorted tokens: TokenList, _ ids: [Int32]?) {
    self.tokens = tokens
    self.ids = ids
  }

  public var count: Int { tokens.count }

  /// The id of token `index`.
  public func id(at index: Int) -> Int { ids.map { Int($0[index]) } ?? index }

  func makeTrie() -> TokenTrie { TokenTrie(tokens, ids: ids) }

  /// The index of the token with an id; of several the last.
  func index(ofID id: Int32) -> Int? {
    guard let ids else { return id >= 0 && id < tokens.count ? Int(id) : nil }
    var (low, high) = (0, ids.count)
    while low < high {
      let middle = (low + high) / 2
      if ids[middle] <= id { low = middle + 1 } else { high = middle }
    }
    return low > 0 && ids[low - 1] == id ? low - 1 : nil
  }

  /// The id of a token, looked for one by one: for a few tokens, before there is a model.
  public func id(of token: String) -> Int? {
    let bytes = Array(token.utf8)
    return (0..<count).last { tokens.bytes[tokens.range($0)].elementsEqual(bytes) }.map { id(at: $0) }
  }
}

extension TokenList {
  fileprivate var lastBytes: ArraySlice<UInt8>? { isEmpty ? nil : bytes[range(count - 1)] }
}
