import ArgumentParser
import Conversion
import Encoder
import NativeFormat
import Prediction
import TensorIO
import Tokenizers

extension PredictionTask: ExpressibleByArgument {}
extension LongTexts: ExpressibleByArgument {}
extension WindowCombination: ExpressibleByArgument {}
extension PoolingChoice: ExpressibleByArgument {}

struct Predict: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict",
    abstract: "Answer with a model, from text: fill masks, classify, find answers, embed.",
    discussion: """
      Without --task the model's head, or its modules of sentence-transformers, decide. Texts are arguments, or the lines of \
      --input: .txt (a text a line), .jsonl (text, text_pair, question, context, choices), .csv and .tsv with a header, or - \
      for standard input. A long text is read whole, in windows that overlap; what is windowed or cut is reported.
      """)

  @Argument(help: "The native file, or a checkpoint that 'convert' takes.", completion: .models)
  var model: String
  @Argument(help: "The texts.")
  var texts: [String] = []
  @Option(help: "The second text of a pair, for one text.")
  var pair: String?
  @Option(help: "The question that the texts are searched for.")
  var question: String?
  @Option(help: "A file of texts, or - for standard input.", completion: .file())
  var input: String?
  @Option(help: "The column of a .csv or .tsv file, or the key in a .jsonl file, that has the text (default: text).")
  var column: String?
  @Option(help: "The task.")
  var task: PredictionTask?
  @Option(help: "How many candidates, labels or answers (default: 5 candidates, all labels, 1 answer).")
  var top: Int?
  @Option(help: "How texts are read that are longer than the model's maximum length.")
  var long = LongTexts.windows
  @Option(help: "Tokens that a window shares with the one before (default: a quarter of the maximum length).")
  var overlap: Int?
  @Option(help: "How the scores of a text's windows are combined, for tasks with labels.")
  var combine = WindowCombination.mean
  @Option(help: "Maximum length of a window in tokens, special ones included (default: the model's).")
  var maxLength: Int?
  @Option(help: "How tokens become the embedding of a text, if the model does not say it (default: mean).")
  var pooling: PoolingChoice?
  @Flag(help: "L2-normalize embeddings, if the model does not say it.")
  var normalize = false
  @Option(name: [.customLong("continue")], help: "Tokens that a language model appends, each the likeliest.")
  var continuation: Int?
  @Option(
    help: "A file of texts: the nearest to each text are shown, by the cosine of their embeddings.", completion: .file()
  )
  var against: String?
  @Option(
    name: [.short, .long], help: "The file to write: .jsonl, .csv, or .npy and .npz for embeddings.",
    completion: .file(extensions: ["jsonl", "csv", "npy", "npz"]))
  var output: String?
  @Flag(help: "Go on with an output that exists, after the texts whose answers it has.")
  var append = false
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Option(help: "The model's config, if it is not found.", completion: .configs)
  var config: String?
  @Option(help: "Precision of matrix products, whatever the file stores.")
  var precision = Precision.f32
  @Option(help: "Threads to use (default: one per core).")
  var threads: Int?
  @Flag(help: "Do not verify the file's checksums first.")
  var skipChecksums = false
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard input == nil || texts.isEmpty else {
      throw ValidationError("Give texts, or a file of texts with --input, not both.")
    }
    guard input != nil || !texts.isEmpty else { throw ValidationError("Give a text, or a file of texts with --input.") }
    if pair != nil, texts.count != 1 { throw ValidationError("--pair goes with one text.") }
    if input == nil, column != nil { throw ValidationError("--column goes with --input.") }
    for (name, value) in [
      ("--top", top), ("--max-length", maxLength), ("--threads", threads), ("--continue", continuation),
    ] {
      if let value, value < 1 { throw ValidationError("\(name) must be at least 1.") }
    }
    if let overlap, overlap < 0 { throw ValidationError("--overlap must not be negative.") }
    if append, output == nil { throw ValidationError("--append goes with -o.") }
    if append, force { throw ValidationError("Give --append or --force, not both.") }
    if against != nil {
      guard output == nil else { throw ValidationError("--against prints its results: leave out -o.") }
      guard task == nil || task == .sentenceEmbedding else {
        throw ValidationError("--against compares embeddings: leave out --task.")
      }
    }
    if let output, ResultWriter.form(of: output) == nil {
      throw ValidationError("the output's name must end in .jsonl, .csv, .npy or .npz.")
    }
  }

  func run() throws { try reportingErrors(predict) }

  private var options: PredictionOptions {
    var options = PredictionOptions()
    options.task = against == nil ? task : .sentenceEmbedding
    options.top = top
    options.longTexts = long
    options.overlap = overlap
    options.combination = combine
    options.maxLength = maxLength
    options.continuation = continuation ?? 0
    options.pooling = pooling
    options.normalizes = normalize
    return options
  }

  private func predict() throws {
    // What is wrong with the input is found before the model is opened.
    let source = try ItemSource(texts, pair: pair, question: question, input: input, column: column)
    let other = try against.map { try InputFile($0, column: nil) }
    if let output, [input, against, model].compactMap(\.self).contains(where: { FileSystem.isSameFile(output, $0) }) {
      throw FormatError(.output, "the output is one of the inputs", file: output, advice: .chooseOtherOutput)
    }
    let predictor = try makePredictor()
    for note in predictor.notes { Console.error("note: \(printable(note))") }
    if let other { return try showNearest(predictor, source, other) }
    if let output { return try write(predictor, source, to: output) }
    try show(predictor, source)
  }

  private func makePredictor() throws -> Predictor {
    var conversion = ConversionOptions()
    conversion.config = config
    let ready = try ProgressBar.during("converting") {
      try ReadyModel(model, options: conversion, progress: $0)
    }
    if ready.conversion == nil, !skipChecksums { try ready.model.verifyChecksumsWithProgress() }
    let found = try ModelTokenizer(for: model)
    for note in found.notes { Console.error("note: \(printable(note))") }
    let given = ready.conversion == nil ? try config.map { try ConfigFile.read($0) } : nil
    return try Predictor(
      ready.model, config: given, tokenizer: try found.tokenizer(), options: options, threads: threads,
      precision: precision)
  }

  // MARK: Results

  /// What was windowed or cut, on standard error.
  private func report(_ summary: PredictionSummary) {
    for sentence in summary.sentences { Console.error("note: \(sentence)") }
  }

  private func show(_ predictor: Predictor, _ source: ItemSource) throws {
    var progress = PredictionProgress(source)
    var isFirst = true
    var hasReader = true
    func part(_ text: String) { hasReader = hasReader && Console.part(Array(text.utf8)) }
    if json { part("{\"task\": \"\(predictor.task.rawValue)\", \"results\": [") }
    let style = PredictionText(predictor.task, isSingle: source.isSingle)
    let summary = try predictor.predict(
      { try source.next() },
      each: { item, result in
        progress.hide()
        if json {
          part((isFirst ? "\n  " : ",\n  ") + result.json.text())
        } else {
          part(style.text(item, result, isFirst: isFirst))
        }
        isFirst = false
        // Where what reads the results has gone, the rest need not be computed.
        if !hasReader { throw ExitCode.success }
      }, progress: { progress.update($0) })
    progress.hide()
    if json { part("\(isFirst ? "" : "\n")], \"windows\": \(summary.json.text())}\n") }
    report(summary)
  }

  private func write(_ predictor: Predictor, _ source: ItemSource, to output: String) throws {
    let writer = try ResultWriter(output, task: predictor.task, appends: append, overwrites: force)
    var progress = PredictionProgress(source)
    var count = 0
    do {
      var skipped = 0
      while skipped < writer.existingCount, try source.next() != nil { skipped += 1 }
      guard skipped == writer.existingCount else {
        throw FormatError(
          .output, "the output has more answers than the input has texts", file: output,
          found: grouped(writer.existingCount), expected: "at most \(grouped(skipped))", advice: .chooseOtherOutput)
      }
      let summary = try predictor.predict(
        { try source.next() },
        each: { item, result in
          try writer.write(item, result)
          count += 1
        }, progress: { progress.update($0) }, finishPart: { try writer.finishPart() })
      try writer.finish()
      progress.hide()
      report(summary)
      let resumed = skipped > 0 ? ", after \(grouped(skipped)) that were there" : ""
      if json {
        Console.result(
          JSON.object([
            "task": .string(predictor.task.rawValue), "output": .string(output), "texts": .int(count),
            "existing": .int(skipped), "tokens": .int(summary.tokens), "windows": summary.json,
          ]).text(pretty: true))
      } else {
        Console.result(
          "\(printable(output)): \(predictor.task.rawValue) of \(counted(count, "text"))\(resumed), "
            + "\(grouped(summary.tokens)) tokens\(progress.rate(summary))")
      }
    } catch {
      progress.hide()
      writer.cancel()
      throw error
    }
  }

  /// The texts of `other` that are nearest to each text.
  private func showNearest(_ predictor: Predictor, _ source: ItemSource, _ other: InputFile) throws {
    var items: [PredictionItem] = []
    var vectors: [[Float]] = []
    let first = try predictor.predict(
      { try source.next() },
      each: { item, result in
        guard case .embedding(let values) = result else { return }
        items.append(item)
        vectors.append(values)
      })
    var nearest = NearestTexts(vectors, count: top ?? 5)
    var progress = PredictionProgress(size: other.size, position: { other.position })
    let second = try predictor.predict(
      { try other.next() },
      each: { item, result in
        if case .embedding(let values) = result { nearest.add(item, values) }
      }, progress: { progress.update($0) })
    progress.hide()
    if json {
      let results = zip(items, nearest.matches).map { _, matches in
        JSON.object([
          "nearest": .array(
            matches.map {
              .object([
                "line": $0.line.map { .int($0) } ?? .null, "text": .string($0.text), "score": .double($0.score),
              ])
            })
        ])
      }
      Console.result(
        JSON.object([
          "task": .string(predictor.task.rawValue), "results": .array(results), "windows": second.json,
        ]).text(pretty: true))
    } else {
      for (item, matches) in zip(items, nearest.matches) {
        Console.result(PredictionText.nearest(item, matches, showsQuery: items.count > 1))
      }
    }
    report(first)
    report(second)
  }
}

/// The texts of a command: its arguments, or those of a file.
final class ItemSource {
  private let file: InputFile?
  private var items: ArraySlice<PredictionItem>
  private let question: String?
  /// Whether one text is given on the command line.
  let isSingle: Bool

  init(_ texts: [String], pair: String?, question: String?, input: String?, column: String?) throws {
    try Processes.requireTextArguments()
    file = try input.map { try InputFile($0, column: column) }
    items = texts.map { PredictionItem($0, pair: pair, question: question) }[...]
    self.question = question
    isSingle = texts.count == 1
  }

  var size: Int? { file?.size }
  var position: Int { file?.position ?? 0 }

  func next() throws -> PredictionItem? {
    guard let file else { return items.popFirst() }
    guard var item = try file.next() else { return nil }
    if item.question == nil { item.question = question }
    return item
  }
}

/// The progress of texts, on a terminal.
struct PredictionProgress {
  private let size: Int?
  private let position: () -> Int
  private let started = Clock.now
  private var drawn = 0.0
  private var isVisible = false

  init(size: Int?, position: @escaping () -> Int) {
    self.size = size
    self.position = position
  }

  init(_ source: ItemSource) { self.init(size: source.size, position: { source.position }) }

  mutating func update(_ summary: PredictionSummary) {
    let now = Clock.now
    guard Console.showsProgress, now - started > 0.5, now - drawn > 0.1 else { return }
    drawn = now
    isVisible = true
    var bar = ""
    if let size, size > 0 {
      let filled = min(30, position() * 30 / size)
      bar = "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 30 - filled))] "
    }
    Console.progress(
      "\r\(bar)\(counted(summary.texts, "text"))\(rate(summary))\u{1B}[K")
  }

  /// Texts and tokens a second, since the beginning.
  func rate(_ summary: PredictionSummary) -> String {
    let seconds = max(Clock.now - started, 1e-6)
    return "; \(grouped(Int(Double(summary.texts) / seconds))) texts/s, "
      + "\(grouped(Int(Double(summary.tokens) / seconds))) tokens/s"
  }

  mutating func hide() {
    if isVisible { Console.progress("\r\u{1B}[K") }
    isVisible = false
    drawn = 0
  }
}
