import TensorIO

/// Bob Jenkins' lookup3 (hashlittle, 2006) with an initial value of 0, by which HDF5 checks its own blocks.
enum Lookup3 {
  static func hash(_ span: RawSpan) -> UInt32 {
    var length = span.byteCount
    var (a, b, c) = (0xDEAD_BEEF &+ UInt32(truncatingIfNeeded: length), UInt32(0), UInt32(0))
    b = a
    c = a
    var offset = 0
    while length > 12 {
      a &+= span.littleEndian(UInt32.self, at: offset)
      b &+= span.littleEndian(UInt32.self, at: offset + 4)
      c &+= span.littleEndian(UInt32.self, at: offset + 8)
      mix(&a, &b, &c)
      offset += 12
      length -= 12
    }
    guard length > 0 else { return c }
    for index in 0..<length {
      let value = UInt32(span.byte(at: offset + index)) << UInt32(8 * (index % 4))
      switch index / 4 {
      case 0: a &+= value
      case 1: b &+= value
      default: c &+= value
      }
    }
    func step(_ x: inout UInt32, _ y: UInt32, _ bits: UInt32) {
      x ^= y
      x &-= rotate(y, bits)
    }
    step(&c, b, 14)
    step(&a, c, 11)
    step(&b, a, 25)
    step(&c, b, 16)
    step(&a, c, 4)
    step(&b, a, 14)
    step(&c, b, 24)
    return c
  }

  private static func rotate(_ x: UInt32, _ bits: UInt32) -> UInt32 { x << bits | x >> (32 - bits) }

  private static func mix(_ a: inout UInt32, _ b: inout UInt32, _ c: inout UInt32) {
    func step(_ x: inout UInt32, _ y: inout UInt32, _ z: UInt32, _ bits: UInt32) {
      x &-= y
      x ^= rotate(y, bits)
      y &+= z
    }
    step(&a, &c, b, 4)
    step(&b, &a, c, 6)
    step(&c, &b, a, 8)
    step(&a, &c, b, 16)
    step(&b, &a, c, 19)
    step(&c, &b, a, 4)
  }
}
