import TensorIO
import Verification

/// The result of a verification with a fixture, as a page.
package struct VerificationPage {
  private let tool: String
  private let model: String
  private let fixture: String
  private let precision: String
  private let report: VerificationReport
  private let checks: [String]
  private let passed: Bool

  /// - Parameters:
  ///   - tool: the program and its version
  ///   - precision: of the matrix products
  ///   - checks: what else was checked, a sentence each
  ///   - passed: the verdict on all of it
  package init(
    tool: String, model: String, fixture: String, precision: String, report: VerificationReport, checks: [String],
    passed: Bool
  ) {
    self.tool = tool
    self.model = model
    self.fixture = fixture
    self.precision = precision
    self.report = report
    self.checks = checks
    self.passed = passed
  }

  /// The page in UTF-8; the same for the same input.
  package func bytes() -> [UInt8] {
    var page = Page(
      title: "\(FileSystem.baseName(model)), \(passed ? "verified" : "failed")", tool: tool,
      body: PackageResources.verification_html, script: PackageResources.verification_js)
    let heat = ErrorMap(report.outputs)
    page.add(
      "summary",
      .object([
        "tool": .string(tool), "model": .string(FileSystem.baseName(model)), "passed": .bool(passed),
        "tolerance": .double(report.tolerance),
        "facts": .facts([
          ("model", model), ("fixture", fixture), ("tolerance", "\(report.tolerance)"), ("computed in", precision),
        ]),
        "sequences": .int(report.sequences), "tokens": .int(report.tokens), "checks": .strings(checks),
        "warnings": .strings(report.warnings), "divergence": report.firstDivergence.map { .string($0) } ?? .null,
        "lowest_exponent": .int(DifferenceHistogram.lowestExponent),
      ]))
    page.add("outputs", rows: report.outputs.lazy.map(Self.json))
    page.add(
      "errors",
      .object([
        "columns": .int(heat.columns), "rows": .strings(heat.outputs.map(\.name)),
        "sequences": .int(heat.sequences), "largest": .array(heat.largest.map { .array($0.map(Self.json)) }),
      ]))
    // The largest of all sequences, and then each of them.
    page.add(
      "sequences",
      rows: heat.shownSequences(maximumCells: Self.maximumCells).lazy.map { number in
        .object([
          "number": .int(number), "errors": .array(heat.errors(ofSequence: number).map { .array($0.map(Self.json)) }),
        ])
      })
    return page.bytes
  }

  /// The most numbers of single sequences that a page carries.
  private static let maximumCells = 200_000

  /// -1 where nothing is compared, `null` for what is not finite. Seven digits are more than anybody reads.
  private static func json(_ error: Double) -> JSON { error.isFinite ? .number("\(Float(error))") : .null }

  private static func json(_ output: OutputComparison) -> JSON {
    .object([
      "name": .string(output.name), "part": .string(output.part), "passed": .bool(output.passed),
      "max": .double(output.maxAbsError), "mean": .double(output.meanAbsError), "cosine": .double(output.cosine),
      "argmax": .double(output.argmaxAgreement), "count": .int(output.count),
      "counts": .ints(output.differences.counts), "equal": .int(output.differences.zeros),
      "odd": .int(output.differences.odd),
      "worst": .array(
        output.worstPositions.map { worst in
          .object([
            "row": .int(worst.row), "column": worst.column.map { .int($0) } ?? .null,
            "index": worst.index.map { .int($0) } ?? .null, "value": .string("\(worst.value)"),
            "reference": .string("\(worst.reference)"),
            "error": .double((Double(worst.value) - Double(worst.reference)).magnitude),
          ])
        }),
    ])
  }
}

/// The errors of all outputs that have a value for each token: by output, sequence and position.
struct ErrorMap {
  let outputs: [OutputComparison]
  let columns: Int
  let sequences: Int

  init(_ outputs: [OutputComparison]) {
    self.outputs = outputs.filter(\.isOfTokens)
    columns = self.outputs.first?.errorColumns ?? 0
    sequences = columns == 0 ? 0 : (self.outputs.first?.errors.count ?? 0) / columns
  }

  /// By output and position, the largest over the sequences.
  var largest: [[Double]] {
    outputs.map { output in
      (0..<columns).map { column in
        (0..<sequences).reduce(-1) { Self.larger($0, output.errors[$1 * columns + column]) }
      }
    }
  }

  func errors(ofSequence number: Int) -> [[Double]] {
    outputs.map { Array($0.errors[(number * columns)..<((number + 1) * columns)]) }
  }

  /// In order, as many as `maximumCells` allows, but one at least: those with the largest errors.
  func shownSequences(maximumCells: Int) -> [Int] {
    guard !outputs.isEmpty, columns > 0 else { return [] }
    let maximum = max(1, maximumCells / (outputs.count * columns))
    guard sequences > maximum else { return Array(0..<sequences) }
    let worst = (0..<sequences).map { number in errors(ofSequence: number).joined().reduce(-1, Self.larger) }
    func isWorse(_ a: Int, _ b: Int) -> Bool {
      let (first, second) = (Self.rank(worst[a]), Self.rank(worst[b]))
      return first == second ? a < b : first > second
    }
    return (0..<sequences).sorted(by: isWorse).prefix(maximum).sorted()
  }

  /// What is not finite is larger than any number.
  private static func rank(_ error: Double) -> Double { error.isNaN ? .infinity : error }
  private static func larger(_ a: Double, _ b: Double) -> Double { rank(a) >= rank(b) ? a : b }
}
