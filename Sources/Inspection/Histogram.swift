import TensorIO

/// How many of a tensor's finite values fall into each of equal parts of their range.
///
/// Bin `i` of `n` counts the values from `minimum + i * width` up to, but not including, `minimum + (i + 1) * width`,
/// where `width` is `(maximum - minimum) / n`; the last one includes `maximum`, as in numpy's `histogram`. A value within a
/// rounding of an edge may count on either side of it. NaN and infinities count nowhere: ``TensorStatistics`` has them.
public struct Histogram: Sendable, Equatable {
  public let minimum: Double
  public let maximum: Double
  /// One bin where all finite values are the same, none where there are no finite values.
  public private(set) var counts: [Int]

  /// One pass over the values of a tensor whose `statistics` are known; `nil` for types without numeric values.
  public init?(_ bytes: RawSpan, _ elementType: ElementType, _ statistics: TensorStatistics, bins: Int = 48) {
    guard let decode = elementType.numberDecoder, let size = elementType.size, bins > 0 else { return nil }
    minimum = statistics.minimum
    maximum = statistics.maximum
    guard minimum.isFinite, maximum.isFinite else {
      counts = []
      return
    }
    guard minimum < maximum else {
      counts = [statistics.count - statistics.nan - statistics.infinite]
      return
    }
    counts = Array(repeating: 0, count: bins)
    let scale = Self.scale(minimum, maximum, bins)
    if scale.count(bytes, elementType, into: &counts) { return }
    var counts = counts.mutableSpan
    for index in 0..<(bytes.byteCount / size) {
      if let bin = scale.bin(of: decode(bytes, index * size)) { counts[bin] += 1 }
    }
  }

  private static func scale(_ minimum: Double, _ maximum: Double, _ bins: Int) -> BinScale {
    let width = maximum - minimum
    // A range of more than the largest number, or one whose inverse is: a power of two brings both back into bounds.
    let factor = width.isInfinite ? 0.5 : width < 1e-290 ? 0x1p200 : 1
    let low = minimum * factor
    return BinScale(factor: factor, low: low, binsPerUnit: Double(bins) / (maximum * factor - low), bins: bins)
  }
}
