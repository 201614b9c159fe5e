import CKernels
import CheckpointFormats
import TestSupport
import Testing

/// Rows, columns and stride: around the width of vector registers, empty, single, long.
private let sizes: [(rows: Int, columns: Int, stride: Int)] = [
  (0, 4, 4), (1, 1, 1), (1, 2, 5), (3, 7, 7), (2, 8, 9), (5, 15, 16), (4, 16, 16), (3, 17, 20), (2, 31, 31),
  (2, 33, 40),
  (7, 64, 64), (3, 100, 100), (2, 768, 768), (1, 3072, 3080),
]

/// The kernels of one form: bias, then a function.
private enum BiasKernel: CaseIterable {
  case bias, gelu, geluTanh, relu, tanh

  func apply(_ x: inout [Float], _ bias: [Float], _ rows: Int, _ columns: Int, _ stride: Int) {
    switch self {
    case .bias: unsafe bertconv_bias(&x, bias, rows, columns, stride)
    case .gelu: unsafe bertconv_bias_gelu(&x, bias, rows, columns, stride)
    case .geluTanh: unsafe bertconv_bias_gelu_tanh(&x, bias, rows, columns, stride)
    case .relu: unsafe bertconv_bias_relu(&x, bias, rows, columns, stride)
    case .tanh: unsafe bertconv_bias_tanh(&x, bias, rows, columns, stride)
    }
  }

  func applyPlain(_ x: inout [Float], _ bias: [Float], _ rows: Int, _ columns: Int, _ stride: Int) {
    switch self {
    case .bias: unsafe bertconv_bias_plain(&x, bias, rows, columns, stride)
    case .gelu: unsafe bertconv_bias_gelu_plain(&x, bias, rows, columns, stride)
    case .geluTanh: unsafe bertconv_bias_gelu_tanh_plain(&x, bias, rows, columns, stride)
    case .relu: unsafe bertconv_bias_relu_plain(&x, bias, rows, columns, stride)
    case .tanh: unsafe bertconv_bias_tanh_plain(&x, bias, rows, columns, stride)
    }
  }
}

/// Once at each level that this processor has: kernels of all of them are compared with the plain ones. The level is one of the thread,
/// and a test without a suspension stays on its thread.
private func atEachLevel(_ body: () throws -> Void) rethrows {
  for level in Int32(BERTCONV_PLAIN.rawValue)...bertconv_processor_level() {
    bertconv_use_level(level)
    defer { bertconv_use_level(-1) }
    try body()
  }
}

private func random(_ count: Int, _ scale: Float, seed: UInt64) -> [Float] {
  var random = SeededRandom(seed)
  return (0..<max(count, 1)).map { _ in random.uniform() * scale }
}

/// Large for numbers that differ by more than `tolerance` of their size, or of 1 when they are smaller.
private func agree(_ a: [Float], _ b: [Float], _ tolerance: Float) -> Bool {
  zip(a, b).allSatisfy { x, y in
    x == y || (x.isNaN && y.isNaN) || (x - y).magnitude <= tolerance * max(1, y.magnitude)
  }
}

@Suite("Kernels against their plain versions")
struct KernelTests {
  /// The squares of such numbers do not fit a float; their normalized form does.
  @Test(arguments: [1e18, 1e20, 1e30, 1e38] as [Float], [1, 7, 64, 100, 768])
  func normsOfLargeNumbers(scale: Float, columns: Int) {
    atEachLevel {
      let x = random(2 * columns, scale, seed: 7)
      let gamma = random(columns, 1, seed: 8)
      let beta = random(columns, 1, seed: 9)
      let zeros = [Float](repeating: 0, count: 2 * columns)
      for epsilon: Float in [1e-12, 1e-6] {
        var (a, b) = (x, x)
        unsafe bertconv_layer_norm(&a, gamma, beta, epsilon, 2, columns)
        unsafe bertconv_layer_norm_plain(&b, gamma, beta, epsilon, 2, columns)
        #expect(agree(a, b, 1e-5) && b.allSatisfy(\.isFinite))
        (a, b) = (x, x)
        unsafe bertconv_residual_layer_norm(&a, zeros, zeros, gamma, beta, epsilon, 2, columns)
        unsafe bertconv_layer_norm_plain(&b, gamma, beta, epsilon, 2, columns)
        #expect(agree(a, b, 1e-5))
        guard columns > 1 else { continue }
        (a, b) = (x, x)
        unsafe bertconv_deviation_norm(&a, gamma, beta, epsilon, 2, columns)
        unsafe bertconv_deviation_norm_plain(&b, gamma, beta, epsilon, 2, columns)
        #expect(agree(a, b, 1e-5) && b.allSatisfy(\.isFinite))
      }
    }
  }

  @Test(arguments: [Float.nan, .infinity])
  func normsOfNoNumbersAreNoNumbers(value: Float) {
    atEachLevel {
      var x = random(33, 1, seed: 3)
      x[20] = value
      let ones = [Float](repeating: 1, count: 33)
      unsafe bertconv_layer_norm(&x, ones, ones, 1e-12, 1, 33)
      #expect(x.count { $0.isNaN } == 33)
    }
  }

  @Test(arguments: sizes.indices)
  func biasAndActivation(index: Int) {
    let size = sizes[index]
    let x = random(size.rows * size.stride, 9, seed: UInt64(index))
    let bias = random(size.columns, 3, seed: 100)
    for kernel in BiasKernel.allCases {
      var a = x
      var b = x
      kernel.apply(&a, bias, size.rows, size.columns, size.stride)
      kernel.applyPlain(&b, bias, size.rows, size.columns, size.stride)
      #expect(agree(a, b, 2e-7), "\(kernel)")
      // What lies between the rows is not touched.
      for row in 0..<size.rows {
        let gap = (row * size.stride + size.columns)..<((row + 1) * size.stride)
        #expect(a[gap] == x[gap])
      }
    }
  }

  @Test func activationsAtTheEnds() {
    atEachLevel {
      let x: [Float] = [0, -0, 1e-30, -1e-30, 1e-3, -1e-3, 5, -5, 13.9, -13.9, 14.1, -14.1, 40, -40, 1e20, -1e20, .nan]
      let bias = x.map { _ in Float(0) }
      for kernel in BiasKernel.allCases where kernel != .relu {
        var a = x
        var b = x
        kernel.apply(&a, bias, 1, x.count, x.count)
        kernel.applyPlain(&b, bias, 1, x.count, x.count)
        #expect(agree(a, b, 2e-7), "\(kernel): \(a), plain \(b)")
      }
      var r = x
      unsafe bertconv_bias_relu(&r, bias, 1, x.count, x.count)
      #expect(r.last?.isNaN == true && r[5] == 0 && r[4] == 1e-3)
    }
  }

  @Test(arguments: sizes.indices)
  func layerNorm(index: Int) {
    atEachLevel {
      let (rows, columns, _) = sizes[index]
      let gamma = random(columns, 2, seed: 1)
      let beta = random(columns, 2, seed: 2)
      let bias = random(columns, 2, seed: 3)
      let residual = random(rows * columns, 4, seed: 4)
      for epsilon: Float in [1e-12, 1e-5, 0.25] {
        var a = random(rows * columns, 5, seed: UInt64(index)).map { $0 + 3 }
        // One number alone has no variance: epsilon decides, and the difference of roundings would be divided by it.
        if columns == 1, epsilon < 0.1 { continue }
        var b = a
        unsafe bertconv_layer_norm(&a, gamma, beta, epsilon, rows, columns)
        unsafe bertconv_layer_norm_plain(&b, gamma, beta, epsilon, rows, columns)
        #expect(agree(a, b, 2e-6))
        unsafe bertconv_residual_layer_norm(&a, bias, residual, gamma, beta, epsilon, rows, columns)
        unsafe bertconv_residual_layer_norm_plain(&b, bias, residual, gamma, beta, epsilon, rows, columns)
        #expect(agree(a, b, 4e-6))
      }
    }
  }

  @Test(arguments: sizes.indices)
  func deviationNorm(index: Int) {
    atEachLevel {
      let (rows, columns, _) = sizes[index]
      let gamma = random(columns, 2, seed: 1)
      let beta = random(columns, 2, seed: 2)
      for epsilon: Float in [1e-6, 0.25] {
        var a = random(rows * columns, 5, seed: UInt64(index)).map { $0 + 3 }
        var b = a
        unsafe bertconv_deviation_norm(&a, gamma, beta, epsilon, rows, columns)
        unsafe bertconv_deviation_norm_plain(&b, gamma, beta, epsilon, rows, columns)
        if columns == 1 {
          #expect(a.allSatisfy(\.isNaN) && b.allSatisfy(\.isNaN))
        } else {
          #expect(agree(a, b, 4e-6))
        }
      }
    }
  }

  @Test(arguments: sizes.indices)
  func lstm(index: Int) {
    atEachLevel {
      let (rows, columns, _) = sizes[index]
      let gates = random(rows * 4 * columns, 8, seed: UInt64(index))
      var cells = (0..<2).map { _ in random(rows * columns, 3, seed: 9) }
      var results = cells
      unsafe bertconv_lstm(gates, &cells[0], &results[0], rows, columns)
      unsafe bertconv_lstm_plain(gates, &cells[1], &results[1], rows, columns)
      #expect(agree(cells[0], cells[1], 1e-6))
      #expect(agree(results[0], results[1], 1e-6))
    }
  }

  @Test func lstmKeepsWhatIsNoNumber() {
    atEachLevel {
      for gate in 0..<4 {
        var gates = [Float](repeating: 0.5, count: 4)
        gates[gate] = .nan
        var cell: [Float] = [1]
        var hidden: [Float] = [0]
        unsafe bertconv_lstm(gates, &cell, &hidden, 1, 1)
        #expect(hidden[0].isNaN)
      }
    }
  }

  @Test(arguments: sizes.indices)
  func affine(index: Int) {
    atEachLevel {
      let (rows, columns, _) = sizes[index]
      let gamma = random(columns, 2, seed: 1)
      let beta = random(columns, 2, seed: 2)
      let bias = random(columns, 2, seed: 3)
      let residual = random(rows * columns, 4, seed: 4)
      var a = random(rows * columns, 5, seed: UInt64(index))
      var b = a
      unsafe bertconv_affine(&a, gamma, beta, rows, columns)
      unsafe bertconv_affine_plain(&b, gamma, beta, rows, columns)
      #expect(agree(a, b, 2e-6))
      unsafe bertconv_residual_affine(&a, bias, residual, gamma, beta, rows, columns)
      unsafe bertconv_residual_affine_plain(&b, bias, residual, gamma, beta, rows, columns)
      #expect(agree(a, b, 4e-6))
    }
  }

  @Test(arguments: sizes.indices)
  func softmax(index: Int) {
    atEachLevel {
      let size = sizes[index]
      for scale: Float in [0.01, 3, 200] {
        var a = random(size.rows * size.stride, scale, seed: UInt64(index))
        var b = a
        unsafe bertconv_softmax(&a, size.rows, size.columns, size.stride)
        unsafe bertconv_softmax_plain(&b, size.rows, size.columns, size.stride)
        #expect(agree(a, b, 5e-7))
        for row in 0..<size.rows {
          let sum = a[(row * size.stride)..<(row * size.stride + size.columns)].reduce(0, +)
          #expect((sum - 1).magnitude < 1e-5)
        }
      }
    }
  }

  @Test func notANumberStaysOne() {
    atEachLevel {
      for position in [0, 5, 20] {
        var x = [Float](repeating: 1, count: 21)
        x[position] = .nan
        var norm = x
        unsafe bertconv_softmax(&x, 1, 21, 21)
        #expect(x.allSatisfy { $0.isNaN })
        let ones = [Float](repeating: 1, count: 21)
        unsafe bertconv_layer_norm(&norm, ones, ones, 1e-12, 1, 21)
        #expect(norm.allSatisfy { $0.isNaN })
      }
    }
  }

  @Test func sums() {
    atEachLevel {
      for count in [0, 1, 3, 16, 33, 100] {
        var a = random(count, 3, seed: 1)
        var b = a
        let y = random(count, 3, seed: 2)
        unsafe bertconv_add(&a, y, count)
        unsafe bertconv_add_plain(&b, y, count)
        #expect(a == b)
      }
    }
  }
}

// MARK: What fast products need

@Suite("Kernels of the fast path against their plain versions")
struct FastKernelTests {
  /// Queries, keys and the size of a head: around tiles and vector registers.
  static let heads: [(queries: Int, keys: Int, size: Int)] = [
    (1, 1, 1), (1, 0, 4), (2, 1, 3), (3, 5, 7), (6, 16, 16), (7, 17, 20), (5, 31, 33), (13, 64, 64), (49, 48, 64),
    (50, 100, 24), (97, 96, 32), (11, 130, 129),
  ]

  /// What is added to scores by distance: nothing, or a table over adjacent columns or over columns with gaps.
  enum Bias: CaseIterable {
    case none, adjacent, gaps

    /// The table, the index of distance 0 in it, and the columns of that many rows.
    func table(rows: Int) -> (values: [Float], center: Int, columns: [Int32]?)? {
      let reach = 2 * rows + 3
      let values = random(2 * reach + 1, 3, seed: 77)
      switch self {
      case .none: return nil
      case .adjacent: return (values, reach, nil)
      // In any order: the query of a hidden first column comes last.
      case .gaps: return (values, reach, (0..<rows).map { Int32($0 == rows - 1 ? 0 : 2 * $0 + 3) })
      }
    }

    /// Calls `body` with the address of distance 0 and that of the columns.
    func withAddresses(rows: Int, _ body: (UnsafePointer<Float>?, UnsafePointer<Int32>?) -> Void) {
      guard let (values, center, columns) = table(rows: rows) else { return body(nil, nil) }
      unsafe values.withUnsafeBufferPointer { values in
        guard let start = values.baseAddress else { return }
        guard let columns else { return unsafe body(start + center, nil) }
        unsafe columns.withUnsafeBufferPointer { unsafe body(start + center, $0.baseAddress) }
      }
    }
  }

  @Test(arguments: heads.indices, [(Bias.none, Int32(0)), (.none, 1), (.adjacent, 0), (.adjacent, 1), (.gaps, 0)])
  func attention(index: Int, form: (bias: Bias, causal: Int32)) {
    atEachLevel {
      let causal = form.causal
      let (queries, keys, size) = Self.heads[index]
      let stride = 3 * size + 5
      let rows = max(queries, keys)
      let x = random(rows * stride + 3 * size, 2, seed: UInt64(index + 1))
      var workspace = [Float](repeating: .nan, count: bertconv_attention_workspace(keys, size))
      var a = [Float](repeating: 7, count: queries * (size + 3))
      var b = a
      unsafe x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        unsafe form.bias.withAddresses(rows: rows) { bias, columns in
          unsafe bertconv_attend(
            x, queries, x + size, x + 2 * size, keys, stride, size, 0.3, causal, bias, columns, &workspace, &a, size + 3
          )
          unsafe bertconv_attend_plain(
            x, queries, x + size, x + 2 * size, keys, stride, size, 0.3, causal, bias, columns, &b, size + 3)
        }
      }
      // Scores of fifty are rounded by 4e-6, and the exponential carries that on.
      let isNear = agree(a, b, 2e-5)
      #expect(isNear)
    }
  }

  @Test(
    .enabled(if: bertconv_has_bf16_attention() != 0), arguments: heads.indices,
    [
      (false, Int32(0), Bias.none), (true, 0, .none), (false, 1, .none), (true, 1, .none), (false, 0, .adjacent),
      (true, 1, .adjacent), (false, 0, .gaps), (true, 0, .gaps),
    ])
  func attentionInHalves(index: Int, form: (narrow: Bool, causal: Int32, bias: Bias)) {
    atEachLevel {
      let (narrow, causal, _) = form
      let (queries, keys, size) = Self.heads[index]
      let stride = 3 * size + 5
      // Numbers that bfloat16 holds, so that only the weights are rounded.
      let x = random(max(queries, keys) * stride + 3 * size, 2, seed: UInt64(index + 1)).map {
        Float(bitPattern: $0.bitPattern & 0xFFFF_0000)
      }
      var workspace = [Float](repeating: .nan, count: bertconv_attention_bf16_workspace(keys, size))
      var a = [Float](repeating: 7, count: queries * (size + 3))
      var b = a
      var halves = a.map { UInt16($0.bitPattern >> 16) }
      let words = x.map { UInt16($0.bitPattern >> 16) }
      unsafe words.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        unsafe form.bias.withAddresses(rows: max(queries, keys)) { bias, columns in
          if narrow {
            unsafe bertconv_attend_bf16(
              x, queries, x + size, x + 2 * size, keys, stride, size, 0.3, causal, bias, columns, &workspace, &halves,
              size + 3, 1)
          } else {
            unsafe bertconv_attend_bf16(
              x, queries, x + size, x + 2 * size, keys, stride, size, 0.3, causal, bias, columns, &workspace, &a,
              size + 3, 0)
          }
        }
      }
      if narrow { a = halves.map { Float(bitPattern: UInt32($0) << 16) } }
      unsafe x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        unsafe form.bias.withAddresses(rows: max(queries, keys)) { bias, columns in
          unsafe bertconv_attend_plain(
            x, queries, x + size, x + 2 * size, keys, stride, size, 0.3, causal, bias, columns, &b, size + 3)
        }
      }
      // Each weight is off by 2^-9 of itself at most, and values are below 2; a result in halves is rounded once more.
      let isNear = agree(a, b, narrow ? 2 * 0x1p-7 : 2 * 0x1p-8)
      #expect(isNear)
    }
  }

  @Test(arguments: [(1, 1), (3, 5), (17, 17), (40, 33)], [Bias.adjacent, .gaps])
  func biasByDistance(shape: (rows: Int, columns: Int), bias: Bias) throws {
    try atEachLevel {
      let (rows, columns) = shape
      let stride = columns + 2
      let before = random(rows * stride, 3, seed: 5)
      var x = before
      let count = max(rows, columns)
      unsafe bias.withAddresses(rows: count) {
        unsafe bertconv_add_distance_bias(&x, $0, $1, rows, columns, stride)
      }
      let table = try #require(bias.table(rows: count))
      for row in 0..<rows {
        for column in 0..<stride {
          let index = row * stride + column
          func position(_ index: Int) -> Int { table.columns.map { Int($0[index]) } ?? index }
          let added = column < columns ? table.values[table.center + position(column) - position(row)] : 0
          #expect(x[index] == before[index] + added)
        }
      }
    }
  }

  @Test func bfloat16() {
    atEachLevel {
      // Ties go to even; what is next to them does not.
      let bits: [UInt32] = [
        0x3F80_0000, 0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x3F80_7FFF, 0xBF81_8000, 0x7F80_0000, 0x7FC0_0001,
        0x7F80_0001, 0x7F7F_FFFF, 0, 0x8000_0000, 0x0000_8001,
      ]
      let expected: [UInt16] = [
        0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x3F80, 0xBF82, 0x7F80, 0x7FC0, 0x7FC0, 0x7F80, 0, 0x8000, 1,
      ]
      var result = [UInt16](repeating: 9, count: bits.count)
      unsafe bertconv_to_bf16(bits.map { Float(bitPattern: $0) }, bits.count, &result, 1, bits.count)
      #expect(result == expected)
    }
  }

  /// The bias and the activation first, as they are without rounding; rows lie apart, and what lies between is not touched.
  @Test(arguments: 0..<4) func roundedAfterAnActivation(activation: Int) {
    atEachLevel {
      let (rows, columns, stride) = (3, 37, 40)
      let x = random(rows * stride, 4, seed: 3)
      let bias = random(columns, 1, seed: 4)
      for hasBias in [true, false] {
        var expected = x
        let added = hasBias ? bias : [Float](repeating: 0, count: columns)
        switch activation {
        case 1: unsafe bertconv_bias_gelu(&expected, added, rows, columns, stride)
        case 2: unsafe bertconv_bias_gelu_tanh(&expected, added, rows, columns, stride)
        case 3: unsafe bertconv_bias_relu(&expected, added, rows, columns, stride)
        default: unsafe bertconv_bias(&expected, added, rows, columns, stride)
        }
        var halves = [UInt16](repeating: 7, count: rows * stride)
        if hasBias {
          unsafe bertconv_narrow(x, stride, bias, Int32(activation), &halves, stride, rows, columns)
        } else {
          unsafe bertconv_narrow(x, stride, nil, Int32(activation), &halves, stride, rows, columns)
        }
        var wanted = [UInt16](repeating: 7, count: rows * stride)
        for row in 0..<rows {
          var line = [UInt16](repeating: 0, count: columns)
          unsafe bertconv_to_bf16(
            Array(expected[(row * stride)..<(row * stride + columns)]), columns, &line, 1, columns)
          wanted.replaceSubrange((row * stride)..<(row * stride + columns), with: line)
        }
        #expect(halves == wanted)
      }
    }
  }

  @Test func roundedFloats() {
    atEachLevel {
      let (rows, columns, stride) = (3, 37, 40)
      var x = random(rows * stride, 4, seed: 3)
      x[stride + 1] = .nan
      x[stride + 2] = .infinity
      var halves = [UInt16](repeating: 0, count: rows * columns)
      unsafe bertconv_to_bf16(x, stride, &halves, rows, columns)
      var floats = [Float](repeating: 7, count: rows * (columns + 2))
      unsafe bertconv_round_to_bf16(x, stride, &floats, columns + 2, rows, columns)
      for row in 0..<rows {
        let line = floats[(row * (columns + 2))..<((row + 1) * (columns + 2))].map(\.bitPattern)
        let wanted = halves[(row * columns)..<((row + 1) * columns)].map { UInt32($0) << 16 }
        #expect(line == wanted + [Float(7).bitPattern, Float(7).bitPattern])
      }
    }
  }

  @Test(arguments: sizes.indices)
  func quantizedRows(index: Int) {
    atEachLevel {
      let size = sizes[index]
      var x = random(size.rows * size.stride, 5, seed: UInt64(index + 3))
      if size.rows > 2 { for c in 0..<size.columns { x[c] = 0 } }
      var y = [UInt8](repeating: 1, count: max(size.rows * size.columns, 1))
      var scales = [Float](repeating: 0, count: max(size.rows, 1))
      var zeros = [Int32](repeating: 0, count: max(size.rows, 1))
      unsafe bertconv_quantize(x, size.stride, &y, &scales, &zeros, size.rows, size.columns)
      for r in 0..<size.rows {
        let row = x[(r * size.stride)..<(r * size.stride + size.columns)]
        let range = max(0, row.max() ?? 0) - min(0, row.min() ?? 0)
        #expect(range == 0 || abs(scales[r] - range / 255) <= 1e-6 * range)
        for (c, value) in row.enumerated() {
          let back = Float(Int32(y[r * size.columns + c]) - zeros[r]) * scales[r]
          // Half a step of the value, and half of one of the zero.
          #expect(abs(back - value) <= scales[r] * 1.001, "row \(r), column \(c): \(value) became \(back)")
          if value == 0 { #expect(back == 0) }
        }
      }
    }
  }

  @Test(arguments: sizes.indices)
  func quantizedWeights(index: Int) {
    atEachLevel {
      let (rows, columns) = (sizes[index].rows, sizes[index].columns)
      let x = random(rows * columns, 3, seed: UInt64(index + 50))
      var y = [Int8](repeating: 1, count: max(rows * columns, 1))
      var scales = [Float](repeating: 0, count: max(rows, 1))
      var sums = [Int32](repeating: 0, count: max(rows, 1))
      unsafe bertconv_quantize_weights(x, &y, &scales, rows, columns)
      unsafe bertconv_row_sums(y, &sums, rows, columns)
      for r in 0..<rows {
        let own = (r * columns)..<((r + 1) * columns)
        #expect(sums[r] == y[own].reduce(0) { $0 + Int32($1) })
        #expect(y[own].contains { abs(Int($0)) == 127 })
      }
    }
  }

  /// The kernel quantizes weights as a conversion to 8 bits does, also rows of zeros and of the smallest numbers.
  @Test(arguments: [1, 1e-30, .leastNormalMagnitude / 64, 0, 3e38] as [Float])
  func weightsAreQuantizedAsInAFile(magnitude: Float) {
    atEachLevel {
      let (rows, columns) = (5, 37)
      let x = random(rows * columns, 1, seed: 61).map { $0 * magnitude }
      var y = [Int8](repeating: 1, count: rows * columns)
      var scales = [Float](repeating: 0, count: rows)
      unsafe bertconv_quantize_weights(x, &y, &scales, rows, columns)
      for r in 0..<rows {
        let row = x[(r * columns)..<((r + 1) * columns)]
        let scale = Int8Quantization.scale(largestMagnitude: row.map(\.magnitude).max() ?? 0)
        #expect(scales[r] == scale)
        #expect(
          row.map { Int8Quantization.quantize($0, scale: scale) } == Array(y[(r * columns)..<((r + 1) * columns)]))
      }
    }
  }

  @Test func halvesOfNaNAreNaN() {
    atEachLevel {
      let odd: [UInt32] = [0xFFFF_FFFF, 0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001]
      var result = [UInt16](repeating: 0, count: odd.count)
      unsafe bertconv_to_bf16(odd.map { Float(bitPattern: $0) }, odd.count, &result, 1, odd.count)
      #expect(result.allSatisfy { Float(bitPattern: UInt32($0) << 16).isNaN })
    }
  }

  @Test(
    .enabled(if: bertconv_has_bf16_attention() != 0),
    arguments: [UInt32(0xFFFF_FFFF), 0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001])
  func attentionInHalvesKeepsNaN(bits: UInt32) {
    atEachLevel {
      var x = [UInt16](repeating: 0x3F80, count: 9)
      unsafe bertconv_to_bf16([Float(bitPattern: bits)], 1, &x[1], 1, 1)
      var workspace = [Float](repeating: 0, count: bertconv_attention_bf16_workspace(1, 3))
      var y = [Float](repeating: 0, count: 3)
      unsafe x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        unsafe bertconv_attend_bf16(x, 1, x + 3, x + 6, 1, 9, 3, 1, 0, nil, nil, &workspace, &y, 3, 0)
      }
      #expect(y.allSatisfy { $0.isNaN })
    }
  }

  @Test func reluKeepsNaN() {
    atEachLevel {
      var x: [Float] = [-1, .nan, 2, -.infinity, 0]
      unsafe bertconv_relu(&x, 1, 5, 5)
      #expect(x[0] == 0 && x[1].isNaN && x[2] == 2 && x[3] == 0 && x[4] == 0)
    }
  }

  @Test func whatEightBitsCannotHoldIsSeen() {
    atEachLevel {
      for bad in [Float.nan, .infinity, -.infinity] {
        for position in [0, 17, 20] {
          var x = [Float](repeating: 1, count: 21)
          x[position] = bad
          var y = [UInt8](repeating: 0, count: 21)
          var scale: Float = 0
          var zero: Int32 = 0
          unsafe bertconv_quantize(x, 21, &y, &scale, &zero, 1, 21)
          #expect(scale.isNaN)
          var w = [Int8](repeating: 0, count: 21)
          unsafe bertconv_quantize_weights(x, &w, &scale, 1, 21)
          #expect(scale.isNaN)
        }
      }
      // The largest numbers have a step.
      var y = [UInt8](repeating: 0, count: 2)
      var scale: Float = 0
      var zero: Int32 = 0
      let largest = Float.greatestFiniteMagnitude
      unsafe bertconv_quantize([largest, -largest], 2, &y, &scale, &zero, 1, 2)
      #expect(scale.isFinite && y == [255, 0])
    }
  }

  /// Gelu is allowed an error of its own where 8 bits of it are kept, over the whole range of a float.
  @Test func geluOfWhich8BitsAreKept() {
    atEachLevel {
      let sums = (-4000...4000).map { Int32($0) } + [-2_000_000, 2_000_000]
      for scale: Float in [0.001, 0.01, 3] {
        var x = sums.map { Float(bitPattern: UInt32(bitPattern: $0)) }
        var expected = sums.map { Float($0) * scale }
        let ones = [Float](repeating: 1, count: x.count)
        let none = [Int32](repeating: 0, count: x.count)
        let zero = [Float](repeating: 0, count: x.count)
        var y = [UInt8](repeating: 0, count: x.count)
        var (newScale, newZero): (Float, Int32) = (0, 0)
        unsafe bertconv_requantize(
          &x, [scale], [0], ones, none, zero, Int32(BERTCONV_THEN_GELU.rawValue), &y, &newScale, &newZero, 1, x.count)
        unsafe bertconv_bias_gelu_plain(&expected, zero, 1, x.count, x.count)
        let isNear = zip(x, expected).allSatisfy { abs($0 - $1) <= 5e-5 + 1e-6 * abs($1) }
        #expect(isNear)
        let isKept = zip(x, y).allSatisfy { abs(Float(Int32($1) - newZero) * newScale - $0) <= newScale * 1.001 }
        #expect(isKept)
      }
    }
  }

  @Test func sumsOf8BitsToHalves() {
    atEachLevel {
      let (rows, columns) = (3, 37)
      let scales: [Float] = [0.5, 0.01, 2]
      let zeros: [Int32] = [0, 128, 255]
      let weightScales = random(columns, 0.01, seed: 1)
      let weightSums = (0..<columns).map { Int32($0 * 7 - 100) }
      let bias = random(columns, 1, seed: 2)
      let sums = (0..<(rows * columns)).map { Int32($0 * 97 - 5000) }
      var floats = sums.map { Float(bitPattern: UInt32(bitPattern: $0)) }
      unsafe bertconv_widen(
        &floats, columns, scales, zeros, weightScales, weightSums, bias, Int32(BERTCONV_THEN_NOTHING.rawValue), rows,
        columns)
      var expected = [UInt16](repeating: 0, count: sums.count)
      unsafe bertconv_to_bf16(floats, columns, &expected, rows, columns)
      var halves = [UInt16](repeating: 0, count: sums.count)
      unsafe bertconv_widen_to_bf16(
        sums, columns, scales, zeros, weightScales, weightSums, bias, &halves, columns, rows, columns)
      #expect(halves == expected)
    }
  }

  @Test(arguments: 0..<4)
  func sumsOf8BitsToFloats(activation: Int) {
    atEachLevel {
      let (rows, columns, stride) = (3, 37, 40)
      let scales: [Float] = [0.5, 0.01, 2]
      let zeros: [Int32] = [0, 128, 255]
      let weightScales = random(columns, 0.01, seed: 1)
      let weightSums = (0..<columns).map { Int32($0 * 7 - 100) }
      let bias = random(columns, 1, seed: 2)
      for hasBias in [true, false] {
        var x = [Float](repeating: 0, count: rows * stride)
        var expected = x
        for r in 0..<rows {
          for c in 0..<columns {
            let sum = Int32(r * 3000 - c * 211 + 500)
            x[r * stride + c] = Float(bitPattern: UInt32(bitPattern: sum))
            expected[r * stride + c] = Float(sum - zeros[r] * weightSums[c]) * (scales[r] * weightScales[c])
          }
        }
        let zero = [Float](repeating: 0, count: columns)
        switch activation {
        case 1: unsafe bertconv_bias_gelu_plain(&expected, hasBias ? bias : zero, rows, columns, stride)
        case 2: unsafe bertconv_bias_gelu_tanh_plain(&expected, hasBias ? bias : zero, rows, columns, stride)
        case 3: unsafe bertconv_bias_relu_plain(&expected, hasBias ? bias : zero, rows, columns, stride)
        default: unsafe bertconv_bias_plain(&expected, hasBias ? bias : zero, rows, columns, stride)
        }
        unsafe bertconv_widen(
          &x, stride, scales, zeros, weightScales, weightSums, hasBias ? bias : nil, Int32(activation), rows, columns)
        let isNear = agree(x, expected, 1e-6)
        #expect(isNear)
      }
    }
  }
}
