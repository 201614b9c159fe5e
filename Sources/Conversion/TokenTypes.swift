import TensorIO
import Tokenizers

/// Which models take token types, as `model_input_names` of the tokenizers of `transformers` 4.57 has it.
enum TokenTypes {
  /// The classes of tokenizers whose models take none, without `Tokenizer` and `Fast`.
  private static let classesWithout: Set = [
    "Roberta", "XLMRoberta", "Camembert", "DistilBert", "OpenAIGPT", "GPT2", "Bart", "MBart", "BigBird", "Longformer",
    "LED", "MPNet", "Barthez", "Mvp", "Bertweet", "Phobert", "T5",
  ]
  /// The same by the model's type.
  private static let modelsWithout: Set = [
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "distilbert", "openai-gpt", "gpt2", "bart", "mbart",
    "big_bird", "longformer", "led", "mpnet", "barthez", "mvp", "ibert", "data2vec-text", "mra", "mega", "modernbert",
    "roberta-prelayernorm", "xmod",
  ]

  /// Whether the model of a tokenizer's files takes them.
  static func areTaken(in folder: String, _ modelType: String?, _ definition: TokenizerDefinition) -> Bool {
    func settings(_ name: String) -> JSON? {
      let path = FileSystem.join(folder, name)
      guard FileSystem.isFile(path), let text = try? FileSystem.text(path, limit: 16 << 20) else { return nil }
      return try? JSON.parse(text, file: path)
    }
    let (own, config) = (settings("tokenizer_config.json"), settings("config.json"))
    if let names = own?["model_input_names"]?.elements {
      return names.contains { $0.stringValue == "token_type_ids" }
    }
    if var name = own?["tokenizer_class"]?.stringValue, name.hasPrefix("PreTrained") == false {
      for ending in ["Fast", "Tokenizer"] where name.hasSuffix(ending) { name.removeLast(ending.count) }
      return !classesWithout.contains(name)
    }
    if let type = modelType ?? config?["model_type"]?.stringValue { return !modelsWithout.contains(type) }
    return definition.numbersTexts
  }
}

extension TokenizerDefinition {
  /// Whether a pair has more than one type.
  fileprivate var numbersTexts: Bool { postProcessor?.numbersTexts ?? (kind == .wordPiece) }
}

extension TokenizerDefinition.PostProcessor {
  fileprivate var numbersTexts: Bool {
    switch self {
    case .template(let single, let pair, _):
      (single + pair).contains { piece in
        switch piece {
        case .sequence(_, let type), .special(_, let type): type != 0
        }
      }
    case .bert: true
    case .roberta, .byteLevel: false
    case .sequence(let parts): parts.contains(where: \.numbersTexts)
    }
  }
}
