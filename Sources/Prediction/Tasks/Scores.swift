#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Probabilities of logits, in double precision.
enum Scores {
  /// What a softmax needs of its logits.
  struct Scale: Sendable {
    let maximum: Double
    let sum: Double

    func probability(_ logit: Float) -> Double { exp(Double(logit) - maximum) / sum }
  }

  static func softmaxScale(_ logits: some Sequence<Float>) -> Scale {
    let maximum = Double(logits.max() ?? 0)
    return Scale(maximum: maximum, sum: logits.reduce(0) { $0 + exp(Double($1) - maximum) })
  }

  static func softmax(_ logits: [Double]) -> [Double] {
    let maximum = logits.max() ?? 0
    let powers = logits.map { exp($0 - maximum) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }

  static func sigmoid(_ logit: Double) -> Double { 1 / (1 + exp(-logit)) }

  /// The indices of the `count` largest values, the largest first; of equal ones the earlier first.
  static func largest(_ values: ArraySlice<Float>, count: Int) -> [Int] {
    guard count > 0 else { return [] }
    var best: [Int] = []
    for index in values.indices {
      if best.count == count, let last = best.last, !(values[index] > values[last]) { continue }
      var position = best.count
      while position > 0, values[index] > values[best[position - 1]] { position -= 1 }
      best.insert(index, at: position)
      if best.count > count { best.removeLast() }
    }
    return best
  }

  /// The same of doubles.
  static func order(_ values: [Double]) -> [Int] {
    values.indices.sorted { (values[$1], $0) < (values[$0], $1) }
  }
}
