import ModelFamilies
import TensorIO

/// The sizes of a model that its config gives, in the spelling of any of the families.
public struct ModelSizes: Sendable, Equatable {
  public enum Size: Sendable, CaseIterable {
    case layers, hidden, inner, embeddings, heads, vocabulary, positions, activation

    fileprivate var setting: ConfigSetting {
      switch self {
      case .layers: .layerCount
      case .hidden: .hiddenSize
      case .inner: .recurrentSize
      case .embeddings: .embeddingSize
      case .heads: .headCount
      case .vocabulary: .vocabularySize
      case .positions: .positionCount
      case .activation: .activation
      }
    }
  }

  /// As the config has them; sizes that it does not give are left out, and that of the embeddings where it is the hidden size.
  public let values: [(size: Size, value: String)]

  public static func == (a: ModelSizes, b: ModelSizes) -> Bool {
    a.values.elementsEqual(b.values) { $0.size == $1.size && $0.value == $1.value }
  }

  /// Of the first of `configs` that has a value for a key.
  init(_ configs: [JSON?]) {
    let found = Size.allCases.compactMap { size -> (size: Size, value: String)? in
      for key in ModelFamily.keys(of: size.setting) {
        switch configs.lazy.compactMap({ $0?[key] }).first {
        case .number(let text), .string(let text): return (size, text)
        default: continue
        }
      }
      return nil
    }
    let hidden = found.first { $0.size == .hidden }?.value
    values = found.filter { $0.size != .embeddings || $0.value != hidden }
  }

  /// The sizes in a line; `nil` where there are none.
  public var text: String? {
    let parts = values.map { size, text -> String in
      let number = Int(text).map { grouped($0) } ?? text
      let plural = number == "1" ? "" : "s"
      return switch size {
      case .layers: "\(number) layer\(plural)"
      case .hidden: "hidden size \(number)"
      case .inner: "inner size \(number)"
      case .embeddings: "embedding size \(number)"
      case .heads: "\(number) head\(plural)"
      case .vocabulary: "vocabulary of \(number)"
      case .positions: "\(number) position\(plural)"
      case .activation: text
      }
    }
    return parts.isEmpty ? nil : printable(parts.joined(separator: ", "))
  }
}

extension CheckpointInspection {
  public var sizes: ModelSizes { ModelSizes([outline.config, config]) }
}
