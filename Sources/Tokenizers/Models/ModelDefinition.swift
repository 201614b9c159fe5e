import TensorIO

/// The model of a tokenizer with its vocabulary, as `tokenizer.json` has it.
public enum ModelDefinition: Equatable, Sendable {
  case wordPiece(WordPieceDefinition)
  case bpe(BPEDefinition)
  case unigram(UnigramDefinition)
  case wordLevel(WordLevelDefinition)
}

public struct WordPieceDefinition: Equatable, Sendable {}
public struct BPEDefinition: Equatable, Sendable {}
public struct UnigramDefinition: Equatable, Sendable {}
public struct WordLevelDefinition: Equatable, Sendable {}

extension ModelDefinition {
  /// The `model` of a `tokenizer.json`; the scanner is before the value and afterwards behind it.
  init(_ scanner: inout JSONScanner) throws(FormatError) {
    throw FormatError(.unsupported, "the model of a tokenizer is not read")
  }

  /// Appends the canonical JSON of `model`.
  func write(to out: inout JSONText) {}

  /// The model ready for use. `overBytes`: words come as raw bytes, and the vocabulary is in the alphabet of `ByteLevel`
  /// (only for BPE).
  func makeModel(overBytes: Bool) throws(FormatError) -> any TokenModel {
    throw FormatError(.unsupported, "the model of a tokenizer is not read")
  }
}
