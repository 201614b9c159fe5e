/// What the post-processor makes of a text or a pair: the special tokens, and where the texts go between them.
package enum TokenTemplate: Sendable {
  /// The tokens of a text (0, or 1 for the second one of a pair), which get this type.
  case text(Int, typeID: UInt16)
  /// A special token.
  case special(id: Int32, typeID: UInt16)
}

extension Tokenizer {
  /// The template of a text or of a pair, in order; for callers that put parts of texts together themselves.
  package func template(isPair: Bool) -> [TokenTemplate] {
    (isPair ? stages.postProcessors.pair : stages.postProcessors.single).map { piece in
      switch piece {
      case .sequence(let number, let typeID): .text(number, typeID: typeID)
      case .special(let id, _, let typeID): .special(id: id, typeID: typeID)
      }
    }
  }
}
