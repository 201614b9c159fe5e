import CheckpointFormats
import CheckpointReaders
import Conversion
import TensorIO
import WeightMapping

/// The lines above a listing: what one wants to know before trusting a file.
struct Summary {
  let checkpoint: OpenedCheckpoint
  let outline: ModelOutline
  /// What the user has by way of a config; `nil` also for one that cannot be used.
  let config: JSON?
  let vocabulary: VocabularyFile?
  /// All that the user should know, a sentence each.
  let warnings: [String]
  /// Elements of all numeric tensors, optimizer state included.
  private let whole: Total
  private let types: [(type: ElementType, total: Total)]
  private let parts: [(part: ModelOutline.Part, total: Total)]

  init(_ checkpoint: OpenedCheckpoint, mapper: Mapper) throws {
    self.checkpoint = checkpoint
    var warnings = checkpoint.warnings
    var given: ConfigFile?
    do {
      given = try ConfigFile(for: checkpoint, given: nil)
    } catch {
      warnings.append("the config cannot be used: \(error)")
    }
    config = given?.json
    let source = checkpoint.source
    // Integers and their scales are one tensor of a model.
    let dequantized = DequantizedSource(source)
    var outline = mapper.outline(
      of: dequantized?.tensors ?? source.tensors, metadata: source.metadata, config: config,
      configFile: given?.path.map { FileSystem.baseName($0) })
    if let dequantized { outline.spread(from: dequantized.tensors, over: source.tensors) }
    self.outline = outline
    (whole, types, parts) = Self.totals(source.tensors, outline.parts)
    vocabulary = VocabularyFile(checkpoint)
    if let vocabulary {
      if let contents = vocabulary.contents {
        let findings = ((outline.config ?? config).map(contents.findings) ?? []) + contents.tokenizerFindings
        warnings += findings.filter(\.isWarning).map(\.text)
      } else {
        warnings.append("the vocabulary cannot be read: \(vocabulary.place)")
      }
    }
    self.warnings = warnings
  }

  /// The files that the summary is of.
  var inputs: [String] {
    checkpoint.source.files.map(\.path) + [checkpoint.configPath, checkpoint.vocabularyPath].compactMap(\.self)
  }

  var isNative: Bool { checkpoint.source.format == .native }

  private func value(_ keys: [String]) -> String? {
    for key in keys {
      switch outline.config?[key] ?? config?[key] {
      case .number(let text), .string(let text): return text
      default: continue
      }
    }
    return nil
  }

  /// The model in a line, `nil` where nothing tells.
  var model: String? {
    func number(_ keys: String...) -> String? { value(keys).map { text in Int(text).map { grouped($0) } ?? text } }
    let layers = number("num_hidden_layers", "n_layers", "n_layer")
    let parts = [
      layers.map { "\($0) layer\($0 == "1" ? "" : "s")" },
      number("hidden_size", "dim", "n_embd").map { "hidden size \($0)" },
      number("n_hid").map { "\($0) features inside" },
      number("emb_sz").map { "embeddings of \($0)" },
      number("num_attention_heads", "n_heads", "n_head").map { "\($0) heads" },
      number("vocab_size", "vocab_sz").map { "vocabulary of \($0)" },
      number("max_position_embeddings", "n_positions").map { "\($0) positions" },
      value(["hidden_act", "activation", "afn"]),
    ].compactMap(\.self)
    return parts.isEmpty ? nil : printable(parts.joined(separator: ", "))
  }

  // MARK: Totals

  private struct Total {
    var tensors = 0
    var values = 0
    var bytes = 0

    mutating func add(_ info: TensorInfo) {
      tensors += 1
      if info.elementType.size != nil { values = values.addingReportingOverflow(info.elementCount).partialValue }
      bytes = bytes.addingReportingOverflow(info.byteCount).partialValue
    }

    var size: String { humanBytes(UInt64(max(0, bytes))) }
    var json: JSON { .object(["tensors": .int(tensors), "parameters": .int(values), "bytes": .int(bytes)]) }
  }

  private static func totals(
    _ tensors: [TensorInfo], _ parts: [ModelOutline.Part]?
  ) -> (whole: Total, types: [(type: ElementType, total: Total)], parts: [(part: ModelOutline.Part, total: Total)]) {
    var whole = Total()
    var ofType: [ElementType: Total] = [:]
    var ofPart: [ModelOutline.Part: Total] = [:]
    for (index, info) in tensors.enumerated() {
      whole.add(info)
      ofType[info.elementType, default: Total()].add(info)
      if let parts { ofPart[parts[index], default: Total()].add(info) }
    }
    let types = ofType.sorted { ($1.value.tensors, $0.key.rawValue) < ($0.value.tensors, $1.key.rawValue) }
    return (
      whole, types.map { ($0.key, $0.value) },
      ModelOutline.Part.allCases.compactMap { part in ofPart[part].map { (part, $0) } }
    )
  }

  var json: JSON {
    let source = checkpoint.source
    let recognition = outline.recognition
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    let ties = outline.ties.map { tie in
      JSON.object(["name": .string(tie.name), "to": .string(tie.base), "kind": .string(tie.kind.rawValue)])
    }
    var json = JSON.object([
      "format": .string(source.format.rawValue), "family": text(recognition.family),
      "dialect": text(recognition.dialect), "description": text(recognition.description),
      "parameters": .int(whole.values), "bytes": .int(whole.bytes),
    ])
    json.set("dtypes", .object(types.map { .init($0.type.rawValue, $0.total.json) }))
    json.set("parts", outline.parts == nil ? .null : .object(parts.map { .init($0.part.rawValue, $0.total.json) }))
    json.set("files", .array(source.files.map { .object(["path": .string($0.path), "size": .int($0.size)]) }))
    json.set("config", text(checkpoint.configPath))
    json.set("model_config", outline.config ?? .null)
    json.set("conflicts", .strings(outline.report.conflicts.map(\.text)))
    json.set("notes", .strings(outline.notes.map(\.text)))
    json.set("vocabulary", text(checkpoint.vocabularyPath))
    json.set("vocabulary_tokens", (vocabulary?.tokens).map { .int($0) } ?? .null)
    json.set("casing", text(vocabulary?.contents?.casing?.rawValue))
    json.set("tied", .array(ties))
    json.set("metadata", .object(source.metadata.map { .init($0.key, .string($0.value)) }))
    json.set("warnings", .strings(warnings))
    json.set(
      "imports",
      .array(source.imports.map { .object(["name": .string($0.name), "verdict": .string($0.verdict.rawValue)]) }))
    return json
  }

  // MARK: Text

  /// What is short, and not told in other words.
  private func isWorthALine(_ key: String, _ value: String) -> Bool {
    value.utf8.count <= 100 && !key.hasPrefix(NativeKey.prefix) && key != SentenceModule.configKey
  }

  /// Of what a file may have any number of.
  private static let mostLines = 24

  private typealias Line = (label: String, text: String, style: Style)

  var text: String {
    let source = checkpoint.source
    var lines: [Line] = [("file", printable(checkpoint.path), .strong), ("format", source.format.rawValue, .plain)]
    lines += identity
    lines.append(
      ("tensors", "\(grouped(source.tensors.count)), \(grouped(whole.values)) values, \(whole.size)", .plain))
    lines.append(
      (
        "dtypes",
        types.map { type, total in
          "\(type.rawValue) × \(grouped(total.tensors))" + (types.count > 1 ? " (\(total.size))" : "")
        }.joined(separator: ", "), .plain
      ))
    if let total = Optional(max(1, whole.bytes)), !parts.isEmpty {
      let texts = parts.map { part, sum in
        let share = Double(sum.bytes) / Double(total) * 100
        return
          "\(part == .heads ? "pooler and heads" : part.rawValue) \(sum.size) (\(share > 0 && share < 0.5 ? "<1" : fixed(share, digits: 0)) %)"
      }
      lines.append(("parts", texts.joined(separator: ", "), .plain))
    }
    lines += ties
    // Under a label of ours: a key must not pass for a line of this summary.
    let metadata = source.metadata.filter { isWorthALine($0.key, $0.value) }
    for (key, value) in metadata.prefix(Self.mostLines) {
      lines.append(("meta", printable("\(key): \(value)"), .plain))
    }
    if metadata.count > Self.mostLines {
      lines.append(("meta", "and \(grouped(metadata.count - Self.mostLines)) more: --json lists them", .faint))
    }
    lines += imports
    let width = lines.map { TextTable.columns(of: $0.label) }.max() ?? 0
    return lines.map { line in
      let space = String(repeating: " ", count: max(0, width + 2 - TextTable.columns(of: line.label)))
      return Style.faint(line.label) + space + line.style(line.text)
    }.joined(separator: "\n")
  }

  /// What it is, and how it is made.
  private var identity: [Line] {
    let recognition = outline.recognition
    var family = recognition.family ?? recognition.description ?? "not recognized"
    if let dialect = recognition.dialect { family += " (dialect \(dialect))" }
    var lines: [Line] = [("family", family, recognition.dialect == nil ? .notable : .good)]
    if let model { lines.append(("model", model, .plain)) }
    if let modules = SentenceModule.all(inConfig: config) {
      lines.append(("modules", printable(modules.map(\.description).joined(separator: ", then ")), .plain))
    }
    lines.append(("config", configPlace, .plain))
    for note in outline.notes { lines.append(("note", printable(note.text), .plain)) }
    for conflict in outline.report.conflicts { lines.append(("conflict", printable(conflict.text), .bad)) }
    lines.append(("vocab", vocabulary?.text ?? (isNative ? "none" : "none beside it"), .plain))
    if let names { lines.append(("mapping", names.text, names.style)) }
    return lines
  }

  private var configPlace: String {
    if isNative { return "in the file" }
    guard let path = checkpoint.configPath else {
      return outline.config == nil ? "none beside it" : "none beside it: inferred from the shapes"
    }
    return printable(path) + (config == nil ? ", which cannot be used" : "")
  }

  /// Whether the tables know what becomes of every tensor.
  private var names: (text: String, style: Style)? {
    let report = outline.report
    guard report.dialect != nil else { return nil }
    let problems = [
      (report.unexpected.count, "unexpected"), (report.misshapen.count, "misshapen"), (report.missing.count, "missing"),
    ].filter { $0.0 > 0 }.map { "\(grouped($0.0)) \($0.1)" }
    let known = "\(grouped(report.mapped.count)) mapped, \(grouped(report.dropped.count)) dropped by rules"
    if problems.isEmpty { return ("\(known): every tensor is accounted for", .plain) }
    return ("\(known), \(problems.joined(separator: ", ")): --unmapped lists them", .bad)
  }

  private var ties: [Line] {
    outline.ties.prefix(4).map { tie in
      let how =
        switch tie.kind {
        case .absent: "not in the file"
        case .shared: "the same memory"
        case .present: "both in the file; converting compares them"
        }
      return ("tied", "\(tie.name) to \(tie.base) (\(how))", .plain)
    }
  }

  /// What deserves a look has a line each.
  private var imports: [Line] {
    let all = checkpoint.source.imports
    var lines: [Line] = []
    for (verdict, style) in [(ImportedGlobal.Verdict.dangerous, Style.bad), (.unknown, .notable)] {
      let items = all.filter { $0.verdict == verdict }
      for item in items.prefix(Self.mostLines) {
        lines.append(("import", "\(printable(withoutMiddle(item.name))): \(verdict.rawValue)", style))
      }
      if items.count > Self.mostLines {
        let more = grouped(items.count - Self.mostLines)
        lines.append(("import", "and \(more) more that are \(verdict.rawValue): --json lists them", style))
      }
    }
    let known = all.filter { $0.verdict == .known }.map { printable($0.name) }
    if !known.isEmpty { lines.append(("imports", "known: \(known.joined(separator: ", "))", .plain)) }
    return lines
  }
}

/// The vocabulary that goes with a checkpoint.
struct VocabularyFile {
  /// `nil` for one inside the checkpoint.
  let path: String?
  /// `nil` where it cannot be read.
  let contents: Vocabulary?
  let tokens: Int?

  /// `nil` where there is none.
  init?(_ checkpoint: OpenedCheckpoint) {
    if let own = Vocabulary.embedded(in: checkpoint.source) {
      (path, contents) = (nil, Vocabulary(path: nil, text: own))
    } else if let file = checkpoint.vocabularyPath {
      (path, contents) = (file, (try? FileSystem.text(file)).map { Vocabulary(path: file, text: $0) })
    } else {
      return nil
    }
    tokens = contents?.tokenCount
  }

  var place: String { path ?? "in the file" }

  var text: String {
    guard let tokens else { return printable(place) + ", which cannot be read" }
    return "\(printable(place)), \(grouped(tokens)) tokens" + (contents?.casing.map { ", \($0.rawValue)" } ?? "")
  }
}
