import Comparison
import Inspection
import TensorIO

/// The output of `diff`: whether the two are equal, which parts changed and how much, and then each tensor that differs.
struct DifferenceText {
  private let result: ModelDifference

  init(_ result: ModelDifference) { self.result = result }

  /// The most lines of a group; of tensors with numbers of their own, fewer are worth reading.
  private static let maximumLines = 40
  private static let maximumMeasured = 20
  private static let maximumParts = 100

  var text: String {
    var sections = [summary]
    if result.entries.count == result.count(.renamed), !result.isEqual, result.tolerance == 0 {
      sections[0] += "\nEvery tensor that was compared is on both sides, bit for bit: only names differ."
    }
    let retyped = result.entries.filter { $0.kind == .retyped }
    if retyped.count == result.entries.count, !retyped.isEmpty, retyped.allSatisfy({ $0.differing == 0 }) {
      sections[0] += "\nEvery value is the same: only types differ."
    }
    if !result.parts.isEmpty { sections.append(PartSummary(result).text + "\n" + partTable) }
    for kind in ModelDifference.Kind.allCases {
      let entries = result.entries.filter { $0.kind == kind }
      if !entries.isEmpty { sections.append(group(kind, entries)) }
    }
    return sections.joined(separator: "\n\n")
  }

  // MARK: The first line

  private var summary: String {
    let types = result.toleratedTypes > 0 ? " (\(grouped(result.toleratedTypes)) of other types)" : ""
    var text: String
    if result.isEqual {
      text =
        "\(Style.good("equal")): \(counted(result.equalCount, "tensor"))\(types)"
    } else {
      let kinds = ModelDifference.Kind.allCases.filter { result.count($0) > 0 }
      let counts = kinds.map { "\(grouped(result.count($0))) \($0.rawValue)" }
      text =
        "\(Style.notable("not equal")): \(counts.joined(separator: ", ")), \(grouped(result.equalCount)) equal\(types)"
    }
    if result.tolerance > 0 {
      text += "; tolerance \(result.tolerance), largest difference within it \(significant(result.largestTolerated))"
    }
    guard result.isMatchedByTable else { return text + "; names as they are" }
    let dialects = result.dialects.compactMap(\.self)
    let forms = Set(dialects).count == 1 ? Array(dialects.prefix(1)) : dialects
    return text + "; names matched as \(result.family ?? "a model") (\(forms.joined(separator: " and ")))"
  }

  // MARK: Parts

  private var partTable: String {
    var table = TextTable(columns: [
      ("part", .left), ("changed", .right), ("values that differ", .right), ("relative change", .right),
      ("largest", .right), ("", .left),
    ])
    let largest = result.parts.compactMap(\.relativeChange).filter(\.isFinite).max() ?? 0
    for part in result.parts.prefix(Self.maximumParts) {
      var row = [part.shortName, "\(grouped(part.changed)) of \(grouped(part.tensors))"]
      if part.changed == 0 {
        row += ["", "equal", "", ""]
      } else {
        row += [
          share(part.differing, of: part.values), relative(part.distance, part.relativeChange),
          part.maximum.map(threeDigits) ?? "", bar(part.relativeChange ?? 0, largest),
        ]
      }
      table.add(row)
    }
    let reshaped = result.count(.reshaped)
    let left = reshaped == 0 ? "" : "\nNot in these numbers: \(grouped(reshaped)) reshaped, listed below."
    return table.text + more(result.parts.count - Self.maximumParts, "parts") + left
  }

  /// All bars have one scale, on which the largest change is the whole width.
  private func bar(_ value: Double, _ largest: Double) -> String {
    guard value > 0, largest > 0 else { return "" }
    let eighths = max(1, Int((min(1, value / largest) * 24 * 8).rounded()))
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
    return String(repeating: "█", count: eighths / 8) + rest
  }

  // MARK: Groups

  private func group(_ kind: ModelDifference.Kind, _ entries: [ModelDifference.Entry]) -> String {
    let count = grouped(entries.count)
    let table: String
    switch kind {
    case .added: table = folded(entries, ["only in B"]) { [form($0.b), bytes($0.b)] }
    case .removed: table = folded(entries, ["only in A"]) { [form($0.a), bytes($0.a)] }
    case .renamed: table = folded(entries, ["in A", "in B"]) { [form($0.a), bytes($0.a)] }
    case .reshaped: table = folded(entries, ["tensor"]) { [form($0.a), "→", form($0.b)] }
    case .retyped, .changed:
      return "\(Style.strong(kind.rawValue)): \(count)\(measured(entries, showsTypes: kind == .retyped))"
    }
    return "\(Style.strong(kind.rawValue)): \(count)\n\(table)"
  }

  /// Lines for tensors, one for all layers whose tensors are alike.
  private func folded(
    _ entries: [ModelDifference.Entry], _ titles: [String], columns: (ModelDifference.Entry) -> [String]
  ) -> String {
    let rest = entries.map(columns)
    let lines = lines(entries, rest, withNewNames: titles.count > 1)
    let isFolded = lines.contains { $0.members.count > 1 }
    var table = TextTable(columns: titles.map { ($0, .left) })
    if isFolded { table.add(columns: [("", .right)]) }
    table.add(columns: rest[0].indices.map { ("", $0 == 1 && rest[0].count == 2 ? .right : .left) })
    for line in lines.prefix(Self.maximumLines) {
      let number = isFolded ? [line.members.count > 1 ? "× \(grouped(line.members.count))" : ""] : []
      table.add(line.names.map { printable($0) } + number + rest[line.members[0]])
    }
    return table.text + more(lines.count - Self.maximumLines, "lines")
  }

  private func lines(
    _ entries: [ModelDifference.Entry], _ rest: [[String]], withNewNames: Bool
  ) -> [(names: [String], members: [Int])] {
    let names = entries.map(\.name)
    guard withNewNames else {
      return NameGroups.group(names) { rest[$0] }.map { ([$0.name], $0.members) }
    }
    return NameGroups.groupPairs(names, entries.map { $0.newName ?? $0.name }) { rest[$0] }.map {
      ([$0.group.name, $0.other], $0.group.members)
    }
  }

  private func measured(_ entries: [ModelDifference.Entry], showsTypes: Bool) -> String {
    /// What has no number that can be compared comes first: it is what one should look at.
    func weight(_ entry: ModelDifference.Entry) -> Double { entry.distance?.relativeChange ?? .infinity }
    let isCut = entries.count > Self.maximumMeasured
    let order = entries.indices.sorted { x, y in
      let (first, second) = (weight(entries[x]), weight(entries[y]))
      return first == second ? x < y : first > second
    }
    let shown = isCut ? order.prefix(Self.maximumMeasured).map { entries[$0] } : entries
    var table = TextTable(columns: [("tensor", .left)])
    if showsTypes { table.add(columns: [("types", .left)]) }
    table.add(
      columns: ["values that differ", "relative change", "rms", "largest", "cosine"].map { ($0, .right) })
    table.leaveOut(["types", "values that differ", "rms", "cosine"])
    for entry in shown {
      var row = [printable(entry.name)]
      if showsTypes { row.append("\(type(entry.a)) → \(type(entry.b))") }
      let count = entry.a.flatMap { checkedElementCount($0.shape) } ?? 0
      row.append("\(grouped(entry.differing ?? 0)) of \(grouped(count))")
      if let distance = entry.distance {
        row += [relative(distance, distance.relativeChange), threeDigits(distance.rms), threeDigits(distance.maximum)]
        row.append(distance.cosine.map { fixed($0, digits: 7) } ?? "")
      } else {
        row += ["", "", "", ""]
      }
      table.add(row)
    }
    let heading = isCut ? ", of which these \(Self.maximumMeasured) changed most" : ""
    return heading + "\n" + table.text + more(entries.count - Self.maximumMeasured, "tensors")
  }

  private func more(_ count: Int, _ what: String) -> String {
    count > 0 ? "\n… and \(grouped(count)) more \(what): --json lists them all" : ""
  }

  private func type(_ side: ModelDifference.Side?) -> String { side?.elementType.rawValue ?? "" }
  private func form(_ side: ModelDifference.Side?) -> String { side.map { "\(type($0)) \(shapeText($0.shape))" } ?? "" }

  private func bytes(_ side: ModelDifference.Side?) -> String {
    guard let side, let count = checkedByteCount(side.shape, side.elementType) else { return "" }
    return humanBytes(UInt64(count))
  }
}

/// The relative change, or the words for it where there is none.
private func relative(_ distance: ValueDistance, _ change: Double?) -> String {
  if let change { return threeDigits(change) }
  return distance.count == 0 ? "" : distance.isFromZero ? "from zero" : "not finite"
}

/// A share of all: none and all only where that is exact.
private func share(_ count: Int, of all: Int) -> String {
  guard all > 0 else { return "" }
  if count == 0 || count == all { return count == 0 ? "none" : "all" }
  let percent = 100 * Double(count) / Double(all)
  return percent < 0.1 ? "< 0.1 %" : percent > 99.9 ? "> 99.9 %" : "\(fixed(percent, digits: 1)) %"
}
