import CTensorIO

/// Counts, range and moments of float values, added up block by block.
package struct FloatSummary: Sendable {
  private var summary: bertconv_float_summary

  package init() {
    summary = bertconv_float_summary(
      finite: 0, zeros: 0, nan: 0, infinite: 0, sum: 0, squares: 0, low: .infinity, high: -.infinity)
  }

  package var finite: Int { Int(summary.finite) }
  package var zeros: Int { Int(summary.zeros) }
  package var nan: Int { Int(summary.nan) }
  package var infinite: Int { Int(summary.infinite) }
  /// Of the finite values; infinity where there are none. Zero has no sign.
  package var minimum: Double { Double(summary.low) + 0 }
  /// Of the finite values; negative infinity where there are none.
  package var maximum: Double { Double(summary.high) + 0 }
  package var mean: Double { summary.sum / Double(summary.finite) }
  /// Of the population.
  package var standardDeviation: Double { (summary.squares / Double(summary.finite)).squareRoot() }

  /// Adds whole elements of the types F32, F16 and BF16; `false` for another type.
  package mutating func add(_ bytes: RawSpan, _ type: ElementType) -> Bool {
    guard type != .f64, let kind = type.floatKind, let size = type.size else { return false }
    // Memory safety: the call reads whole elements inside the span, which is lent until it returns.
    unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return }
      unsafe bertconv_summarize_floats(start, buffer.count / size, kind, &summary)
    }
    return true
  }
}

/// How values are put into equal parts of a range.
package struct BinScale: Sendable {
  package let factor: Double
  package let low: Double
  package let binsPerUnit: Double
  package let bins: Int

  package init(factor: Double, low: Double, binsPerUnit: Double, bins: Int) {
    self.factor = factor
    self.low = low
    self.binsPerUnit = binsPerUnit
    self.bins = bins
  }

  /// The bin of a value; `nil` for what is not finite.
  @inline(__always)
  package func bin(of value: Double) -> Int? {
    let position = (value * factor - low) * binsPerUnit
    // The largest value comes out as the number of bins, or a rounding beyond it.
    guard position >= 0, position < Double(bins + 1) else { return nil }
    return min(Int(position), bins - 1)
  }

  /// Adds to `counts`, one for each bin, how many elements fall into it; `false` for types other than F32, F16 and BF16,
  /// and for too many bins.
  package func count(_ bytes: RawSpan, _ type: ElementType, into counts: inout [Int]) -> Bool {
    guard type != .f64, let kind = type.floatKind, let size = type.size, bins <= Int(BERTCONV_MAX_BINS),
      counts.count == bins
    else {
      return false
    }
    var found = [UInt64](repeating: 0, count: bins)
    // Memory safety: the call reads whole elements inside the span, which is lent until it returns, and writes to `bins`
    // counts.
    unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return }
      unsafe bertconv_count_bins(start, buffer.count / size, kind, factor, low, binsPerUnit, bins, &found)
    }
    for bin in 0..<bins { counts[bin] += Int(found[bin]) }
    return true
  }
}
