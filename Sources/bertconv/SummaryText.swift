import CheckpointFormats
import Inspection
import TensorIO
import WeightMapping

/// The lines above a listing: what to know before trusting a file.
struct SummaryText {
  private let inspection: CheckpointInspection
  private var source: any TensorSource { inspection.checkpoint.source }
  private var outline: ModelOutline { inspection.outline }

  init(_ inspection: CheckpointInspection) { self.inspection = inspection }

  private struct Line {
    let label: String
    let text: String
    let style: Style

    init(_ label: String, _ text: String, _ style: Style = .plain) {
      self.label = label
      self.text = text
      self.style = style
    }
  }

  /// Lines for what a file may have any number of.
  private static let maximumLines = 24

  var text: String {
    var lines = [Line("file", printable(inspection.checkpoint.path), .strong), Line("format", source.format.rawValue)]
    lines += identity
    lines += totals
    lines += ties
    lines += metadata
    lines += imports
    lines += code
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
    var lines = [Line("family", family, recognition.dialect == nil ? .notable : .good)]
    if let sizes = inspection.sizes.text { lines.append(Line("model", sizes)) }
    if let modules = inspection.sentenceModules {
      lines.append(Line("modules", printable(modules.map(\.description).joined(separator: ", then "))))
    }
    lines.append(Line("config", config))
    for note in outline.notes { lines.append(Line("note", printable(note.text))) }
    for conflict in outline.report.conflicts { lines.append(Line("conflict", printable(conflict.text), .bad)) }
    lines.append(Line("vocab", vocabulary))
    if let tokenizer = inspection.tokenizer {
      lines.append(Line("tokens", printable(tokenizer.text), tokenizer.summary == nil ? .notable : .plain))
    }
    if let mapping { lines.append(mapping) }
    return lines
  }

  private var config: String {
    switch inspection.configState {
    case .inCheckpoint: "in the file"
    case .none: "not found in the same folder" + (outline.config == nil ? "" : ": inferred from the shapes")
    case .file(let path): printable(path)
    case .unusable(let path): printable(path) + ", which cannot be used"
    }
  }

  private var vocabulary: String {
    guard let vocabulary = inspection.vocabulary else {
      return source.format == .native ? "none" : "not found in the same folder"
    }
    let file = printable(vocabulary.path ?? "in the file")
    guard let contents = vocabulary.contents, let count = vocabulary.tokenCount else {
      return file + ", which cannot be read"
    }
    let added = vocabulary.addedTokens.count
    return "\(file), \(grouped(count)) tokens" + (added > 0 ? " and \(grouped(added)) added ones" : "")
      + (contents.casing.map { ", \($0.rawValue)" } ?? "")
  }

  /// Whether a conversion accounts for every tensor; `nil` where no table matches.
  private var mapping: Line? {
    let report = outline.report
    guard report.dialect != nil else { return nil }
    let problems = report.problemCounts
    if problems.isEmpty { return Line("mapping", "\(report.knownCounts): every tensor is accounted for") }
    return Line("mapping", "\(report.knownCounts), \(problems): --unmapped lists them", .bad)
  }

  // MARK: Totals

  private func size(_ total: TensorTotal) -> String { humanBytes(UInt64(max(0, total.bytes))) }

  private var totals: [Line] {
    let whole = inspection.total
    let types = inspection.types.map { type, total in
      "\(type.rawValue) × \(grouped(total.tensors))" + (inspection.types.count > 1 ? " (\(size(total)))" : "")
    }
    var lines = [
      Line("tensors", "\(grouped(whole.tensors)), \(grouped(whole.values)) values, \(size(whole))"),
      Line("dtypes", types.joined(separator: ", ")),
    ]
    let parts = inspection.parts.map { part, total in
      let share = Double(total.bytes) / Double(max(1, whole.bytes)) * 100
      let percent = share > 0 && share < 0.5 ? "<1" : fixed(share, digits: 0)
      return "\(part == .heads ? "pooler and heads" : part.rawValue) \(size(total)) (\(percent) %)"
    }
    if !parts.isEmpty { lines.append(Line("parts", parts.joined(separator: ", "))) }
    return lines
  }

  // MARK: Ties, metadata, imports

  private var ties: [Line] {
    outline.ties.prefix(4).map { tie in
      let how =
        switch tie.kind {
        case .absent: "not in the file"
        case .shared: "the same memory"
        case .present: "both in the file; converting compares them"
        }
      return Line("tied", "\(tie.name) to \(tie.base) (\(how))")
    }
  }

  /// Under a label of ours: a key must not pass for a line of this summary.
  private var metadata: [Line] {
    // What is short, and not shown in another line.
    let pairs = source.metadata.filter { key, value in
      value.utf8.count <= 100 && !key.hasPrefix(NativeKey.prefix) && key != SentenceModule.configKey
    }
    var lines = pairs.prefix(Self.maximumLines).map { Line("meta", printable("\($0.key): \($0.value)")) }
    if pairs.count > Self.maximumLines {
      let more = grouped(pairs.count - Self.maximumLines)
      // A reader that kept no more reports it last.
      let text =
        source.metadata.last?.key == "…"
        ? "and more than \(more) others: --json lists the first \(grouped(source.metadata.count - 1))"
        : "and \(more) more: --json lists them"
      lines.append(Line("meta", text, .faint))
    }
    return lines
  }

  /// One line for each import that should be checked.
  private var imports: [Line] {
    lines("import", source.imports.map { ($0.verdict, withoutMiddle($0.name)) }) { known in
      "known: \(known.map { printable($0) }.joined(separator: ", "))"
    }
  }

  /// One line for each item of code that should be checked.
  private var code: [Line] {
    let items = source.code.map { item in
      (item.verdict, withoutMiddle(item.name) + (item.detail.map { " (\(withoutMiddle($0)))" } ?? ""))
    }
    return lines("code", items) { known in "\(grouped(known.count)) known as harmless" }
  }

  private func lines(
    _ label: String, _ items: [(verdict: CodeVerdict, text: String)], known: ([String]) -> String
  ) -> [Line] {
    var lines: [Line] = []
    for (verdict, style) in [(CodeVerdict.dangerous, Style.bad), (.unknown, .notable)] {
      let some = items.filter { $0.verdict == verdict }
      for item in some.prefix(Self.maximumLines) {
        lines.append(Line(label, "\(printable(item.text)): \(verdict.rawValue)", style))
      }
      if some.count > Self.maximumLines {
        let more = grouped(some.count - Self.maximumLines)
        lines.append(Line(label, "and \(more) more that are \(verdict.rawValue): --json lists them", style))
      }
    }
    let harmless = items.filter { $0.verdict == .known }.map(\.text)
    if !harmless.isEmpty { lines.append(Line(label == "import" ? "imports" : label, known(harmless))) }
    return lines
  }
}
