import ArgumentParser
import CheckpointWriters
import Conversion
import TensorIO
import Tokenizers

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Turn texts into the ids that a model takes, and ids into text.",
    discussion: """
      The tokens are those of the original tokenizer. The model is a native file, which carries its tokenizer, or a checkpoint \
      with its tokenizer's files in the same folder, or one such file: tokenizer.json, vocab.txt or a SentencePiece .model. \
      Nothing is cut unless --max-length asks for it, and nothing is padded. Write -- before a text that begins with a dash.
      """)

  @Argument(help: "The model, or a file of its tokenizer.", completion: .file())
  var model: String
  @Argument(help: "Texts to tokenize.")
  var texts: [String] = []
  @Option(help: "The second text of a pair.")
  var pair: String?
  @Option(
    help: """
      File with texts: .txt, one per line, or .jsonl with 'text' and 'text_pair'. - reads lines from standard input.
      """, completion: .file(extensions: ["txt", "jsonl"]))
  var input: String?
  @Option(help: "Cut a text, or the longer one of a pair, to this many tokens, special tokens included.")
  var maxLength: Int?
  @Flag(help: "Do not add special tokens such as [CLS].")
  var noSpecialTokens = false
  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("Turn these ids into text, without special tokens.", valueName: "ids"))
  var decode: [String] = []
  @Option(
    name: [.short, .long], help: "Write input_ids, attention_mask and token_type_ids to this .npz, padded, for 'run'.",
    completion: .file(extensions: ["npz"]))
  var output: String?
  @Option(help: "Threads to use (default: one per core).")
  var threads: Int?
  @Flag(help: "Replace the output if it exists.")
  var force = false
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
    if let maxLength, maxLength < 1 { throw ValidationError("--max-length must be at least 1.") }
    if let output, !output.hasSuffix(".npz") { throw ValidationError("the output's name must end in .npz.") }
    let sources = [!texts.isEmpty, input != nil, !decode.isEmpty].count { $0 }
    guard sources == 1 else {
      throw ValidationError("Give texts, or a file with --input, or ids with --decode: one of the three.")
    }
    if pair != nil, texts.count != 1 { throw ValidationError("--pair takes one text before it.") }
    if !decode.isEmpty, pair != nil || maxLength != nil || output != nil || noSpecialTokens {
      throw ValidationError("--decode turns ids into text: use it without options for tokenizing.")
    }
  }

  func run() throws { try reportingErrors(tokenize) }

  private func tokenize() throws {
    try Processes.requireTextArguments()
    let found = try ModelTokenizer(for: model)
    let tokenizer = try found.tokenizer()
    for note in found.notes { Console.error("note: \(printable(note))") }
    guard decode.isEmpty else {
      try printText(of: tokenizer)
      return
    }
    let source = try TextSource(texts, pair: pair, input: input)
    var batches = TokenBatches(
      tokenizer, options: Tokenizer.Options(addSpecialTokens: !noSpecialTokens, maxLength: maxLength),
      threads: threads ?? Processors.count)
    if let output {
      try write(to: output, source, &batches, found, padding: tokenizer.paddingID)
    } else if json {
      try printJSON(source, &batches, found)
    } else {
      Console.error("tokenizer: \(TokenizerSummary(tokenizer).text), from \(printable(found.origin.path))")
      try batches.forEach(in: source) { item, encoding in
        Console.part(Array(TokenText(item, encoding).text.utf8))
      }
    }
    if let cut = batches.cutText { Console.error("note: \(cut)") }
  }

  // MARK: Results

  private func printJSON(_ source: TextSource, _ batches: inout TokenBatches, _ found: ModelTokenizer) throws {
    var writer = EncodingWriter()
    writer.raw("{\n  \"tokenizer\": \"\(found.definition.kind.rawValue)\",\n  \"texts\": [")
    var isFirst = true
    let isWhole = try batches.forEach(in: source) { _, encoding in
      writer.raw(isFirst ? "\n    " : ",\n    ")
      isFirst = false
      writer.write(encoding, hasTokenTypes: found.hasTokenTypes)
      return writer.bytes.count < 1 << 20 || Console.part(writer.take())
    }
    guard isWhole else { return }
    writer.raw("\n  ],\n  \"seconds\": \(JSON.double(batches.seconds).text())\n}\n")
    _ = Console.part(writer.take())
  }

  private func write(
    to output: String, _ source: TextSource, _ batches: inout TokenBatches, _ found: ModelTokenizer, padding: Int32
  ) throws {
    if [input, model].compactMap(\.self).contains(where: { FileSystem.isSameFile(output, $0) }) {
      throw FormatError(.output, "the output is one of the inputs", file: output, advice: .chooseOtherOutput)
    }
    var rows = PaddedRows(padding: padding, hasTokenTypes: found.hasTokenTypes)
    try batches.forEach(in: source) { _, encoding in
      rows.append(encoding)
      return true
    }
    let writer = try NpzWriter(path: output, overwrites: force)
    do {
      try rows.write(to: writer, file: output)
    } catch {
      writer.cancel()
      throw error
    }
    let summary = "\(counted(rows.count, "text")), \(grouped(rows.tokenCount)) tokens, padded to \(grouped(rows.width))"
    if json {
      Console.result(
        JSON.object([
          "tokenizer": .string(batches.tokenizer.definition.kind.rawValue), "seconds": .double(batches.seconds),
          "output": .string(output), "sequences": .int(rows.count), "tokens": .int(rows.tokenCount),
          "length": .int(rows.width),
        ]).text(pretty: true))
    } else {
      Console.result("\(printable(output)): \(summary)")
    }
  }

  private func printText(of tokenizer: Tokenizer) throws {
    var ids: [Int32] = []
    for part in decode.flatMap({ $0.split { ",[] ".contains($0) } }) {
      guard let id = Int32(part) else {
        throw ValidationError("--decode takes ids: '\(printable(String(part)))' is none.")
      }
      guard tokenizer.token(of: id) != nil else {
        throw FormatError(
          .input, "the tokenizer has no token of this id", file: model, found: "\(id)",
          expected: "an id below \(tokenizer.vocabularySize)")
      }
      ids.append(id)
    }
    let text = tokenizer.decode(ids)
    if json {
      Console.result(
        JSON.object([
          "tokenizer": .string(tokenizer.definition.kind.rawValue), "input_ids": .ints(ids.map { Int($0) }),
          "tokens": .strings(ids.map { tokenizer.token(of: $0) ?? "" }), "text": .string(text),
        ]).text(pretty: true))
    } else {
      Console.result(printable(text, keepingNewlines: true))
    }
  }
}
