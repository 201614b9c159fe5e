/// Symmetric 8-bit quantization of the rows of a matrix (docs/FORMAT.md, section 6): a value is q · scale, with q in
/// −127 … 127 and one scale per row. The weight `X` is stored as I8 `[rows, columns]` and its scales as F32 `[rows]` named
/// `X_scale`.
public enum Int8Quantization {
  private static let suffix = "_scale"

  /// The name of the scales of the weight `name`.
  public static func scaleName(_ name: String) -> String { name + suffix }

  /// The name of the weight whose scales are called `name`; `nil` where `name` is not that of scales.
  public static func weightName(ofScale name: String) -> String? {
    name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : nil
  }

  /// The scale of a row whose largest magnitude is `largest`. Where the quotient would not be a normal number it is the
  /// smallest that is; a row of zeros has the scale 1.
  @inlinable
  @inline(__always)
  public static func scale(largestMagnitude largest: Float) -> Float {
    largest == 0 ? 1 : max(largest / 127, .leastNormalMagnitude)
  }

  /// The integer that stands for a finite `value`: the nearest, ties to even.
  @inlinable
  @inline(__always)
  public static func quantize(_ value: Float, scale: Float) -> Int8 {
    Int8(max(-127, min(127, (value / scale).rounded(.toNearestOrEven))))
  }

  /// The value that an integer stands for, rounded once.
  @inlinable
  @inline(__always)
  public static func dequantize(_ q: Int8, scale: Float) -> Float { Float(q) * scale }
}
