import CheckpointFormats
import Inspection
import TensorIO
import WeightMapping

/// What `inspect` knows of a checkpoint, as a page: the records of the terminal's output, as objects with named keys.
package struct CheckpointPage {
  private let tool: String
  private let inspection: CheckpointInspection
  private let filter: String?
  private let tensors: [TensorRecord]

  private var source: any TensorSource { inspection.checkpoint.source }
  /// The names that the tree and the grids are made of.
  private var names: [String] { tensors.map { $0.info.fullName ?? $0.info.name } }

  /// - Parameters:
  ///   - tool: the program and its version
  ///   - filter: the pattern that left other tensors of the source out
  ///   - tensors: those that are shown, in order, with their values read
  package init(tool: String, inspection: CheckpointInspection, filter: String?, tensors: [TensorRecord]) {
    self.tool = tool
    self.inspection = inspection
    self.filter = filter
    self.tensors = tensors
  }

  /// The page in UTF-8; the same for the same input.
  package func bytes() -> [UInt8] {
    var page = Page(
      title: "\(FileSystem.baseName(inspection.checkpoint.path)), inspected", tool: tool,
      body: PackageResources.checkpoint_html, script: PackageResources.checkpoint_js)
    let names = names
    let tree = NameTree(names)
    let groups = knownParts ?? tree.mainParts(weights: tensors.map { max(0, $0.info.byteCount) })
    page.add("summary", summary(groups.paths))
    page.add(
      "nodes",
      rows: tree.nodes.map { node in
        .object(["label": .string(node.label), "parent": node.parent.map { .int($0) } ?? .null])
      })
    page.add(
      "tensors", rows: tensors.indices.lazy.map { row(tensors[$0], tree.leaves[$0], group: groups.ofLeaf[$0]) })
    page.add("grids", grids(names))
    page.add("tokens", rows: (inspection.tokenizer?.tokens ?? []).lazy.map { .string($0) })
    page.add("mapping", inspection.outline.report.json())
    return page.bytes
  }

  /// The parts that a table knows and that are present.
  private var knownParts: (paths: [String], ofLeaf: [Int?])? {
    let present = Set(tensors.compactMap(\.part))
    guard !present.isEmpty else { return nil }
    let parts = ModelOutline.Part.allCases.filter { present.contains($0) }
    return (parts.map(\.rawValue), tensors.map { tensor in parts.firstIndex { $0 == tensor.part } })
  }

  // MARK: The summary

  private func summary(_ groups: [String]) -> JSON {
    .object([
      "tool": .string(tool), "file": .string(FileSystem.baseName(inspection.checkpoint.path)), "facts": facts,
      "checks": .array(
        CheckpointChecks(inspection, tensors, isPart: filter != nil).all.map {
          .object(["level": .string($0.level.rawValue), "text": .string($0.text)])
        }),
      "imports": .array(source.imports.map(\.json)), "code": .array(source.code.map(\.json)),
      "config": pairs(inspection.config?.members?.map { ($0.key, $0.value.stringValue ?? $0.value.text()) } ?? []),
      "metadata": pairs(source.metadata.map { ($0.key, $0.value) }),
      "total_tensors": .int(inspection.total.tensors), "parameters": .int(inspection.total.values),
      "bytes": .int(inspection.total.bytes), "filter": filter.map { .string($0) } ?? .null, "groups": .strings(groups),
    ])
  }

  /// Long values are cut: a vocabulary would fill pages.
  private func pairs(_ list: [(String, String)]) -> JSON {
    .array(
      list.map { key, value in
        let start = String(value.prefix(Self.longestValue))
        let cut = start.utf8.count < value.utf8.count
        let text = cut ? "\(start)… (\(humanBytes(UInt64(value.utf8.count))) in all)" : start
        return .object(["key": .string(key), "value": .string(text)])
      })
  }

  private static let longestValue = 300

  private var facts: JSON {
    let recognition = inspection.outline.recognition
    var family = recognition.family ?? recognition.description ?? "not recognized"
    if let description = recognition.description, recognition.family != nil { family += " (\(description))" }
    var facts: [(label: String, value: String)] = [
      ("file", inspection.checkpoint.path), ("format", source.format.rawValue), ("family", family),
      ("dialect", recognition.dialect ?? "no table matches"),
    ]
    if let sizes = inspection.sizes.text { facts.append(("model", sizes)) }
    let scope = inspection.outline.report.scope
    if !scope.isEmpty { facts.append(("prefix of all names", scope)) }
    if let modules = inspection.sentenceModules {
      facts.append(("modules", modules.map(\.description).joined(separator: ", then ")))
    }
    facts.append(("config", config))
    facts.append(("vocabulary", vocabulary))
    if let tokenizer = inspection.tokenizer { facts.append(("tokenizer", tokenizer.text)) }
    for file in source.files where source.files.count > 1 {
      facts.append(("data file", "\(FileSystem.baseName(file.path)), \(humanBytes(file.size))"))
    }
    return .facts(facts)
  }

  private var config: String {
    switch inspection.configState {
    case .inCheckpoint: "in the file"
    case .file(let path), .unusable(let path): path
    case .none: "none"
    }
  }

  private var vocabulary: String {
    guard let vocabulary = inspection.vocabulary else { return "none" }
    let tokens = vocabulary.tokenCount.map { "\(grouped($0)) tokens" }
    return [vocabulary.path ?? "in the file", tokens].compactMap(\.self).joined(separator: ", ")
  }

  // MARK: Tensors

  /// The record of a tensor, with its node in the tree (`node`, `label`), the part that colors it (`group`), its
  /// statistics and its histogram.
  private func row(_ tensor: TensorRecord, _ leaf: NameTree.Leaf, group: Int?) -> JSON {
    var row = tensor.json
    row.set("node", .int(leaf.node))
    row.set("label", .string(leaf.label))
    if let group { row.set("group", .int(group)) }
    if let statistics = tensor.reading?.statistics {
      row.set("stats", statistics.json)
    }
    // As one text: a number of JSON each would cost many times the memory.
    if let counts = tensor.reading?.histogram?.counts {
      row.set("histogram", .string(counts.map { "\($0)" }.joined(separator: " ")))
    }
    return row
  }

  /// A page shows no more of these: they are drawn whole.
  private static let drawn = LayerGrid.Limits(grids: 4, rows: 120, columns: 200)

  /// Of the tensors that numbers were read of.
  private func grids(_ names: [String]) -> JSON {
    let indices = tensors.indices.filter { tensors[$0].reading.map { !$0.statistics.mean.isNaN } == true }
    let (grids, more) = LayerGrid.all(in: indices.map { names[$0] }, Self.drawn)
    return .object([
      "grids": .array(grids.map { grid in Self.json(grid, indices) }),
      "more": .int(more),
    ])
  }

  /// `indices` are the tensors that the grid counts.
  private static func json(_ grid: LayerGrid, _ indices: [Int]) -> JSON {
    let rows = grid.rows.map { row in
      JSON.object([
        "part": .string(row.part), "tensors": .array(row.tensors.map { $0.map { .int(indices[$0]) } ?? .null }),
      ])
    }
    return .object([
      "prefix": .string(grid.prefix), "layers": .ints(grid.layers.prefix(drawn.columns)), "rows": .array(rows),
      "more_layers": .int(max(0, grid.layers.count - drawn.columns)), "more_rows": .int(grid.moreRows),
    ])
  }
}

extension JSON {
  /// A list of labeled values, for people.
  static func facts(_ facts: [(label: String, value: String)]) -> JSON {
    .array(facts.map { .object(["label": .string($0.label), "value": .string($0.value)]) })
  }
}
