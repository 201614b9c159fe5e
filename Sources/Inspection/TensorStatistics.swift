import TensorIO

/// What the values of a tensor are like. Minimum, maximum, mean and standard deviation (of the population) are over the
/// finite values.
public struct TensorStatistics: Sendable, Equatable {
  public var count = 0
  public var minimum = Double.nan
  public var maximum = Double.nan
  public var mean = Double.nan
  public var standardDeviation = Double.nan
  public var zeros = 0
  public var nan = 0
  public var infinite = 0
  /// Of whole numbers the smallest and the largest, exactly.
  public private(set) var wholeRange: ClosedRange<WholeNumber>?

  /// In double precision; `nil` for types without numeric values.
  public init?(_ bytes: RawSpan, _ elementType: ElementType) {
    guard let size = elementType.size else { return nil }
    count = bytes.byteCount / size
    var summary = FloatSummary()
    if summary.add(bytes, elementType) {
      (zeros, nan, infinite) = (summary.zeros, summary.nan, summary.infinite)
      guard summary.finite > 0 else { return }
      (minimum, maximum) = (summary.minimum, summary.maximum)
      (mean, standardDeviation) = (summary.mean, summary.standardDeviation)
      return
    }
    guard let decode = elementType.numberDecoder else { return nil }
    read(bytes, size, elementType, decode)
  }

  /// Two passes over values of any type.
  private mutating func read(
    _ bytes: RawSpan, _ size: Int, _ elementType: ElementType, _ decode: (RawSpan, Int) -> Double
  ) {
    var sum = 0.0
    var finite = 0
    var low = Double.infinity
    var high = -Double.infinity
    for index in 0..<count {
      let value = decode(bytes, index * size)
      if value.isNaN {
        nan += 1
        continue
      }
      if value.isInfinite {
        infinite += 1
        continue
      }
      if value == 0 { zeros += 1 }
      low = min(low, value)
      high = max(high, value)
      sum += value
      finite += 1
    }
    guard finite > 0 else { return }
    let mean = sum / Double(finite)
    var squares = 0.0
    for index in 0..<count {
      let value = decode(bytes, index * size)
      if value.isFinite { squares += (value - mean) * (value - mean) }
    }
    minimum = low
    maximum = high
    self.mean = mean
    standardDeviation = (squares / Double(finite)).squareRoot()
    wholeRange = Self.wholeRange(bytes, elementType, low...high)
  }

  /// `range` is exact for all but the integers of 64 bits.
  private static func wholeRange(
    _ bytes: RawSpan, _ type: ElementType, _ range: ClosedRange<Double>
  ) -> ClosedRange<WholeNumber>? {
    guard let decode = type.wholeDecoder, let size = type.size, bytes.byteCount >= size else { return nil }
    guard size == 8 else { return WholeNumber(Int64(range.lowerBound))...WholeNumber(Int64(range.upperBound)) }
    var (low, high) = (decode(bytes, 0), decode(bytes, 0))
    for index in 1..<(bytes.byteCount / size) {
      let value = decode(bytes, index * size)
      if value < low { low = value }
      if value > high { high = value }
    }
    return low...high
  }

  /// Whether all values are one and the same.
  public var isConstant: Bool {
    guard nan == 0, infinite == 0 else { return false }
    return wholeRange.map { $0.lowerBound == $0.upperBound } ?? (minimum == maximum)
  }

  public var json: JSON {
    .object([
      "min": wholeRange?.lowerBound.json ?? .double(minimum), "max": wholeRange?.upperBound.json ?? .double(maximum),
      "mean": .double(mean), "std": .double(standardDeviation),
      "zeros": .int(zeros), "nan": .int(nan), "inf": .int(infinite),
    ])
  }
}
