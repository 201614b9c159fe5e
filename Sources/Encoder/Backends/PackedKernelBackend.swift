import CKernels
import CProducts
import ModelFamilies
import TensorIO

/// The layers by kernels of this package on packed weights, in each precision, on any processor; whatever is not packed, such as
/// the heads, by OpenBLAS.
///
/// Thread safety: an encoder lends it to one run at a time, and within that to one thread, which starts the others.
final class PackedKernelBackend: FusedAttentionBackend {
  // Memory safety: as Backend.swift says. Preconditions compare the shapes before an address is taken, and `grown` makes memory
  // as large as what is written to it. That memory is of floats, in which only C puts bytes, two 16-bit numbers or one of 32
  // bits. The parts of a loop write rows, groups or blocks of their own.

  private let precision: Precision
  private let pool: ThreadPool
  /// Activations as the products take them, and the same between the two matrices of a feed-forward network.
  private let input = NarrowMemory()
  private let inner = NarrowMemory()
  /// Bytes as columns of 16-bit numbers.
  private var columns = Buffer(count: 0)
  /// Query, key and value as bfloat16.
  private var words = Buffer(count: 0)
  /// Workspaces of attention, and blocks of results that are converted, one for each thread.
  private var workspaces: [Buffer] = []
  private var blocks: [Buffer] = []

  /// `nil` where there is no memory.
  init?(_ precision: Precision, threads: Int) {
    guard let pool = ThreadPool(threads: threads) else { return nil }
    self.precision = precision
    self.pool = pool
  }

  override var packing: Packing? { Packing(precision, .panels(pool)) }

  /// Rows that a thread takes at a time: fewer are done before another one is awake.
  private static let rowsAtOnce = 8

  override func forRows(_ count: Int, _ body: (Range<Int>) -> Void) {
    pool.forParts(count, grain: Self.rowsAtOnce) { body($1) }
  }

  // MARK: Packed weights

  override func multiply(_ x: Matrix, by w: Weight, into y: Matrix) {
    guard let packed = w.packed else { return super.multiply(x, by: w, into: y) }
    multiply(rows(of: x, for: packed, in: input), by: packed, Epilogue(bias: nil, activation: nil), into: y)
  }

  override func dense(_ x: Matrix, _ dense: DenseWeights, _ activation: Activation? = nil, into y: Matrix) {
    guard let packed = dense.weight.packed else { return super.dense(x, dense, activation, into: y) }
    let epilogue = Epilogue(bias: dense.bias, activation: activation)
    multiply(rows(of: x, for: packed, in: input), by: packed, epilogue, into: y)
  }

  override func feedForward(_ x: Matrix, _ a: DenseWeights, _ activation: Activation, by b: Weight, into y: Matrix) {
    guard let first = a.weight.packed, let second = b.packed else {
      return super.feedForward(x, a, activation, by: b, into: y)
    }
    precondition(x.columns == first.columns && first.rows == second.columns && second.rows == y.columns)
    precondition(x.rows == y.rows)
    let epilogue = Epilogue(bias: a.bias, activation: activation)
    // What lies between the two matrices stays in the cache when it has few rows, in memory that is used again.
    let limit = Self.rowsBetween * pool.count
    let parts = (x.rows + limit - 1) / limit
    for part in 0..<parts {
      let rows = (x.rows * part / parts)..<(x.rows * (part + 1) / parts)
      let entering = self.rows(of: x.rows(rows), for: first, in: input)
      let between = activations(entering, by: first, epilogue, for: second)
      multiply(between, by: second, Epilogue(bias: nil, activation: nil), into: y.rows(rows))
    }
  }

  /// Rows for each thread that go through both matrices of a feed-forward network together.
  private static let rowsBetween = 256

  /// activation(x · wᵀ + bias) as the products with `next` take it.
  private func activations(_ x: Rows, by w: PackedMatrix, _ epilogue: Epilogue, for next: PackedMatrix) -> Rows {
    if next.input == .words {
      let result = reserve(x.count, for: next, in: inner)
      multiply(x, by: w, epilogue, intoWords: result)
      return result
    }
    // Rows that follow each other at distances which spread over the cache.
    let stride = next.input == .floats ? next.rowBytes / 4 : w.rows
    let between = scratch(x.count, stride).columns(0..<w.rows)
    guard precision == .int8 else {
      multiply(x, by: w, epilogue, into: between)
      return rows(of: between, for: next, in: inner)
    }
    forBlocks(x, by: w, into: between) { _, _ in }
    return requantize(between, w, epilogue, for: next)
  }

  override func attention(
    _ x: Matrix, _ projection: DenseWeights, _ group: PackedGroup, _ form: AttentionForm, output: Weight,
    projected: Matrix, context: Matrix, into y: Matrix
  ) {
    guard precision != .f32, Self.hasBF16, let w = projection.weight.packed, let next = output.packed else {
      return super.attention(
        x, projection, group, form, output: output, projected: projected, context: context, into: y)
    }
    precondition(w.rows == 3 * context.columns && x.rows == context.rows && x.rows == y.rows)
    precondition(next.columns == context.columns)
    let width = context.columns
    words = .grown(words, to: (x.rows * w.rows + 1) / 2)
    let projectedWords = Rows(memory: words.matrix(1, words.count), count: x.rows, bytes: 2 * w.rows, scales: nil)
    multiply(
      rows(of: x, for: w, in: input), by: w, Epilogue(bias: projection.bias, activation: nil),
      intoWords: projectedWords)
    let attended: Rows
    if next.input == .words {
      attended = reserve(x.rows, for: next, in: input)
      attendWords(words, group, form, width: width, into: attended.memory, narrow: attended.bytes / 2)
    } else {
      attendWords(words, group, form, width: width, into: context, narrow: nil)
      attended = rows(of: context, for: next, in: input)
    }
    multiply(attended, by: next, Epilogue(bias: nil, activation: nil), into: y)
  }

  // MARK: Products

  /// What follows a product.
  private struct Epilogue {
    let bias: Weight?
    let activation: Activation?
  }

  /// `y = activation(x · wᵀ + bias)`, x [T, k], w [n, k], y [T, n].
  private func multiply(_ x: Rows, by w: PackedMatrix, _ epilogue: Epilogue, into y: Matrix) {
    precondition(y.columns == w.rows && x.count == y.rows)
    forBlocks(x, by: w, into: y) { block, part in
      if precision == .int8 {
        widen(part, x, w, epilogue, block)
      } else {
        finish(part, epilogue, block.columns)
      }
    }
  }

  /// The same as bfloat16 in the rows of `y`; for 8 bits without an activation.
  private func multiply(_ x: Rows, by w: PackedMatrix, _ epilogue: Epilogue, intoWords y: Rows) {
    precondition(x.count == y.count && y.bytes >= 2 * w.rows)
    precondition(precision != .int8 || epilogue.activation == nil)
    let code = NarrowMemory.code(of: epilogue.activation)
    let stride = y.bytes / 2
    forBlocks(x, by: w, into: nil) { block, part in
      unsafe part.withStart { x0 in
        unsafe y.memory.withStart { y0 in
          let y0 =
            unsafe UnsafeMutableRawPointer(y0).assumingMemoryBound(to: UInt16.self)
            + block.rows.lowerBound * stride + block.columns.lowerBound
          unsafe Weight.withStart(of: epilogue.bias) { bias in
            let bias = unsafe bias.map { unsafe $0 + block.columns.lowerBound }
            guard precision == .int8, let scales = x.scales else {
              return unsafe bertconv_narrow(
                x0, part.stride, bias, code, y0, stride, part.rows, part.columns)
            }
            let sums = unsafe UnsafeMutableRawPointer(x0).assumingMemoryBound(to: Int32.self)
            let (row, column) = (block.rows.lowerBound, block.columns.lowerBound)
            unsafe w.withScales { weightScales, weightSums in
              unsafe scales.withScales { scale, zero in
                unsafe bertconv_widen_to_bf16(
                  sums, part.stride, scale + row, zero + row, weightScales + column, weightSums + column, bias, y0,
                  stride,
                  part.rows, part.columns)
              }
            }
          }
        }
      }
    }
  }

  /// `x = activation(x + bias)` of these columns of the bias.
  private func finish(_ x: Matrix, _ epilogue: Epilogue, _ columns: Range<Int>) {
    guard let bias = epilogue.bias else {
      precondition(epilogue.activation == nil, "what has an activation has a bias")
      return
    }
    unsafe x.withStart { x0 in
      unsafe bias.withStart { b in
        let b = unsafe b + columns.lowerBound
        switch epilogue.activation {
        case nil: unsafe bertconv_bias(x0, b, x.rows, x.columns, x.stride)
        case .gelu: unsafe bertconv_bias_gelu(x0, b, x.rows, x.columns, x.stride)
        case .geluTanh: unsafe bertconv_bias_gelu_tanh(x0, b, x.rows, x.columns, x.stride)
        case .relu: unsafe bertconv_bias_relu(x0, b, x.rows, x.columns, x.stride)
        case .tanh: unsafe bertconv_bias_tanh(x0, b, x.rows, x.columns, x.stride)
        }
      }
    }
  }

  /// 32-bit sums of a block to floats, in place.
  private func widen(_ part: Matrix, _ x: Rows, _ w: PackedMatrix, _ epilogue: Epilogue, _ block: Block) {
    guard let scales = x.scales else { preconditionFailure("bytes have scales") }
    let (row, column) = (block.rows.lowerBound, block.columns.lowerBound)
    let code = NarrowMemory.code(of: epilogue.activation)
    unsafe part.withStart { x0 in
      unsafe w.withScales { weightScales, weightSums in
        unsafe scales.withScales { scale, zero in
          unsafe Weight.withStart(of: epilogue.bias) { bias in
            unsafe bertconv_widen(
              x0, part.stride, scale + row, zero + row, weightScales + column, weightSums + column,
              bias.map { unsafe $0 + column }, code, part.rows, part.columns)
          }
        }
      }
    }
  }

  // MARK: Blocks

  /// Some rows and some columns of a result.
  private struct Block {
    let rows: Range<Int>
    let columns: Range<Int>
    let panels: Range<Int>
  }

  /// How the result of a product is cut, so that each thread has as much to do, and one that is late leaves its last blocks to
  /// others: all panels of some rows, then of the next.
  private struct Blocks {
    /// Rows that go through a block of weights together: what they take stays in the second-level cache.
    static let maximumRows = 144
    /// Pairs of panels, which the kernels of AVX-512 multiply together.
    static let maximumPairs = 8
    static let blocksOfThread = 8

    let rows: Int
    let columns: Int
    let rowsOfBlock: Int
    let pairs: Int
    let rowBlocks: Int
    let panelBlocks: Int

    init(rows: Int, columns: Int, threads: Int) {
      self.rows = rows
      self.columns = columns
      let group = Int(BERTCONV_GROUP_ROWS.rawValue)
      let least = (rows + Self.maximumRows - 1) / Self.maximumRows
      rowsOfBlock = max(1, (rows + least * group - 1) / max(1, least * group)) * group
      rowBlocks = (rows + rowsOfBlock - 1) / rowsOfBlock
      pairs = (columns + 2 * PackedMatrix.panelWidth - 1) / (2 * PackedMatrix.panelWidth)
      var count = (pairs + Self.maximumPairs - 1) / Self.maximumPairs
      if threads > 1 {
        count = max(count, (Self.blocksOfThread * threads + rowBlocks - 1) / max(rowBlocks, 1))
        for more in 0..<threads where rowBlocks * (count + more) % threads == 0 {
          count += more
          break
        }
      }
      panelBlocks = min(count, pairs)
    }

    var count: Int { rowBlocks * panelBlocks }

    subscript(index: Int) -> Block {
      let (row, part) = index.quotientAndRemainder(dividingBy: panelBlocks)
      let width = PackedMatrix.panelWidth
      let panels = (pairs * part / panelBlocks * 2)..<(pairs * (part + 1) / panelBlocks * 2)
      let columns = (panels.lowerBound * width)..<min(panels.upperBound * width, columns)
      return Block(
        rows: (row * rowsOfBlock)..<min((row + 1) * rowsOfBlock, rows), columns: columns,
        panels: panels.lowerBound..<((columns.upperBound + width - 1) / width))
    }
  }

  /// `x · wᵀ` in `y`, or in memory of the thread, block by block, several at once: `body` has each when it is done, of 32-bit sums
  /// where the precision is 8 bits.
  private func forBlocks(_ x: Rows, by w: PackedMatrix, into y: Matrix?, _ body: (Block, Matrix) -> Void) {
    precondition(w.precision == precision && x.bytes >= w.inputBytes && y.map { $0.columns == w.rows } ?? true)
    let parts = Blocks(rows: x.count, columns: w.rows, threads: pool.count)
    if y == nil {
      let size = min(Blocks.maximumRows, parts.rowsOfBlock) * 2 * Blocks.maximumPairs * PackedMatrix.panelWidth
      blocks = grown(blocks, to: size)
    }
    let own = blocks
    unsafe w.withPanels { panels in
      unsafe x.memory.withStart { x0 in
        unsafe withColumns(of: x, x0, w, panels) { columns in
          pool.forParts(parts.count, grain: 1) { thread, part in
            for index in part {
              let block = parts[index]
              let target =
                y?.rows(block.rows).columns(block.columns)
                ?? own[thread].matrix(block.rows.count, block.columns.count)
              unsafe target.withStart { y0 in
                unsafe bertconv_panels_multiply(
                  panels, x0, x.bytes, columns,
                  bertconv_block(
                    first_row: block.rows.lowerBound, last_row: block.rows.upperBound,
                    first_panel: block.panels.lowerBound, last_panel: block.panels.upperBound), y0, target.stride)
              }
              body(block, target)
            }
          }
        }
      }
    }
  }

  /// A buffer of at least that many floats for each thread.
  private func grown(_ buffers: [Buffer], to count: Int) -> [Buffer] {
    (0..<pool.count).map { .grown($0 < buffers.count ? buffers[$0] : Buffer(count: 0), to: count) }
  }

  // MARK: Activations

  /// Rows of activations as products take them.
  private struct Rows {
    let memory: Matrix
    let count: Int
    /// From one row to the next.
    let bytes: Int
    /// Of bytes: where the scale and the zero of each row are.
    let scales: NarrowMemory?
  }

  /// Memory for so many rows that a product with `w` takes.
  private func reserve(_ count: Int, for w: PackedMatrix, in memory: NarrowMemory) -> Rows {
    let (bytes, isBytes) = (w.rowBytes, w.input == .bytes)
    memory.reserve(floats: count * bytes / 4, rows: isBytes ? count : 0)
    let rows = Rows(
      memory: memory.values.matrix(1, memory.values.count), count: count, bytes: bytes, scales: isBytes ? memory : nil)
    if w.input == .words, w.columns % 2 != 0 {
      // The second half of a row's last pair, which is multiplied with 0.
      unsafe rows.memory.withStart { start in
        for row in 0..<count { unsafe start[(row * bytes + 2 * w.columns) / 4] = 0 }
      }
    }
    return rows
  }

  /// The rows of `x` for a product with `w`: themselves, or converted in `memory`.
  private func rows(of x: Matrix, for w: PackedMatrix, in memory: NarrowMemory) -> Rows {
    precondition(x.columns == w.columns)
    if w.input == .floats, bertconv_rows_collide(4 * x.stride) == 0 {
      return Rows(memory: x, count: x.rows, bytes: 4 * x.stride, scales: nil)
    }
    let result = reserve(x.rows, for: w, in: memory)
    unsafe result.memory.withStart { y0 in
      unsafe x.withStart { x0 in
        unsafe memory.withScales { scale, zero in
          forRows(x.rows) { part in
            let from = unsafe x0 + part.lowerBound * x.stride
            let to = unsafe UnsafeMutableRawPointer(y0) + part.lowerBound * result.bytes
            switch w.input {
            case .floats:
              for row in 0..<part.count {
                unsafe (to + row * result.bytes).copyMemory(from: from + row * x.stride, byteCount: 4 * x.columns)
              }
            case .rounded:
              unsafe bertconv_round_to_bf16(
                from, x.stride, to.assumingMemoryBound(to: Float.self), result.bytes / 4, part.count, x.columns)
            case .words:
              unsafe bertconv_narrow(
                from, x.stride, nil, 0, to.assumingMemoryBound(to: UInt16.self), result.bytes / 2, part.count,
                x.columns)
            case .bytes:
              for row in 0..<part.count {
                unsafe bertconv_quantize(
                  from + row * x.stride, x.columns, (to + row * result.bytes).assumingMemoryBound(to: UInt8.self),
                  scale + part.lowerBound + row, zero + part.lowerBound + row, 1, x.columns)
              }
            }
          }
        }
      }
    }
    return result
  }

  /// 32-bit sums in `x` to floats, and from there to bytes.
  private func requantize(_ x: Matrix, _ w: PackedMatrix, _ epilogue: Epilogue, for next: PackedMatrix) -> Rows {
    precondition(x.isContiguous && x.columns == w.rows && epilogue.bias?.columns == w.rows && x.columns == next.columns)
    let result = reserve(x.rows, for: next, in: inner)
    let code = NarrowMemory.code(of: epilogue.activation)
    unsafe x.withStart { x0 in
      unsafe result.memory.withStart { y in
        unsafe w.withScales { weightScales, weightSums in
          unsafe Weight.withStart(of: epilogue.bias) { bias in
            unsafe input.withScales { scale, zero in
              unsafe inner.withScales { newScale, newZero in
                let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
                forRows(x.rows) { rows in
                  for row in rows {
                    unsafe bertconv_requantize(
                      x0 + row * x.columns, scale + row, zero + row, weightScales, weightSums, bias, code,
                      y + row * result.bytes, newScale + row, newZero + row, 1, x.columns)
                  }
                }
              }
            }
          }
        }
      }
    }
    return result
  }

  /// Calls `body` with the columns of bytes, where the panels need them.
  @unsafe
  private func withColumns(
    of x: Rows, _ start: UnsafeMutablePointer<Float>, _ w: PackedMatrix, _ panels: OpaquePointer,
    _ body: (UnsafePointer<UInt16>?) -> Void
  ) {
    guard unsafe bertconv_panels_need_columns(panels) != 0 else { return body(nil) }
    precondition(x.bytes == w.rowBytes)
    columns = .grown(columns, to: (bertconv_columns_size(x.count, w.columns) + 1) / 2)
    unsafe columns.withStart { y in
      let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self)
      let x0 = unsafe UnsafeRawPointer(start).assumingMemoryBound(to: UInt8.self)
      let groupRows = Int(BERTCONV_GROUP_ROWS.rawValue)
      pool.forParts((x.count + groupRows - 1) / groupRows, grain: 1) { _, groups in
        unsafe bertconv_columns_fill(panels, x0, x.count, y, groups.lowerBound, groups.upperBound)
      }
      unsafe body(y)
    }
  }

  // MARK: Attention

  override func forEachHead(
    _ group: PackedGroup, _ form: AttentionForm, workspace: Int,
    _ body: (PackedSequence, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    workspaces = grown(workspaces, to: workspace)
    let spaces = workspaces
    let sequences = group.sequences
    pool.forParts(sequences.count * form.heads, grain: 1) { thread, part in
      unsafe spaces[thread].withStart { space in
        for index in part { unsafe body(sequences[index / form.heads], index % form.heads, space) }
      }
    }
  }
}
