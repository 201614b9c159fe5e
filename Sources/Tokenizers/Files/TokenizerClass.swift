/// A tokenizer class of `transformers` 4.57: from which files it is made, how its stages are put together
/// (`convert_slow_tokenizer.py`), and its special tokens (`models/*/tokenization_*.py`).
struct TokenizerClass: Sendable {
  /// How the stages are made of the vocabulary.
  enum Form: Sendable, Equatable {
    case wordPiece(Template)
    case byteBPE(Template)
    case gpt
    case herbert
    case sentencePiece(SentencePieceFamily)
    /// Made of a `tokenizer.json` alone.
    case json
  }

  /// What the post-processor puts in.
  enum Template: Sendable, Equatable {
    /// `[CLS] A [SEP] B [SEP]`, with the class's own tokens.
    case bert
    /// The same, type 2 for the first token.
    case funnel
    /// `[CLS] A [SEP] [SEP] B [SEP]`.
    case mpnet
    /// `RobertaProcessing`.
    case roberta
    /// `ByteLevel`, which adds nothing.
    case gpt2
    /// `[CLS] A [SEP] B [SEP]`, these very tokens.
    case deberta
  }

  /// Whose SentencePiece model it is.
  enum SentencePieceFamily: Sendable, Equatable {
    case albert
    case fnet
    case remBERT
    case xlnet
    case xlmRoBERTa
    case camemBERT
    case barthez
    case mBART
    case debertaV2
    case bigBird
    case plain
  }

  /// Options of an added token beside `special`.
  struct Options: Sendable, Equatable {
    var stripsLeft = false
    var normalized = false

    static let plain = Options()
    static let normalized = Options(normalized: true)
    static let left = Options(stripsLeft: true)
    static let leftNormalized = Options(stripsLeft: true, normalized: true)
  }

  /// Without `Tokenizer` or `TokenizerFast` at the end.
  let name: String
  let form: Form
  /// The tokens where no file names others.
  let tokens: [SpecialRole: String]
  /// The same where it is made of a `tokenizer.json`; `nil` for the same.
  var tokensOfJSON: [SpecialRole: String]?
  var additional: [String] = []
  /// Options of tokens that are given as texts, where the tokenizer is made of a vocabulary.
  var options = Options.plain
  var ownOptions: [SpecialRole: Options] = [:]
  var maskOptions = Options.plain
  /// The same where it is made of a `tokenizer.json`: only the mask has any.
  var maskOptionsOfJSON = Options.plain
  /// The `do_lower_case` where no file says it.
  var lowercase = true
  var addsPrefixSpace = false
  /// Settings of `tokenizer_config.json` that replace those of a `tokenizer.json`.
  var overrides = Overrides.none

  enum Overrides: Sendable, Equatable {
    case none
    /// Of a `BertNormalizer`: lower-casing, accents, Chinese characters.
    case bertNormalizer
    /// Of a `BertNormalizer`: lower-casing, accents.
    case bertNormalizerWithoutChinese
    /// Of the post-processor: the prefix space, trimmed offsets.
    case postProcessor
  }

  /// The class of that name, with or without `Tokenizer` or `TokenizerFast` at the end.
  static func named(_ name: String) -> TokenizerClass? {
    let name = baseName(name)
    return all.first { $0.name == name }
  }

  static func baseName(_ name: String) -> String {
    for suffix in ["TokenizerFast", "Tokenizer"] where name.hasSuffix(suffix) {
      return String(name.dropLast(suffix.count))
    }
    return name
  }

  /// The class for a `model_type`, as `AutoTokenizer` chooses it.
  static func forModelType(_ type: String) -> String? { modelTypes[type] }

  // MARK: The classes

  private static let bertTokens: [SpecialRole: String] = [
    .unknown: "[UNK]", .separator: "[SEP]", .padding: "[PAD]", .classifier: "[CLS]", .mask: "[MASK]",
  ]
  private static let robertaTokens: [SpecialRole: String] = [
    .beginning: "<s>", .end: "</s>", .unknown: "<unk>", .separator: "</s>", .padding: "<pad>", .classifier: "<s>",
    .mask: "<mask>",
  ]
  private static let albertTokens: [SpecialRole: String] = [
    .beginning: "[CLS]", .end: "[SEP]", .unknown: "<unk>", .separator: "[SEP]", .padding: "<pad>", .classifier: "[CLS]",
    .mask: "[MASK]",
  ]
  private static let debertaTokens = bertTokens.merging([.beginning: "[CLS]", .end: "[SEP]"]) { $1 }

  static let all: [TokenizerClass] =
    bertLike.map {
      TokenizerClass(name: $0, form: .wordPiece(.bert), tokens: bertTokens, overrides: .bertNormalizer)
    } + others

  private static let others: [TokenizerClass] = [
    TokenizerClass(
      name: "MPNet", form: .wordPiece(.mpnet), tokens: robertaTokens.merging([.unknown: "[UNK]"]) { $1 },
      maskOptions: .left, maskOptionsOfJSON: .left,
      overrides: .bertNormalizerWithoutChinese),
    TokenizerClass(
      name: "Funnel", form: .wordPiece(.funnel),
      tokens: [
        .beginning: "<s>", .end: "</s>", .unknown: "<unk>", .separator: "<sep>", .padding: "<pad>",
        .classifier: "<cls>",
        .mask: "<mask>",
      ], overrides: .bertNormalizer),
    roberta("Roberta", mask: .left, maskOfJSON: .left),
    roberta("Longformer", mask: .left, maskOfJSON: .left),
    roberta("LED", mask: .leftNormalized, maskOfJSON: .leftNormalized),
    roberta("Bart", mask: .leftNormalized, maskOfJSON: .leftNormalized),
    roberta("Mvp", options: .plain, mask: .left, maskOfJSON: .left),
    roberta("LayoutLMv3", mask: .leftNormalized, maskOfJSON: .plain, prefixSpace: true),
    TokenizerClass(
      name: "GPT2", form: .byteBPE(.gpt2),
      tokens: [.beginning: "<|endoftext|>", .end: "<|endoftext|>", .unknown: "<|endoftext|>"], options: .normalized),
    TokenizerClass(
      name: "Deberta", form: .byteBPE(.deberta), tokens: debertaTokens, maskOptions: .leftNormalized),
    TokenizerClass(name: "OpenAIGPT", form: .gpt, tokens: [.unknown: "<unk>"]),
    TokenizerClass(
      name: "Herbert", form: .herbert,
      tokens: [
        .unknown: "<unk>", .separator: "</s>", .padding: "<pad>", .classifier: "<s>", .mask: "<mask>",
      ]),
    TokenizerClass(
      name: "Albert", form: .sentencePiece(.albert), tokens: albertTokens, maskOptions: .left, maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "FNet", form: .sentencePiece(.fnet),
      tokens: [
        .unknown: "<unk>", .separator: "[SEP]", .padding: "<pad>", .classifier: "[CLS]", .mask: "[MASK]",
      ], maskOptions: .left,
      maskOptionsOfJSON: .left, lowercase: false),
    TokenizerClass(
      name: "RemBert", form: .sentencePiece(.remBERT), tokens: debertaTokens, tokensOfJSON: albertTokens,
      maskOptions: .leftNormalized,
      maskOptionsOfJSON: .left, lowercase: false),
    TokenizerClass(
      name: "XLNet", form: .sentencePiece(.xlnet),
      tokens: [
        .beginning: "<s>", .end: "</s>", .unknown: "<unk>", .separator: "<sep>", .padding: "<pad>",
        .classifier: "<cls>",
        .mask: "<mask>",
      ], additional: ["<eop>", "<eod>"], maskOptions: .left, maskOptionsOfJSON: .left, lowercase: false),
    TokenizerClass(
      name: "XLMRoberta", form: .sentencePiece(.xlmRoBERTa), tokens: robertaTokens, maskOptions: .left,
      maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "LayoutXLM", form: .sentencePiece(.xlmRoBERTa), tokens: robertaTokens, maskOptions: .left,
      maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "Camembert", form: .sentencePiece(.camemBERT), tokens: robertaTokens,
      additional: ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"], maskOptions: .left, maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "Barthez", form: .sentencePiece(.barthez), tokens: robertaTokens, maskOptions: .left,
      maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "MBart", form: .sentencePiece(.mBART), tokens: robertaTokens, additional: mBARTLanguages,
      maskOptions: .left, maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "DebertaV2", form: .sentencePiece(.debertaV2), tokens: debertaTokens, ownOptions: [.unknown: .normalized],
      lowercase: false),
    TokenizerClass(
      name: "BigBird", form: .sentencePiece(.bigBird),
      tokens: [
        .beginning: "<s>", .end: "</s>", .unknown: "<unk>", .separator: "[SEP]", .padding: "<pad>",
        .classifier: "[CLS]",
        .mask: "[MASK]",
      ], options: .normalized, maskOptions: .leftNormalized, maskOptionsOfJSON: .left),
    TokenizerClass(
      name: "Reformer", form: .sentencePiece(.plain), tokens: [.end: "</s>", .unknown: "<unk>"]),
    TokenizerClass(name: "PreTrained", form: .json, tokens: [:]),
  ]

  private static let bertLike = [
    "Bert", "DistilBert", "Electra", "MobileBert", "LayoutLM", "LayoutLMv2", "Lxmert", "SqueezeBert", "ConvBert",
    "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "RetriBert", "Realm",
  ]

  private static func roberta(
    _ name: String, options: Options = .normalized, mask: Options, maskOfJSON: Options, prefixSpace: Bool = false
  ) -> TokenizerClass {
    TokenizerClass(
      name: name, form: .byteBPE(.roberta), tokens: robertaTokens, options: options, maskOptions: mask,
      maskOptionsOfJSON: maskOfJSON, addsPrefixSpace: prefixSpace, overrides: .postProcessor)
  }

  /// In the order of `FAIRSEQ_LANGUAGE_CODES`.
  static let mBARTLanguages = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX", "kk_KZ",
    "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN",
  ]

  /// Classes that compute something that no `tokenizer.json` can say.
  static let refused: [String: String] = [
    "BertJapanese": "Japanese morphology", "Bertweet": "its normalization of tweets",
    "Phobert": "its word segmentation",
    "CTRL": "its own BPE", "Flaubert": "Moses tokenization", "XLM": "Moses tokenization", "FSMT": "Moses tokenization",
    "BioGpt": "Moses tokenization", "RoFormer": "Chinese word segmentation by jieba",
    "RoCBert": "shapes and pronunciations of characters", "TransfoXL": "its own words",
    "ProphetNet": "its own tokenizer",
    "Tapas": "tables", "Tapex": "tables", "Canine": "code points as ids", "ByT5": "bytes as ids",
    "Perceiver": "bytes as ids", "Esm": "its own alphabet", "ErnieM": "its own SentencePiece rules",
    "Luke": "entities", "MLuke": "entities", "BertGeneration": "no fast form", "CpmAnt": "Chinese word segmentation",
    "Cpm": "Chinese word segmentation by jieba",
  ]

  private static let modelTypes: [String: String] = [
    "albert": "Albert", "align": "Bert", "bart": "Bart", "barthez": "Barthez", "bert": "Bert",
    "bert-generation": "BertGeneration", "bert-japanese": "BertJapanese", "bertweet": "Bertweet", "big_bird": "BigBird",
    "biogpt": "BioGpt", "blip": "Bert", "bros": "Bert", "byt5": "ByT5", "camembert": "Camembert", "canine": "Canine",
    "convbert": "ConvBert", "ctrl": "CTRL", "data2vec-text": "Roberta", "deberta": "Deberta", "deberta-v2": "DebertaV2",
    "distilbert": "DistilBert", "dpr": "DPRQuestionEncoder", "electra": "Electra", "ernie": "Bert", "ernie_m": "ErnieM",
    "esm": "Esm", "flaubert": "Flaubert", "fnet": "FNet", "fsmt": "FSMT", "funnel": "Funnel", "gpt2": "GPT2",
    "gpt_neo": "GPT2", "herbert": "Herbert", "ibert": "Roberta", "layoutlm": "LayoutLM", "layoutlmv2": "LayoutLMv2",
    "layoutlmv3": "LayoutLMv3", "layoutxlm": "LayoutXLM", "led": "LED", "lilt": "LayoutLMv3",
    "longformer": "Longformer",
    "luke": "Luke", "lxmert": "Lxmert", "mbart": "MBart", "mega": "Roberta", "megatron-bert": "Bert", "mluke": "MLuke",
    "mobilebert": "MobileBert", "modernbert": "PreTrained", "mpnet": "MPNet", "mra": "Roberta", "mvp": "Mvp",
    "nezha": "Bert", "nystromformer": "Albert", "openai-gpt": "OpenAIGPT", "perceiver": "Perceiver",
    "phobert": "Phobert", "prophetnet": "ProphetNet", "qdqbert": "Bert", "realm": "Realm", "reformer": "Reformer",
    "rembert": "RemBert", "retribert": "RetriBert", "roberta": "Roberta", "roberta-prelayernorm": "Roberta",
    "roc_bert": "RoCBert", "roformer": "RoFormer", "squeezebert": "SqueezeBert", "tapas": "Tapas",
    "transfo-xl": "TransfoXL", "visual_bert": "Bert", "xlm": "XLM", "xlm-roberta": "XLMRoberta",
    "xlm-roberta-xl": "XLMRoberta", "xlnet": "XLNet", "xmod": "XLMRoberta", "yoso": "Albert",
  ]
}
