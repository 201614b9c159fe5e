import CKernels
import CProducts
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// Products with panels against sums that are written as their definition reads, and every level against the plain one.
@Suite("Products with panels")
struct ProductTests {
  private static let allLevels = [
    BERTCONV_PANELS_PLAIN, BERTCONV_PANELS_AVX2, BERTCONV_PANELS_AVX2_VNNI, BERTCONV_PANELS_AVX512,
    BERTCONV_PANELS_AVX512_DOT,
  ].map { Int32($0.rawValue) }

  /// Those that this processor has for a type.
  private static func levels(_ type: bertconv_panel_type) -> [Int32] {
    allLevels.filter { bertconv_panels_has(Int32(type.rawValue), $0) != 0 }
  }

  /// Rows, outputs and inputs: around tiles, panels, groups and blocks of inputs.
  static let shapes: [(m: Int, n: Int, k: Int)] = [
    (1, 1, 1), (2, 15, 3), (5, 16, 4), (6, 17, 5), (7, 33, 67), (16, 64, 383), (17, 31, 384), (13, 48, 385),
    (47, 20, 130), (49, 18, 131), (100, 65, 66), (6, 16, 1024), (11, 35, 1025), (3, 19, 1028), (4, 16, 2050),
    (12, 32, 512), (23, 97, 769), (25, 48, 1537),
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

  /// The blocks of a result: rows cut after 16 or 48 where there are more, panels after the first.
  private func blocks(_ m: Int, _ n: Int) -> [bertconv_block] {
    let panels = (n + 15) / 16
    let columns = panels > 1 ? [(0, 1), (1, panels)] : [(0, panels)]
    let rows = m > 48 ? [(48, m), (0, 48)] : m > 16 ? [(0, 16), (16, m)] : [(0, m)]
    return rows.flatMap { rows in
      columns.map {
        bertconv_block(first_row: rows.0, last_row: rows.1, first_panel: $0.0, last_panel: $0.1)
      }
    }
  }

  /// The bytes of rows of activations, as products with these panels take them, of `x`, [m, k].
  private func rows(_ panels: OpaquePointer, _ x: [Float], _ m: Int, _ k: Int) -> [UInt8] {
    let rowBytes = unsafe bertconv_panels_row_bytes(panels)
    var rows = [UInt8](repeating: 0, count: m * rowBytes)
    unsafe rows.withUnsafeMutableBytes { rows in
      guard let start = rows.baseAddress else { return }
      switch unsafe UInt32(bertconv_panels_input(panels)) {
      case BERTCONV_INPUT_FLOATS.rawValue:
        unsafe x.withUnsafeBytes { x in
          for row in 0..<m {
            unsafe UnsafeMutableRawBufferPointer(rebasing: rows[(row * rowBytes)..<(row * rowBytes + 4 * k)])
              .copyBytes(from: x[(4 * row * k)..<(4 * (row + 1) * k)])
          }
        }
      case BERTCONV_INPUT_ROUNDED.rawValue:
        unsafe bertconv_round_to_bf16(x, k, start.assumingMemoryBound(to: Float.self), rowBytes / 4, m, k)
      default:
        unsafe bertconv_narrow(x, k, nil, 0, start.assumingMemoryBound(to: UInt16.self), rowBytes / 2, m, k)
      }
    }
    return rows
  }

  /// The result block by block, in rows that lie apart; what lies between is not touched.
  private func multiply<T: BitwiseCopyable & Equatable>(
    _ panels: OpaquePointer, _ x: [UInt8], columns: [UInt16]?, _ shape: (m: Int, n: Int, k: Int), filler: T
  ) -> [T] {
    let (m, n, _) = shape
    let rowBytes = unsafe bertconv_panels_row_bytes(panels)
    let stride = n + 3
    var y = [T](repeating: filler, count: m * stride)
    unsafe y.withUnsafeMutableBytes { y in
      guard let start = y.baseAddress else { return }
      for block in blocks(m, n) {
        let target = unsafe start + 4 * (block.first_row * stride + 16 * block.first_panel)
        if let columns {
          unsafe bertconv_panels_multiply(panels, x, rowBytes, columns, block, target, stride)
        } else {
          unsafe bertconv_panels_multiply(panels, x, rowBytes, nil, block, target, stride)
        }
      }
    }
    let isUntouched = (0..<m).allSatisfy { y[($0 * stride + n)..<(($0 + 1) * stride)].allSatisfy { $0 == filler } }
    #expect(isUntouched)
    return (0..<m).flatMap { Array(y[($0 * stride)..<($0 * stride + n)]) }
  }

  @Test(arguments: shapes.indices) func floats(index: Int) {
    let (m, n, k) = Self.shapes[index]
    let x = Self.random(m * k, seed: 1)
    let w = Self.random(n * k, seed: 2)
    for level in Self.levels(BERTCONV_PANELS_F32) {
      unsafe withPanels(BERTCONV_PANELS_F32, level, w, n: n, k: k) { panels in
        #expect(unsafe UInt32(bertconv_panels_input(panels)) == BERTCONV_INPUT_FLOATS.rawValue)
        let rows = unsafe rows(panels, x, m, k)
        let y: [Float] = unsafe multiply(panels, rows, columns: nil, (m, n, k), filler: 7)
        for row in 0..<m {
          for column in 0..<n {
            let (sum, size) = Self.sum(k) { (x[row * k + $0], w[column * k + $0]) }
            let isNear = (Double(y[row * n + column]) - sum).magnitude <= 4e-7 * size
            #expect(isNear, "level \(level), row \(row), column \(column)")
          }
        }
      }
    }
  }

  /// Activations are rounded to bfloat16; sums are those of f32.
  @Test(arguments: shapes.indices) func halves(index: Int) {
    let (m, n, k) = Self.shapes[index]
    let x = Self.random(m * k, seed: 3)
    var w = [UInt16](repeating: 0, count: n * k)
    unsafe bertconv_to_bf16(Self.random(n * k, seed: 4), k, &w, n, k)
    var rounded = [UInt16](repeating: 0, count: m * k)
    unsafe bertconv_to_bf16(x, k, &rounded, m, k)
    func float(_ half: UInt16) -> Float { Float(bitPattern: UInt32(half) << 16) }
    for level in Self.levels(BERTCONV_PANELS_BF16) {
      unsafe withPanels(BERTCONV_PANELS_BF16, level, w, n: n, k: k) { panels in
        let rows = unsafe rows(panels, x, m, k)
        let y: [Float] = unsafe multiply(panels, rows, columns: nil, (m, n, k), filler: 7)
        for row in 0..<m {
          for column in 0..<n {
            let (sum, size) = Self.sum(k) { (float(rounded[row * k + $0]), float(w[column * k + $0])) }
            let isNear = (Double(y[row * n + column]) - sum).magnitude <= 4e-7 * size
            #expect(isNear, "level \(level), row \(row), column \(column)")
          }
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
    var random = SeededRandom(12)
    let isAnySize = bytes == .uniform || bytes == .normal
    let x = (0..<m * k).map { _ in isAnySize ? UInt8(random.below(256)) : 255 }
    let expected = (0..<m * n).map { index in
      let (row, column) = index.quotientAndRemainder(dividingBy: n)
      return Int32((0..<k).reduce(0) { $0 + Int(x[row * k + $1]) * Int(w[column * k + $1]) })
    }
    for level in Self.levels(BERTCONV_PANELS_INT8) {
      unsafe withPanels(BERTCONV_PANELS_INT8, level, w, n: n, k: k) { panels in
        let rowBytes = unsafe bertconv_panels_row_bytes(panels)
        #expect(rowBytes >= k && rowBytes % 4 == 0)
        // What is in the padding does not matter.
        let rows = (0..<m * rowBytes).map { $0 % rowBytes < k ? x[$0 / rowBytes * k + $0 % rowBytes] : 201 }
        var columns = [UInt16](repeating: 0xFFFF, count: bertconv_columns_size(m, k))
        let groups = (m + 15) / 16
        for part in [(groups / 2, groups), (0, groups / 2)] {
          unsafe bertconv_columns_fill(panels, rows, m, &columns, part.0, part.1)
        }
        let isNeeded = unsafe bertconv_panels_need_columns(panels) != 0
        #expect(isNeeded == (level == Int32(BERTCONV_PANELS_AVX2.rawValue)))
        let sums: [Int32] = unsafe multiply(panels, rows, columns: isNeeded ? columns : nil, (m, n, k), filler: 7)
        #expect(sums == expected, "level \(level)")
      }
    }
  }

  /// Rows at distances that spread over the sets of a cache, whatever the width.
  @Test(arguments: [1, 4, 500, 512, 1024, 2048, 3072, 4096]) func rowsDoNotCollide(k: Int) {
    for type in [BERTCONV_PANELS_F32, BERTCONV_PANELS_BF16, BERTCONV_PANELS_INT8] {
      for level in Self.levels(type) {
        guard let panels = unsafe bertconv_panels_create(Int32(type.rawValue), level, 1, k) else { continue }
        defer { unsafe bertconv_panels_free(panels) }
        let (read, distance) = unsafe (bertconv_panels_input_bytes(panels), bertconv_panels_row_bytes(panels))
        #expect(distance >= read && distance <= read + 64 && distance % 4 == 0)
        #expect(bertconv_rows_collide(distance) == 0)
      }
    }
  }

  /// Whatever the limit, what is chosen is there, and no more than what is allowed.
  @Test(arguments: 0...3) func bestLevelIsThere(limit: Int32) {
    for type in [BERTCONV_PANELS_F32, BERTCONV_PANELS_BF16, BERTCONV_PANELS_INT8] {
      let best = bertconv_panels_best(Int32(type.rawValue), limit)
      #expect(bertconv_panels_has(Int32(type.rawValue), best) != 0)
      #expect(best <= limit || limit == 3)
      #expect(limit > 0 || best == 0)
    }
  }

  @Test func whatIsNoNumberStaysOne() {
    for type in [BERTCONV_PANELS_F32, BERTCONV_PANELS_BF16] {
      var x = Self.random(7 * 20, seed: 5)
      x[3 * 20 + 19] = Float(bitPattern: 0x7F80_0001)
      x[5 * 20] = .infinity
      let body: (OpaquePointer) -> Void = { panels in
        let rows = unsafe rows(panels, x, 7, 20)
        let y: [Float] = unsafe multiply(panels, rows, columns: nil, (7, 18, 20), filler: 7)
        for row in 0..<7 {
          let values = y[(row * 18)..<((row + 1) * 18)]
          #expect(values.allSatisfy { row == 3 ? $0.isNaN : row == 5 ? $0 == .infinity : $0.isFinite }, "row \(row)")
        }
      }
      for level in Self.levels(type) {
        if type == BERTCONV_PANELS_BF16 {
          unsafe withPanels(type, level, [UInt16](repeating: 0x3F80, count: 18 * 20), n: 18, k: 20, body)
        } else {
          unsafe withPanels(type, level, [Float](repeating: 1, count: 18 * 20), n: 18, k: 20, body)
        }
      }
    }
  }
}
