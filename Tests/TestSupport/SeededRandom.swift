import TensorIO

/// Random numbers that are the same in each run (splitmix64).
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(_ seed: UInt64) { state = seed }

  /// A stream for a text, such as the name of a tensor (FNV-1a).
  public init(text: String) { state = FNV1a(text).value }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return bits ^ bits >> 31
  }

  /// Uniform from -1 to 1.
  public mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }

  public mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
