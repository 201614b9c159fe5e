import ArgumentParser
import Conversion
import Inspection
import Reports
import TensorIO
import WeightMapping

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "List the contents of a checkpoint.",
    discussion: """
      Reads no tensor data unless --stats, --values or --html needs it: the index alone is enough to list a TensorFlow \
      checkpoint. Tensors that differ only in the number of their layer share a line, as \
      encoder.layer.{0..11}.output; --expand prints a line per tensor. The lines above the listing describe the whole \
      checkpoint, whatever the filters. On a terminal the table fits the width, and colors show what matters; NO_COLOR \
      turns them off.
      """)

  @Argument(help: "The checkpoint: file, prefix or folder.", completion: .file())
  var source: String
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var shown: SelectionOptions
  @Flag(help: "One line per tensor, even in repeated layers.")
  var expand = false
  @Flag(help: "Show the names as a tree, with the size of each part and its share of the whole.")
  var tree = false
  @Flag(
    help: """
      Read the tensors and show minimum, maximum, mean, standard deviation, zeros, NaN, infinities and a histogram, then \
      what is unusual: NaN, tensors of only zeros, tensors with the same values.
      """)
  var stats = false
  @Option(help: ArgumentHelp("Show the first values of each tensor.", valueName: "count"))
  var values: Int?
  @Flag(help: "Show the tensors that no mapping table matches, with the nearest known name.")
  var unmapped = false
  @OptionGroup var reading: ReadingOptions
  @Option(
    help: """
      Read the tensors and write an HTML report too: sizes, a histogram of every tensor, norms by layer and the mapping of \
      each name. Filters apply to what is read and shown.
      """, completion: .file(extensions: ["html"]))
  var html: String?

  func validate() throws {
    if let values, values < 1 { throw ValidationError("--values must be at least 1.") }
    if tree, !json, stats || values != nil || expand || unmapped {
      throw ValidationError("--tree shows only sizes: use it without --expand, --stats, --values and --unmapped.")
    }
    if unmapped, !json, stats || values != nil || expand || !shown.selection.isWhole || shown.sort != nil {
      throw ValidationError(
        "--unmapped prints its own report: use it without --expand, --stats, --values, --filter and --sort.")
    }
  }

  func run() throws {
    try reportingErrors(inspect)
  }

  private func inspect() throws {
    let inspection = try CheckpointInspection(source, options: reading.source)
    let source = inspection.checkpoint.source
    let indices = shown.selection.indices(of: source.tensors)
    let page = try html.map { try PageFile($0, inputs: inspection.inputs + reading.inputs) }
    let readings =
      stats || html != nil
      ? try ProgressBar.during("reading") { try TensorReading.read(source, indices, progress: $0) } : [:]
    let records = indices.map { inspection.record(ofTensorAt: $0, reading: readings[$0]) }
    if let page {
      try page.write(
        CheckpointPage(
          tool: ConversionTool.name, inspection: inspection, filter: shown.selection.text, tensors: records
        ).bytes())
    }
    let findings = stats ? try ValueFinding.all(readings, of: source) : []
    if json {
      try printJSON(inspection, indices, records, findings)
      return
    }
    Console.warn(inspection.warnings.map(\.text))
    Console.result(SummaryText(inspection).text)
    if unmapped {
      Console.result(inspection.outline.report.text(ruleText: \.commandRule))
      return
    }
    Console.result("")
    try printListing(source, indices, readings, findings)
  }

  private func printJSON(
    _ inspection: CheckpointInspection, _ indices: [Int], _ records: [TensorRecord], _ findings: [ValueFinding]
  ) throws {
    var result = inspection.json
    if unmapped { result.set("mapping", inspection.outline.report.json(ruleText: \.commandRule)) }
    if stats { result.set("findings", .array(findings.map(\.json))) }
    let tensors = try zip(indices, records).map { index, record in
      var entry = record.json
      if stats { entry.set("stats", record.reading?.statistics.json ?? .null) }
      if let values {
        let first = try FirstValues.read(inspection.checkpoint.source, index, count: values)
        entry.set("values", .array(first.json))
      }
      return entry
    }
    result.set("tensors", .array(tensors))
    Console.result(result.text(pretty: true))
  }

  // MARK: The listing

  private func printListing(
    _ source: any TensorSource, _ indices: [Int], _ readings: [Int: TensorReading], _ findings: [ValueFinding]
  ) throws {
    let tensors = source.tensors
    let isEach = expand || stats || values != nil
    let isBySize = shown.sort == .size
    let listing =
      isEach
      ? TensorListing.each(tensors, indices)
      : TensorListing.folded(tensors, indices, usesFullNames: tree, isBySize: isBySize)
    if tree {
      Console.result(SizeTree(listing.groups, of: tensors, isBySize: isBySize).text)
    } else {
      Console.result(listing.text(of: tensors, readings: stats ? readings : nil))
    }
    if values != nil { try printValues(source, indices) }
    if stats {
      let unread = indices.count { readings[$0] == nil }
      if !findings.isEmpty { Console.result("\n" + findings.text) }
      if unread > 0 {
        Console.result("\nno statistics: \(counted(unread, "tensor")) of types without plain numbers")
      }
    }
    let footer = footer(lines: listing.groups.count, shown: indices.count, all: tensors.count)
    if !footer.isEmpty { Console.result(Style.faint(footer)) }
  }

  private func footer(lines: Int, shown: Int, all: Int) -> String {
    let part = shown < all ? "\(grouped(shown)) of \(grouped(all)) tensors shown" : ""
    guard lines < shown, !tree else { return part }
    return (part.isEmpty ? "\(grouped(shown)) tensors" : part) + " in \(counted(lines, "line")); --expand lists each"
  }

  private func printValues(_ source: any TensorSource, _ indices: [Int]) throws {
    guard let values else { return }
    Console.result("")
    for index in indices {
      let info = source.tensors[index]
      let first = try FirstValues.read(source, index, count: values).texts
      let isAll = first.count == info.elementCount
      let text = first.isEmpty ? "no values" : first.joined(separator: " ") + (isAll ? "" : " …")
      Console.result("\(Style.strong(printable(info.name))) \(Style.faint(shapeText(info.shape)))  \(text)")
    }
  }
}
