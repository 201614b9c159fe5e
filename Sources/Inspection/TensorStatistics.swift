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

  /// Two passes in double precision; `nil` for types without numeric values.
  public init?(_ bytes: RawSpan, _ elementType: ElementType) {
    guard let decode = elementType.numberDecoder, let size = elementType.size else { return nil }
    count = bytes.byteCount / size
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
  }

  public var json: JSON {
    .object([
      "min": .double(minimum), "max": .double(maximum), "mean": .double(mean), "std": .double(standardDeviation),
      "zeros": .int(zeros), "nan": .int(nan), "inf": .int(infinite),
    ])
  }
}
