import Encoder
import TensorIO

/// Inputs, and the outputs that a reference implementation computed from them.
///
/// | tensor | shape | |
/// |---|---|---|
/// | `input_ids` | `[batch, sequence]` or `[batch, choices, sequence]` | integers |
/// | `attention_mask`, `token_type_ids`, `task_type_ids` | the same | integers; may be absent |
/// | `input_word_ids`, `input_mask`, `segment_ids`, `input_type_ids` | the same | other programs' names of the first three |
/// | `hidden_states.N`, `last_hidden_state` | `[batch, sequence, H]` | floating point, as all outputs |
/// | `pooler_output` | `[batch, H]` | |
/// | `prediction_logits` | `[batch, sequence, V]` | |
/// | `seq_relationship_logits`, `sop_logits` | `[batch, 2]` | |
/// | `logits` | as the model's head has it | |
/// | `start_logits`, `end_logits` | `[batch, sequence]` | |
/// | `sentence_embedding` | `[batch, size]` | of the modules of sentence-transformers |
/// | `text`, `text_pair` | `[batch]` | strings that `input_ids` was made of; may be absent |
public struct Fixture: Sendable {
  /// An output of the reference.
  public struct Reference: Sendable {
    public let name: String
    public let shape: [Int]
    let index: Int
  }

  /// The origin of the fixture.
  public let file: String?
  public let input: EncoderInput
  /// The outputs to compare, hidden states first and in order.
  public let references: [Reference]
  public let warnings: [String]
  /// The texts of the rows; `nil` where the fixture has none.
  public let texts: [String]?
  /// The second texts of pairs.
  public let textPairs: [String]?
  private let source: any TensorSource

  private static let knownOutputs = [
    "last_hidden_state", "pooler_output", "prediction_logits", "seq_relationship_logits", "sop_logits", "logits",
    "start_logits", "end_logits", "sentence_embedding",
  ]

  /// Reads the inputs, and lists the outputs without reading them.
  public init(_ source: any TensorSource) throws {
    self.source = source
    let file = source.files.first?.path
    self.file = file
    input = try EncoderInput(source)

    let rows = input.batch
    texts = try Self.texts("text", in: source, rows: rows)
    textPairs = try Self.texts("text_pair", in: source, rows: rows)
    if textPairs != nil, texts == nil {
      throw FormatError(.input, "the fixture has 'text_pair' and no 'text'", file: file)
    }

    var references: [(order: Int, reference: Reference)] = []
    var others: [String] = []
    for (index, tensor) in source.tensors.enumerated()
    where !EncoderInput.isInput(tensor.name) && !Self.textNames.contains(tensor.name) {
      let order: Int
      if let number = Self.hiddenStateNumber(tensor.name) {
        order = number
      } else if let rank = Self.knownOutputs.firstIndex(of: tensor.name) {
        order = Int.max - Self.knownOutputs.count + rank
      } else {
        others.append(tensor.name)
        continue
      }
      guard [.f32, .f64, .f16, .bf16].contains(tensor.elementType) else {
        throw FormatError(
          .input, "the output is not of floating point numbers", file: file, tensor: tensor.name,
          found: tensor.elementType.rawValue, expected: "F32, F64, F16 or BF16")
      }
      references.append((order, Reference(name: tensor.name, shape: tensor.shape, index: index)))
    }
    self.references = references.sorted { $0.order < $1.order }.map(\.reference)
    let names = others.prefix(12).joined(separator: ", ") + (others.count > 12 ? " and \(others.count - 12) more" : "")
    warnings =
      source.warnings + (others.isEmpty ? [] : ["not used, because no input and no output has such a name: \(names)"])
  }

  private static let textNames = ["text", "text_pair"]

  /// The strings of a tensor; `nil` where there is none of that name.
  private static func texts(_ name: String, in source: any TensorSource, rows: Int) throws -> [String]? {
    guard let index = source.index(ofTensor: name) else { return nil }
    let tensor = source.tensors[index]
    guard tensor.elementType == .string, tensor.elementCount == rows else {
      throw FormatError(
        .input, "the fixture's '\(name)' is not one string for each row", file: source.files.first?.path, tensor: name,
        found: "\(tensor.elementType.rawValue) \(shapeText(tensor.shape))", expected: "STRING \(shapeText([rows]))")
    }
    return try source.strings(ofTensorAt: index).map { String(decoding: $0, as: UTF8.self) }
  }

  /// N of `hidden_states.N`, which is written without a sign or leading zeros.
  static func hiddenStateNumber(_ name: String) -> Int? {
    let prefix = "hidden_states."
    guard name.hasPrefix(prefix), let number = Int(name.dropFirst(prefix.count)), number >= 0,
      number < Int.max / 2, name == prefix + "\(number)"
    else { return nil }
    return number
  }

  /// The values of an output, row-major.
  func values(of reference: Reference) throws -> [Float] {
    let tensor = source.tensors[reference.index]
    return try source.withBytes(ofTensorAt: reference.index) { span in
      switch tensor.elementType {
      case .f64:
        (0..<tensor.elementCount).map { Float(Double(bitPattern: span.littleEndian(UInt64.self, at: $0 * 8))) }
      case .f16: (0..<tensor.elementCount).map { Float(halfBits: span.littleEndian(UInt16.self, at: $0 * 2)) }
      case .bf16:
        (0..<tensor.elementCount).map { Float(bfloat16Bits: span.littleEndian(UInt16.self, at: $0 * 2)) }
      default: span.floats()
      }
    }
  }
}
