import CKernels
import CProducts
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// Products with panels against sums that are written as their definition reads, and every level against the plain one.
@Suite("Products with panels")
struct ProductTests {
  /// Those that this processor has.
  static let levels: [Int32] =
    [Int32(BERTCONV_PANELS_PLAIN.rawValue)]
    + (bertconv_processor_level() >= Int32(BERTCONV_AVX2.rawValue) ? [Int32(BERTCONV_PANELS_AVX2.rawValue)] : [])

  /// Rows, outputs and inputs: around tiles, panels, groups and blocks of inputs.
  static let shapes: [(m: Int, n: Int, k: Int)] = [
    (1, 1, 1), (2, 15, 3), (5, 16, 4), (6, 17, 5), (7, 33, 67), (16, 64, 383), (17, 31, 384), (13, 48, 385),
    (47, 20, 130), (49, 18, 131), (100, 65, 66), (6, 16, 1024), (11, 35, 1025), (3, 19, 1028), (4, 16, 2050),
  ]

  private static func random(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededRandom(seed)
    return (0..<count).map { _ in random.uniform() }
  }

  /// `body` with panels of `weights`, filled in two parts.
  private func withPanels<T: BitwiseCopyable>(
    _ type: bertconv_panel_type, _ level: Int32, _ weights: [T], n: Int, k: Int, _ body: (OpaquePointer) -> Void
  ) {
    guard let panels = unsafe bertconv_panels_create(Int32(type.rawValue), level, n, k) else {
      Issue.record("no memory")
      return
    }
    defer { unsafe bertconv_panels_free(panels) }
    let count = unsafe bertconv_panels_count(panels)
    #expect(count == (n + 15) / 16)
    unsafe weights.withUnsafeBytes { bytes in
      #expect(unsafe bertconv_panels_fill(panels, bytes.baseAddress, count / 2, count) == 0)
      #expect(unsafe bertconv_panels_fill(panels, bytes.baseAddress, 0, count / 2) == 0)
    }
    unsafe body(panels)
  }

  /// The blocks of a result: rows cut after 48 where there are more, panels after the first.
  private func blocks(_ m: Int, _ n: Int) -> [bertconv_block] {
    let panels = (n + 15) / 16
    let columns = panels > 1 ? [(0, 1), (1, panels)] : [(0, panels)]
    let rows = m > 48 ? [(48, m), (0, 48)] : [(0, m)]
    return rows.flatMap { rows in
      columns.map {
        bertconv_block(first_row: rows.0, last_row: rows.1, first_panel: $0.0, last_panel: $0.1)
      }
    }
  }

  /// Rows of the result lie apart; what lies between is not touched.
  private func multiply(
    _ panels: OpaquePointer, _ level: Int32, _ x: [Float], xStride: Int, _ shape: (m: Int, n: Int, k: Int), rounds: Bool
  ) -> [Float] {
    let (m, n, k) = shape
    var tiles = [Float](repeating: .nan, count: bertconv_tiles_size(m, k))
    let count = (m + 5) / 6
    for part in [(count / 2, count), (0, count / 2)] {
      unsafe bertconv_tiles_fill(level, x, xStride, m, k, rounds ? 1 : 0, &tiles, part.0, part.1)
    }
    var y = [Float](repeating: 7, count: m * (n + 3))
    for block in blocks(m, n) { unsafe bertconv_panels_multiply(panels, tiles, m, block, &y, n + 3) }
    let isUntouched = (0..<m).allSatisfy { row in y[(row * (n + 3) + n)..<((row + 1) * (n + 3))].allSatisfy { $0 == 7 }
    }
    #expect(isUntouched)
    return (0..<m).flatMap { Array(y[($0 * (n + 3))..<($0 * (n + 3) + n)]) }
  }

  @Test(arguments: shapes.indices, levels) func floats(index: Int, level: Int32) {
    let (m, n, k) = Self.shapes[index]
    let xStride = k + 2
    let x = Self.random(m * xStride, seed: 1)
    let w = Self.random(n * k, seed: 2)
    unsafe withPanels(BERTCONV_PANELS_F32, level, w, n: n, k: k) { panels in
      let y = unsafe multiply(panels, level, x, xStride: xStride, (m, n, k), rounds: false)
      for row in 0..<m {
        for column in 0..<n {
          let (sum, size) = Self.sum(k) { (x[row * xStride + $0], w[column * k + $0]) }
          let isNear = (Double(y[row * n + column]) - sum).magnitude <= 4e-7 * size
          #expect(isNear, "row \(row), column \(column)")
        }
      }
    }
  }

  /// Activations are rounded to bfloat16; sums are those of f32.
  @Test(arguments: shapes.indices, levels) func halves(index: Int, level: Int32) {
    let (m, n, k) = Self.shapes[index]
    let x = Self.random(m * k, seed: 3)
    var w = [UInt16](repeating: 0, count: n * k)
    unsafe bertconv_to_bf16(Self.random(n * k, seed: 4), k, &w, n, k)
    var rounded = [UInt16](repeating: 0, count: m * k)
    unsafe bertconv_to_bf16(x, k, &rounded, m, k)
    func float(_ half: UInt16) -> Float { Float(bitPattern: UInt32(half) << 16) }
    unsafe withPanels(BERTCONV_PANELS_BF16, level, w, n: n, k: k) { panels in
      let y = unsafe multiply(panels, level, x, xStride: k, (m, n, k), rounds: true)
      for row in 0..<m {
        for column in 0..<n {
          let (sum, size) = Self.sum(k) { (float(rounded[row * k + $0]), float(w[column * k + $0])) }
          let isNear = (Double(y[row * n + column]) - sum).magnitude <= 4e-7 * size
          #expect(isNear, "row \(row), column \(column)")
        }
      }
    }
  }

  /// The sum in double precision, and that of the magnitudes.
  private static func sum(_ count: Int, _ factors: (Int) -> (Float, Float)) -> (sum: Double, size: Double) {
    var result = (0.0, 1.0)
    for index in 0..<count {
      let (a, b) = factors(index)
      result.0 += Double(a) * Double(b)
      result.1 += (Double(a) * Double(b)).magnitude
    }
    return result
  }

  /// What weights of 8 bits are: of any size, as those of a normal distribution are, or such that two neighbors always exceed
  /// what their sum in 16 bits holds.
  enum Bytes: CaseIterable {
    case uniform, normal, largest, smallest, alternating

    func weights(_ count: Int) -> [Int8] {
      var random = SeededRandom(11)
      return (0..<count).map { index in
        switch self {
        case .uniform: Int8(clamping: random.below(256) - 128)
        case .normal: Int8(clamping: Int(((0..<12).reduce(-6) { sum, _ in sum + (random.uniform() + 1) / 2 }) * 40))
        case .largest: 127
        case .smallest: -128
        case .alternating: index % 3 == 0 ? -127 : 127
        }
      }
    }
  }

  /// Bit by bit, for all bytes of activations up to 255.
  @Test(arguments: shapes.indices, Bytes.allCases) func sumsOfBytesAreExact(index: Int, bytes: Bytes) {
    let (m, n, k) = Self.shapes[index]
    let w = bytes.weights(n * k)
    let rowBytes = bertconv_row_bytes(k)
    #expect(rowBytes >= k && rowBytes < k + 4 && rowBytes % 4 == 0)
    var random = SeededRandom(12)
    // What is in the padding does not matter.
    let x = (0..<m * rowBytes).map { _ in bytes == .uniform || bytes == .normal ? UInt8(random.below(256)) : 255 }
    let expected = (0..<m * n).map { index in
      let (row, column) = index.quotientAndRemainder(dividingBy: n)
      return Int32((0..<k).reduce(0) { $0 + Int(x[row * rowBytes + $1]) * Int(w[column * k + $1]) })
    }
    for level in Self.levels {
      unsafe withPanels(BERTCONV_PANELS_INT8, level, w, n: n, k: k) { panels in
        var columns = [UInt16](repeating: 0xFFFF, count: bertconv_columns_size(m, k))
        let groups = (m + 15) / 16
        for part in [(groups / 2, groups), (0, groups / 2)] {
          unsafe bertconv_columns_fill(panels, x, m, &columns, part.0, part.1)
        }
        let isNeeded = unsafe bertconv_panels_need_columns(panels) != 0
        #expect(isNeeded == (level == Int32(BERTCONV_PANELS_AVX2.rawValue)))
        var y = [Int32](repeating: 7, count: m * (n + 3))
        for block in blocks(m, n) {
          if isNeeded {
            unsafe bertconv_panels_multiply_bytes(panels, x, columns, block, &y, n + 3)
          } else {
            unsafe bertconv_panels_multiply_bytes(panels, x, nil, block, &y, n + 3)
          }
        }
        let sums = (0..<m).flatMap { Array(y[($0 * (n + 3))..<($0 * (n + 3) + n)]) }
        #expect(sums == expected, "level \(level)")
        let isUntouched = (0..<m).allSatisfy { row in
          y[(row * (n + 3) + n)..<((row + 1) * (n + 3))].allSatisfy { $0 == 7 }
        }
        #expect(isUntouched)
      }
    }
  }

  @Test(arguments: levels) func whatIsNoNumberStaysOne(level: Int32) {
    for type in [BERTCONV_PANELS_F32, BERTCONV_PANELS_BF16] {
      let isHalf = type == BERTCONV_PANELS_BF16
      var x = Self.random(7 * 20, seed: 5)
      x[3 * 20 + 19] = Float(bitPattern: 0x7F80_0001)
      x[5 * 20] = .infinity
      let body: (OpaquePointer) -> Void = { panels in
        let y = unsafe multiply(panels, level, x, xStride: 20, (7, 18, 20), rounds: isHalf)
        for row in 0..<7 {
          let values = y[(row * 18)..<((row + 1) * 18)]
          #expect(values.allSatisfy { row == 3 ? $0.isNaN : row == 5 ? $0 == .infinity : $0.isFinite }, "row \(row)")
        }
      }
      if isHalf {
        unsafe withPanels(type, level, [UInt16](repeating: 0x3F80, count: 18 * 20), n: 18, k: 20, body)
      } else {
        unsafe withPanels(type, level, [Float](repeating: 1, count: 18 * 20), n: 18, k: 20, body)
      }
    }
  }
}
