import TensorIO

/// The sizes of a model that its config gives, in the spelling of any of the programs that write configs.
public struct ModelSizes: Sendable, Equatable {
  public enum Size: Sendable, CaseIterable {
    case layers, hidden, inner, embeddings, heads, vocabulary, positions, activation

    /// Config keys, the most frequent spelling first.
    fileprivate var keys: [String] {
      switch self {
      case .layers: ["num_hidden_layers", "n_layers", "n_layer"]
      case .hidden: ["hidden_size", "dim", "n_embd"]
      case .inner: ["n_hid"]
      case .embeddings: ["emb_sz"]
      case .heads: ["num_attention_heads", "n_heads", "n_head"]
      case .vocabulary: ["vocab_size", "vocab_sz"]
      case .positions: ["max_position_embeddings", "n_positions"]
      case .activation: ["hidden_act", "activation", "afn"]
      }
    }
  }

  /// As the config has them; sizes that it does not give are left out.
  public let values: [(size: Size, value: String)]

  public static func == (a: ModelSizes, b: ModelSizes) -> Bool {
    a.values.elementsEqual(b.values) { $0.size == $1.size && $0.value == $1.value }
  }

  /// Of the first of `configs` that has a value for a key.
  init(_ configs: [JSON?]) {
    values = Size.allCases.compactMap { size -> (size: Size, value: String)? in
      for key in size.keys {
        switch configs.lazy.compactMap({ $0?[key] }).first {
        case .number(let text), .string(let text): return (size, text)
        default: continue
        }
      }
      return nil
    }
  }

  /// The sizes in a line; `nil` where there are none.
  public var text: String? {
    let parts = values.map { size, text -> String in
      let number = Int(text).map { grouped($0) } ?? text
      return switch size {
      case .layers: "\(number) layer\(number == "1" ? "" : "s")"
      case .hidden: "hidden size \(number)"
      case .inner: "inner size \(number)"
      case .embeddings: "embedding size \(number)"
      case .heads: "\(number) heads"
      case .vocabulary: "vocabulary of \(number)"
      case .positions: "\(number) positions"
      case .activation: text
      }
    }
    return parts.isEmpty ? nil : printable(parts.joined(separator: ", "))
  }
}

extension CheckpointInspection {
  public var sizes: ModelSizes { ModelSizes([outline.config, config]) }
}
