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
  // bits. The parts of a loop write rows, tiles, groups or blocks of their own.

  private let precision: Precision
  private let pool: ThreadPool
  /// Activations of f32 and bf16 in tiles.
  private var tiles = Buffer(count: 0)
  /// Activations as bytes, and the same between the two matrices of a feed-forward network.
  private let input = NarrowMemory()
  private let inner = NarrowMemory()
  /// Bytes as columns of 16-bit numbers.
  private var columns = Buffer(count: 0)
  /// One for each thread.
  private var workspaces: [Buffer] = []

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
    multiply(x, by: packed, Epilogue(bias: nil, activation: nil), into: y)
  }

  override func dense(_ x: Matrix, _ dense: DenseWeights, _ activation: Activation? = nil, into y: Matrix) {
    guard let packed = dense.weight.packed else { return super.dense(x, dense, activation, into: y) }
    multiply(x, by: packed, Epilogue(bias: dense.bias, activation: activation), into: y)
  }

  override func feedForward(_ x: Matrix, _ a: DenseWeights, _ activation: Activation, by b: Weight, into y: Matrix) {
    guard let first = a.weight.packed, let second = b.packed else {
      return super.feedForward(x, a, activation, by: b, into: y)
    }
    precondition(x.columns == first.columns && first.rows == second.columns && second.rows == y.columns)
    precondition(x.rows == y.rows)
    let epilogue = Epilogue(bias: a.bias, activation: activation)
    // What lies between the two matrices stays in the cache when it has few rows, in memory that is used again.
    let limit = Self.rowsOfBlock * pool.count
    for start in stride(from: 0, to: x.rows, by: limit) {
      let rows = start..<min(start + limit, x.rows)
      let between = scratch(rows.count, first.rows)
      guard precision == .int8 else {
        multiply(x.rows(rows), by: first, epilogue, into: between)
        multiply(between, by: second, Epilogue(bias: nil, activation: nil), into: y.rows(rows))
        continue
      }
      quantize(x.rows(rows), into: input)
      sum(input, first, into: between)
      requantize(between, first, epilogue)
      sum(inner, second, into: y.rows(rows), then: Epilogue(bias: nil, activation: nil))
    }
  }

  /// What follows a product.
  private struct Epilogue {
    let bias: Weight?
    let activation: Activation?
  }

  /// `y = activation(x · wᵀ + bias)`, x [T, k], w [n, k], y [T, n].
  private func multiply(_ x: Matrix, by w: PackedMatrix, _ epilogue: Epilogue, into y: Matrix) {
    precondition(x.columns == w.columns && y.columns == w.rows && x.rows == y.rows && w.precision == precision)
    precondition(epilogue.bias.map { $0.rows == 1 && $0.columns == w.rows } ?? true)
    guard precision != .int8 else {
      quantize(x, into: input)
      return sum(input, w, into: y, then: epilogue)
    }
    let level = ProcessorLevel.current.panelLevel
    tiles = .grown(tiles, to: bertconv_tiles_size(x.rows, x.columns))
    let tileRows = Int(BERTCONV_TILE_ROWS.rawValue)
    let tileCount = (x.rows + tileRows - 1) / tileRows
    let rounds: Int32 = precision == .bf16 ? 1 : 0
    unsafe tiles.withStart { tiles in
      unsafe x.withStart { x0 in
        pool.forParts(tileCount, grain: 8) { _, part in
          unsafe bertconv_tiles_fill(
            level, x0, x.stride, x.rows, x.columns, rounds, tiles, part.lowerBound, part.upperBound)
        }
      }
      unsafe w.withPanels { panels in
        unsafe y.withStart { y0 in
          forBlocks(rows: x.rows, of: w) { block in
            unsafe bertconv_panels_multiply(panels, tiles, x.rows, block, y0, y.stride)
            let columns = block.columns(of: w)
            self.finish(y.rows(block.rows).columns(columns), epilogue, columns)
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

  // MARK: Blocks

  /// Rows that go through a block of weights together: what they take stays in the second-level cache. A multiple of the rows
  /// of tiles and of groups.
  private static let rowsOfBlock = 144
  /// Panels of a block at most.
  private static let panelsOfBlock = 16
  /// Blocks for each thread, so that one that is late leaves its last ones to others.
  private static let blocksOfThread = 8

  /// Calls `body` for blocks of the result of `rows` rows, several at once: all panels of some rows, then of the next.
  private func forBlocks(rows: Int, of w: PackedMatrix, _ body: (bertconv_block) -> Void) {
    let panels = (w.rows + PackedMatrix.panelWidth - 1) / PackedMatrix.panelWidth
    let rowBlocks = (rows + Self.rowsOfBlock - 1) / Self.rowsOfBlock
    let wanted = pool.count == 1 ? 1 : (Self.blocksOfThread * pool.count + rowBlocks - 1) / max(rowBlocks, 1)
    let size = min(max(panels / wanted, 2), Self.panelsOfBlock)
    let panelBlocks = (panels + size - 1) / size
    pool.forParts(rowBlocks * panelBlocks, grain: 1) { _, part in
      for index in part {
        let (row, panel) = (index / panelBlocks * Self.rowsOfBlock, index % panelBlocks * size)
        body(
          bertconv_block(
            first_row: row, last_row: min(row + Self.rowsOfBlock, rows), first_panel: panel,
            last_panel: min(panel + size, panels)))
      }
    }
  }

  // MARK: 8 bits

  /// Bytes of a row, and floats that rows of them take.
  private static func floats(_ rows: Int, _ columns: Int) -> Int { (rows * bertconv_row_bytes(columns) + 3) / 4 }

  /// The rows of `x` as bytes, each with a scale and a zero.
  private func quantize(_ x: Matrix, into memory: NarrowMemory) {
    memory.reserve(floats: Self.floats(x.rows, x.columns), rows: x.rows)
    let bytes = bertconv_row_bytes(x.columns)
    unsafe memory.values.withStart { y in
      unsafe x.withStart { x0 in
        unsafe memory.withScales { scale, zero in
          let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
          forRows(x.rows) { rows in
            for row in rows {
              unsafe bertconv_quantize(
                x0 + row * x.stride, x.columns, y + row * bytes, scale + row, zero + row, 1, x.columns)
            }
          }
        }
      }
    }
  }

  /// The sums of `memory` · wᵀ in `y` as 32-bit numbers, or what the epilogue makes of them as floats.
  private func sum(_ memory: NarrowMemory, _ w: PackedMatrix, into y: Matrix, then epilogue: Epilogue? = nil) {
    precondition(memory.values.count >= Self.floats(y.rows, w.columns) && y.columns == w.rows)
    let code = epilogue.map { NarrowMemory.code(of: $0.activation) } ?? 0
    unsafe w.withPanels { panels in
      unsafe memory.values.withStart { x in
        let x = unsafe UnsafeRawPointer(x).assumingMemoryBound(to: UInt8.self)
        unsafe withColumns(of: x, rows: y.rows, w, panels) { columns in
          unsafe y.withStart { y0 in
            let sums = unsafe UnsafeMutableRawPointer(y0).assumingMemoryBound(to: Int32.self)
            unsafe memory.withScales { scale, zero in
              forBlocks(rows: y.rows, of: w) { block in
                unsafe bertconv_panels_multiply_bytes(panels, x, columns, block, sums, y.stride)
                guard let epilogue else { return }
                let (rows, own) = (block.rows, block.columns(of: w))
                unsafe w.withScales { weightScales, weightSums in
                  unsafe Weight.withStart(of: epilogue.bias) { bias in
                    unsafe bertconv_widen(
                      y0 + rows.lowerBound * y.stride + own.lowerBound, y.stride, scale + rows.lowerBound,
                      zero + rows.lowerBound, weightScales + own.lowerBound, weightSums + own.lowerBound,
                      bias.map { unsafe $0 + own.lowerBound }, code, rows.count, own.count)
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  /// Calls `body` with the columns of bytes, where the panels need them.
  @unsafe
  private func withColumns(
    of x: UnsafePointer<UInt8>, rows: Int, _ w: PackedMatrix, _ panels: OpaquePointer,
    _ body: (UnsafePointer<UInt16>?) -> Void
  ) {
    guard unsafe bertconv_panels_need_columns(panels) != 0 else { return body(nil) }
    columns = .grown(columns, to: (bertconv_columns_size(rows, w.columns) + 1) / 2)
    unsafe columns.withStart { y in
      let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self)
      let groupRows = Int(BERTCONV_GROUP_ROWS.rawValue)
      pool.forParts((rows + groupRows - 1) / groupRows, grain: 1) { _, groups in
        unsafe bertconv_columns_fill(panels, x, rows, y, groups.lowerBound, groups.upperBound)
      }
      unsafe body(y)
    }
  }

  /// 32-bit sums in `x` to floats, and from there to the bytes of `inner`.
  private func requantize(_ x: Matrix, _ w: PackedMatrix, _ epilogue: Epilogue) {
    precondition(x.isContiguous && x.columns == w.rows && epilogue.bias?.columns == w.rows)
    inner.reserve(floats: Self.floats(x.rows, x.columns), rows: x.rows)
    let bytes = bertconv_row_bytes(x.columns)
    let code = NarrowMemory.code(of: epilogue.activation)
    unsafe x.withStart { x0 in
      unsafe inner.values.withStart { y in
        unsafe w.withScales { weightScales, weightSums in
          unsafe Weight.withStart(of: epilogue.bias) { bias in
            unsafe input.withScales { scale, zero in
              unsafe inner.withScales { newScale, newZero in
                let y = unsafe UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt8.self)
                forRows(x.rows) { rows in
                  for row in rows {
                    unsafe bertconv_requantize(
                      x0 + row * x.columns, scale + row, zero + row, weightScales, weightSums, bias, code,
                      y + row * bytes, newScale + row, newZero + row, 1, x.columns)
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  // MARK: Attention

  override func forEachHead(
    _ group: PackedGroup, _ form: AttentionForm, workspace: Int,
    _ body: (PackedSequence, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    while workspaces.count < pool.count { workspaces.append(Buffer(count: 0)) }
    for index in workspaces.indices { workspaces[index] = .grown(workspaces[index], to: workspace) }
    let spaces = workspaces
    let sequences = group.sequences
    pool.forParts(sequences.count * form.heads, grain: 1) { thread, part in
      unsafe spaces[thread].withStart { space in
        for index in part { unsafe body(sequences[index / form.heads], index % form.heads, space) }
      }
    }
  }
}

extension bertconv_block {
  fileprivate var rows: Range<Int> { first_row..<last_row }

  fileprivate func columns(of w: PackedMatrix) -> Range<Int> {
    (first_panel * PackedMatrix.panelWidth)..<min(last_panel * PackedMatrix.panelWidth, w.rows)
  }
}

extension ProcessorLevel {
  /// The level of products with panels: those of AVX-512 are oneDNN's.
  var panelLevel: Int32 {
    Int32(self >= .avx2 ? BERTCONV_PANELS_AVX2.rawValue : BERTCONV_PANELS_PLAIN.rawValue)
  }
}
