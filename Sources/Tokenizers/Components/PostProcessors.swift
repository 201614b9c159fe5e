import TensorIO

/// The fourth stage, ready for use: which special tokens stand where, and whether offsets leave spaces out.
struct PostProcessors: Sendable {
  /// What a text, or a pair, becomes.
  enum Piece: Sendable {
    case sequence(Int, typeID: UInt16)
    /// `text` is what it prints where that is not the vocabulary's entry.
    case special(id: Int32, text: String?, typeID: UInt16)
  }

  /// Of one trimming of offsets: whether the space in front of a text counts as put there.
  struct Trim: Sendable {
    var addPrefixSpace: Bool
  }

  private(set) var single: [Piece] = [.sequence(0, typeID: 0)]
  private(set) var pair: [Piece] = [.sequence(0, typeID: 0), .sequence(1, typeID: 1)]
  private(set) var trims: [Trim] = []
  private var hasTemplate = false

  init(_ postProcessor: TokenizerDefinition.PostProcessor?, _ vocabulary: Vocabulary) throws(FormatError) {
    if let postProcessor { try add(postProcessor) }
    single = single.map { Self.withoutKnownText($0, vocabulary) }
    pair = pair.map { Self.withoutKnownText($0, vocabulary) }
  }

  private static func withoutKnownText(_ piece: Piece, _ vocabulary: Vocabulary) -> Piece {
    guard case .special(let id, let text?, let typeID) = piece,
      let known = vocabulary.text(of: id), known.utf8.elementsEqual(text.utf8)
    else { return piece }
    return .special(id: id, text: nil, typeID: typeID)
  }

  /// The special tokens that are put in.
  func addedCount(isPair: Bool) -> Int {
    (isPair ? pair : single).reduce(0) { if case .special = $1 { $0 + 1 } else { $0 } }
  }

  private mutating func add(_ postProcessor: TokenizerDefinition.PostProcessor) throws(FormatError) {
    switch postProcessor {
    case .template(let single, let pair, let tokens):
      try setTemplate(
        try Self.pieces(single, tokens, isPair: false), try Self.pieces(pair, tokens, isPair: true))
    case .bert(let separator, let classifier):
      let (first, last) = (try Self.special(classifier), try Self.special(separator))
      let secondLast = try Self.special(separator, typeID: 1)
      try setTemplate(
        [first, .sequence(0, typeID: 0), last],
        [first, .sequence(0, typeID: 0), last, .sequence(1, typeID: 1), secondLast])
    case .roberta(let separator, let classifier, let trimOffsets, let addPrefixSpace):
      if trimOffsets { trims.append(Trim(addPrefixSpace: addPrefixSpace)) }
      let (first, last) = (try Self.special(classifier), try Self.special(separator))
      try setTemplate(
        [first, .sequence(0, typeID: 0), last],
        [first, .sequence(0, typeID: 0), last, last, .sequence(1, typeID: 0), last])
    case .byteLevel(let addPrefixSpace, let trimOffsets, _):
      if trimOffsets { trims.append(Trim(addPrefixSpace: addPrefixSpace)) }
    case .sequence(let parts):
      for part in parts { try add(part) }
    }
  }

  private mutating func setTemplate(_ single: [Piece], _ pair: [Piece]) throws(FormatError) {
    guard !hasTemplate else {
      throw FormatError(.unsupported, "the post_processor 'Sequence' adds special tokens twice")
    }
    hasTemplate = true
    self.single = single
    self.pair = pair
  }

  private static func special(
    _ token: TokenizerDefinition.SpecialToken, typeID: UInt16 = 0
  ) throws(FormatError) -> Piece {
    .special(id: try id(token.id), text: token.content, typeID: typeID)
  }

  private static func id(_ id: Int) throws(FormatError) -> Int32 {
    guard let id = Int32(exactly: id), id >= 0 else {
      throw FormatError(.damaged, "a special token of the post_processor has an impossible id", found: "\(id)")
    }
    return id
  }

  private static func pieces(
    _ template: [TokenizerDefinition.TemplatePiece], _ tokens: [TokenizerDefinition.TemplateToken], isPair: Bool
  ) throws(FormatError) -> [Piece] {
    var pieces: [Piece] = []
    for piece in template {
      let typeID =
        switch piece {
        case .sequence(_, let typeID), .special(_, let typeID): typeID
        }
      guard let typeID = UInt16(exactly: typeID) else {
        throw FormatError(
          .unsupported, "a template of the post_processor has the token type \(typeID)", expected: "0 to 65535")
      }
      switch piece {
      case .sequence(let isSecond, _):
        guard isPair || !isSecond else {
          throw FormatError(.damaged, "the template of the post_processor for one text uses a second one")
        }
        pieces.append(.sequence(isSecond ? 1 : 0, typeID: typeID))
      case .special(let key, _):
        guard let token = tokens.first(where: { $0.key.utf8.elementsEqual(key.utf8) }),
          token.ids.count == token.tokens.count
        else {
          throw FormatError(
            .damaged, "the template of the post_processor uses a special token that it does not define",
            found: "'\(key)'")
        }
        for (id, text) in zip(token.ids, token.tokens) {
          pieces.append(.special(id: try Self.id(id), text: text, typeID: typeID))
        }
      }
    }
    return pieces
  }
}
