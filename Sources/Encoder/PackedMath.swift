import CKernels
import COneDNN
import TensorIO

/// Products with packed weights, and loops on the threads that compute them, for one run at a time.
///
/// T rows of activations go in as floats; what the precision wants of them is made here, in memory that is kept.
///
/// Thread safety: an encoder lends it to one run at a time, and within that to one thread, which starts the others.
@safe
final class PackedMath: @unchecked Sendable {
  // Memory safety: preconditions hold the shapes against each other before an address is taken, and `grown` makes memory as
  // large as what is written to it. That memory is of floats, in which C alone puts two bfloat16 or four bytes each. The
  // parts of a loop write rows, or heads, of their own; `withStart` and `withPacked` keep what they lend until it is over.

  let precision: Precision
  private let context: OpaquePointer
  /// Activations as bfloat16 or bytes.
  private var narrowed = Buffer(count: 0)
  /// The same of what lies between the two matrices of a feed-forward network.
  private var inner = Buffer(count: 0)
  /// Query, key and value as bfloat16.
  private var words = Buffer(count: 0)
  private let scales = Quantisation()
  private let innerScales = Quantisation()
  /// One for each thread.
  private var workspaces: [Buffer] = []

  /// A scale and a zero for each row of activations.
  private final class Quantisation {
    private var scales = Buffer(count: 0)
    private var zeros = Buffer(count: 0)

    func reserve(_ rows: Int) {
      scales = .grown(scales, to: rows)
      zeros = .grown(zeros, to: rows)
    }

    /// With as many of each as were reserved.
    @unsafe
    func withStart(_ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>) -> Void) {
      unsafe scales.withStart { scales in
        unsafe zeros.withStart { zeros in
          unsafe body(scales, UnsafeMutableRawPointer(zeros).assumingMemoryBound(to: Int32.self))
        }
      }
    }
  }

  /// `nil` where oneDNN is not there.
  init?(_ precision: Precision) {
    guard let context = unsafe bertconv_context_create() else { return nil }
    unsafe self.context = context
    self.precision = precision
  }

  deinit { unsafe bertconv_context_free(context) }

  // MARK: Threads

  /// Rows that a thread takes at least: fewer are done before the others are awake.
  private static let grain = 8

  static var threads: Int { Int(bertconv_onednn_threads()) }

  /// Calls `body` with parts of `0..<count`, several at once: what one part writes, no other may read or write.
  static func parallel(_ count: Int, grain: Int = PackedMath.grain, _ body: (Range<Int>) -> Void) {
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      withExtendedLifetime(box) {
        unsafe bertconv_parallel(
          count, grain,
          { data, first, last in
            guard let data = unsafe data else { return }
            unsafe Unmanaged<Box<Range<Int>>>.fromOpaque(data).takeUnretainedValue().body(first..<last)
          }, Unmanaged.passUnretained(box).toOpaque())
      }
    }
  }

  /// Calls `body` for each of `0..<count`, each on a thread of its own if there are as many, on which all that it computes
  /// runs: what one writes, no other may read or write.
  static func each(_ count: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      withExtendedLifetime(box) {
        unsafe bertconv_each(
          count,
          { data, index in
            guard let data = unsafe data else { return }
            unsafe Unmanaged<Box<Int>>.fromOpaque(data).takeUnretainedValue().body(index)
          }, Unmanaged.passUnretained(box).toOpaque())
      }
    }
  }

  /// A closure behind the address of an object. The C loops call it only until they return, and until then it is kept.
  private final class Box<Argument> {
    let body: (Argument) -> Void
    init(_ body: @escaping (Argument) -> Void) { self.body = body }
  }

  // MARK: Products

  /// `y = activation(x · wᵀ + bias)`, x [T, k], w [n, k], y [T, n].
  func multiply(_ x: Matrix, by w: PackedMatrix, bias: Weight?, activation: Activation?, into y: Matrix) {
    precondition(x.columns == w.columns && y.columns == w.rows && x.rows == y.rows)
    precondition(bias.map { $0.rows == 1 && $0.columns == w.rows } ?? true)
    let input = narrow(x, into: &narrowed, scales)
    product(input, x.rows, w, bias: bias, activation: activation, y, narrow: false)
    guard precision == .int8 else { return }
    widen(y, w, scales, bias: bias, activation: activation)
  }

  /// `y = activation(x · aᵀ + bias) · bᵀ`, x [T, k], a [i, k], b [n, i], y [T, n]; `between` holds [T, i] floats,
  /// or of [``rowsBetween``, i] where T is more.
  func feedForward(
    _ x: Matrix, _ a: PackedMatrix, bias: Weight, activation: Activation, _ b: PackedMatrix, between: Matrix,
    into y: Matrix
  ) {
    precondition(x.columns == a.columns && a.rows == b.columns && b.rows == y.columns)
    precondition(between.isContiguous && between.columns == a.rows && x.rows == y.rows)
    precondition(bias.rows == 1 && bias.columns == a.rows)
    precondition(between.rows >= min(x.rows, Self.rowsBetween))
    // What lies between the two matrices stays in the cache when it is of few rows, in memory that is used again.
    for rows in Self.parts(of: x.rows) {
      feedForwardPart(
        x.rows(rows), a, bias: bias, activation: activation, b, between: between.rows(0..<rows.count),
        into: y.rows(rows))
    }
  }

  /// Rows that go through both matrices of a feed-forward network at a time, at most: as many for each thread as its cache
  /// has room for.
  static var rowsBetween: Int { 256 * threads }

  /// `0..<rows` in as few parts as may be, all about as large: a small last one would take the time of a larger.
  private static func parts(of rows: Int) -> [Range<Int>] {
    let most = rowsBetween
    let count = (rows + most - 1) / most
    return (0..<count).map { (rows * $0 / count)..<(rows * ($0 + 1) / count) }
  }

  private func feedForwardPart(
    _ x: Matrix, _ a: PackedMatrix, bias: Weight, activation: Activation, _ b: PackedMatrix, between: Matrix,
    into y: Matrix
  ) {
    let input = narrow(x, into: &narrowed, scales)
    switch precision {
    case .f32:
      product(input, x.rows, a, bias: bias, activation: activation, between, narrow: false)
      product(.floats(between), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .bf16 where activation == .relu:
      product(input, x.rows, a, bias: bias, activation: activation, between, narrow: false)
      product(narrow(between, into: &inner, innerScales), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .bf16:
      product(input, x.rows, a, bias: bias, activation: activation, between, narrow: true)
      product(.words(between), x.rows, b, bias: nil, activation: nil, y, narrow: false)
    case .int8:
      product(input, x.rows, a, bias: nil, activation: nil, between, narrow: false)
      requantise(between, a, bias: bias, activation: activation)
      product(.bytes(inner, between.columns), x.rows, b, bias: nil, activation: nil, y, narrow: false)
      widen(y, b, innerScales, bias: nil, activation: nil)
    }
  }

  /// Activations in the form that the products take.
  private enum Input {
    case floats(Matrix)
    /// bfloat16 in the first half of the matrix's memory, rows adjacent.
    case words(Matrix)
    /// Bytes in the first quarter of the buffer, in rows of that many.
    case bytes(Buffer, Int)

    /// Whether it holds a matrix of this shape.
    func holds(_ rows: Int, _ columns: Int) -> Bool {
      switch self {
      case .floats(let x): x.rows == rows && x.columns == columns
      case .words(let x): x.isContiguous && x.rows * x.columns >= (rows * columns + 1) / 2
      case .bytes(let x, let own): own == columns && x.count >= (rows * columns + 3) / 4
      }
    }
  }

  private func narrow(_ x: Matrix, into target: inout Buffer, _ scales: Quantisation) -> Input {
    switch precision {
    case .f32: return .floats(x)
    case .bf16:
      target = .grown(target, to: x.rows * x.columns / 2 + 1)
      let buffer = target
      unsafe buffer.withStart { y in
        unsafe x.withStart { x0 in
          let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self)
          Self.parallel(x.rows) { rows in
            unsafe bertconv_to_bf16(
              x0 + rows.lowerBound * x.stride, x.stride, y + rows.lowerBound * x.columns, rows.count, x.columns)
          }
        }
      }
      return .words(buffer.matrix(1, x.rows * x.columns / 2 + 1))
    case .int8:
      target = .grown(target, to: x.rows * x.columns / 4 + 1)
      scales.reserve(x.rows)
      let buffer = target
      unsafe buffer.withStart { y in
        unsafe x.withStart { x0 in
          unsafe scales.withStart { scale, zero in
            let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
            Self.parallel(x.rows) { rows in
              let first = rows.lowerBound
              unsafe bertconv_quantise(
                x0 + first * x.stride, x.stride, y + first * x.columns, scale + first, zero + first, rows.count,
                x.columns)
            }
          }
        }
      }
      return .bytes(buffer, x.columns)
    }
  }

  /// `y = activation(x · wᵀ + bias)` as far as oneDNN computes it: without bias and activation, and whole numbers, of 8
  /// bits. Where `narrow` is true, `y` holds bfloat16 as ``Input/words(_:)`` does.
  private func product(
    _ input: Input, _ rows: Int, _ w: PackedMatrix, bias: Weight?, activation: Activation?, _ y: Matrix, narrow: Bool
  ) {
    precondition(input.holds(rows, w.columns))
    precondition((narrow ? Input.words(y) : Input.floats(y)).holds(rows, w.rows))
    let isWhole = precision != .int8
    // oneDNN's relu makes a NaN 0, and so a broken model look whole.
    let isRelu = isWhole && activation == .relu
    let epilogue = isWhole && !isRelu ? activation.map(Self.epilogue) ?? 0 : 0
    defer { if isRelu { relu(y) } }
    let stride = narrow ? w.rows : y.stride
    unsafe y.withStart { y0 in
      unsafe w.withPacked { packed, _, _ in
        let run = { (x: UnsafeRawPointer, xStride: Int) in
          let code = unsafe Self.withStart(of: isWhole ? bias : nil) { bias in
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
      Self.parallel(x.rows) { rows in
        unsafe bertconv_relu(x0 + rows.lowerBound * x.stride, rows.count, x.columns, x.stride)
      }
    }
  }

  private static func epilogue(_ activation: Activation) -> Int32 {
    switch activation {
    case .gelu: Int32(BERTCONV_GELU.rawValue)
    case .geluTanh: Int32(BERTCONV_GELU_TANH.rawValue)
    case .relu: preconditionFailure("done after the product")
    case .tanh: preconditionFailure("only of heads, which go another way")
    }
  }

  // MARK: 8 bits

  private static func code(_ activation: Activation?) -> Int32 {
    switch activation {
    case nil: Int32(BERTCONV_THEN_NOTHING.rawValue)
    case .gelu: Int32(BERTCONV_THEN_GELU.rawValue)
    case .geluTanh: Int32(BERTCONV_THEN_GELU_TANH.rawValue)
    case .relu: Int32(BERTCONV_THEN_RELU.rawValue)
    case .tanh: preconditionFailure("only of heads, which go another way")
    }
  }

  private func widen(
    _ y: Matrix, _ w: PackedMatrix, _ scales: Quantisation, bias: Weight?, activation: Activation?
  ) {
    let code = Self.code(activation)
    unsafe y.withStart { y0 in
      unsafe w.withPacked { _, weightScales, sums in
        unsafe Self.withStart(of: bias) { bias in
          unsafe scales.withStart { scale, zero in
            Self.parallel(y.rows) { rows in
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

  private func requantise(_ x: Matrix, _ w: PackedMatrix, bias: Weight, activation: Activation) {
    inner = .grown(inner, to: x.rows * x.columns / 4 + 1)
    innerScales.reserve(x.rows)
    let code = Self.code(activation)
    let target = inner
    unsafe x.withStart { x0 in
      unsafe target.withStart { y in
        unsafe w.withPacked { _, weightScales, sums in
          unsafe bias.withStart { bias in
            unsafe scales.withStart { scale, zero in
              unsafe innerScales.withStart { newScale, newZero in
                let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
                Self.parallel(x.rows) { rows in
                  let first = rows.lowerBound
                  unsafe bertconv_requantise(
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

  @unsafe
  private static func withStart<R>(of bias: Weight?, _ body: (UnsafePointer<Float>?) -> R) -> R {
    guard let bias else { return body(nil) }
    return unsafe bias.withStart { unsafe body($0) }
  }

  // MARK: Attention

  /// `y = attend(x · wᵀ + bias) · outputᵀ` with x [T, k], w [3N, k] of query, key and value, output [n, N], y [T, n];
  /// `projected` [T, 3N] and `context` [T, N] hold what lies between.
  func attention(
    _ x: Matrix, by w: PackedMatrix, bias: Weight, _ group: PackedGroup, _ form: AttentionForm, output: PackedMatrix,
    projected: Matrix, context: Matrix, into y: Matrix
  ) {
    precondition(projected.columns == w.rows && bias.columns == w.rows && w.rows == 3 * context.columns)
    precondition(x.columns == w.columns && x.rows == projected.rows && x.rows == context.rows)
    precondition(output.columns == context.columns && output.rows == y.columns && x.rows == y.rows)
    guard precision != .f32, bertconv_has_bf16_attention() != 0 else {
      multiply(x, by: w, bias: bias, activation: nil, into: projected)
      attend(projected, group, form, into: context)
      multiply(context, by: output, bias: nil, activation: nil, into: y)
      return
    }
    projectToWords(x, by: w, bias: bias, through: projected)
    let isNarrow = precision == .bf16
    attendWords(group, form, into: context, narrow: isNarrow)
    if isNarrow {
      product(.words(context), y.rows, output, bias: nil, activation: nil, y, narrow: false)
    } else {
      multiply(context, by: output, bias: nil, activation: nil, into: y)
    }
  }

  /// `words` = x · wᵀ + bias as bfloat16; `projected` is free for sums.
  private func projectToWords(_ x: Matrix, by w: PackedMatrix, bias: Weight, through projected: Matrix) {
    words = .grown(words, to: x.rows * w.rows / 2 + 1)
    guard precision == .int8 else {
      let target = words.matrix(1, x.rows * w.rows / 2 + 1)
      product(
        narrow(x, into: &narrowed, scales), x.rows, w, bias: bias, activation: nil, target, narrow: true)
      return
    }
    let target = words
    for rows in Self.parts(of: x.rows) {
      let start = rows.lowerBound
      let sums = projected.rows(0..<rows.count)
      product(
        narrow(x.rows(rows), into: &narrowed, scales), rows.count, w, bias: nil, activation: nil, sums, narrow: false)
      unsafe sums.withStart { sums in
        unsafe target.withStart { target in
          unsafe w.withPacked { _, weightScales, weightSums in
            unsafe bias.withStart { bias in
              unsafe scales.withStart { scale, zero in
                let sums = unsafe UnsafeMutableRawPointer(sums).assumingMemoryBound(to: Int32.self)
                let target = unsafe UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt16.self)
                Self.parallel(rows.count) { part in
                  let first = part.lowerBound
                  unsafe bertconv_widen_to_bf16(
                    sums + first * w.rows, scale + first, zero + first, weightScales, weightSums, bias,
                    target + (start + first) * w.rows, part.count, w.rows)
                }
              }
            }
          }
        }
      }
    }
  }

  /// softmax(Q Kᵀ / √D) V of every head of every sequence: `projected` [T, 3N] holds query, key and value side by side,
  /// `context` [T, N] the results.
  func attend(_ projected: Matrix, _ group: PackedGroup, _ form: AttentionForm, into context: Matrix) {
    precondition(projected.columns == 3 * context.columns && context.columns % form.heads == 0)
    precondition(projected.rows >= group.tokens && context.rows >= group.tokens)
    let width = context.columns
    let size = width / form.heads
    let scale = 1 / Float(size).squareRoot()
    unsafe forEachHead(group, heads: form.heads, workspace: bertconv_attention_workspace(group.longest, size)) {
      sequence, head, space in
      unsafe projected.withStart { p in
        unsafe context.withStart { c in
          let query = unsafe p + sequence.start * projected.stride + head * size
          unsafe bertconv_attend(
            query, sequence.queries.count, query + width, query + 2 * width, sequence.keys.count, projected.stride,
            size, scale, form.isCausal ? 1 : 0, space, c + sequence.start * context.stride + head * size, context.stride
          )
        }
      }
    }
  }

  /// The same of what ``words`` holds; the results as floats, or in the first half of the memory of `context`.
  private func attendWords(_ group: PackedGroup, _ form: AttentionForm, into context: Matrix, narrow: Bool) {
    let width = context.columns
    precondition(context.isContiguous && width % form.heads == 0 && context.rows >= group.tokens)
    precondition(words.count >= (group.tokens * 3 * width + 1) / 2)
    let size = width / form.heads
    let scale = 1 / Float(size).squareRoot()
    let projected = words
    unsafe forEachHead(group, heads: form.heads, workspace: bertconv_attention_bf16_workspace(group.longest, size)) {
      sequence, head, space in
      unsafe projected.withStart { p in
        unsafe context.withStart { c in
          let query =
            unsafe UnsafeMutableRawPointer(p).assumingMemoryBound(to: UInt16.self)
            + sequence.start * 3 * width + head * size
          let place = sequence.start * width + head * size
          unsafe bertconv_attend_bf16(
            query, sequence.queries.count, query + width, query + 2 * width, sequence.keys.count, 3 * width, size,
            scale, form.isCausal ? 1 : 0, space, UnsafeMutableRawPointer(c) + place * (narrow ? 2 : 4), width,
            narrow ? 1 : 0)
        }
      }
    }
  }

  /// Calls `body` for each head of each sequence, several at once, each with a workspace of that many floats that no other
  /// uses meanwhile.
  private func forEachHead(
    _ group: PackedGroup, heads: Int, workspace: Int,
    _ body: (PackedSequence, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    // The longest first, each to the thread that has least to do.
    var bins = Array(repeating: (cost: 0, tasks: [(sequence: PackedSequence, head: Int)]()), count: Self.threads)
    for sequence in group.sequences.sorted(by: { $0.queries.count > $1.queries.count }) {
      for head in 0..<heads {
        let place = bins.indices.min { bins[$0].cost < bins[$1].cost } ?? 0
        bins[place].cost += sequence.queries.count * (sequence.keys.count + 16)
        bins[place].tasks.append((sequence, head))
      }
    }
    while workspaces.count < bins.count { workspaces.append(Buffer(count: 0)) }
    for index in workspaces.indices { workspaces[index] = .grown(workspaces[index], to: workspace) }
    let spaces = workspaces
    Self.parallel(bins.count, grain: 1) { range in
      for index in range {
        unsafe spaces[index].withStart { space in
          for (sequence, head) in bins[index].tasks { unsafe body(sequence, head, space) }
        }
      }
    }
  }
}

extension Buffer {
  /// A buffer of at least `count` elements in place of a smaller one.
  fileprivate static func grown(_ buffer: Buffer, to count: Int) -> Buffer {
    buffer.count >= count ? buffer : Buffer(count: count)
  }
}
