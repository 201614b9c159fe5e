import CKernels
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

private func random(_ count: Int, _ scale: Float, seed: UInt64) -> [Float] {
  var random = Random(seed)
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

  @Test(arguments: sizes.indices)
  func layerNorm(index: Int) {
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

  @Test(arguments: sizes.indices)
  func affine(index: Int) {
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

  @Test(arguments: sizes.indices)
  func softmax(index: Int) {
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

  @Test func notANumberStaysOne() {
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

  @Test func sums() {
    for count in [0, 1, 3, 16, 33, 100] {
      var a = random(count, 3, seed: 1)
      var b = a
      let y = random(count, 3, seed: 2)
      unsafe bertconv_add(&a, y, count)
      unsafe bertconv_add_plain(&b, y, count)
      #expect(a == b)
    }
  }

  @Test func halfPrecision() {
    // 1, -2, the smallest, the largest below normal, 65504, infinity, NaN, -0.
    let halves: [UInt16] = [0x3C00, 0xC000, 0x0001, 0x03FF, 0x7BFF, 0x7C00, 0x7E00, 0x8000]
    var values = [Float](repeating: 9, count: halves.count)
    unsafe bertconv_from_f16(halves, &values, halves.count)
    #expect(Array(values.prefix(6)) == [1, -2, 0x1p-24, 1023 * 0x1p-24, 65504, .infinity])
    #expect(values[6].isNaN && values[7] == 0 && values[7].sign == .minus)
  }
}
