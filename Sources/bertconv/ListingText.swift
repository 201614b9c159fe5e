import Inspection
import TensorIO

extension TensorListing {
  /// The listing as a table; with `readings` it has columns for the values.
  func text(of tensors: [TensorInfo], readings: [Int: TensorReading]?) -> String {
    var table = TextTable(columns: [("tensor", .left), ("dtype", .left), ("shape", .left), ("size", .right)])
    if readings != nil {
      table.add(columns: ["min", "max", "mean", "std", "zeros", "nan", "inf"].map { ($0, .right) })
      table.add(columns: [("histogram", .left)])
      table.leaveOut(["mean", "std", "zeros", "histogram"])
    }
    for group in groups {
      let tensor = tensors[group.members[0]]
      let fullName = Self.fullName(of: group, tensors).map { "  (\(printable($0)))" } ?? ""
      let size = humanBytes(UInt64(tensor.byteCount))
      var row: [TextTable.Cell] = [
        .init(printable(group.name) + fullName, short: printable(group.shortName) + fullName),
        .init(tensor.elementType.rawValue, .faint), .init(shapeText(tensor.shape)),
        .init(group.members.count > 1 ? "\(grouped(group.members.count)) × \(size)" : size),
      ]
      if let readings { row += cells(readings[group.members[0]]) }
      table.add(row)
    }
    return table.text
  }

  private func cells(_ reading: TensorReading?) -> [TextTable.Cell] {
    guard let s = reading?.statistics, s.count > 0 else { return Array(repeating: "", count: 8) }
    let range =
      s.wholeRange.map { ["\($0.lowerBound)", "\($0.upperBound)"] } ?? [significant(s.minimum), significant(s.maximum)]
    return (range + [significant(s.mean), significant(s.standardDeviation)]).map { TextTable.Cell($0) } + [
      .init(grouped(s.zeros), s.count > 1 && s.zeros == s.count ? .notable : .plain),
      .init(grouped(s.nan), s.nan > 0 ? .bad : .plain), .init(grouped(s.infinite), s.infinite > 0 ? .bad : .plain),
      .init(reading?.histogram?.text() ?? "", .faint),
    ]
  }
}

extension Histogram {
  /// The histogram in `columns` characters, the fullest bin highest; empty where no value is finite.
  func text(columns: Int = 16) -> String {
    guard !counts.isEmpty else { return "" }
    // One value, in the middle.
    if counts.count == 1 { return String(repeating: " ", count: columns / 2) + "█" }
    var bins = [Int](repeating: 0, count: columns)
    for (index, count) in counts.enumerated() { bins[index * columns / counts.count] += count }
    let largest = max(1, bins.max() ?? 1)
    let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    return String(
      bins.map { count in
        count == 0 ? " " : bars[min(7, Int(Double(count) / Double(largest) * 8))]
      })
  }
}

extension [ValueFinding] {
  /// One line for each.
  var text: String {
    let width = map(\.kind.rawValue.count).max() ?? 0
    return map { finding in
      let space = String(repeating: " ", count: width + 2 - finding.kind.rawValue.count)
      let names = finding.tensors.prefix(5).map { printable($0) }.joined(separator: ", ")
      let more = finding.tensors.count > 5 ? " and \(grouped(finding.tensors.count - 5)) more" : ""
      let count = counted(finding.tensors.count, "tensor")
      return finding.style(finding.kind.rawValue) + space + "\(finding.sentence) \(count): \(names)\(more)"
    }.joined(separator: "\n")
  }
}

extension ValueFinding {
  fileprivate var style: Style {
    switch kind {
    case .nan, .infinite: .bad
    case .zeros, .same: .notable
    }
  }

  /// The beginning of a sentence that goes on with tensors.
  fileprivate var sentence: String {
    switch kind {
    case .nan: "NaN in"
    case .infinite: "infinities in"
    case .zeros: "only zeros in"
    case .same: "the same values in"
    }
  }
}

extension SizeTree {
  /// The tree as a table.
  var text: String {
    var table = TextTable(columns: [
      ("part", .left), ("dtype", .left), ("shape", .left), ("tensors", .right), ("size", .right), ("share", .right),
    ])
    for line in lines {
      let percent = line.share * 100
      let share = percent > 0 && percent < 0.1 ? "<0.1 %" : "\(fixed(percent, digits: 1)) %"
      table.add([
        TextTable.Cell(line.indent + printable(line.label), line.form == nil ? .strong : .plain),
        TextTable.Cell(line.form?.elementType.rawValue ?? "", .faint),
        TextTable.Cell(line.form.map { shapeText($0.shape) } ?? "", .faint), TextTable.Cell(grouped(line.tensors)),
        TextTable.Cell(humanBytes(UInt64(max(0, line.bytes)))), TextTable.Cell(share),
      ])
    }
    return table.text
  }
}

extension SizeTree.Line {
  fileprivate var indent: String {
    guard let isLast = isLastOfLevel.last else { return "" }
    return isLastOfLevel.dropLast().map { $0 ? "   " : "│  " }.joined() + (isLast ? "└─ " : "├─ ")
  }
}
