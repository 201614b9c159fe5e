import TensorIO

/// How far the values of B are from those of A, as sums that add up over tensors.
///
/// A value that is not finite on one side and another one on the other side is infinitely far away; two NaN, or two equal
/// infinities, are not apart.
public struct ValueDistance: Sendable, Equatable {
  /// The number of values that were compared.
  public internal(set) var count = 0
  /// How many of them are not the same.
  public internal(set) var differing = 0
  /// The largest absolute difference.
  public internal(set) var maximum = 0.0
  /// Of (b - a)².
  private(set) var sumOfDifferences = 0.0
  /// Of a², b² and a · b.
  private(set) var sumOfA = 0.0
  private(set) var sumOfB = 0.0
  private(set) var sumOfProducts = 0.0

  /// The root of the mean square of b - a.
  public var rms: Double { count == 0 ? 0 : (sumOfDifferences / Double(count)).squareRoot() }

  /// ‖b - a‖ / ‖a‖ in the Euclidean norm; `nil` where all of A is zero, or some of it not finite.
  public var relativeChange: Double? {
    guard sumOfA > 0, sumOfA.isFinite else { return nil }
    return sumOfDifferences.squareRoot() / sumOfA.squareRoot()
  }

  /// The cosine of the angle between a and b as vectors; `nil` where one is zero or not finite.
  public var cosine: Double? {
    guard sumOfA > 0, sumOfB > 0, sumOfA.isFinite, sumOfB.isFinite else { return nil }
    return min(1, max(-1, sumOfProducts / (sumOfA.squareRoot() * sumOfB.squareRoot())))
  }

  /// Whether all of A is zero, so that no change is a share of it.
  public var isFromZero: Bool { sumOfA == 0 }

  static func += (sum: inout ValueDistance, other: ValueDistance) {
    sum.count += other.count
    sum.differing += other.differing
    sum.maximum = max(sum.maximum, other.maximum)
    sum.sumOfDifferences += other.sumOfDifferences
    sum.sumOfA += other.sumOfA
    sum.sumOfB += other.sumOfB
    sum.sumOfProducts += other.sumOfProducts
  }

  /// The same values of A with nothing changed.
  var withoutChange: ValueDistance {
    var same = ValueDistance()
    same.addEqual(count, squares: sumOfA)
    return same
  }

  /// Adds `count` values that are the same on both sides.
  mutating func addEqual(_ count: Int, squares: Double) {
    self.count += count
    sumOfA += squares
    sumOfB += squares
    sumOfProducts += squares
  }

  /// Adds one pair, whatever it is.
  fileprivate mutating func add(_ x: Double, _ y: Double) {
    sumOfA += x * x
    sumOfB += y * y
    sumOfProducts += x * y
    if x == y || x.isNaN && y.isNaN { return }
    let difference = (y - x).magnitude
    let distance = difference.isNaN ? .infinity : difference
    maximum = max(maximum, distance)
    sumOfDifferences += distance * distance
  }

  /// Adds one pair of whole numbers, whose difference is exact.
  fileprivate mutating func add(_ x: Double, _ y: Double, distance: Double) {
    sumOfA += x * x
    sumOfB += y * y
    sumOfProducts += x * y
    maximum = max(maximum, distance)
    sumOfDifferences += distance * distance
  }

  /// Adds pairs in the order of their values.
  fileprivate mutating func add(_ a: borrowing ElementBlock, _ b: borrowing ElementBlock) {
    let (x, y, count) = (a.values.span, b.values.span, a.count)
    var differences = SIMD4<Double>.zero
    var (squaresA, squaresB) = (SIMD4<Double>.zero, SIMD4<Double>.zero)
    var products = SIMD4<Double>.zero
    var largest = SIMD4<Double>.zero
    for index in stride(from: 0, to: count, by: 4) {
      let u = SIMD4(x[index], x[index + 1], x[index + 2], x[index + 3])
      let v = SIMD4(y[index], y[index + 1], y[index + 2], y[index + 3])
      let difference = v - u
      differences += difference * difference
      squaresA += u * u
      squaresB += v * v
      products += u * v
      largest.replace(with: difference, where: difference .> largest)
      largest.replace(with: -difference, where: -difference .> largest)
    }
    let sums = (differences.sum(), squaresA.sum(), squaresB.sum())
    guard (sums.0 + sums.1 + sums.2).isFinite else {
      // The sums show only that something is not finite: the elements are added one by one.
      for index in 0..<count { add(x[index], y[index]) }
      return
    }
    maximum = max(maximum, largest.max())
    sumOfDifferences += sums.0
    sumOfA += sums.1
    sumOfB += sums.2
    sumOfProducts += products.sum()
  }
}

/// Compares values of any two numeric types.
struct ValueTally {
  private let sizes: (Int, Int)
  private let isOneType: Bool
  private let areNumbers: Bool
  /// For whole numbers that a Double cannot hold; `nil` for all others.
  private let wholeDecoders: (a: (RawSpan, Int) -> WholeNumber, b: (RawSpan, Int) -> WholeNumber)?
  private var a: ElementBlock
  private var b: ElementBlock
  private var position = 0
  private var isShort = false
  /// Of tensors that are equal to the end nothing is counted: norms take several times as long as a comparison.
  private var sums = ValueDistance()

  init(_ a: ElementType, _ b: ElementType) {
    sizes = (a.size ?? 1, b.size ?? 1)
    isOneType = a == b
    self.a = ElementBlock(a)
    self.b = ElementBlock(b)
    // Whole numbers compared with floats are most likely scaled: their difference means nothing.
    areNumbers = a.isFloatingPoint == b.isFloatingPoint && self.a.areNumbers && self.b.areNumbers
    if sizes.0 == 8 || sizes.1 == 8, let decodeA = a.wholeDecoder, let decodeB = b.wholeDecoder {
      wholeDecoders = (decodeA, decodeB)
    } else {
      wholeDecoders = nil
    }
  }

  var differing: Int { sums.differing }
  /// `nil` where the values are not numbers.
  var distance: ValueDistance? { areNumbers ? sums : nil }
  var maximum: Double? { distance?.maximum }

  func isWhole(_ count: Int) -> Bool { !isShort && position == count }

  /// `chunk` is the next of one tensor, `whole` all of the other.
  mutating func add(_ chunk: RawSpan, _ whole: RawSpan) {
    let count = chunk.byteCount / sizes.0
    defer { position += count }
    guard (position + count) * sizes.1 <= whole.byteCount else {
      isShort = true
      return
    }
    let other = whole.extracting((position * sizes.1)..<((position + count) * sizes.1))
    if isOneType {
      if chunk.elementsEqual(other) {
        if sums.differing > 0 { addEqual(other) }
        return
      }
      // What came before was equal and is not counted yet: all of it is there on the other side.
      if sums.differing == 0 { addEqual(whole.extracting(0..<(position * sizes.1))) }
      sums.differing += differingElements(chunk, other, size: sizes.0)
    }
    sums.count += count
    guard areNumbers else {
      if !isOneType { sums.differing += count }
      return
    }
    for start in stride(from: 0, to: count, by: ElementBlock.size) {
      let range = start..<min(count, start + ElementBlock.size)
      a.read(chunk, range)
      b.read(other, range)
      if let wholeDecoders {
        for index in range {
          let (x, y) = (wholeDecoders.a(chunk, index * sizes.0), wholeDecoders.b(other, index * sizes.1))
          sums.add(a.values[index - start], b.values[index - start], distance: x.distance(to: y))
          if !isOneType, x != y { sums.differing += 1 }
        }
      } else {
        sums.add(a, b)
        if !isOneType { sums.differing += differingValues }
      }
    }
  }

  /// Of different types not the bits are compared but the numbers, and a NaN is like any other.
  private var differingValues: Int {
    let (x, y) = (a.values.span, b.values.span)
    var result = 0
    for index in 0..<a.count where x[index] != y[index] && !(x[index].isNaN && y[index].isNaN) { result += 1 }
    return result
  }

  /// Counts values that are the same on both sides.
  private mutating func addEqual(_ bytes: RawSpan) {
    sums.addEqual(bytes.byteCount / sizes.1, squares: areNumbers ? b.sumOfSquares(bytes) : 0)
  }
}

extension ValueDistance {
  /// Of a tensor that is the same on both sides, whose chunks `stream` gives.
  static func ofEqual(_ type: ElementType, _ stream: ((RawSpan) -> Void) throws -> Void) rethrows -> ValueDistance {
    var sums = ValueDistance()
    var block = ElementBlock(type)
    try stream { chunk in
      sums.addEqual(chunk.byteCount / (type.size ?? 1), squares: block.areNumbers ? block.sumOfSquares(chunk) : 0)
    }
    return sums
  }
}

/// The number of elements of which not every bit is the same.
private func differingElements(_ a: RawSpan, _ b: RawSpan, size: Int) -> Int {
  @inline(__always)
  func count<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) -> Int {
    var result = 0
    for index in 0..<(a.byteCount / size)
    where a.littleEndian(T.self, at: index * size) != b.littleEndian(T.self, at: index * size) { result += 1 }
    return result
  }
  switch size {
  case 1: return count(UInt8.self)
  case 2: return count(UInt16.self)
  case 4: return count(UInt32.self)
  case 8: return count(UInt64.self)
  default:
    return (0..<(a.byteCount / size)).count { index in
      let range = (index * size)..<((index + 1) * size)
      return !a.extracting(range).elementsEqual(b.extracting(range))
    }
  }
}

/// A few elements as numbers in double precision.
private struct ElementBlock {
  /// Small enough for both sides to stay in the nearest cache.
  static let size = 1024

  private let type: ElementType
  private let elementSize: Int
  private let decode: ((RawSpan, Int) -> Double)?
  private(set) var values = [Double](repeating: 0, count: size)
  /// How many of the values are elements; those behind are zero up to a multiple of four.
  private(set) var count = 0

  init(_ type: ElementType) {
    self.type = type
    elementSize = type.size ?? 1
    decode = type.numberDecoder
  }

  var areNumbers: Bool { decode != nil }

  mutating func read(_ bytes: RawSpan, _ range: Range<Int>) {
    switch type {
    case .f32: fill(range) { Double(Float(bitPattern: bytes.littleEndian(UInt32.self, at: $0 * 4))) }
    case .f16: fill(range) { Double(Float(halfBits: bytes.littleEndian(UInt16.self, at: $0 * 2))) }
    case .bf16:
      fill(range) { Double(Float(bfloat16Bits: bytes.littleEndian(UInt16.self, at: $0 * 2))) }
    default:
      guard let decode else { return }
      let size = elementSize
      fill(range) { decode(bytes, $0 * size) }
    }
  }

  @inline(__always)
  private mutating func fill(_ range: Range<Int>, _ value: (Int) -> Double) {
    count = range.count
    var values = values.mutableSpan
    for index in 0..<range.count { values[index] = value(range.lowerBound + index) }
    for index in range.count..<((range.count + 3) & ~3) { values[index] = 0 }
  }

  mutating func sumOfSquares(_ bytes: RawSpan) -> Double {
    let all = bytes.byteCount / elementSize
    var total = 0.0
    for start in stride(from: 0, to: all, by: Self.size) {
      read(bytes, start..<min(all, start + Self.size))
      let x = values.span
      var squares = SIMD4<Double>.zero
      for index in stride(from: 0, to: count, by: 4) {
        let u = SIMD4(x[index], x[index + 1], x[index + 2], x[index + 3])
        squares += u * u
      }
      total += squares.sum()
    }
    return total
  }
}
