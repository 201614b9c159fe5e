import TensorIO

/// The result of a verification.
public struct VerificationReport: Sendable {
  public let passed: Bool
  public let tolerance: Double
  public let sequences: Int
  public let tokens: Int
  /// In the order of the pass.
  public let outputs: [OutputComparison]
  /// The first hidden state that is off, or the head, and what is known of the part that is to blame; `nil` when all
  /// outputs agree and when the fixture has no hidden states.
  public let firstDivergence: String?
  public let warnings: [String]
  /// `nil` where the fixture has no texts.
  public let texts: TextComparison?

  /// The object that `verify --json` prints. Numbers that are not finite are `null`.
  public func json() -> JSON {
    var json = JSON.object([
      "passed": .bool(passed), "tolerance": .double(tolerance), "sequences": .int(sequences), "tokens": .int(tokens),
      "outputs": .array(
        outputs.map { output in
          .object([
            "name": .string(output.name), "max_abs_error": .double(output.maxAbsError),
            "mean_abs_error": .double(output.meanAbsError), "cosine": .double(output.cosine),
            "argmax_agreement": .double(output.argmaxAgreement), "passed": .bool(output.passed),
            "worst": output.worst.map(Self.json) ?? .null,
          ])
        }),
      "first_divergence": firstDivergence.map { .string($0) } ?? .null, "warnings": .strings(warnings),
    ])
    if let texts { json.set("texts", texts.json) }
    return json
  }

  private static func json(_ position: OutputComparison.Position) -> JSON {
    .object([
      "row": .int(position.row), "column": position.column.map { .int($0) } ?? .null,
      "index": position.index.map { .int($0) } ?? .null, "value": .double(Double(position.value)),
      "reference": .double(Double(position.reference)),
    ])
  }

  /// A table of the outputs, then the largest difference of each that fails, the first divergence and the verdict.
  public func text() -> String {
    var rows = [["output", "max error", "mean error", "cosine", "argmax", ""]]
    for output in outputs {
      rows.append([
        output.name, output.maxAbsError.isNaN ? "not finite" : significant(output.maxAbsError),
        significant(output.meanAbsError), fixed(output.cosine, digits: 7), Self.percent(output.argmaxAgreement),
        output.passed ? "ok" : "FAILED",
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        // Names and verdicts to the left, numbers to the right.
        return column == 0 || column == row.count - 1 ? cell + space : space + cell
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
    lines.append("")
    if let texts { lines.append(texts.text) }
    let failed = outputs.filter { !$0.passed }
    for output in failed {
      guard let worst = output.worst else { continue }
      lines.append("\(output.name) is worst at \(Self.text(worst)): \(worst.value), reference \(worst.reference)")
    }
    if let firstDivergence { lines.append("First divergence: \(firstDivergence)") }
    for warning in warnings { lines.append("Warning: \(printable(warning))") }
    let scope =
      "over \(grouped(tokens)) \(tokens == 1 ? "token" : "tokens") in \(grouped(sequences)) "
      + (sequences == 1 ? "sequence" : "sequences")
    if failed.isEmpty {
      lines.append(
        outputs.count == 1
          ? "The output agrees within \(Self.plain(tolerance)) \(scope)."
          : "All \(outputs.count) outputs agree within \(Self.plain(tolerance)) \(scope).")
    } else {
      lines.append(
        "\(failed.count) of \(outputs.count) outputs \(failed.count == 1 ? "is" : "are") off by more than "
          + "\(Self.plain(tolerance)) \(scope).")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func text(_ position: OutputComparison.Position) -> String {
    "row \(position.row)" + (position.column.map { ", column \($0)" } ?? "")
      + (position.index.map { ", index \($0)" } ?? "")
  }

  /// Never rounded up to 100, which means full agreement.
  private static func percent(_ part: Double) -> String {
    part == 1 ? "100%" : fixed((part * 1000).rounded(.down) / 10, digits: 1) + "%"
  }

  /// A tolerance as one would type it.
  private static func plain(_ value: Double) -> String {
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
