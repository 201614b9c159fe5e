import TensorIO

extension TokenizerDefinition {
  /// The canonical form: a `tokenizer.json` on one line, its parts in the order in which `tokenizers` writes them. Equal
  /// definitions have equal texts.
  public func json() -> [UInt8] {
    var out = JSONText()
    out.raw("{\"version\":\"1.0\",\"truncation\":")
    out.tree(truncation.map(\.tree) ?? .null)
    out.raw(",\"padding\":")
    out.tree(padding.map(\.tree) ?? .null)
    out.raw(",\"added_tokens\":")
    out.tree(.array(addedTokens.map(\.tree)))
    out.raw(",\"normalizer\":")
    out.tree(normalizer.map(\.tree) ?? .null)
    out.raw(",\"pre_tokenizer\":")
    out.tree(preTokenizer.map(\.tree) ?? .null)
    out.raw(",\"post_processor\":")
    out.tree(postProcessor.map(\.tree) ?? .null)
    out.raw(",\"decoder\":")
    out.tree(decoder.map(\.tree) ?? .null)
    out.raw(",\"model\":")
    model.write(to: &out)
    out.raw("}")
    return out.bytes
  }
}

extension JSONText {
  /// A value as a tree.
  mutating func tree(_ value: JSON) {
    switch value {
    case .null: raw("null")
    case .bool(let value): bool(value)
    case .number(let digits): raw(digits)
    case .string(let text): string(text)
    case .array(let elements):
      raw("[")
      for (index, element) in elements.enumerated() {
        if index > 0 { raw(",") }
        tree(element)
      }
      raw("]")
    case .object(let members):
      raw("{")
      for (index, member) in members.enumerated() {
        if index > 0 { raw(",") }
        string(member.key)
        raw(":")
        tree(member.value)
      }
      raw("}")
    }
  }
}

private func component(_ type: String, _ options: KeyValuePairs<String, JSON> = [:]) -> JSON {
  .object([JSON.Member("type", .string(type))] + options.map { JSON.Member($0.key, $0.value) })
}

extension TokenizerDefinition.Truncation {
  fileprivate var tree: JSON {
    .object([
      "direction": .string(direction.rawValue), "max_length": .int(maxLength), "strategy": .string(strategy.rawValue),
      "stride": .int(stride),
    ])
  }
}

extension TokenizerDefinition.Padding {
  fileprivate var tree: JSON {
    .object([
      "strategy": fixedLength.map { .object(["Fixed": .int($0)]) } ?? .string("BatchLongest"),
      "direction": .string(direction.rawValue), "pad_to_multiple_of": padToMultipleOf.map { .int($0) } ?? .null,
      "pad_id": .int(padID), "pad_type_id": .int(padTypeID), "pad_token": .string(padToken),
    ])
  }
}

extension TokenizerDefinition.AddedToken {
  fileprivate var tree: JSON {
    .object([
      "id": .int(id), "content": .string(content), "single_word": .bool(singleWord), "lstrip": .bool(stripsLeft),
      "rstrip": .bool(stripsRight), "normalized": .bool(normalized), "special": .bool(special),
    ])
  }
}

extension TokenizerDefinition.Pattern {
  fileprivate var tree: JSON {
    switch self {
    case .string(let text): .object(["String": .string(text)])
    case .regex(let text): .object(["Regex": .string(text)])
    }
  }
}

extension TokenizerDefinition.Normalizer {
  fileprivate var tree: JSON {
    switch self {
    case .bert(let cleanText, let handleChineseChars, let stripAccents, let lowercase):
      component(
        "BertNormalizer",
        [
          "clean_text": .bool(cleanText), "handle_chinese_chars": .bool(handleChineseChars),
          "strip_accents": stripAccents.map { .bool($0) } ?? .null, "lowercase": .bool(lowercase),
        ])
    case .nfc: component("NFC")
    case .nfd: component("NFD")
    case .nfkc: component("NFKC")
    case .nfkd: component("NFKD")
    case .lowercase: component("Lowercase")
    case .stripAccents: component("StripAccents")
    case .strip(let left, let right):
      component("Strip", ["strip_left": .bool(left), "strip_right": .bool(right)])
    case .replace(let pattern, let content):
      component("Replace", ["pattern": pattern.tree, "content": .string(content)])
    case .prepend(let text): component("Prepend", ["prepend": .string(text)])
    case .precompiled(let bytes):
      component("Precompiled", ["precompiled_charsmap": .string(Base64.encode(bytes))])
    case .nmt: component("Nmt")
    case .byteLevel: component("ByteLevel")
    case .sentencePiece(let rules):
      component(
        "SentencePiece",
        [
          "precompiled_charsmap": .string(Base64.encode(rules.charsMap)),
          "add_dummy_prefix": .bool(rules.addsDummyPrefix),
          "remove_extra_whitespaces": .bool(rules.removesExtraWhitespaces),
          "escape_whitespaces": .bool(rules.escapesWhitespaces),
          "treat_whitespace_as_suffix": .bool(rules.treatsWhitespaceAsSuffix),
          "user_defined_symbols": .strings(rules.userDefined),
        ])
    case .sequence(let parts): component("Sequence", ["normalizers": .array(parts.map(\.tree))])
    }
  }
}

private func byteLevel(_ addPrefixSpace: Bool, _ trimOffsets: Bool, _ usesRegex: Bool) -> JSON {
  component(
    "ByteLevel",
    [
      "add_prefix_space": .bool(addPrefixSpace), "trim_offsets": .bool(trimOffsets), "use_regex": .bool(usesRegex),
    ])
}

private func metaspace(
  _ replacement: Unicode.Scalar, _ scheme: TokenizerDefinition.PrependScheme, _ split: Bool
) -> JSON {
  component(
    "Metaspace",
    [
      "replacement": .string(String(replacement)), "prepend_scheme": .string(scheme.rawValue), "split": .bool(split),
    ])
}

extension TokenizerDefinition.PreTokenizer {
  fileprivate var tree: JSON {
    switch self {
    case .bert: component("BertPreTokenizer")
    case .byteLevel(let addPrefixSpace, let trimOffsets, let usesRegex):
      Tokenizers.byteLevel(addPrefixSpace, trimOffsets, usesRegex)
    case .charDelimiterSplit(let delimiter):
      component("CharDelimiterSplit", ["delimiter": .string(String(delimiter))])
    case .digits(let individual): component("Digits", ["individual_digits": .bool(individual)])
    case .fixedLength(let length): component("FixedLength", ["length": .int(length)])
    case .metaspace(let replacement, let scheme, let split): Tokenizers.metaspace(replacement, scheme, split)
    case .punctuation(let behavior): component("Punctuation", ["behavior": .string(behavior.rawValue)])
    case .split(let pattern, let behavior, let invert):
      component(
        "Split", ["pattern": pattern.tree, "behavior": .string(behavior.rawValue), "invert": .bool(invert)])
    case .whitespace: component("Whitespace")
    case .whitespaceSplit: component("WhitespaceSplit")
    case .sequence(let parts): component("Sequence", ["pretokenizers": .array(parts.map(\.tree))])
    }
  }
}

extension TokenizerDefinition.SpecialToken {
  fileprivate var tree: JSON { .array([.string(content), .int(id)]) }
}

extension TokenizerDefinition.TemplatePiece {
  fileprivate var tree: JSON {
    switch self {
    case .sequence(let isSecond, let typeID):
      .object(["Sequence": .object(["id": .string(isSecond ? "B" : "A"), "type_id": .int(typeID)])])
    case .special(let key, let typeID):
      .object(["SpecialToken": .object(["id": .string(key), "type_id": .int(typeID)])])
    }
  }
}

extension TokenizerDefinition.PostProcessor {
  fileprivate var tree: JSON {
    switch self {
    case .template(let single, let pair, let tokens):
      component(
        "TemplateProcessing",
        [
          "single": .array(single.map(\.tree)), "pair": .array(pair.map(\.tree)),
          "special_tokens": .object(
            tokens.map { token in
              JSON.Member(
                token.key,
                .object([
                  "id": .string(token.key), "ids": .array(token.ids.map { .int($0) }), "tokens": .strings(token.tokens),
                ]))
            }),
        ])
    case .bert(let separator, let classifier):
      component("BertProcessing", ["sep": separator.tree, "cls": classifier.tree])
    case .roberta(let separator, let classifier, let trimOffsets, let addPrefixSpace):
      component(
        "RobertaProcessing",
        [
          "sep": separator.tree, "cls": classifier.tree, "trim_offsets": .bool(trimOffsets),
          "add_prefix_space": .bool(addPrefixSpace),
        ])
    case .byteLevel(let addPrefixSpace, let trimOffsets, let usesRegex):
      Tokenizers.byteLevel(addPrefixSpace, trimOffsets, usesRegex)
    case .sequence(let parts): component("Sequence", ["processors": .array(parts.map(\.tree))])
    }
  }
}

extension TokenizerDefinition.Decoder {
  fileprivate var tree: JSON {
    switch self {
    case .bpe(let suffix): component("BPEDecoder", ["suffix": .string(suffix)])
    case .byteFallback: component("ByteFallback")
    case .byteLevel(let addPrefixSpace, let trimOffsets, let usesRegex):
      Tokenizers.byteLevel(addPrefixSpace, trimOffsets, usesRegex)
    case .fuse: component("Fuse")
    case .metaspace(let replacement, let scheme, let split): Tokenizers.metaspace(replacement, scheme, split)
    case .replace(let pattern, let content):
      component("Replace", ["pattern": pattern.tree, "content": .string(content)])
    case .strip(let content, let start, let stop):
      component("Strip", ["content": .string(String(content)), "start": .int(start), "stop": .int(stop)])
    case .wordPiece(let prefix, let cleanup):
      component("WordPiece", ["prefix": .string(prefix), "cleanup": .bool(cleanup)])
    case .sequence(let parts): component("Sequence", ["decoders": .array(parts.map(\.tree))])
    }
  }
}
