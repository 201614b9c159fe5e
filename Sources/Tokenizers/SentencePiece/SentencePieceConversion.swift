import TensorIO

// A SentencePiece model as the tokenizer of a family: `SpmConverter` and its subclasses in `convert_slow_tokenizer.py` of
// transformers 4.57.

/// A vocabulary with scores while it is put together.
struct ScoredTokens: Sendable {
  var tokens = TokenList()
  var scores: [Double] = []

  mutating func append(_ token: String, _ score: Double) {
    tokens.append(token)
    scores.append(score)
  }
}

extension SentencePieceModel {
  /// The tokenizer that computes exactly what `sentencepiece` does with this model.
  public func exactDefinition() throws(FormatError) -> TokenizerDefinition {
    guard kind == .unigram || kind == .bpe else { throw unsupportedKind }
    let decoder: TokenizerDefinition.Decoder =
      hasByteFallback
      ? .sequence([
        .replace(.string("▁"), content: " "), .byteFallback, .fuse, .strip(content: " ", start: 1, stop: 0),
      ]) : .metaspace(replacement: "▁", prependScheme: .always, split: true)
    return TokenizerDefinition(
      model: .sentencePiece(
        SentencePieceDefinition(
          tokens: pieces, scores: scores, types: types, algorithm: kind, byteFallback: hasByteFallback)),
      normalizer: .sentencePiece(SentencePieceNormalization(self)), decoder: decoder)
  }

  private var unsupportedKind: FormatError {
    FormatError(
      .unsupported, "SentencePiece models of single characters or whole words are not read",
      found: "model type '\(kind)'",
      expected: "unigram or bpe")
  }

  /// The model of a family's tokenizer.
  func model(of family: TokenizerClass.SentencePieceFamily) throws(FormatError) -> ModelDefinition {
    let vocabulary = try vocabulary(of: family)
    switch kind {
    case .unigram:
      return .unigram(
        UnigramDefinition(
          tokens: vocabulary.tokens, scores: vocabulary.scores, unknownID: try unknownID(in: family, vocabulary)))
    case .bpe:
      return .bpe(
        BPEDefinition(
          vocabulary: TokenVocabulary(vocabulary.tokens), merges: merges(vocabulary), unknownToken: unknownPiece,
          fuseUnknown: true))
    case .word, .char: throw unsupportedKind
    }
  }

  private func unknownID(
    in family: TokenizerClass.SentencePieceFamily, _ vocabulary: ScoredTokens
  ) throws(FormatError) -> Int {
    let id: Int
    switch family {
    case .camemBERT, .barthez, .mBART, .xlmRoBERTa: id = 3
    default: id = trainerUnknownID
    }
    guard id >= 0, id < vocabulary.tokens.count else {
      throw FormatError(
        .damaged, "the unk_id of the SentencePiece model is not the id of a piece", found: "\(id)",
        expected: "below \(vocabulary.tokens.count)")
    }
    return id
  }

  private func vocabulary(of family: TokenizerClass.SentencePieceFamily) throws(FormatError) -> ScoredTokens {
    var result = ScoredTokens()
    result.tokens.reserve(tokens: pieces.count + 32, bytes: pieces.bytes.count + 1024)
    func append(from first: Int) {
      guard first < pieces.count else { return }
      for index in first..<pieces.count {
        pieces.withBytes(index) { result.tokens.append($0) }
        result.scores.append(Double(scores[index]))
      }
    }
    switch family {
    case .albert, .fnet, .xlnet:
      append(from: 0)
      for index in 0..<pieces.count where endsWithNumberAndComma(index) { result.scores[index] -= 100 }
    case .camemBERT:
      for token in ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"] { result.append(token, 0) }
      result.append("<unk>NOTUSED", -100)
      append(from: 1)
      result.append("<mask>", 0)
    case .mBART, .xlmRoBERTa:
      for token in ["<s>", "<pad>", "</s>", "<unk>"] { result.append(token, 0) }
      append(from: 3)
      if family == .mBART { for token in TokenizerClass.mBARTLanguages { result.append(token, 0) } }
      result.append("<mask>", 0)
    case .barthez, .remBERT, .debertaV2, .bigBird, .plain: append(from: 0)
    }
    return result
  }

  /// ALBERT and XLNet never use pieces such as `9,` (`check_number_comma`).
  private func endsWithNumberAndComma(_ index: Int) -> Bool {
    let bytes = pieces.bytes[pieces.range(index)]
    guard bytes.count >= 2, bytes.last == UInt8(ascii: ",") else { return false }
    guard let digit = String(decoding: bytes.dropLast(), as: UTF8.self).unicodeScalars.last else { return false }
    return digit.properties.numericType == .decimal || digit.properties.numericType == .digit
  }

  /// The merges that make the pieces, by falling score (`generate_merges`).
  private func merges(_ vocabulary: ScoredTokens) -> TokenList {
    struct Merge {
      var piece: Int
      /// Bytes and characters of the left token; characters of the right one.
      var split: Int
      var left: Int
      var right: Int
      var ids: (Int32, Int32)
    }
    let trie = TokenTrie(pieces)
    let whole = TokenTrie(vocabulary.tokens)
    var all: [Merge] = []
    for piece in 0..<vocabulary.tokens.count {
      let range = vocabulary.tokens.range(piece)
      let bytes = vocabulary.tokens.bytes[range]
      // Of equal tokens the last one has the score.
      guard whole.id(of: vocabulary.tokens.bytes.span.extracting(range)) == Int32(truncatingIfNeeded: piece) else {
        continue
      }
      let characters = bytes.count { $0 & 0xC0 != 0x80 }
      let first = all.count
      var left = 0
      var node = TokenTrie.root
      for offset in 0..<bytes.count {
        let index = range.lowerBound + offset
        if offset > 0, vocabulary.tokens.bytes[index] & 0xC0 != 0x80 {
          left += 1
          if let one = trie.id(at: node),
            let other = trie.id(of: vocabulary.tokens.bytes.span.extracting(index..<range.upperBound))
          {
            all.append(Merge(piece: piece, split: offset, left: left, right: characters - left, ids: (one, other)))
          }
        }
        guard let next = trie.child(of: node, vocabulary.tokens.bytes[index]) else { break }
        node = next
      }
      if all.count - first > 1 { all[first...].sort { $0.ids < $1.ids } }
    }
    // Stable, as Python's sort is.
    let order = all.indices.sorted {
      let (a, b) = (all[$0], all[$1])
      let (one, other) = (vocabulary.scores[a.piece], vocabulary.scores[b.piece])
      if one != other { return one > other }
      if a.left != b.left { return a.left > b.left }
      return a.right != b.right ? a.right > b.right : $0 < $1
    }
    var merges = TokenList()
    for index in order {
      let range = vocabulary.tokens.range(all[index].piece)
      let middle = range.lowerBound + all[index].split
      merges.append(vocabulary.tokens.bytes.span.extracting(range.lowerBound..<middle))
      merges.append(vocabulary.tokens.bytes.span.extracting(middle..<range.upperBound))
    }
    return merges
  }

  /// Control pieces and those of the user, which are searched for in the text as given.
  var addedTokens: [TokenizerDefinition.AddedToken] {
    types.indices.filter { types[$0] == .control || types[$0] == .userDefined }.map {
      TokenizerDefinition.AddedToken(
        id: $0, content: pieces[$0], normalized: false, special: types[$0] == .control)
    }
  }
}

extension TokenizerClass.SentencePieceFamily {
  func normalizer(
    charsMap: [UInt8], lowercase: Bool, keepsAccents: Bool
  ) -> TokenizerDefinition.Normalizer {
    typealias Normalizer = TokenizerDefinition.Normalizer
    let precompiled: [Normalizer] = charsMap.isEmpty ? [] : [.precompiled(charsMap)]
    let lower: [Normalizer] = lowercase ? [.lowercase] : []
    let accents: [Normalizer] = keepsAccents ? [] : [.nfkd, .stripAccents]
    let quotes: [Normalizer] = [.replace(.string("``"), content: "\""), .replace(.string("''"), content: "\"")]
    let spaces = Normalizer.replace(.regex(" {2,}"), content: " ")
    switch self {
    case .albert, .fnet, .xlnet: return .sequence(quotes + accents + lower + precompiled + [spaces])
    case .remBERT: return .sequence(quotes + [spaces] + accents + lower + precompiled)
    case .debertaV2: return .sequence(lower + [.strip(left: true, right: true)] + precompiled + [spaces])
    case .xlmRoBERTa, .camemBERT, .barthez, .mBART, .bigBird, .plain:
      return .sequence(precompiled + [.strip(left: false, right: true), .replace(.regex(" {2,}"), content: "▁")])
    }
  }

  func preTokenizer(splitsPunctuation: Bool) -> TokenizerDefinition.PreTokenizer {
    let metaspace = TokenizerDefinition.PreTokenizer.metaspace(replacement: "▁", prependScheme: .always, split: true)
    guard self == .debertaV2 else { return metaspace }
    return .sequence((splitsPunctuation ? [.punctuation(.isolated)] : []) + [metaspace])
  }

  /// The tokens of the post-processor, a type behind each: for one text, then for two. `A` and `B` are the texts.
  var template: (single: String, pair: String)? {
    switch self {
    case .albert, .fnet, .remBERT, .debertaV2, .bigBird: ("[CLS]:0 A:0 [SEP]:0", "[CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1")
    case .xlmRoBERTa, .camemBERT, .barthez: ("<s>:0 A:0 </s>:0", "<s>:0 A:0 </s>:0 </s>:0 B:0 </s>:0")
    case .xlnet: ("A:0 <sep>:0 <cls>:2", "A:0 <sep>:0 B:1 <sep>:1 <cls>:2")
    case .mBART: ("A:0 </s>:0 en_XX:0", "A:0 B:0 </s>:0 en_XX:0")
    case .plain: nil
    }
  }
}
