/// Scores of a Unigram vocabulary as JSON numbers.
///
/// `tokenizers` does not read the nearest double: it reads the digits as a whole number, rounds that to a double, and divides
/// or multiplies it by a power of ten (`serde_json`, src/de.rs, `f64_from_parts`). The last bit decides between sequences of
/// equal score, so it is read the same way here.
enum ScoreText {
  private static let powersOfTen: [Double] = (0...308).map { Double("1e\($0)") ?? .infinity }

  /// The value of a valid JSON number; `nil` where it is too large for a double.
  static func value(_ text: Span<UInt8>) -> Double? {
    var index = 0
    let isNegative = !text.isEmpty && text[0] == UInt8(ascii: "-")
    if isNegative { index = 1 }
    var significand: UInt64 = 0
    var exponent = 0
    var isFull = false
    var isFraction = false
    while index < text.count {
      let byte = text[index]
      if byte == UInt8(ascii: ".") {
        isFraction = true
      } else if byte &- UInt8(ascii: "0") < 10 {
        if !isFull {
          let (product, overflow) = significand.multipliedReportingOverflow(by: 10)
          let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
          isFull = overflow || carry
          if !isFull { significand = sum }
        }
        // Digits that no longer fit shift those before the point, and are dropped behind it.
        if isFull, !isFraction { exponent += 1 }
        if !isFull, isFraction { exponent -= 1 }
      } else {
        break
      }
      index += 1
    }
    if index < text.count { exponent += self.exponent(text, from: index + 1) }
    guard let size = scaled(significand, exponent) else { return nil }
    return isNegative ? -size : size
  }

  /// The exponent behind the `e`, as far as it matters.
  private static func exponent(_ text: Span<UInt8>, from start: Int) -> Int {
    var value = 0
    var isNegative = false
    for index in start..<text.count {
      switch text[index] {
      case UInt8(ascii: "-"): isNegative = true
      case UInt8(ascii: "+"): break
      default: value = min(value * 10 + Int(text[index] &- UInt8(ascii: "0")), 1 << 31)
      }
    }
    return isNegative ? -value : value
  }

  private static func scaled(_ significand: UInt64, _ exponent: Int) -> Double? {
    var value = Double(significand)
    var exponent = exponent
    while exponent.magnitude > 308 {
      if value == 0 { return 0 }
      if exponent > 0 { return nil }
      value /= 1e308
      exponent += 308
    }
    let power = powersOfTen[Int(exponent.magnitude)]
    value = exponent >= 0 ? value * power : value / power
    return value.isInfinite ? nil : value
  }

  /// Digits that both `tokenizers` and a reader of the nearest double take for `value`.
  static func text(_ value: Double) -> String {
    let shortest = "\(value)"
    if isRead(shortest, as: value) { return shortest }
    // With more digits, numbers near the shortest one: how the digits round depends on how many there are.
    guard let (digits, exponent) = digits(shortest), digits < 100_000_000_000_000_000 else { return shortest }
    let sign = value < 0 ? "-" : ""
    var scale: UInt64 = 1
    for more in 1...3 {
      scale *= 10
      let (base, isTooLarge) = digits.multipliedReportingOverflow(by: scale)
      if isTooLarge { break }
      for distance in stride(from: 0, through: scale, by: max(1, Int(scale) / 64)) {
        for (candidate, overflow) in [
          base.addingReportingOverflow(distance), base.subtractingReportingOverflow(distance),
        ] where !overflow {
          let text = sign + decimal(candidate, exponent - more)
          if isRead(text, as: value) { return text }
        }
      }
    }
    return shortest
  }

  private static func isRead(_ text: String, as value: Double) -> Bool {
    Double(text) == value && self.value(text.utf8.span) == value
  }

  /// The digits of a number as a whole one, and the power of ten that it is multiplied by.
  private static func digits(_ text: String) -> (UInt64, Int)? {
    let parts = text.split(separator: "e", maxSplits: 1)
    guard let number = parts.first else { return nil }
    let pieces = number.split(separator: ".", maxSplits: 1)
    let fraction = pieces.count > 1 ? pieces[1] : ""
    guard let digits = UInt64((pieces[0] + fraction).filter { $0 != "-" }) else { return nil }
    return (digits, (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) - fraction.count)
  }

  private static func decimal(_ digits: UInt64, _ exponent: Int) -> String {
    let text = String(digits)
    let whole = text.count + exponent
    guard exponent < 0, whole > 0 else { return "\(text)e\(exponent)" }
    return "\(text.prefix(whole)).\(text.suffix(-exponent))"
  }
}
