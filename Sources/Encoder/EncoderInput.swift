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
  /// Which task a token is for, in models that have task types (ERNIE); 0 when absent.
  public var taskTypeIDs: [Int]?
  /// For multiple choice: how many consecutive sequences belong together. They were `[batch / choices, choices, sequence]`.
  public var choices: Int?
  /// The origin of the input, for messages.
  public var file: String?
  /// The tokens for which the LM head computes, as indices into ``inputIDs``, all attended; all tokens when absent. Its output is then
  /// `[predictedTokens, vocabulary]`, a row for each of them.
  package var predictedTokens: [Int]?

  public init(
    batch: Int, sequence: Int, inputIDs: [Int], attentionMask: [Int]? = nil, tokenTypeIDs: [Int]? = nil,
    taskTypeIDs: [Int]? = nil, choices: Int? = nil, file: String? = nil
  ) {
    self.batch = batch
    self.sequence = sequence
    self.inputIDs = inputIDs
    self.attentionMask = attentionMask
    self.tokenTypeIDs = tokenTypeIDs
    self.taskTypeIDs = taskTypeIDs
    self.choices = choices
    self.file = file
  }

  /// Sequences of different lengths, padded to the longest with `paddingID`, which the mask leaves out.
  public init(_ sequences: [[Int]], paddingID: Int = 0) {
    let longest = sequences.map(\.count).max() ?? 0
    self.init(
      batch: sequences.count, sequence: longest,
      inputIDs: sequences.flatMap { $0 + [Int](repeating: paddingID, count: longest - $0.count) },
      attentionMask: sequences.flatMap { sequence in (0..<longest).map { $0 < sequence.count ? 1 : 0 } })
  }

  /// The names of the tensors that make an input, those of `transformers`.
  public static let tensorNames = ["input_ids", "attention_mask", "token_type_ids", "task_type_ids"]

  /// What google-research (run_classifier.py) and TF Garden (bert_encoder.py) call them.
  private static let otherNames = [
    "input_word_ids": "input_ids", "input_mask": "attention_mask", "segment_ids": "token_type_ids",
    "input_type_ids": "token_type_ids",
  ]

  /// Inputs that some models of `transformers` take, and that would change what is computed.
  private static let unsupportedNames: Set = [
    "position_ids", "inputs_embeds", "head_mask", "encoder_hidden_states", "encoder_attention_mask", "past_key_values",
  ]

  /// Whether a tensor of that name is a part of the input, by any of its names.
  public static func isInput(_ name: String) -> Bool { tensorNames.contains(name) || otherNames[name] != nil }

  /// The tensors of `source` that make an input, by their names in ``tensorNames``. Throws where one has two names, where
  /// there is one that is not supported, or one whose name is almost that of an input.
  private static func inputs(in source: any TensorSource) throws(FormatError) -> [String: Int] {
    let file = source.files.first?.path
    var inputs: [String: Int] = [:]
    for (index, tensor) in source.tensors.enumerated() {
      let name = otherNames[tensor.name] ?? tensor.name
      if tensorNames.contains(name) {
        if let other = inputs[name] {
          throw FormatError(
            .input, "an input is given under two names", file: file, tensor: tensor.name,
            found: "\(source.tensors[other].name) and \(tensor.name)", advice: "Remove one of them.")
        }
        inputs[name] = index
      } else if unsupportedNames.contains(name) {
        throw FormatError(
          .input, "an input that is not supported", file: file, tensor: name,
          expected: tensorNames.joined(separator: ", "),
          advice: "Remove it: the model is run on ids, with the positions that it counts itself.")
      } else if let meant = nearestName(
        to: name, among: tensorNames + otherNames.keys.sorted(), within: 2)
      {
        throw FormatError(
          .input, "no input has this name", file: file, tensor: name, expected: tensorNames.joined(separator: ", "),
          advice: .didYouMean(meant))
      }
    }
    return inputs
  }

  /// Reads `input_ids`, and the others of ``tensorNames`` that are present: whole numbers of any type, of shape
  /// `[batch, sequence]` or `[batch, choices, sequence]`.
  public init(_ source: any TensorSource) throws {
    let file = source.files.first?.path
    let inputs = try Self.inputs(in: source)
    guard let index = inputs["input_ids"] else {
      let names = source.tensors.prefix(12).map(\.name).joined(separator: ", ")
      throw FormatError(
        .input, "there are no input_ids", file: file, found: names.isEmpty ? "no tensors" : names,
        expected: "a tensor 'input_ids' [batch, sequence]")
    }
    let shape = source.tensors[index].shape
    guard (2...3).contains(shape.count), !shape.contains(0) else {
      throw FormatError(
        .input, "the shape is not that of an input", file: file, tensor: "input_ids", found: shapeText(shape),
        expected: "[batch, sequence] or [batch, choices, sequence], none of them 0")
    }
    // Before anything is read: a compressed file may declare far more than it holds.
    let stored = source.files.reduce(0) { $0 + Int(clamping: $1.size) }
    let limit = min(Self.maximumInput, max(Self.freeInput, 8 * min(stored, Self.maximumInput)))
    guard source.tensors[index].elementCount <= limit else {
      throw FormatError(
        .limit, "the input is too large for one run", file: file, tensor: "input_ids", found: shapeText(shape),
        expected: "at most \(grouped(limit)) tokens, padding included",
        advice: "Run it in parts\(limit < Self.maximumInput ? ", or save it uncompressed." : ".")")
    }
    func optional(_ name: String) throws -> [Int]? {
      guard let index = inputs[name] else { return nil }
      guard source.tensors[index].shape == shape else {
        throw FormatError(
          .input, "the shape is not that of input_ids", file: file, tensor: source.tensors[index].name,
          found: shapeText(source.tensors[index].shape), expected: shapeText(shape))
      }
      return try Self.integers(source, index)
    }
    self.init(
      batch: shape.dropLast().reduce(1, *), sequence: shape[shape.count - 1],
      inputIDs: try Self.integers(source, index), attentionMask: try optional("attention_mask"),
      tokenTypeIDs: try optional("token_type_ids"), taskTypeIDs: try optional("task_type_ids"),
      choices: shape.count == 3 ? shape[1] : nil, file: file)
  }

  /// Tokens of one run, padding included: 32,768 sequences of 512.
  private static let maximumInput = 1 << 24
  /// Those that a compressed file may hold whatever its size.
  private static let freeInput = 1 << 14

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
              .input, "a value is too large", file: source.files.first?.path, tensor: tensor.name, found: "\(value)")
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
          .input, "the input is not of whole numbers", file: source.files.first?.path, tensor: tensor.name,
          found: type.rawValue, expected: "an integer type, as I64 or I32")
      }
    }
  }

  /// Whether the token at `index` of the flattened input counts.
  public func isAttended(_ index: Int) -> Bool { attentionMask.map { $0[index] == 1 } ?? true }

  /// The number of tokens that count.
  public var tokenCount: Int { attentionMask.map { $0.count { $0 == 1 } } ?? batch * sequence }

  // MARK: Checking

  /// Checks sizes and every value against the model: after this, no index of an embedding can be wrong.
  func check(_ config: EncoderConfig) throws(FormatError) {
    try checkSizes(maximumSequence: config.maximumSequence)
    try check(
      "input_ids", inputIDs, below: config.vocabularySize, "an id is outside the vocabulary",
      advice: "Make the ids with the tokenizer of this model.")
    let family = config.family
    if let tokenTypeIDs, family.has(.tokenTypeEmbeddings) || family.computation.tokenTypeIDs == .words {
      try check("token_type_ids", tokenTypeIDs, below: config.tokenTypeCount, "a token type is out of range")
    }
    if let taskTypeIDs, config.taskTypeCount > 0 {
      try check("task_type_ids", taskTypeIDs, below: config.taskTypeCount, "a task type is out of range")
    }
    if let attentionMask { try checkMask(attentionMask) }
  }

  private func error(
    _ problem: String, _ name: String, found: String, expected: String, advice: FormatError.Advice? = nil
  ) -> FormatError {
    FormatError(.input, problem, file: file, tensor: name, found: found, expected: expected, advice: advice)
  }

  private func checkSizes(maximumSequence: Int) throws(FormatError) {
    guard batch > 0, sequence > 0, let count = checkedElementCount([batch, sequence]) else {
      throw error(
        "the input is empty or its size impossible", "input_ids", found: shapeText([batch, sequence]),
        expected: "at least one sequence of one token")
    }
    for (name, values) in [
      ("input_ids", inputIDs), ("attention_mask", attentionMask), ("token_type_ids", tokenTypeIDs),
      ("task_type_ids", taskTypeIDs),
    ] {
      guard let values, values.count != count else { continue }
      throw error(
        "the number of values does not fit the shape", name, found: "\(values.count)",
        expected: "\(count) for \(shapeText([batch, sequence]))")
    }
    if let choices, choices < 1 || batch % choices != 0 {
      throw error(
        "the number of sequences is not a multiple of the choices", "input_ids", found: "\(batch) sequences",
        expected: "a multiple of \(choices) choices")
    }
    guard sequence <= maximumSequence else {
      throw error(
        "the sequences are longer than the model's maximum length", "input_ids", found: "\(sequence) columns",
        expected: "at most \(maximumSequence)",
        advice: "Shorten the text, or remove columns that are padding in every row.")
    }
  }

  private func check(
    _ name: String, _ values: [Int], below limit: Int, _ problem: String, advice: FormatError.Advice? = nil
  ) throws(FormatError) {
    guard let index = values.firstIndex(where: { $0 < 0 || $0 >= limit }) else { return }
    throw error(
      problem, name, found: position(index, values[index]), expected: "0 to \(limit - 1)", advice: advice)
  }

  private func position(_ index: Int, _ value: Int) -> String {
    "\(value) at row \(index / sequence), column \(index % sequence)"
  }

  private func checkMask(_ mask: [Int]) throws(FormatError) {
    if let index = mask.firstIndex(where: { $0 != 0 && $0 != 1 }) {
      throw error(
        "the mask is neither 0 nor 1", "attention_mask", found: position(index, mask[index]), expected: "0 or 1")
    }
    for row in 0..<batch where !mask[(row * sequence)..<((row + 1) * sequence)].contains(1) {
      throw error(
        "a sequence has no tokens", "attention_mask", found: "only zeros in row \(row)", expected: "at least one 1",
        advice: "Remove the row.")
    }
  }
}
