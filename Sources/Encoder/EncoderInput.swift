import TensorIO

/// Sequences to be encoded, padded to one length; row-major `[batch, sequence]`.
public struct EncoderInput: Sendable {
  /// Number of sequences, all choices counted.
  public var batch: Int
  public var sequence: Int
  public var inputIDs: [Int]
  /// 1 for a token, 0 for padding; all are tokens when absent.
  public var attentionMask: [Int]?
  /// All of the first sentence when absent.
  public var tokenTypeIDs: [Int]?
  /// For multiple choice: how many sequences in a row belong together. They were `[batch / choices, choices, sequence]`.
  public var choices: Int?
  /// Where the input comes from, for messages.
  public var file: String?

  public init(
    batch: Int, sequence: Int, inputIDs: [Int], attentionMask: [Int]? = nil, tokenTypeIDs: [Int]? = nil,
    choices: Int? = nil, file: String? = nil
  ) {
    self.batch = batch
    self.sequence = sequence
    self.inputIDs = inputIDs
    self.attentionMask = attentionMask
    self.tokenTypeIDs = tokenTypeIDs
    self.choices = choices
    self.file = file
  }

  /// Sequences of their own lengths, padded to the longest with `paddingID`, which the mask leaves out.
  public init(_ sequences: [[Int]], paddingID: Int = 0) {
    let longest = sequences.map(\.count).max() ?? 0
    self.init(
      batch: sequences.count, sequence: longest,
      inputIDs: sequences.flatMap { $0 + [Int](repeating: paddingID, count: longest - $0.count) },
      attentionMask: sequences.flatMap { sequence in (0..<longest).map { $0 < sequence.count ? 1 : 0 } })
  }

  /// The names of the tensors that make an input.
  public static let tensorNames = ["input_ids", "attention_mask", "token_type_ids"]

  /// Reads `input_ids`, and `attention_mask` and `token_type_ids` where they are there: whole numbers of any type, of
  /// shape `[batch, sequence]` or `[batch, choices, sequence]`.
  public init(_ source: any TensorSource) throws {
    let file = source.files.first?.path
    guard let index = source.index(ofTensor: "input_ids") else {
      let names = source.tensors.prefix(12).map(\.name).joined(separator: ", ")
      throw FormatError(
        "there are no input_ids", file: file, found: names.isEmpty ? "no tensors" : names,
        expected: "a tensor 'input_ids' [batch, sequence]")
    }
    let shape = source.tensors[index].shape
    guard (2...3).contains(shape.count), !shape.contains(0) else {
      throw FormatError(
        "the shape is not that of an input", file: file, tensor: "input_ids", found: shapeText(shape),
        expected: "[batch, sequence] or [batch, choices, sequence], none of them 0")
    }
    // Told from the shape alone: a compressed file may declare far more than it holds.
    let stored = source.files.reduce(0) { $0 + Int(clamping: $1.size) }
    let most = min(Self.largestInput, max(Self.freeInput, 8 * min(stored, Self.largestInput)))
    guard source.tensors[index].elementCount <= most else {
      throw FormatError(
        "the input is too large for one run", file: file, tensor: "input_ids", found: shapeText(shape),
        expected: "at most \(grouped(most)) tokens, padding included",
        advice: "Run it in parts\(most < Self.largestInput ? ", or save it uncompressed." : ".")")
    }
    func optional(_ name: String) throws -> [Int]? {
      guard let index = source.index(ofTensor: name) else { return nil }
      guard source.tensors[index].shape == shape else {
        throw FormatError(
          "the shape is not that of input_ids", file: file, tensor: name,
          found: shapeText(source.tensors[index].shape), expected: shapeText(shape))
      }
      return try Self.integers(source, index)
    }
    self.init(
      batch: shape.dropLast().reduce(1, *), sequence: shape[shape.count - 1],
      inputIDs: try Self.integers(source, index), attentionMask: try optional("attention_mask"),
      tokenTypeIDs: try optional("token_type_ids"), choices: shape.count == 3 ? shape[1] : nil, file: file)
  }

  /// Tokens of one run, padding included: 32,768 sequences of 512.
  private static let largestInput = 1 << 24
  /// Those that a compressed file may hold whatever its size.
  private static let freeInput = 1 << 16

  private static func integers(_ source: any TensorSource, _ index: Int) throws -> [Int] {
    let tensor = source.tensors[index]
    let type = tensor.elementType
    return try source.withBytes(ofTensorAt: index) { span in
      func read<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) throws(FormatError) -> [Int] {
        var values: [Int] = []
        values.reserveCapacity(tensor.elementCount)
        for element in 0..<tensor.elementCount {
          let value = span.littleEndian(T.self, at: element * MemoryLayout<T>.size)
          guard let value = Int(exactly: value) else {
            throw FormatError(
              "a value is too large", file: source.files.first?.path, tensor: tensor.name, found: "\(value)")
          }
          values.append(value)
        }
        return values
      }
      switch type {
      case .i64: return try read(Int64.self)
      case .i32: return try read(Int32.self)
      case .i16: return try read(Int16.self)
      case .i8: return try read(Int8.self)
      case .u64: return try read(UInt64.self)
      case .u32: return try read(UInt32.self)
      case .u16: return try read(UInt16.self)
      case .u8, .bool: return try read(UInt8.self)
      default:
        throw FormatError(
          "the input is not of whole numbers", file: source.files.first?.path, tensor: tensor.name,
          found: type.rawValue, expected: "an integer type, as I64 or I32")
      }
    }
  }

  /// Whether the token at `index` of the flattened input counts.
  public func isAttended(_ index: Int) -> Bool { attentionMask.map { $0[index] == 1 } ?? true }

  /// The number of tokens that count.
  public var tokenCount: Int { attentionMask.map { $0.count { $0 == 1 } } ?? batch * sequence }

  /// Checks sizes and every value against the model: past this, no index of an embedding can be wrong.
  func check(_ config: EncoderConfig) throws(FormatError) {
    func wrong(
      _ problem: String, _ name: String, found: String, expected: String, advice: FormatError.Advice? = nil
    ) -> FormatError {
      FormatError(problem, file: file, tensor: name, found: found, expected: expected, advice: advice)
    }
    guard batch > 0, sequence > 0, let count = checkedElementCount([batch, sequence]) else {
      throw wrong(
        "the input is empty or its size impossible", "input_ids", found: shapeText([batch, sequence]),
        expected: "at least one sequence of one token")
    }
    for (name, values) in [
      ("input_ids", inputIDs), ("attention_mask", attentionMask), ("token_type_ids", tokenTypeIDs),
    ] {
      guard let values, values.count != count else { continue }
      throw wrong(
        "the number of values does not fit the shape", name, found: "\(values.count)",
        expected: "\(count) for \(shapeText([batch, sequence]))")
    }
    if let choices, choices < 1 || batch % choices != 0 {
      throw wrong(
        "the sequences cannot be shared out to the choices", "input_ids", found: "\(batch) sequences",
        expected: "a multiple of \(choices) choices")
    }
    guard sequence <= config.maximumSequence else {
      throw wrong(
        "the sequences are longer than the model's positions", "input_ids", found: "\(sequence) columns",
        expected: "at most \(config.maximumSequence)",
        advice: "Cut the text, or remove columns that are padding in every row.")
    }
    func place(_ index: Int, _ value: Int) -> String {
      "\(value) at row \(index / sequence), column \(index % sequence)"
    }
    if let index = inputIDs.firstIndex(where: { $0 < 0 || $0 >= config.vocabularySize }) {
      throw wrong(
        "an id is outside the vocabulary", "input_ids", found: place(index, inputIDs[index]),
        expected: "0 to \(config.vocabularySize - 1)", advice: "Make the ids with the tokenizer of this model.")
    }
    if let types = tokenTypeIDs, config.family.tokenTypeEmbeddings != nil || config.family.typesAreWords,
      let index = types.firstIndex(where: { $0 < 0 || $0 >= config.tokenTypeCount })
    {
      throw wrong(
        "a token type is out of range", "token_type_ids", found: place(index, types[index]),
        expected: "0 to \(config.tokenTypeCount - 1)")
    }
    guard let mask = attentionMask else { return }
    if let index = mask.firstIndex(where: { $0 != 0 && $0 != 1 }) {
      throw wrong("the mask is neither 0 nor 1", "attention_mask", found: place(index, mask[index]), expected: "0 or 1")
    }
    for row in 0..<batch where !mask[(row * sequence)..<((row + 1) * sequence)].contains(1) {
      throw wrong(
        "a sequence has no tokens", "attention_mask", found: "only zeros in row \(row)", expected: "at least one 1",
        advice: "Remove the row.")
    }
  }
}

/// One output of a run, in the input's padded shape: zeros where the mask is 0.
public struct EncoderOutput: Sendable {
  public let name: String
  public let shape: [Int]
  /// Row-major.
  public let values: [Float]

  /// The values at the first indices of the shape: of a hidden state `[batch, sequence, H]`, `output[1, 4]` are the H
  /// numbers of the fifth token of the second sequence.
  public subscript(_ indices: Int...) -> ArraySlice<Float> {
    precondition(
      indices.count <= shape.count && zip(indices, shape).allSatisfy { 0 <= $0 && $0 < $1 }, "an index is out of range")
    let size = shape.dropFirst(indices.count).reduce(1, *)
    let first = zip(indices, shape).reduce(0) { $0 * $1.1 + $1.0 } * size
    return values[first..<(first + size)]
  }
}
