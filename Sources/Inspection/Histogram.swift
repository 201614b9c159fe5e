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
    let scale = Scale(minimum, maximum, bins)
    let count = bytes.byteCount / size
    switch elementType {
    case .f32:
      tally(count, scale) { Double(Float(bitPattern: bytes.littleEndian(UInt32.self, at: $0 * 4))) }
    case .f16:
      tally(count, scale) { Double(Float(halfBits: bytes.littleEndian(UInt16.self, at: $0 * 2))) }
    case .bf16:
      tally(count, scale) { Double(Float(bfloat16Bits: bytes.littleEndian(UInt16.self, at: $0 * 2))) }
    default:
      tally(count, scale) { decode(bytes, $0 * size) }
    }
  }

  @inline(__always)
  private mutating func tally(_ count: Int, _ scale: Scale, _ value: (Int) -> Double) {
    var bins = counts.mutableSpan
    for index in 0..<count {
      if let bin = scale.bin(of: value(index)) { bins[bin] += 1 }
    }
  }

  /// From values to bins.
  private struct Scale {
    private let factor: Double
    private let low: Double
    private let binsPerUnit: Double
    private let last: Int

    init(_ minimum: Double, _ maximum: Double, _ bins: Int) {
      let width = maximum - minimum
      // A range of more than the largest number, or one whose inverse is: a power of two brings both back into bounds.
      factor = width.isInfinite ? 0.5 : width < 1e-290 ? 0x1p200 : 1
      low = minimum * factor
      binsPerUnit = Double(bins) / (maximum * factor - low)
      last = bins - 1
    }

    /// `nil` for what is not finite.
    @inline(__always)
    func bin(of value: Double) -> Int? {
      let position = (value * factor - low) * binsPerUnit
      // The largest value comes out as the number of bins, or a rounding beyond it.
      guard position >= 0, position < Double(last + 2) else { return nil }
      return min(Int(position), last)
    }
  }
}
