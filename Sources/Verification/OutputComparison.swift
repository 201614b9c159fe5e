import Encoder
import TensorIO

/// How far one output is from its reference, over what the mask lets count.
public struct OutputComparison: Sendable {
  /// The position of a number in an output: for tokens row, column and index, for the others row and index.
  public struct Position: Sendable, Equatable {
    public let row: Int
    public let column: Int?
    /// Along the last axis; `nil` where a token has one number only.
    public let index: Int?
    public let value: Float
    public let reference: Float
  }

  public let name: String
  /// NaN when a difference is not finite.
  public let maxAbsError: Double
  public let meanAbsError: Double
  /// Of all numbers that are compared, as one vector each.
  public let cosine: Double
  /// The part of vectors along the last axis whose largest number has the same index.
  public let argmaxAgreement: Double
  public let passed: Bool
  /// The position of the largest difference; the first one that is not finite, if there is one.
  public let worst: Position?
  /// Numbers compared.
  public let count: Int

  /// The largest absolute difference of each token, `[rows, columns]`; of outputs for whole sequences, of each row. NaN
  /// where a difference is not finite, and -1 where nothing is compared.
  package let errors: [Double]
  /// Columns of ``errors``: 1 for outputs of whole sequences.
  package let errorColumns: Int
  /// Whether it has something for each token.
  package let isOfTokens: Bool
  /// The part that computes it, for people.
  package let part: String
  /// The largest differences of the tokens or rows that are off most, the worst first, at most ten.
  package let worstPositions: [Position]
  package let differences: DifferenceHistogram
  private let tolerance: Double

  /// Whether a token, an index into `[batch * sequence]`, is off by more than the tolerance; of outputs for whole
  /// sequences, a row.
  func isOff(_ unit: Int) -> Bool { errors[unit].isNaN || errors[unit] > tolerance }

  /// Compares `values` with `reference`, both of the padded `shape`.
  init(
    _ name: String, kind: OutputKind, shape: [Int], values: [Float], reference: [Float], input: EncoderInput,
    tolerance: Double
  ) {
    precondition(values.count == reference.count)
    let rows = shape.first ?? 0
    let columns = shape.count > 1 ? shape[1] : 1
    let isOfTokens = shape.count == 3 || kind.isScoreOfToken
    let errorColumns = isOfTokens ? columns : 1
    var tally = Tally(units: rows * errorColumns)
    if shape.count == 3 {
      // One vector per token.
      let size = shape[2]
      for token in 0..<(rows * columns) where input.isAttended(token) {
        tally.begin()
        for index in 0..<size { tally.add(values[token * size + index], reference[token * size + index], at: index) }
        tally.endUnit(token)
        tally.endVector()
      }
    } else {
      for row in 0..<rows {
        tally.begin()
        for column in 0..<columns {
          let unit = row * columns + column
          if isOfTokens, !input.isAttended(unit) { continue }
          tally.add(values[unit], reference[unit], at: column)
          if isOfTokens { tally.endUnit(unit) }
        }
        if !isOfTokens { tally.endUnit(row) }
        tally.endVector()
      }
    }
    self.name = name
    self.tolerance = tolerance
    self.isOfTokens = isOfTokens
    self.errorColumns = errorColumns
    part = kind.part
    worstPositions = tally.worst.map { worst in
      Position(
        row: worst.unit / errorColumns, column: isOfTokens ? worst.unit % errorColumns : nil,
        index: isOfTokens && shape.count == 2 ? nil : worst.number.index, value: worst.number.value,
        reference: worst.number.reference)
    }
    worst = worstPositions.first
    maxAbsError = tally.worst.first?.error ?? 0
    meanAbsError = tally.count == 0 ? 0 : tally.sum / Double(tally.count)
    cosine = tally.cosine
    argmaxAgreement = tally.vectors == 0 ? 1 : Double(tally.agreeing) / Double(tally.vectors)
    passed = tally.count > 0 && maxAbsError <= tolerance
    count = tally.count
    errors = tally.errors
    differences = tally.differences
  }

  /// Sums over the numbers of an output, vector by vector, and unit by unit: a token or, of outputs for whole sequences, a
  /// row.
  private struct Tally {
    struct Number {
      var index: Int
      var value: Float
      var reference: Float
    }

    struct Worst {
      var unit: Int
      /// NaN where it is not finite.
      var error: Double
      var number: Number

      /// What is not finite is worse than any number.
      func isWorse(than other: Worst) -> Bool { error.isNaN ? !other.error.isNaN : error > other.error }
    }

    private static let maxWorst = 10

    var count = 0
    var sum = 0.0
    var errors: [Double]
    /// The worst first; of equals the one that came first.
    var worst: [Worst] = []
    var vectors = 0
    var agreeing = 0
    var differences = DifferenceHistogram()
    private var product = 0.0
    private var valueSquares = 0.0
    private var referenceSquares = 0.0
    private var vector = Vector()
    /// The largest difference in the unit.
    private var largest: (error: Double, number: Number)?

    private struct Vector {
      var count = 0
      var hasOddDifference = false
      var value: (index: Int, number: Float)?
      var reference: (index: Int, number: Float)?
    }

    init(units: Int) { errors = Array(repeating: -1, count: units) }

    mutating func begin() { vector = Vector() }

    @inline(__always)
    mutating func add(_ value: Float, _ reference: Float, at index: Int) {
      let a = Double(value)
      let b = Double(reference)
      let difference = (a - b).magnitude
      if difference.isFinite {
        if largest.map({ difference > $0.error }) ?? true {
          largest = (difference, Number(index: index, value: value, reference: reference))
        }
      } else {
        // The first of these stays: no number is greater than NaN.
        if largest?.error.isNaN != true {
          largest = (.nan, Number(index: index, value: value, reference: reference))
        }
        vector.hasOddDifference = true
      }
      differences.add(difference)
      sum += difference
      product += a * b
      valueSquares += a * a
      referenceSquares += b * b
      count += 1
      if vector.value.map({ value > $0.number }) ?? true { vector.value = (vector.count, value) }
      if vector.reference.map({ reference > $0.number }) ?? true { vector.reference = (vector.count, reference) }
      vector.count += 1
    }

    /// What was added since the last unit ended is that of `unit`.
    mutating func endUnit(_ unit: Int) {
      guard let largest else { return }
      self.largest = nil
      errors[unit] = largest.error
      let worst = Worst(unit: unit, error: largest.error, number: largest.number)
      guard self.worst.count < Self.maxWorst || self.worst.last.map(worst.isWorse) == true else { return }
      let rank = self.worst.firstIndex { worst.isWorse(than: $0) } ?? self.worst.count
      self.worst.insert(worst, at: rank)
      if self.worst.count > Self.maxWorst { self.worst.removeLast() }
    }

    mutating func endVector() {
      guard vector.count > 0 else { return }
      vectors += 1
      if !vector.hasOddDifference, vector.value?.index == vector.reference?.index { agreeing += 1 }
    }

    var cosine: Double {
      if valueSquares == 0, referenceSquares == 0 { return 1 }
      if valueSquares == 0 || referenceSquares == 0 { return 0 }
      return product / (valueSquares.squareRoot() * referenceSquares.squareRoot())
    }
  }
}

/// Absolute differences by their size: bin `i` counts those from `2^(lowestExponent + i)` up to twice that. What is smaller
/// or larger than all bins counts in the first or the last.
package struct DifferenceHistogram: Sendable, Equatable {
  package static let lowestExponent = -48
  package static let binCount = 80

  package private(set) var counts = [Int](repeating: 0, count: binCount)
  /// Differences of nothing at all.
  package private(set) var zeros = 0
  /// Differences that are NaN or infinite.
  package private(set) var odd = 0

  package init() {}

  @inline(__always)
  mutating func add(_ difference: Double) {
    // The exponent field, of zero and the smallest numbers 0, of what is not finite 2047.
    let field = Int(difference.bitPattern >> 52 & 0x7FF)
    if field == 2047 {
      odd += 1
    } else if difference == 0 {
      zeros += 1
    } else {
      counts[max(0, min(Self.binCount - 1, field - 1023 - Self.lowestExponent))] += 1
    }
  }
}
