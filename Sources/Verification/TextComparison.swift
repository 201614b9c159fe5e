import Encoder
import TensorIO
import Tokenizers

/// The tokens that the tokenizer makes of a fixture's texts, compared with the fixture's ids.
public struct TextComparison: Sendable, Equatable {
  /// A token, by its id and what it prints.
  public struct Token: Sendable, Equatable {
    public let id: Int
    /// `nil` for an id that the tokenizer does not have.
    public let text: String?

    var described: String { (text.map { "'\(printable($0))'" } ?? "no token") + " (\(id))" }
  }

  /// The first token that differs.
  public struct Difference: Sendable, Equatable {
    public let row: Int
    /// In the row of the fixture.
    public let position: Int
    /// What the fixture has; `nil` where its row has ended.
    public let reference: Token?
    /// What the tokenizer makes; `nil` where its tokens have ended.
    public let made: Token?
    /// The types of the token, where those differ and the ids do not.
    public let types: (reference: Int, made: Int)?

    public static func == (a: Difference, b: Difference) -> Bool {
      a.row == b.row && a.position == b.position && a.reference == b.reference && a.made == b.made
        && a.types?.reference == b.types?.reference && a.types?.made == b.types?.made
    }

    /// In a sentence.
    public var text: String {
      let place = "row \(row), position \(position)"
      if let types {
        return "\(place): the fixture has the token type \(types.reference), the tokenizer makes \(types.made) of it"
      }
      return "\(place): the fixture has \(reference?.described ?? "no more tokens"), the tokenizer makes "
        + (made?.described ?? "no more tokens")
    }
  }

  public let rows: Int
  /// Rows whose tokens are all the same.
  public let agreeing: Int
  public let first: Difference?

  public var passed: Bool { first == nil }

  /// - Throws: `FormatError` where a text cannot be tokenized
  init(_ texts: [String], pairs: [String]?, input: EncoderInput, tokenizer: Tokenizer) throws(FormatError) {
    var first: Difference?
    var agreeing = 0
    for row in texts.indices {
      var encoding = try tokenizer.encode(texts[row], pair: pairs?[row])
      if encoding.count > input.sequence {
        // A fixture that was cut to the length of its rows.
        encoding = try tokenizer.encode(
          texts[row], pair: pairs?[row], options: Tokenizer.Options(maxLength: input.sequence))
      }
      if let difference = Self.difference(row, encoding, input, tokenizer) {
        first = first ?? difference
      } else {
        agreeing += 1
      }
    }
    rows = texts.count
    self.agreeing = agreeing
    self.first = first
  }

  private static func difference(
    _ row: Int, _ encoding: Encoding, _ input: EncoderInput, _ tokenizer: Tokenizer
  ) -> Difference? {
    let start = row * input.sequence
    var positions = (0..<input.sequence).filter { input.isAttended(start + $0) }
    if input.attentionMask == nil {
      // Without a mask what follows is padding, if it is all the same.
      let rest = positions.dropFirst(encoding.count)
      let ids = Set(rest.map { input.inputIDs[start + $0] })
      if ids.count == 1, let id = ids.first, Int32(exactly: id).map(tokenizer.isSpecial) ?? false {
        positions.removeLast(rest.count)
      }
    }
    func token(_ id: Int) -> Token { Token(id: id, text: Int32(exactly: id).flatMap { tokenizer.token(of: $0) }) }
    for index in 0..<max(positions.count, encoding.count) {
      let reference = index < positions.count ? input.inputIDs[start + positions[index]] : nil
      let made = index < encoding.count ? Int(encoding.tokens[index].id) : nil
      let position = index < positions.count ? positions[index] : (positions.last ?? -1) + 1 + index - positions.count
      guard reference == made else {
        return Difference(
          row: row, position: position, reference: reference.map(token), made: made.map(token), types: nil)
      }
      guard let types = input.tokenTypeIDs, let reference else { continue }
      let pair = (reference: types[start + position], made: Int(encoding.tokens[index].typeID))
      if pair.reference != pair.made {
        return Difference(
          row: row, position: position, reference: token(reference), made: token(reference), types: pair)
      }
    }
    return nil
  }

  var json: JSON {
    .object([
      "rows": .int(rows), "agreeing": .int(agreeing), "passed": .bool(passed),
      "first_difference": first.map { difference in
        .object([
          "row": .int(difference.row), "position": .int(difference.position),
          "reference": Self.json(difference.reference), "made": Self.json(difference.made),
          "text": .string(difference.text),
        ])
      } ?? .null,
    ])
  }

  private static func json(_ token: Token?) -> JSON {
    token.map { .object(["id": .int($0.id), "token": $0.text.map { .string($0) } ?? .null]) } ?? .null
  }

  /// The result in a sentence.
  package var text: String {
    if let first {
      return
        "Tokens: \(counted(rows - agreeing, "row")) of \(grouped(rows)) \(rows - agreeing == 1 ? "differs" : "differ"), "
        + "first at \(first.text)."
    }
    return "Tokens: \(rows == 1 ? "the text gives" : "all \(grouped(rows)) texts give") the ids of the fixture."
  }
}
