import CheckpointFormats
import TensorIO
import WeightMapping

/// What `inspect` knows of a checkpoint, as a page.
package struct CheckpointPage {
  package struct Tensor {
    let info: TensorInfo
    /// `nil` for types without numeric values.
    package let statistics: TensorStatistics?
    let histogram: Histogram?
    let part: ModelOutline.Part?

    /// `part` is `nil` where no table knows the family.
    package init(
      _ info: TensorInfo, _ statistics: TensorStatistics?, _ histogram: Histogram?, part: ModelOutline.Part?
    ) {
      self.info = info
      self.part = part
      self.statistics = statistics
      self.histogram = histogram
    }
  }

  /// A file beside the weights, or in them.
  package struct Companion {
    let place: String
    let note: String?

    /// `note` is what is to be said of it.
    package init(_ place: String, note: String? = nil) {
      self.place = place
      self.note = note
    }
  }

  private let tool: String
  private let path: String
  private let source: any TensorSource
  private let warnings: [String]
  private let recognition: Recognition
  private let mapping: MappingReport
  private let model: String?
  private let config: JSON?
  private let configFile: Companion?
  private let vocabulary: Companion?
  private let filter: String?
  private let tensors: [Tensor]

  /// - Parameters:
  ///   - tool: the program and its version
  ///   - warnings: all that the user is to know before a file is trusted
  ///   - model: its sizes in a line
  ///   - filter: the pattern that left other tensors of the source out
  package init(
    tool: String, path: String, source: any TensorSource, warnings: [String], recognition: Recognition,
    mapping: MappingReport, model: String?, config: JSON?, configFile: Companion?, vocabulary: Companion?,
    filter: String?,
    tensors: [Tensor]
  ) {
    self.tool = tool
    self.path = path
    self.source = source
    self.warnings = warnings
    self.recognition = recognition
    self.mapping = mapping
    self.model = model
    self.config = config
    self.configFile = configFile
    self.vocabulary = vocabulary
    self.filter = filter
    self.tensors = tensors
  }

  /// The page in UTF-8; the same for the same input.
  package func bytes() -> [UInt8] {
    var page = Page(
      title: "\(FileSystem.baseName(path)), inspected", tool: tool, body: PackageResources.checkpoint_html,
      script: PackageResources.checkpoint_js)
    let tree = PartTree(tensors.map { $0.info.fullName ?? $0.info.name })
    let parts = knownParts ?? tree.mainParts(weights: tensors.map { max(0, $0.info.byteCount) })
    page.add("summary", summary(parts.paths))
    page.add("nodes", rows: tree.nodes.map { .array([.string($0.label), $0.parent.map { .int($0) } ?? .null]) })
    page.add(
      "tensors", rows: tensors.indices.lazy.map { row(tensors[$0], tree.leaves[$0], part: parts.ofLeaf[$0]) })
    page.add("grids", grids)
    page.add("mapping", mapping.json())
    return page.bytes
  }

  /// The parts that a table tells, those that are there.
  private var knownParts: (paths: [String], ofLeaf: [Int?])? {
    let present = Set(tensors.compactMap(\.part))
    guard !present.isEmpty else { return nil }
    let parts = ModelOutline.Part.allCases.filter { present.contains($0) }
    return (parts.map(\.rawValue), tensors.map { tensor in parts.firstIndex { $0 == tensor.part } })
  }

  // MARK: The parts of it

  private func summary(_ parts: [String]) -> JSON {
    let all = source.tensors
    return .object([
      "tool": .string(tool), "file": .string(FileSystem.baseName(path)), "facts": facts,
      "checks": .array(
        checks.map { .object(["level": .string($0.level.rawValue), "text": .string($0.text)]) }),
      "imports": .array(
        source.imports.map { .object(["name": .string($0.name), "verdict": .string($0.verdict.rawValue)]) }),
      "config": pairs(config?.members?.map { ($0.key, $0.value.stringValue ?? $0.value.text()) } ?? []),
      "metadata": pairs(source.metadata.map { ($0.key, $0.value) }),
      "total_tensors": .int(all.count),
      "parameters": .int(
        all.reduce(0) { $1.elementType.size == nil ? $0 : $0.addingReportingOverflow($1.elementCount).partialValue }),
      "bytes": .int(all.reduce(0) { $0.addingReportingOverflow($1.byteCount).partialValue }),
      "filter": filter.map { .string($0) } ?? .null, "parts": .strings(parts),
      "files": .strings(source.files.map { FileSystem.baseName($0.path) }),
    ])
  }

  /// Long values are cut: a vocabulary would fill pages.
  private func pairs(_ list: [(String, String)]) -> JSON {
    .array(
      list.map { key, value in
        let start = String(value.prefix(Self.longestValue))
        let cut = start.utf8.count < value.utf8.count
        return .strings([key, cut ? "\(start)… (\(humanBytes(UInt64(value.utf8.count))) in all)" : start])
      })
  }

  private static let longestValue = 300

  private var facts: JSON {
    var family = recognition.family ?? recognition.description ?? "not recognized"
    if let description = recognition.description, recognition.family != nil { family += " (\(description))" }
    var facts = [
      ("file", path), ("format", source.format.rawValue), ("family", family),
      ("dialect", recognition.dialect ?? "none that a table has"),
    ]
    if let model { facts.append(("model", model)) }
    if !mapping.scope.isEmpty { facts.append(("names below", mapping.scope)) }
    if let modules = SentenceModule.all(inConfig: config) {
      facts.append(("modules", modules.map(\.description).joined(separator: ", then ")))
    }
    facts.append(("config", configFile?.place ?? "none"))
    facts.append(("vocabulary", vocabulary?.place ?? "none"))
    for file in source.files where source.files.count > 1 {
      facts.append(("file of it", "\(FileSystem.baseName(file.path)), \(humanBytes(file.size))"))
    }
    return .array(facts.map { .strings([$0.0, $0.1]) })
  }

  /// How much stands against trusting a file.
  enum Level: String { case good, note, bad }

  /// What one wants to know before a file is trusted, a sentence each.
  var checks: [(level: Level, text: String)] {
    var checks: [(Level, String)] = [code, names]
    checks += values
    checks.append(
      configFile.map { file in file.note.map { (.note, $0) } ?? (.good, "A config is there.") }
        ?? (.note, "There is no config: sizes have to be inferred from the shapes."))
    checks.append(
      vocabulary.map { file in (.good, "A vocabulary is there\(file.note.map { ": \($0)" } ?? "").") }
        ?? (.note, "There is no vocabulary."))
    return checks + warnings.map { (.note, $0) }
  }

  private var code: (Level, String) {
    let verdicts = Dictionary(grouping: source.imports, by: \.verdict).mapValues(\.count)
    if let count = verdicts[.dangerous] {
      return (.bad, "The pickle asks for code to be run: \(counted(count, "dangerous import")). Nothing was run.")
    }
    if let count = verdicts[.unknown] {
      return (.note, "The pickle asks for \(counted(count, "import")) that nobody here knows. Nothing was run.")
    }
    if source.imports.isEmpty { return (.good, "There is no code in this file.") }
    return (.good, "The pickle asks for \(counted(source.imports.count, "import")), all of them known and harmless.")
  }

  private var names: (Level, String) {
    let counts = [
      (mapping.unexpected.count, "unexpected"), (mapping.misshapen.count, "misshapen"),
      (mapping.missing.count, "missing"), (mapping.conflicts.count, "in conflict with the config"),
    ]
    let problems = counts.filter { $0.0 > 0 }.map { "\(grouped($0.0)) \($0.1)" }.joined(separator: ", ")
    guard mapping.dialect != nil else {
      return (.note, "No table knows these tensors: they cannot be converted as they are.")
    }
    let known = "\(grouped(mapping.mapped.count)) mapped, \(grouped(mapping.dropped.count)) dropped by rules"
    return problems.isEmpty
      ? (.good, "Every tensor is accounted for: \(known).") : (.bad, "Not all tensors fit: \(problems); \(known).")
  }

  private var values: [(Level, String)] {
    let read = tensors.compactMap(\.statistics)
    let unread = tensors.count - read.count
    let rest =
      unread == 0
      ? ""
      : ", of those whose type has plain numbers: \(counted(unread, "tensor")) \(unread == 1 ? "has" : "have") none"
    let odd = read.count { $0.nan > 0 || $0.infinite > 0 }
    let empty = read.count { $0.count > 0 && $0.zeros == $0.count }
    let scope = filter == nil ? "" : " among those shown"
    return [
      odd == 0
        ? (.good, "No value is NaN or infinite\(scope)\(rest).")
        : (.bad, "\(counted(odd, "tensor"))\(scope) \(odd == 1 ? "holds" : "hold") NaN or infinity."),
      empty == 0
        ? (.good, "No tensor is all zeros\(scope).")
        : (.note, "\(counted(empty, "tensor"))\(scope) \(empty == 1 ? "is" : "are") all zeros."),
    ]
  }

  /// `[name, full name, dtype, shape, bytes, node, label in the node, main part, file, offset, statistics, histogram]`.
  private func row(_ tensor: Tensor, _ leaf: PartTree.Leaf, part: Int?) -> JSON {
    let info = tensor.info
    return .array([
      .string(info.name), info.fullName.map { .string($0) } ?? .null, .string(info.elementType.rawValue),
      .ints(info.shape), .int(info.byteCount), .int(leaf.node), .string(leaf.label), part.map { .int($0) } ?? .null,
      info.location.map { .int($0.file) } ?? .null, info.location.map { .int($0.offset) } ?? .null,
      tensor.statistics.map(Self.json) ?? .null,
      // As one text: a number of JSON each would cost many times the memory.
      tensor.histogram.map { .string($0.counts.map { "\($0)" }.joined(separator: " ")) } ?? .null,
    ])
  }

  /// `[count, minimum, maximum, mean, standard deviation, zeros, NaN, infinite]`.
  private static func json(_ statistics: TensorStatistics) -> JSON {
    .array([
      .int(statistics.count), .double(statistics.minimum), .double(statistics.maximum), .double(statistics.mean),
      .double(statistics.standardDeviation), .int(statistics.zeros), .int(statistics.nan), .int(statistics.infinite),
    ])
  }

  /// A page shows no more of these: they are drawn whole.
  private static let drawn = LayerGrid.Limits(grids: 4, rows: 120, columns: 200)

  /// Of the tensors that numbers were read of.
  private var grids: JSON {
    let indices = tensors.indices.filter { tensors[$0].statistics.map { !$0.mean.isNaN } == true }
    let (grids, more) = LayerGrid.grids(
      indices.map { tensors[$0].info.fullName ?? tensors[$0].info.name }, Self.drawn)
    return .object([
      "grids": .array(
        grids.map { grid in
          .object([
            "prefix": .string(grid.prefix), "layers": .ints(grid.layers.prefix(Self.drawn.columns)),
            "rows": .array(
              grid.rows.map { row in
                .array([
                  .string(row.part),
                  .array(row.tensors.map { $0.map { .int(indices[$0]) } ?? .null }),
                ])
              }),
            "more_layers": .int(max(0, grid.layers.count - Self.drawn.columns)),
            "more_rows": .int(grid.moreRows),
          ])
        }),
      "more": .int(more),
    ])
  }
}
