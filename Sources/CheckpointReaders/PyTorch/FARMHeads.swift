import TensorIO

/// The heads of a model that FARM saved: each is a file of its own next to the encoder.
///
///     language_model.bin         the encoder     language_model_config.json      {"name": "Bert", …}
///     prediction_head_0.bin      a head          prediction_head_0_config.json   {"name": "QuestionAnsweringHead", …}
///
/// Source: deepset-ai/FARM, farm/modeling/language_model.py, prediction_head.py and farm/conversion/transformers.py.
struct FARMHeads {
  static let encoderName = "language_model.bin"

  struct Head {
    let path: String
    let config: JSON?
    var kind: String? { config?["name"]?.stringValue }
    var fileName: String { FileSystem.baseName(path) }
    /// What comes before the names of its tensors, such as `prediction_head.QuestionAnsweringHead.`.
    var prefix: String { "prediction_head.\(kind ?? "")." }
  }

  let heads: [Head]
  /// What FARM calls the encoder's class: `Bert`, `Roberta`, …
  private let encoder: String?

  /// `nil` where `checkpoint` is no encoder of FARM's, or has no heads next to it.
  init?(near checkpoint: String) {
    guard FileSystem.baseName(checkpoint) == Self.encoderName else { return nil }
    let folder = FileSystem.folder(of: checkpoint)
    let names = ((try? FileSystem.names(inFolder: folder)) ?? []).filter {
      $0.hasPrefix("prediction_head_") && $0.hasSuffix(".bin")
    }.sorted()
    guard !names.isEmpty else { return nil }
    heads = names.map { name in
      Head(
        path: FileSystem.join(folder, name),
        config: Self.json(FileSystem.join(folder, name.dropLast(4) + "_config.json")))
    }
    encoder = Self.json(FileSystem.join(folder, "language_model_config.json"))?["name"]?.stringValue
  }

  /// Whether the heads are those of one model of `transformers`: one head of a kind that has a class there, or the two of
  /// pretraining.
  var makeOneModel: Bool { architecture != nil }

  /// The class of `transformers` that computes the same.
  private var architecture: String? {
    guard let encoder else { return nil }
    let kinds = heads.map { $0.kind ?? "" }
    if kinds.count == 2, Set(kinds) == ["BertLMHead", "NextSentenceHead"], encoder == "Bert" {
      return "BertForPreTraining"
    }
    guard kinds.count == 1 else { return nil }
    switch kinds[0] {
    case "QuestionAnsweringHead": return "\(encoder)ForQuestionAnswering"
    case "TokenClassificationHead": return "\(encoder)ForTokenClassification"
    // It reads the output of the encoder's own pooler; DistilBERT, ELECTRA and XLNet have none, and FARM saves what it adds
    // to them nowhere.
    case "TextClassificationHead" where Self.withPooler.contains(encoder):
      return "\(encoder)ForSequenceClassification"
    case "BertLMHead" where encoder == "Bert": return "BertForMaskedLM"
    default: return nil
    }
  }

  private static let withPooler: Set = ["Bert", "Roberta", "XLMRoberta", "Camembert", "Albert"]

  /// What the heads decide in the config: the architecture, and labels where a head lists them.
  var settings: JSON {
    var settings = JSON.object([:])
    if let architecture { settings.set("architectures", .strings([architecture])) }
    let head = heads[0].kind == "QuestionAnsweringHead" ? nil : heads[0]
    if let labels = head?.config?["label_list"]?.elements?.compactMap(\.stringValue), !labels.isEmpty {
      var names = JSON.object([:])
      for (index, label) in labels.enumerated() { names.set("\(index)", .string(label)) }
      settings.set("id2label", names)
      settings.set("num_labels", .int(labels.count))
    }
    return settings
  }

  /// What is reported where they are read.
  var note: String {
    "\(named) in the same folder \(heads.count == 1 ? "is" : "are") included: the model is \(architecture ?? "complete")"
  }

  /// What is reported where they are not read.
  var warning: String {
    "\(named) in the same folder \(heads.count == 1 ? "is a head" : "are heads") of FARM's, "
      + "which \(heads.count == 1 ? "is" : "are") not read: this is the encoder alone"
  }

  private var named: String {
    heads.prefix(8).map { $0.fileName + ($0.kind.map { " (\($0))" } ?? "") }.joined(separator: ", ")
  }

  private static func json(_ path: String) -> JSON? {
    (try? FileSystem.text(path, limit: 1 << 20)).flatMap { try? JSON.parse($0) }
  }
}
