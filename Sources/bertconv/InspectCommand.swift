import ArgumentParser
import CheckpointReaders
import TensorIO
import WeightMapping

struct Inspect: ParsableCommand {
  enum Sorting: String, ExpressibleByArgument, CaseIterable { case name, size, offset }

  static let configuration = CommandConfiguration(
    abstract: "List what a checkpoint holds.",
    discussion: """
      Reads no tensor data unless --stats or --html asks for it: to list a TensorFlow checkpoint its index alone is \
      enough. Totals are those of the whole checkpoint, whatever --filter shows of it.
      """)

  @Argument(help: "The checkpoint: file, prefix or folder.", completion: .file())
  var source: String
  @Flag(help: "Print one JSON object.")
  var json = false
  @Option(help: "Show the tensors whose name (or full name) matches, as '*layer_1*kernel'.")
  var filter: String?
  @Option(help: "Order: name, size (largest first) or offset; without it, the checkpoint's own.")
  var sort: Sorting?
  @Flag(help: "Read the tensors and show minimum, maximum, mean, standard deviation, zeros, NaN and infinities.")
  var stats = false
  @Flag(help: "Show what no mapping table knows, with the nearest known name.")
  var unmapped = false
  @Option(help: "A mapping table of your own, asked before those built in.", completion: .tables)
  var table: [String] = []
  @Option(
    help: """
      Read the tensors and write a page for the browser too: where the bytes are, a histogram of every tensor, norms by \
      layer, what becomes of each name. With --filter only the tensors that match are read and shown on it.
      """, completion: .file(extensions: ["html"]))
  var html: String?

  func validate() throws {
    if unmapped, !json, stats || filter != nil || sort != nil {
      throw ValidationError("--unmapped prints a report of its own: use it without --stats, --filter and --sort.")
    }
  }

  func run() throws {
    Console.ignoreBrokenPipes()
    try reportingErrors(inspect)
  }

  private func inspect() throws {
    let checkpoint = try CheckpointOpener().open(source)
    let tensors = checkpoint.source.tensors
    let mapper = try makeMapper(tables: table)
    let config = (try? SourceConfig(checkpoint, given: nil))?.json
    let metadata = checkpoint.source.metadata
    let recognition = mapper.recognise(tensors, metadata: metadata, config: config)
    let glob = filter.map { Glob($0) }
    var shown = tensors.indices.filter { index in
      guard let glob else { return true }
      return glob.matches(tensors[index].name) || tensors[index].fullName.map { glob.matches($0) } == true
    }
    switch sort {
    case .name: shown.sort { tensors[$0].name.utf8.lexicographicallyPrecedes(tensors[$1].name.utf8) }
    case .size: shown.sort { (tensors[$1].byteCount, $0) < (tensors[$0].byteCount, $1) }
    case .offset:
      func key(_ index: Int) -> (Int, UInt64, Int) {
        let place = tensors[index].location
        return (place?.file ?? Int.max, place?.offset ?? 0, index)
      }
      shown.sort { key($0) < key($1) }
    case nil: break
    }
    var statistics = try writePage(checkpoint, shown, mapper, recognition, config: config)
    if stats, html == nil {
      var bar = ProgressBar("reading", total: shown.reduce(0) { $0 + tensors[$1].byteCount })
      var done = 0
      for index in shown where tensors[index].elementType.size != nil {
        statistics[index] = try checkpoint.source.withBytes(ofTensorAt: index) { bytes in
          TensorStatistics(bytes, tensors[index].elementType)
        }
        done += tensors[index].byteCount
        bar.update(done)
      }
      bar.finish()
    }
    let summary = Summary(checkpoint, recognition, config: config)
    if json {
      var result = summary.json
      if unmapped {
        result.set(
          "mapping",
          mapper.report(for: tensors, metadata: metadata, config: config, allowUnexpected: []).json())
      }
      result.set(
        "tensors",
        .array(
          shown.map { index in
            var entry = JSON.object([
              "name": .string(tensors[index].name), "dtype": .string(tensors[index].elementType.rawValue),
              "shape": .ints(tensors[index].shape), "bytes": .int(tensors[index].byteCount),
            ])
            if let full = tensors[index].fullName { entry.set("full_name", .string(full)) }
            if let place = tensors[index].location {
              entry.set("file", .string(FileSystem.baseName(checkpoint.source.files[place.file].path)))
              entry.set("offset", .int(place.offset))
            }
            if stats { entry.set("stats", statistics[index]?.json ?? .null) }
            return entry
          }))
      Console.result(result.text(pretty: true))
      return
    }
    Console.warn(checkpoint.warnings)
    Console.result(summary.text)
    if unmapped {
      Console.result(
        mapper.report(for: tensors, metadata: metadata, config: config, allowUnexpected: []).text())
      return
    }
    Console.result("")
    var listing = TextTable(columns: [("tensor", .left), ("dtype", .left), ("shape", .left), ("size", .right)])
    if stats { listing.add(columns: ["min", "max", "mean", "std", "zeros", "nan", "inf"].map { ($0, .right) }) }
    for index in shown {
      let tensor = tensors[index]
      let name = tensor.fullName.map { "\(tensor.name)  (\($0))" } ?? tensor.name
      var row = [
        printable(name), tensor.elementType.rawValue, shapeText(tensor.shape), humanBytes(UInt64(tensor.byteCount)),
      ]
      if stats {
        if let s = statistics[index] {
          row += [s.minimum, s.maximum, s.mean, s.standardDeviation].map(significant)
          row += [grouped(s.zeros), grouped(s.nan), grouped(s.infinite)]
        } else {
          row += Array(repeating: "", count: 7)
        }
      }
      listing.add(row)
    }
    Console.result(listing.text)
    if shown.count < tensors.count { Console.result("\(shown.count) of \(tensors.count) tensors shown") }
  }
}

/// The lines above the listing: what one wants to know before trusting a file.
struct Summary {
  private let checkpoint: OpenedCheckpoint
  private let recognition: Recognition
  private let config: JSON?

  init(_ checkpoint: OpenedCheckpoint, _ recognition: Recognition, config: JSON?) {
    self.checkpoint = checkpoint
    self.recognition = recognition
    self.config = config
  }

  private func value(_ keys: String...) -> String? {
    for key in keys {
      switch config?[key] {
      case .number(let text), .string(let text): return text
      default: continue
      }
    }
    return nil
  }

  /// The model in a line: what the config says, or only that there is none.
  private var model: String? {
    guard config != nil else { return nil }
    let parts = [
      value("num_hidden_layers", "n_layers", "n_layer").map { "\($0) layers" },
      value("hidden_size", "dim", "n_embd").map { "hidden size \($0)" },
      value("n_hid").map { "\($0) features inside" },
      value("emb_sz").map { "embeddings of \($0)" },
      value("num_attention_heads", "n_heads", "n_head").map { "\($0) heads" },
      value("vocab_size", "vocab_sz").map { "vocabulary of \($0)" },
      value("max_position_embeddings", "n_positions").map { "\($0) positions" },
      value("hidden_act", "activation", "afn"),
    ].compactMap(\.self)
    return parts.isEmpty ? nil : printable(parts.joined(separator: ", "))
  }

  private var isNative: Bool { checkpoint.source.format == .native }

  /// Elements of all numeric tensors, optimizer state included.
  private var parameters: Int {
    checkpoint.source.tensors.reduce(0) { sum, tensor in
      tensor.elementType.size == nil ? sum : sum.addingReportingOverflow(tensor.elementCount).partialValue
    }
  }
  private var bytes: Int {
    checkpoint.source.tensors.reduce(0) { $0.addingReportingOverflow($1.byteCount).partialValue }
  }

  var json: JSON {
    let source = checkpoint.source
    return .object([
      "format": .string(source.format.rawValue),
      "family": recognition.family.map { .string($0) } ?? .null,
      "dialect": recognition.dialect.map { .string($0) } ?? .null,
      "description": recognition.description.map { .string($0) } ?? .null,
      "parameters": .int(parameters), "bytes": .int(bytes),
      "files": .array(source.files.map { .object(["path": .string($0.path), "size": .int($0.size)]) }),
      "config": checkpoint.configPath.map { .string($0) } ?? .null,
      "vocabulary": checkpoint.vocabularyPath.map { .string($0) } ?? .null,
      "metadata": .object(source.metadata.map { .init($0.key, .string($0.value)) }),
      "warnings": .strings(checkpoint.warnings),
      "imports": .array(
        source.imports.map { .object(["name": .string($0.name), "verdict": .string($0.verdict.rawValue)]) }),
    ])
  }

  /// What is short, and not told in other words.
  private func isWorthALine(_ key: String, _ value: String) -> Bool {
    value.utf8.count <= 100 && !key.hasPrefix("bertconv.") && key != SentenceModule.configKey
  }

  var text: String {
    let source = checkpoint.source
    var lines: [(String, String)] = [("file", printable(checkpoint.path)), ("format", source.format.rawValue)]
    var family = recognition.family ?? recognition.description ?? "not recognised"
    if let dialect = recognition.dialect { family += " (dialect \(dialect))" }
    lines.append(("family", family))
    lines.append(
      (
        "tensors",
        "\(grouped(source.tensors.count)), \(grouped(parameters)) values, \(humanBytes(UInt64(max(0, bytes))))"
      ))
    var types: [ElementType: Int] = [:]
    for tensor in source.tensors { types[tensor.elementType, default: 0] += 1 }
    lines.append(
      (
        "dtypes",
        types.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
          .map { "\($0.key.rawValue) × \(grouped($0.value))" }.joined(separator: ", ")
      ))
    if let model { lines.append(("model", model)) }
    if let modules = SentenceModule.all(inConfig: config) {
      lines.append(("modules", printable(modules.map(\.description).joined(separator: ", then "))))
    }
    if isNative {
      let tokens = SourceDescription.embeddedVocabulary(source).map(Vocabulary.tokenCount)
      lines.append(("config", "in the file"))
      lines.append(("vocab", tokens.map { "in the file, \(grouped($0)) tokens" } ?? "none"))
    } else {
      lines.append(("config", checkpoint.configPath.map { printable($0) } ?? "none beside it"))
      lines.append(("vocab", checkpoint.vocabularyPath.map { printable($0) } ?? "none beside it"))
    }
    for (key, value) in source.metadata where isWorthALine(key, value) {
      lines.append((printable(key), printable(value)))
    }
    for item in source.imports { lines.append(("import", "\(printable(item.name)): \(item.verdict.rawValue)")) }
    let width = lines.map { $0.0.count }.max() ?? 0
    return lines.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 }.joined(separator: "\n")
  }
}

/// Columns that line up.
struct TextTable {
  enum Alignment { case left, right }
  private var columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []
  /// A name of a megabyte must not make every line as long: what is longer than this sticks out.
  private static let widest = 200

  init(columns: [(String, Alignment)]) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

  mutating func add(columns more: [(String, Alignment)]) { columns += more.map { (title: $0.0, alignment: $0.1) } }
  mutating func add(_ row: [String]) { rows.append(row) }

  var text: String {
    let all = [columns.map(\.title)] + rows
    let counts = all.map { $0.map(\.count) }
    let widths = columns.indices.map { column in counts.map { $0[column] }.filter { $0 <= Self.widest }.max() ?? 0 }
    return zip(all, counts).map { row, counts in
      var line = ""
      for (index, cell) in row.enumerated() {
        let space = String(repeating: " ", count: max(0, widths[index] - counts[index]))
        line += (index > 0 ? "  " : "") + (columns[index].alignment == .left ? cell + space : space + cell)
      }
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
