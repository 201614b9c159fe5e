import TestSupport

extension SeededRandom {
  /// A number whose size in bits is as random as its value, so that each length of an encoding occurs.
  mutating func anySize() -> UInt64 { next() >> UInt64.random(in: 0..<64, using: &self) }

  mutating func bytes(upTo count: Int) -> [UInt8] {
    (0..<Int.random(in: 0...count, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
