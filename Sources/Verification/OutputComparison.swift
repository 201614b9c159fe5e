import Encoder
import TensorIO

/// How far one output is from its reference, over what the mask lets count.
public struct OutputComparison: Sendable {
  /// Where a number stands in an output: for tokens row, column and index, for the others row and index.
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
  /// The part of vectors along the last axis whose largest number stands at the same index.
  public let argmaxAgreement: Double
  public let passed: Bool
  /// Where the difference is largest; the first place where it is not finite, if there is one.
  public let worst: Position?
  /// Numbers compared.
  public let count: Int

  /// The tokens that are off by more than the tolerance, as indices into `[batch * sequence]`; of outputs for whole
  /// sequences, the rows.
  let failing: Set<Int>

  /// Compares `values` with `reference`, both of the padded `shape`.
  init(
    _ name: String, kind: OutputKind, shape: [Int], values: [Float], reference: [Float], input: EncoderInput,
    tolerance: Double
  ) {
    precondition(values.count == reference.count)
    var tally = Tally(tolerance: tolerance)
    let columns = shape.count > 1 ? shape[1] : 1
    if shape.count == 3 {
      // A vector a token.
      let size = shape[2]
      for token in 0..<(shape[0] * columns) where input.isAttended(token) {
        tally.begin()
        for index in 0..<size {
          tally.add(values[token * size + index], reference[token * size + index]) {
            Position(row: token / columns, column: token % columns, index: index, value: $0, reference: $1)
          }
        }
        tally.end(token)
      }
    } else {
      let isOfToken = kind.isScoreOfToken
      for row in 0..<(shape.first ?? 0) {
        tally.begin()
        for column in 0..<columns {
          let place = row * columns + column
          if isOfToken, !input.isAttended(place) { continue }
          tally.add(values[place], reference[place]) {
            Position(
              row: row, column: isOfToken ? column : nil, index: isOfToken ? nil : column, value: $0, reference: $1)
          }
        }
        tally.end(row)
      }
    }
    self.name = name
    maxAbsError = tally.hasOddDifference ? .nan : tally.largest
    meanAbsError = tally.count == 0 ? 0 : tally.sum / Double(tally.count)
    cosine = tally.cosine
    argmaxAgreement = tally.vectors == 0 ? 1 : Double(tally.agreeing) / Double(tally.vectors)
    passed = tally.count > 0 && !tally.hasOddDifference && tally.largest <= tolerance
    worst = tally.worst
    count = tally.count
    failing = tally.failing
  }

  /// Sums over the numbers of an output, vector by vector.
  private struct Tally {
    let tolerance: Double
    var count = 0
    var sum = 0.0
    var largest = 0.0
    var worst: Position?
    var hasOddDifference = false
    var vectors = 0
    var agreeing = 0
    var failing: Set<Int> = []
    private var product = 0.0
    private var valueSquares = 0.0
    private var referenceSquares = 0.0
    private var vector = Vector()

    private struct Vector {
      var count = 0
      var largest = 0.0
      var hasOddDifference = false
      var value: (index: Int, number: Float)?
      var reference: (index: Int, number: Float)?
    }

    init(tolerance: Double) { self.tolerance = tolerance }

    mutating func begin() { vector = Vector() }

    @inline(__always)
    mutating func add(_ value: Float, _ reference: Float, _ position: (Float, Float) -> Position) {
      let a = Double(value)
      let b = Double(reference)
      let difference = (a - b).magnitude
      if difference.isFinite {
        if difference > vector.largest { vector.largest = difference }
        if difference > largest || worst == nil, !hasOddDifference {
          largest = difference
          worst = position(value, reference)
        }
      } else {
        if !hasOddDifference { worst = position(value, reference) }
        hasOddDifference = true
        vector.hasOddDifference = true
      }
      sum += difference
      product += a * b
      valueSquares += a * a
      referenceSquares += b * b
      count += 1
      if vector.value.map({ value > $0.number }) ?? true { vector.value = (vector.count, value) }
      if vector.reference.map({ reference > $0.number }) ?? true { vector.reference = (vector.count, reference) }
      vector.count += 1
    }

    mutating func end(_ place: Int) {
      guard vector.count > 0 else { return }
      vectors += 1
      if !vector.hasOddDifference, vector.value?.index == vector.reference?.index { agreeing += 1 }
      if vector.hasOddDifference || vector.largest > tolerance { failing.insert(place) }
    }

    var cosine: Double {
      if valueSquares == 0, referenceSquares == 0 { return 1 }
      if valueSquares == 0 || referenceSquares == 0 { return 0 }
      return product / (valueSquares.squareRoot() * referenceSquares.squareRoot())
    }
  }
}
