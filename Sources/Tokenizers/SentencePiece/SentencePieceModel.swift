import TensorIO

/// A SentencePiece `.model` file: pieces with scores, and how text is normalized before it is cut into them.
///
/// Specification: `src/sentencepiece_model.proto` of google/sentencepiece, `message ModelProto`.
public struct SentencePieceModel: Sendable {
  /// The algorithm that cuts text into pieces. The raw value is that of `TrainerSpec.ModelType`.
  public enum Kind: Int, Sendable {
    case unigram = 1
    case bpe = 2
    case word = 3
    case char = 4
  }

  /// The raw value is that of `ModelProto.SentencePiece.Type`.
  public enum PieceType: UInt8, Sendable {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
  }

  /// `NormalizerSpec`.
  public struct Normalization: Sendable, Equatable {
    /// As `nmt_nfkc`; it changes nothing, the map alone counts.
    public var name = ""
    /// `u32 size of the trie, trie, texts that end with NUL`; empty for none.
    public var charsMap: [UInt8] = []
    public var addsDummyPrefix = true
    public var removesExtraWhitespaces = true
    public var escapesWhitespaces = true
  }

  public private(set) var pieces = TokenList()
  /// The score of each piece.
  public private(set) var scores: [Float] = []
  public private(set) var types: [PieceType] = []
  public private(set) var kind = Kind.unigram
  public private(set) var normalization = Normalization()
  public private(set) var hasByteFallback = false
  /// Whether the `▁` is behind a word instead of in front of it.
  public private(set) var treatsWhitespaceAsSuffix = false
  /// The id of the one piece of type ``PieceType/unknown``.
  public private(set) var unknownID = 0
  /// `TrainerSpec.unk_id`, `bos_id`, `eos_id`, `pad_id`; -1 for none.
  public private(set) var trainerUnknownID = 0
  public private(set) var beginningID = 1
  public private(set) var endID = 2
  public private(set) var paddingID = -1
  /// `TrainerSpec.unk_piece`.
  public private(set) var unknownPiece = "<unk>"

  /// Bytes that a model file may have.
  static let maxBytes = 512 << 20
  static let maxPieces = 1 << 23

  /// Opens and checks the file at `path`.
  public init(path: String) throws(FormatError) {
    let bytes = try MappedFile.open(path)
    try self.init(bytes)
    try bytes.checkIntact()
  }

  public init(_ bytes: Bytes) throws(FormatError) {
    guard bytes.count <= Self.maxBytes else {
      throw FormatError(
        .limit, "the SentencePiece model is too large", file: bytes.file, found: "\(bytes.count) bytes",
        expected: "at most \(Self.maxBytes)")
    }
    var reader = ProtobufReader(bytes.array(), file: bytes.file)
    try read(&reader)
    try check(reader)
  }

  private mutating func read(_ reader: inout ProtobufReader) throws(FormatError) {
    pieces.reserve(tokens: reader.bytes.count / 16, bytes: reader.bytes.count / 2)
    while let field = try reader.field() {
      switch (field.number, field.wire) {
      case (1, .delimited):
        var piece = ProtobufReader(reader, try reader.delimited())
        try readPiece(&piece)
      case (2, .delimited):
        var trainer = ProtobufReader(reader, try reader.delimited())
        try readTrainer(&trainer)
      case (3, .delimited):
        var normalizer = ProtobufReader(reader, try reader.delimited())
        try readNormalizer(&normalizer)
      default: try reader.skip(field.wire)
      }
    }
  }

  private mutating func readPiece(_ reader: inout ProtobufReader) throws(FormatError) {
    let start = reader.position
    guard pieces.count < Self.maxPieces else {
      throw reader.error(
        "the SentencePiece model has too many pieces", kind: .limit, expected: "at most \(Self.maxPieces)")
    }
    var text = start..<start
    var score: Float = 0
    var type = PieceType.normal
    while let field = try reader.field() {
      switch (field.number, field.wire) {
      case (1, .delimited): text = try reader.delimited()
      case (2, .fourBytes): score = try reader.float()
      case (3, .varint):
        let offset = reader.position
        let value = try reader.varint()
        guard let known = UInt8(exactly: value).flatMap(PieceType.init(rawValue:)) else {
          throw reader.error(
            "piece \(pieces.count) has an unknown type", at: offset, found: "\(value)", expected: "1 to 6")
        }
        type = known
      default: try reader.skip(field.wire)
      }
    }
    guard !text.isEmpty else { throw reader.error("piece \(pieces.count) is empty", at: start) }
    guard !score.isNaN else { throw reader.error("the score of piece \(pieces.count) is not a number", at: start) }
    pieces.append(reader.bytes.span.extracting(text))
    scores.append(score)
    types.append(type)
  }

  private mutating func readTrainer(_ reader: inout ProtobufReader) throws(FormatError) {
    while let field = try reader.field() {
      switch (field.number, field.wire) {
      case (3, .varint):
        let offset = reader.position
        let value = try reader.varint()
        guard let known = Int(exactly: value).flatMap(Kind.init(rawValue:)) else {
          throw reader.error(
            "the SentencePiece model is of an unknown type", at: offset, found: "\(value)", expected: "1 to 4")
        }
        kind = known
      case (24, .varint): treatsWhitespaceAsSuffix = try reader.varint() != 0
      case (35, .varint): hasByteFallback = try reader.varint() != 0
      case (40, .varint): trainerUnknownID = Int(Int32(truncatingIfNeeded: try reader.varint()))
      case (41, .varint): beginningID = Int(Int32(truncatingIfNeeded: try reader.varint()))
      case (42, .varint): endID = Int(Int32(truncatingIfNeeded: try reader.varint()))
      case (43, .varint): paddingID = Int(Int32(truncatingIfNeeded: try reader.varint()))
      case (45, .delimited):
        let range = try reader.delimited()
        unknownPiece = String(decoding: reader.bytes[range], as: UTF8.self)
      default: try reader.skip(field.wire)
      }
    }
  }

  private mutating func readNormalizer(_ reader: inout ProtobufReader) throws(FormatError) {
    while let field = try reader.field() {
      switch (field.number, field.wire) {
      case (1, .delimited):
        let range = try reader.delimited()
        normalization.name = String(decoding: reader.bytes[range], as: UTF8.self)
      case (2, .delimited): normalization.charsMap = Array(reader.bytes[try reader.delimited()])
      case (3, .varint): normalization.addsDummyPrefix = try reader.varint() != 0
      case (4, .varint): normalization.removesExtraWhitespaces = try reader.varint() != 0
      case (5, .varint): normalization.escapesWhitespaces = try reader.varint() != 0
      default: try reader.skip(field.wire)
      }
    }
  }

  // MARK: Checking

  /// What `sentencepiece` checks before it uses a model (`ModelInterface::InitializePieces`), and that all text is UTF-8.
  private mutating func check(_ reader: ProtobufReader) throws(FormatError) {
    guard !pieces.isEmpty else {
      throw FormatError(
        .unrecognized, "no SentencePiece model: it has no pieces", file: reader.file,
        advice: "Give the `.model` file that SentencePiece wrote.")
    }
    try pieces.check(file: reader.file)
    let unknown = types.indices.filter { types[$0] == .unknown }
    guard unknown.count == 1 else {
      throw FormatError(
        .damaged, "the SentencePiece model has not one piece for what is unknown", file: reader.file,
        found: "\(unknown.count)", expected: "1")
    }
    unknownID = unknown[0]
    var bytesSeen = Set<UInt8>()
    for index in types.indices where types[index] == .byte {
      guard let byte = ByteTokens.byte(of: pieces[index]) else {
        throw FormatError(
          .damaged, "byte piece \(index) of the SentencePiece model is invalid", file: reader.file,
          found: pieces[index],
          expected: "<0x00> to <0xFF>")
      }
      bytesSeen.insert(byte)
    }
    guard bytesSeen.count == (hasByteFallback ? 256 : 0) else {
      throw FormatError(
        .damaged, "the byte pieces of the SentencePiece model are not complete", file: reader.file,
        found: "\(bytesSeen.count)", expected: hasByteFallback ? "256" : "none without byte_fallback")
    }
    if let twice = pieces.firstDuplicate(where: { types[$0].isReserved }) {
      throw FormatError(
        .damaged, "piece \(twice) of the SentencePiece model is there twice", file: reader.file, found: pieces[twice])
    }
  }
}

extension SentencePieceModel.PieceType {
  /// Whether text never becomes it: its name is that of something else.
  var isReserved: Bool { self == .unknown || self == .control || self == .byte }
}
