import CheckpointFormats
import Encoder
import ModelFamilies
import NativeFormat
import TensorIO
import Tokenizers

/// A model with its tokenizer, ready to answer: texts in, labels, entities, answers or embeddings out.
///
/// ```swift
/// let predictor = try Predictor(model, tokenizer: tokenizer)
/// let answers = try predictor.predict([PredictionItem("Paris is the [MASK] of France.")])
/// ```
///
/// Texts of any length are read, as ``PredictionOptions/longTexts`` says; texts are computed in batches of similar length,
/// and the answers are in the order of the texts. Memory does not grow with their number.
public final class Predictor: Sendable {
  public let task: PredictionTask
  /// What was assumed, in sentences.
  public let notes: [String]
  /// The most tokens of a window, special ones included.
  public let maxLength: Int
  let model: TaskModel
  let options: PredictionOptions
  private let plan: WindowPlan
  private let config: JSON
  private let path: String

  /// - Parameters:
  ///   - model: the file, which stays mapped
  ///   - config: in place of the config in the file
  ///   - tokenizer: the one that the model was trained with
  ///   - options: the task, and how long texts are read
  ///   - threads: for the model and the tokenizer; all cores when absent
  ///   - precision: of the products in the layers
  /// - Throws: `FormatError` where the model has no head for the task, or an option does not fit the model
  public init(
    _ model: NativeModel, config: JSON? = nil, tokenizer: Tokenizer, options: PredictionOptions = PredictionOptions(),
    threads: Int? = nil, precision: Precision = .f32
  ) throws {
    guard var json = config ?? model.config else {
      throw FormatError(
        .config, "the file has no config", file: model.path, advice: .all([.giveConfig, .convertFirst]))
    }
    path = model.path
    let hasModules = !(SentenceModule.all(inConfig: json) ?? []).isEmpty
    if hasModules, options.pooling != nil || options.normalizes {
      throw FormatError(
        .input, "the model has modules of its own for sentence embeddings", file: model.path,
        advice: "Choose no pooling and no normalization.")
    }
    if !hasModules {
      let modules: [SentenceModule] =
        [.pooling([(options.pooling ?? .mean).mode])] + (options.normalizes ? [.normalize] : [])
      json.set(SentenceModule.configKey, .object(["modules": .array(modules.map(\.json))]))
    }
    let encoder = try Encoder(model, config: json, threads: threads, precision: precision)
    let tasks = ModelTasks(encoder, hasModules: hasModules)
    task = try tasks.task(options.task, file: model.path)
    let assumesMean = task == .sentenceEmbedding && !hasModules && options.pooling == nil
    notes =
      assumesMean
      ? ["the model has no modules for sentence embeddings; taking the mean of the tokens' last hidden states"] : []
    self.config = json
    self.options = options
    let builder = BatchBuilder(tokenizer, encoder.config)
    self.model = TaskModel(
      encoder: encoder, tokenizer: tokenizer, builder: builder, labels: Self.labels(json))
    maxLength = try Self.maxLength(options, json, encoder.config, builder, file: model.path)
    plan = WindowPlan(
      maxLength: maxLength, overlap: options.overlap, longTexts: options.longTexts,
      slides: task == .questionAnswering ? .second : .longer, keepsEnd: task == .nextToken)
    try checkTokenizer(tokenizer)
  }

  /// The names of `id2label`, by their numbers.
  private static func labels(_ config: JSON) -> [String] {
    let members = config["id2label"]?.members ?? []
    var labels: [Int: String] = [:]
    for member in members {
      if let number = Int(member.key), let name = member.value.stringValue { labels[number] = name }
    }
    return (0..<labels.count).map { labels[$0] ?? "LABEL_\($0)" }
  }

  /// Windows of models that have no positions of their own, and so no limit.
  private static let freeLength = 512

  private static func maxLength(
    _ options: PredictionOptions, _ json: JSON, _ config: EncoderConfig, _ builder: BatchBuilder, file: String
  ) throws(FormatError) -> Int {
    let special = builder.specialCount(isPair: false)
    let limit = config.maximumSequence
    let isLimited = config.family.has(.positionEmbeddings)
    let own = json[SentenceModule.configKey]?["max_seq_length"]?.intValue
    let length = options.maxLength ?? min(own ?? limit, isLimited ? limit : max(own ?? 0, freeLength))
    guard length > special, length <= limit else {
      throw FormatError(
        .input, "the maximum length does not fit the model", file: file, found: counted(length, "token"),
        expected: "\(special + 1) to \(grouped(limit)), \(counted(special, "special token")) included")
    }
    if let overlap = options.overlap {
      guard overlap >= 0, overlap < length - special else {
        throw FormatError(
          .input, "the overlap does not fit windows of \(counted(length, "token"))", file: file,
          found: counted(overlap, "token"), expected: "0 to \(grouped(length - special - 1))")
      }
    }
    return length
  }

  /// Ids that the model has no row for would be found out text by text.
  private func checkTokenizer(_ tokenizer: Tokenizer) throws(FormatError) {
    if task == .fillMask, mask == nil {
      throw FormatError(
        .input, "the tokenizer has no mask token", file: path, expected: Self.maskTokens.joined(separator: " or "))
    }
  }

  private static let maskTokens = ["[MASK]", "<mask>"]

  /// The mask of the vocabulary: the special token of that name, or the entry.
  private var mask: (id: Int32, token: String)? {
    let known = Self.maskTokens.compactMap { token in model.tokenizer.id(of: token).map { ($0, token) } }
    return known.first { model.tokenizer.isSpecial($0.0) } ?? known.first
  }

  /// The mask token of the model; `nil` where there is none.
  public var maskToken: String? { mask?.token }

  // MARK: Predicting

  /// The answers to some items, in their order.
  public func predict(_ items: [PredictionItem]) throws -> [PredictionResult] {
    var iterator = items.makeIterator()
    var results: [PredictionResult] = []
    try predict({ iterator.next() }, each: { results.append($1) })
    return results
  }

  /// Reads items until there are no more, and gives each with its answer, in order.
  ///
  /// - Parameters:
  ///   - next: the next item; `nil` at the end
  ///   - each: called in the order of the items, after each part of them
  ///   - progress: called after each batch
  ///   - finishPart: called after each part of the items, whose answers have all been given
  /// - Returns: what was read in windows, and what was cut
  @discardableResult
  public func predict(
    _ next: () throws -> PredictionItem?, each: (PredictionItem, PredictionResult) throws -> Void,
    progress: (PredictionSummary) -> Void = { _ in }, finishPart: () throws -> Void = {}
  ) throws -> PredictionSummary {
    func run(_ task: some TaskRun) throws -> PredictionSummary {
      try predict(task, next, each, progress, finishPart)
    }
    let top = options.top
    switch task {
    case .fillMask:
      let mask = mask ?? (id: -1, token: "")
      return try run(MaskedTokens(maskID: mask.id, maskToken: mask.token, top: top ?? 5))
    case .textClassification:
      return try run(
        SequenceScores(
          purpose: .labels, kind: .sequenceClassification, combination: options.combination, function: function,
          top: top))
    case .nextSentence:
      return try run(
        SequenceScores(purpose: .nextSentence, kind: .nextSentence, combination: options.combination))
    case .multipleChoice:
      return try run(
        SequenceScores(purpose: .choices, kind: .multipleChoice, combination: options.combination, top: top))
    case .tokenClassification: return try run(TokenLabels())
    case .questionAnswering: return try run(AnswerSpans(top: top ?? 1))
    case .sentenceEmbedding: return try run(SentenceEmbedding())
    case .featureExtraction: return try run(TokenFeatures())
    case .nextToken:
      return try run(NextTokens(top: top ?? 5, continuation: options.continuation, maxLength: maxLength))
    }
  }

  /// What makes scores of a classifier's logits (`pipelines/text_classification.py` of `transformers`).
  private var function: SequenceScores.Function {
    switch config["problem_type"]?.stringValue {
    case "regression": .identity
    case "multi_label_classification": .sigmoid
    default: model.labels.count == 1 ? .sigmoid : .softmax
    }
  }

  // MARK: Parts of the input

  /// Texts that are read ahead: at most so many, of so many bytes and tokens. A single text may be larger.
  private static let maxAhead = 4096
  private static let maxBytesAhead = 4 << 20

  /// Tokens of a batch, padding included.
  private static let batchTokens = 8192

  private func predict<Run: TaskRun>(
    _ run: Run, _ next: () throws -> PredictionItem?, _ each: (PredictionItem, PredictionResult) throws -> Void,
    _ progress: (PredictionSummary) -> Void, _ finishPart: () throws -> Void
  ) throws -> PredictionSummary {
    var summary = PredictionSummary()
    summary.maxLength = maxLength
    var isAtEnd = false
    while !isAtEnd {
      var items: [PredictionItem] = []
      var bytes = 0
      while items.count < Self.maxAhead, bytes < Self.maxBytesAhead {
        guard let item = try next() else {
          isAtEnd = true
          break
        }
        bytes += item.byteCount
        items.append(item)
      }
      guard !items.isEmpty else { break }
      let results = try self.results(run, try prepare(items, &summary), &summary, progress)
      for (item, result) in zip(items, results) { try each(item, result) }
      try finishPart()
    }
    return summary
  }

  /// The items as tokens and windows.
  private func prepare(_ items: [PredictionItem], _ summary: inout PredictionSummary) throws -> [PreparedText] {
    var texts: [String] = []
    var counts: [[Bool]] = []
    for item in items {
      do throws(FormatError) {
        let sequences = try item.sequences(for: task)
        for sequence in sequences { texts += [sequence.first] + (sequence.second.map { [$0] } ?? []) }
        counts.append(sequences.map { $0.second != nil })
      } catch {
        throw item.located(error)
      }
    }
    let encodings = try model.tokenizer.encode(
      texts, options: Tokenizer.Options(addSpecialTokens: false), threads: model.encoder.threads)
    var position = 0
    func take() -> Encoding {
      position += 1
      return encodings[position - 1]
    }
    var prepared: [PreparedText] = []
    prepared.reserveCapacity(items.count)
    for (item, arePairs) in zip(items, counts) {
      var sequences: [PreparedSequence] = []
      for isPair in arePairs {
        let first = take()
        let second = isPair ? take() : nil
        do throws(FormatError) {
          let outcome = try plan.windows(
            first: first.count, second: second?.count, special: model.builder.specialCount(isPair: isPair))
          guard isPair || first.count + model.builder.specialCount(isPair: false) > 0 else {
            throw FormatError(.input, "a text has no tokens", expected: "at least one word")
          }
          sequences.append(PreparedSequence(first, second, outcome))
        } catch {
          throw item.located(error)
        }
      }
      let text = PreparedText(item: item, sequences: sequences)
      let cut = sequences.reduce(0) { $0 + $1.cutCount }
      if cut > 0 {
        summary.cutTexts += 1
        summary.cutTokens += cut
      }
      if text.extraWindowCount > 0 {
        summary.windowedTexts += 1
        summary.windows += text.extraWindowCount
      }
      prepared.append(text)
    }
    return prepared
  }

  private func results<Run: TaskRun>(
    _ run: Run, _ texts: [PreparedText], _ summary: inout PredictionSummary, _ progress: (PredictionSummary) -> Void
  ) throws -> [PredictionResult] {
    var states: [Run.State] = []
    states.reserveCapacity(texts.count)
    for text in texts {
      do throws(FormatError) { states.append(try run.begin(text)) } catch { throw text.item.located(error) }
    }
    let windows = WindowIndex.sorted(texts) { model.builder.specialCount(isPair: $0) }
      .filter { run.needs($0, of: texts[$0.text]) }
    var left = texts.indices.map { _ in 0 }
    for window in windows { left[window.text] += 1 }
    let rows = task == .nextToken ? MaskedTokens.rowsAtOnce(model) : Int.max
    for indices in WindowIndex.batches(windows, budget: Self.batchTokens, maxRows: rows) {
      let batch = model.builder.batch(Array(indices), of: texts)
      do {
        try run.add(batch, to: &states, texts: texts, model: model)
      } catch let error as FormatError {
        throw error.inFile(path)
      }
      for window in indices {
        summary.tokens += window.length
        left[window.text] -= 1
        if left[window.text] == 0 { summary.texts += 1 }
      }
      progress(summary)
    }
    return try run.finish(states, texts: texts, model: model)
  }
}
