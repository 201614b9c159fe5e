import CKernels
import COneDNN
import ModelFamilies
import TensorIO

/// Products with packed weights, for one run at a time.
///
/// T rows of activations come as floats; what the precision needs of them is made here, in memory that is kept: bfloat16, or
/// unsigned bytes with a scale and a zero per row.
@safe
final class PackedProducts {
  // Memory safety: preconditions compare the shapes before an address is taken, and `grown` makes memory as large as what is
  // written to it. That memory is of floats, in which only C puts two bfloat16 or four bytes each. The parts of a loop write
  // rows of their own; `withStart` and `withPacked` keep what they lend until it is over.

  let precision: Precision
  private let context: OpaquePointer
  /// Activations as bfloat16 or bytes.
  private let input = NarrowMemory()
  /// The same of what lies between the two matrices of a feed-forward network.
  private let inner = NarrowMemory()

  /// `nil` where oneDNN is not there.
  init?(_ precision: Precision) {
    guard let context = unsafe bertconv_context_create() else { return nil }
    unsafe self.context = context
    self.precision = precision
  }

  deinit { unsafe bertconv_context_free(context) }

  // MARK: One product

  /// `y = activation(x · wᵀ + bias)`, x [T, k], w [n, k], y [T, n].
  func multiply(_ x: Matrix, by w: PackedMatrix, bias: Weight?, activation: Activation?, into y: Matrix) {
    precondition(x.columns == w.columns && y.columns == w.rows && x.rows == y.rows)
    precondition(bias.map { $0.rows == 1 && $0.columns == w.rows } ?? true)
    product(narrow(x, into: input), x.rows, w, bias: bias, activation: activation, y, narrow: false)
    guard precision == .int8 else { return }
    widen(y, w, input, bias: bias, activation: activation)
  }

  /// `y = words · wᵀ` with words [T, k] of bfloat16 in the first half of the matrix's memory, w [n, k], y [T, n].
  func multiply(words: Matrix, by w: PackedMatrix, into y: Matrix) {
    product(.words(words), y.rows, w, bias: nil, activation: nil, y, narrow: false)
  }

  /// `y` = x · wᵀ + bias as bfloat16, x [T, k], w [n, k], y [T, n] in the first half of the memory of a matrix; `sums`
  /// [T or fewer, n] is free for sums of 8-bit products, of so many rows at a time.
  func multiplyToWords(_ x: Matrix, by w: PackedMatrix, bias: Weight, through sums: Matrix, into y: Matrix) {
    precondition(x.columns == w.columns && bias.columns == w.rows && sums.columns == w.rows)
    precondition(y.isContiguous && y.rows * y.columns >= (x.rows * w.rows + 1) / 2)
    guard precision == .int8 else {
      product(narrow(x, into: input), x.rows, w, bias: bias, activation: nil, y, narrow: true)
      return
    }
    for rows in Self.parts(of: x.rows) {
      let sums = sums.rows(0..<rows.count)
      product(narrow(x.rows(rows), into: input), rows.count, w, bias: nil, activation: nil, sums, narrow: false)
      widenToWords(sums, w, bias: bias, into: y, firstRow: rows.lowerBound)
    }
  }

  // MARK: Two products

  /// `y = activation(x · aᵀ + bias) · bᵀ`, x [T, k], a [i, k], b [n, i], y [T, n]; `between` has rows for T or for
  /// ``rowsBetween``, i columns.
  func feedForward(
    _ x: Matrix, _ a: PackedMatrix, bias: Weight, activation: Activation, _ b: PackedMatrix, between: Matrix,
    into y: Matrix
  ) {
    precondition(x.columns == a.columns && a.rows == b.columns && b.rows == y.columns)
    precondition(between.isContiguous && between.columns == a.rows && x.rows == y.rows)
    precondition(bias.rows == 1 && bias.columns == a.rows)
    precondition(between.rows >= min(x.rows, Self.rowsBetween))
    // What lies between the two matrices stays in the cache when it has few rows, in memory that is used again.
    for rows in Self.parts(of: x.rows) {
      feedForwardPart(
        x.rows(rows), a, bias: bias, activation: activation, b, between: between.rows(0..<rows.count),
        into: y.rows(rows))
    }
  }

  /// The maximum number of rows that go through both matrices of a feed-forward network at a time: as many for each thread as
  /// its cache has room for.
  static var rowsBetween: Int { 256 * OneDNNThreads.count }

  /// `0..<rows` in as few parts as possible, all about as large: a small last one would take the time of a larger.
  private static func parts(of rows: Int) -> [Range<Int>] {
    let limit = rowsBetween
    let count = (rows + limit - 1) / limit
    return (0..<count).map { (rows * $0 / count)..<(rows * ($0 + 1) / count) }
  }

  private func feedForwardPart(
    _ x: Matrix, _ a: PackedMatrix, bias: Weight, activation: Activation, _ b: PackedMatrix, between: Matrix,
    into y: Matrix
  ) {
    let entering = narrow(x, into: input)
    switch precision {
    case .f32:
      product(entering, x.rows, a, bias: bias, activation: activation, between, narrow: false)
      product(.floats(between), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .bf16 where activation == .relu:
      product(entering, x.rows, a, bias: bias, activation: activation, between, narrow: false)
      product(narrow(between, into: inner), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .bf16:
      product(entering, x.rows, a, bias: bias, activation: activation, between, narrow: true)
      product(.words(between), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .int8:
      product(entering, x.rows, a, bias: nil, activation: nil, between, narrow: false)
      requantize(between, a, bias: bias, activation: activation)
      product(.bytes(inner.values, between.columns), x.rows, b, bias: nil, activation: nil, y, narrow: false)
      widen(y, b, inner, bias: nil, activation: nil)
    }
  }

  // MARK: Activations in the form of the precision

  private enum Input {
    case floats(Matrix)
    /// bfloat16 in the first half of the matrix's memory, rows adjacent.
    case words(Matrix)
    /// Bytes in the first quarter of the buffer, in rows of that many.
    case bytes(Buffer, Int)

    /// Whether there is a matrix of this shape in it.
    func has(_ rows: Int, _ columns: Int) -> Bool {
      switch self {
      case .floats(let x): x.rows == rows && x.columns == columns
      case .words(let x): x.isContiguous && x.rows * x.columns >= (rows * columns + 1) / 2
      case .bytes(let x, let own): own == columns && x.count >= (rows * columns + 3) / 4
      }
    }
  }

  private func narrow(_ x: Matrix, into memory: NarrowMemory) -> Input {
    switch precision {
    case .f32: return .floats(x)
    case .bf16:
      memory.reserve(floats: x.rows * x.columns / 2 + 1)
      unsafe memory.values.withStart { y in
        unsafe x.withStart { x0 in
          let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self)
          OneDNNThreads.forParts(x.rows) { rows in
            unsafe bertconv_to_bf16(
              x0 + rows.lowerBound * x.stride, x.stride, y + rows.lowerBound * x.columns, rows.count, x.columns)
          }
        }
      }
      return .words(memory.values.matrix(1, x.rows * x.columns / 2 + 1))
    case .int8:
      memory.reserve(floats: x.rows * x.columns / 4 + 1, rows: x.rows)
      unsafe memory.values.withStart { y in
        unsafe x.withStart { x0 in
          unsafe memory.withScales { scale, zero in
            let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
            OneDNNThreads.forParts(x.rows) { rows in
              let first = rows.lowerBound
              unsafe bertconv_quantize(
                x0 + first * x.stride, x.stride, y + first * x.columns, scale + first, zero + first, rows.count,
                x.columns)
            }
          }
        }
      }
      return .bytes(memory.values, x.columns)
    }
  }

  /// `y = activation(x · wᵀ + bias)` as far as oneDNN computes it: for 8 bits without bias and activation, and whole
  /// numbers. Where `narrow` is true, `y` is of bfloat16 as ``Input/words(_:)`` is.
  private func product(
    _ input: Input, _ rows: Int, _ w: PackedMatrix, bias: Weight?, activation: Activation?, _ y: Matrix, narrow: Bool
  ) {
    precondition(input.has(rows, w.columns))
    precondition((narrow ? Input.words(y) : Input.floats(y)).has(rows, w.rows))
    let isWhole = precision != .int8
    // oneDNN's relu makes a NaN 0, and so a broken model look whole.
    let isRelu = isWhole && activation == .relu
    let epilogue = isWhole && !isRelu ? activation.map(Self.epilogue) ?? 0 : 0
    defer { if isRelu { relu(y) } }
    let stride = narrow ? w.rows : y.stride
    unsafe y.withStart { y0 in
      unsafe w.withPacked { packed, _, _ in
        let run = { (x: UnsafeRawPointer, xStride: Int) in
          let code = unsafe Weight.withStart(of: isWhole ? bias : nil) { bias in
            unsafe bertconv_multiply(
              self.context, packed, x, rows, xStride, bias, epilogue, y0, stride, narrow ? 1 : 0)
          }
          // The weights were packed, so the library is there and knows the product; what is left is lack of memory.
          precondition(code == 0, "oneDNN could not compute a product")
        }
        switch input {
        case .floats(let x): unsafe x.withStart { unsafe run($0, x.stride) }
        case .words(let x): unsafe x.withStart { unsafe run($0, w.columns) }
        case .bytes(let x, let columns): unsafe x.withStart { unsafe run($0, columns) }
        }
      }
    }
  }

  private func relu(_ x: Matrix) {
    unsafe x.withStart { x0 in
      OneDNNThreads.forParts(x.rows) { rows in
        unsafe bertconv_relu(x0 + rows.lowerBound * x.stride, rows.count, x.columns, x.stride)
      }
    }
  }

  private static func epilogue(_ activation: Activation) -> Int32 {
    switch activation {
    case .gelu: Int32(BERTCONV_GELU.rawValue)
    case .geluTanh: Int32(BERTCONV_GELU_TANH.rawValue)
    case .relu: preconditionFailure("done after the product")
    case .tanh: preconditionFailure("only of heads, whose weights are not packed")
    }
  }

  // MARK: 8 bits

  /// 32-bit sums in `y` to floats, in place; the scales of the activations are those of `memory`.
  private func widen(
    _ y: Matrix, _ w: PackedMatrix, _ memory: NarrowMemory, bias: Weight?, activation: Activation?
  ) {
    let code = NarrowMemory.code(of: activation)
    unsafe y.withStart { y0 in
      unsafe w.withPacked { _, weightScales, sums in
        unsafe Weight.withStart(of: bias) { bias in
          unsafe memory.withScales { scale, zero in
            OneDNNThreads.forParts(y.rows) { rows in
              let first = rows.lowerBound
              unsafe bertconv_widen(
                y0 + first * y.stride, y.stride, scale + first, zero + first, weightScales, sums, bias, code,
                rows.count, y.columns)
            }
          }
        }
      }
    }
  }

  /// 32-bit sums [rows, n] to bfloat16 in rows `firstRow…` of `y`.
  private func widenToWords(_ sums: Matrix, _ w: PackedMatrix, bias: Weight, into y: Matrix, firstRow: Int) {
    unsafe sums.withStart { sums0 in
      unsafe y.withStart { y0 in
        unsafe w.withPacked { _, weightScales, weightSums in
          unsafe bias.withStart { bias in
            unsafe input.withScales { scale, zero in
              let sums0 = unsafe UnsafeMutableRawPointer(sums0).assumingMemoryBound(to: Int32.self)
              let y0 = unsafe UnsafeMutableRawPointer(y0).assumingMemoryBound(to: UInt16.self)
              OneDNNThreads.forParts(sums.rows) { part in
                let first = part.lowerBound
                unsafe bertconv_widen_to_bf16(
                  sums0 + first * w.rows, w.rows, scale + first, zero + first, weightScales, weightSums, bias,
                  y0 + (firstRow + first) * w.rows, w.rows, part.count, w.rows)
              }
            }
          }
        }
      }
    }
  }

  /// 32-bit sums in `x` to floats, and from there to the bytes of `inner`.
  private func requantize(_ x: Matrix, _ w: PackedMatrix, bias: Weight, activation: Activation) {
    inner.reserve(floats: x.rows * x.columns / 4 + 1, rows: x.rows)
    let code = NarrowMemory.code(of: activation)
    unsafe x.withStart { x0 in
      unsafe inner.values.withStart { y in
        unsafe w.withPacked { _, weightScales, sums in
          unsafe bias.withStart { bias in
            unsafe input.withScales { scale, zero in
              unsafe inner.withScales { newScale, newZero in
                let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
                OneDNNThreads.forParts(x.rows) { rows in
                  let first = rows.lowerBound
                  unsafe bertconv_requantize(
                    x0 + first * x.columns, scale + first, zero + first, weightScales, sums, bias, code,
                    y + first * x.columns, newScale + first, newZero + first, rows.count, x.columns)
                }
              }
            }
          }
        }
      }
    }
  }

}
