import ArgumentParser
import CheckpointReaders
import Conversion
import TensorIO
import WeightMapping

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List what a checkpoint holds.",
    discussion: """
      Reads no tensor data unless --stats, --values or --html asks for it: to list a TensorFlow checkpoint its index alone \
      is enough. Tensors that differ in the number of their layer alone are one line, as encoder.layer.{0..11}.output; \
      --expand gives each its own. The lines above the listing are about the whole checkpoint, whatever is shown of it. On \
      a terminal the table fits its width, and colours tell what matters; NO_COLOR turns them off.
      """)

  @Argument(help: "The checkpoint: file, prefix or folder.", completion: .file())
  var source: String
  @Flag(help: "Print one JSON object.")
  var json = false
  @OptionGroup var selection: InspectSelection
  @Flag(help: "A line for each tensor, also of layers that are alike.")
  var expand = false
  @Flag(help: "Show the parts of the names as a tree, with what each takes and its share of the whole.")
  var tree = false
  @Flag(
    help: """
      Read the tensors and show minimum, maximum, mean, standard deviation, zeros, NaN, infinities and a histogram, then \
      what is odd: NaN, nothing but zeros, tensors that are the same.
      """)
  var stats = false
  @Option(help: ArgumentHelp("Show the first values of each tensor.", valueName: "count"))
  var values: Int?
  @Flag(help: "Show what no mapping table knows, with the nearest known name.")
  var unmapped = false
  @OptionGroup var tables: TableOptions
  @Option(
    help: """
      Read the tensors and write a page for the browser too: where the bytes are, a histogram of every tensor, norms by \
      layer, what becomes of each name. With --filter and the like only the tensors that match are read and shown on it.
      """, completion: .file(extensions: ["html"]))
  var html: String?

  func validate() throws {
    if let values, values < 1 { throw ValidationError("--values must be at least 1.") }
    if tree, !json, stats || values != nil || expand || unmapped {
      throw ValidationError("--tree shows sizes alone: use it without --expand, --stats, --values and --unmapped.")
    }
    if unmapped, !json, stats || values != nil || expand || !selection.isWhole || selection.sort != nil {
      throw ValidationError(
        "--unmapped prints a report of its own: use it without --expand, --stats, --values, --filter and --sort.")
    }
  }

  func run() throws {
    Console.ignoreBrokenPipes()
    try reportingErrors(inspect)
  }

  private func inspect() throws {
    let checkpoint = try CheckpointOpener().open(source)
    let summary = try Summary(checkpoint, mapper: Mapper(tablesAt: tables.table))
    let shown = selection.indices(of: checkpoint.source.tensors)
    let page = try html.map { try PageFile($0, inputs: summary.inputs + tables.table) }
    let looks = stats || html != nil ? try TensorLook.read(checkpoint.source, shown) : [:]
    if let page { try page.write(makePage(summary, shown, looks)) }
    if json {
      try printJSON(summary, shown, looks)
      return
    }
    Console.warn(summary.warnings)
    Console.result(summary.text)
    if unmapped {
      Console.result(summary.outline.report.text(ruleText: \.commandRule))
      return
    }
    Console.result("")
    try printListing(checkpoint.source, shown, looks)
  }

  private func printJSON(_ summary: Summary, _ shown: [Int], _ looks: [Int: TensorLook]) throws {
    let source = summary.checkpoint.source
    var result = summary.json
    if unmapped { result.set("mapping", summary.outline.report.json(ruleText: \.commandRule)) }
    if stats { result.set("findings", try Findings(looks, of: source).json) }
    result.set(
      "tensors",
      .array(
        try shown.map { index in
          let tensor = source.tensors[index]
          var entry = JSON.object([
            "name": .string(tensor.name), "dtype": .string(tensor.elementType.rawValue),
            "shape": .ints(tensor.shape), "bytes": .int(tensor.byteCount),
          ])
          if let full = tensor.fullName { entry.set("full_name", .string(full)) }
          if let part = summary.outline.parts?[index] { entry.set("part", .string(part.rawValue)) }
          if let place = tensor.location {
            entry.set("file", .string(FileSystem.baseName(source.files[place.file].path)))
            entry.set("offset", .int(place.offset))
          }
          if stats { entry.set("stats", looks[index]?.statistics.json ?? .null) }
          if let values { entry.set("values", .array(try FirstValues.read(source, index, count: values).json)) }
          return entry
        }))
    Console.result(result.text(pretty: true))
  }

  // MARK: The listing

  private struct Kind: Hashable {
    let type: ElementType
    let shape: [Int]
    let bytes: Int
  }

  private func printListing(_ source: any TensorSource, _ shown: [Int], _ looks: [Int: TensorLook]) throws {
    let tensors = source.tensors
    let isEach = expand || stats || values != nil
    let names = shown.map { tree ? tensors[$0].fullName ?? tensors[$0].name : tensors[$0].name }
    func kind(_ place: Int) -> Kind {
      let info = tensors[shown[place]]
      return Kind(type: info.elementType, shape: info.shape, bytes: info.byteCount)
    }
    var groups = isEach ? names.indices.map { NameGroup(names[$0], at: $0) } : NameGroups.group(names, kind: kind)
    if !isEach { groups = NameGroups.joinEndings(groups, kind: kind) }
    groups = groups.map { $0.renumbered(shown) }
    if selection.sort == .size, !isEach {
      func size(_ group: NameGroup) -> Double {
        Double(group.members.count) * Double(tensors[group.members[0]].byteCount)
      }
      groups = groups.enumerated().sorted { (size($1.element), $0.offset) < (size($0.element), $1.offset) }.map(
        \.element)
    }
    if tree {
      Console.result(NameTree(groups, of: tensors, isBySize: selection.sort == .size).text)
    } else {
      Console.result(list(groups, tensors, looks))
    }
    if values != nil { try printValues(source, shown) }
    if stats {
      let findings = try Findings(looks, of: source)
      let unread = shown.count { looks[$0] == nil }
      if !findings.all.isEmpty { Console.result("\n" + findings.text) }
      if unread > 0 {
        Console.result(
          "\nnothing is known of the values of \(counted(unread, "tensor")) whose type has no plain numbers")
      }
    }
    var footer = shown.count < tensors.count ? "\(grouped(shown.count)) of \(grouped(tensors.count)) tensors shown" : ""
    if groups.count < shown.count, !tree {
      footer +=
        (footer.isEmpty ? "\(grouped(shown.count)) tensors" : "")
        + " in \(counted(groups.count, "line")); --expand lists each"
    }
    if !footer.isEmpty { Console.result(Style.faint(footer)) }
  }

  private func list(_ groups: [NameGroup], _ tensors: [TensorInfo], _ looks: [Int: TensorLook]) -> String {
    var listing = TextTable(columns: [("tensor", .left), ("dtype", .left), ("shape", .left), ("size", .right)])
    if stats {
      listing.add(columns: ["min", "max", "mean", "std", "zeros", "nan", "inf"].map { ($0, .right) })
      listing.add(columns: [("histogram", .left)])
      listing.leaveOut(["mean", "std", "zeros", "histogram"])
    }
    for group in groups {
      let tensor = tensors[group.members[0]]
      let fullName = fullName(group, tensors).map { "  (\(printable($0)))" } ?? ""
      let size = humanBytes(UInt64(tensor.byteCount))
      var row: [TextTable.Cell] = [
        .init(printable(group.name) + fullName, short: printable(group.shortName) + fullName),
        .init(tensor.elementType.rawValue, .faint), .init(shapeText(tensor.shape)),
        .init(group.members.count > 1 ? "\(grouped(group.members.count)) × \(size)" : size),
      ]
      if stats { row += cells(looks[group.members[0]]) }
      listing.add(row)
    }
    return listing.text
  }

  /// The other name that the checkpoint has for a line, where it has one for all of it.
  private func fullName(_ group: NameGroup, _ tensors: [TensorInfo]) -> String? {
    guard group.members.count > 1 else { return tensors[group.members[0]].fullName }
    let names = group.members.compactMap { tensors[$0].fullName }
    let whole = NameGroups.group(names) { _ in 0 }
    return names.count == group.members.count && whole.count == 1 ? whole[0].name : nil
  }

  private func cells(_ look: TensorLook?) -> [TextTable.Cell] {
    guard let s = look?.statistics, s.count > 0 else { return Array(repeating: "", count: 8) }
    let numbers = [s.minimum, s.maximum, s.mean, s.standardDeviation].map { TextTable.Cell(significant($0)) }
    return numbers + [
      .init(grouped(s.zeros), s.count > 1 && s.zeros == s.count ? .notable : .plain),
      .init(grouped(s.nan), s.nan > 0 ? .bad : .plain), .init(grouped(s.infinite), s.infinite > 0 ? .bad : .plain),
      .init(look?.drawing() ?? "", .faint),
    ]
  }

  private func printValues(_ source: any TensorSource, _ shown: [Int]) throws {
    guard let values else { return }
    Console.result("")
    for index in shown {
      let info = source.tensors[index]
      let first = try FirstValues.read(source, index, count: values).texts
      let isAll = first.count == info.elementCount
      let text = first.isEmpty ? "no values" : first.joined(separator: " ") + (isAll ? "" : " …")
      Console.result("\(Style.strong(printable(info.name))) \(Style.faint(shapeText(info.shape)))  \(text)")
    }
  }
}
