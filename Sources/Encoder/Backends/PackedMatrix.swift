import CKernels
import COneDNN
import CProducts
import NativeFormat
import TensorIO

/// A weight matrix `[rows, columns]` in the layout that the products of a backend want.
///
/// Thread safety: made once, and only read from then on, by the libraries too.
@safe
final class PackedMatrix: @unchecked Sendable {
  // Memory safety: `packed` lives from `init` to `deinit`, and is lent only as what it is. The parts of a loop fill panels, and
  // round rows, of their own. What is packed, rounded or summed is as long as rows and columns
  // say, by a precondition or because the array was made so; `span.bytes` shows numbers, which have no padding.

  let precision: Precision
  let rows: Int
  let columns: Int
  private let packed: OpaquePointer
  /// Whether `packed` is of panels, or oneDNN's.
  private let isOfPanels: Bool
  /// Of 8-bit weights: a scale per output, and the sum of its weights, which undoes the zero of the activations.
  private let scales: [Float]
  private let sums: [Int32]

  /// Takes over `packed`.
  @unsafe
  private init(
    _ packed: OpaquePointer, scales: [Float], sums: [Int32], rows: Int, columns: Int, _ packing: Packing
  ) {
    unsafe self.packed = packed
    isOfPanels = if case .panels = packing.layout { true } else { false }
    input = isOfPanels ? unsafe Self.input(packed) : .floats
    rowBytes = isOfPanels ? unsafe bertconv_panels_row_bytes(packed) : 0
    inputBytes = isOfPanels ? unsafe bertconv_panels_input_bytes(packed) : 0
    precision = packing.precision
    self.rows = rows
    self.columns = columns
    self.scales = scales
    self.sums = sums
  }

  /// Packs `values`, row by row what products of this precision take: floats, bfloat16, or signed bytes with a scale per row.
  /// `nil` when the library cannot.
  static func packing(
    _ values: RawSpan, scales: [Float], rows: Int, columns: Int, _ packing: Packing
  ) -> PackedMatrix? {
    let precision = packing.precision
    precondition(rows > 0 && columns > 0 && values.byteCount == rows * columns * precision.weightSize)
    precondition(scales.count == (precision == .int8 ? rows : 0))
    return unsafe values.withUnsafeBytes { buffer in
      guard let packed = unsafe pack(buffer, rows: rows, columns: columns, packing) else { return nil }
      var sums = [Int32](repeating: 0, count: scales.count)
      if precision == .int8, let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: Int8.self) {
        unsafe bertconv_row_sums(start, &sums, rows, columns)
      }
      return unsafe PackedMatrix(packed, scales: scales, sums: sums, rows: rows, columns: columns, packing)
    }
  }

  @unsafe
  private static func pack(
    _ values: UnsafeRawBufferPointer, rows: Int, columns: Int, _ packing: Packing
  ) -> OpaquePointer? {
    let code = packing.precision.code
    guard case .panels(let pool) = packing.layout else {
      return unsafe bertconv_pack(code, values.baseAddress, rows, columns)
    }
    let type = packing.precision.panelType
    let level = bertconv_panels_best(type, ProcessorLevel.current.code)
    guard let panels = unsafe bertconv_panels_create(type, level, rows, columns) else {
      return nil
    }
    let isWhole = Lock(true)
    let start = values.baseAddress
    pool.forParts(unsafe bertconv_panels_count(panels), grain: 4) { _, part in
      if unsafe bertconv_panels_fill(panels, start, part.lowerBound, part.upperBound) != 0 {
        isWhole.withLock { $0 = false }
      }
    }
    guard isWhole.withLock({ $0 }) else {
      unsafe bertconv_panels_free(panels)
      return nil
    }
    return unsafe panels
  }

  /// Packs the rows of `parts`, one matrix below the other, rounded to what the precision takes.
  static func rounding(_ parts: [Weight], _ packing: Packing) -> PackedMatrix? {
    guard let columns = parts.first?.columns, parts.allSatisfy({ $0.columns == columns }) else { return nil }
    let rows = parts.reduce(0) { $0 + $1.rows }
    func pack(_ values: RawSpan, _ scales: [Float] = []) -> PackedMatrix? {
      Self.packing(values, scales: scales, rows: rows, columns: columns, packing)
    }
    switch packing.precision {
    case .f32:
      if parts.count == 1 { return parts[0].withSpan { pack($0) } }
      let joined = parts.flatMap { $0.array() }
      return pack(unsafe joined.span.bytes)
    case .bf16:
      let narrow = halves(parts, columns)
      return pack(unsafe narrow.span.bytes)
    case .int8:
      let (small, scales) = quantized(parts, columns, packing)
      return pack(unsafe small.span.bytes, scales)
    }
  }

  private static func halves(_ parts: [Weight], _ columns: Int) -> [UInt16] {
    var narrow = [UInt16](repeating: 0, count: parts.reduce(0) { $0 + $1.rows } * columns)
    unsafe narrow.withUnsafeMutableBufferPointer { target in
      guard var next = target.baseAddress else { return }
      for part in parts {
        unsafe part.withStart { unsafe bertconv_to_bf16($0, columns, next, part.rows, columns) }
        unsafe next += part.rows * columns
      }
    }
    return narrow
  }

  private static func quantized(
    _ parts: [Weight], _ columns: Int, _ packing: Packing
  ) -> (values: [Int8], scales: [Float]) {
    let rows = parts.reduce(0) { $0 + $1.rows }
    var small = [Int8](repeating: 0, count: rows * columns)
    var scales = [Float](repeating: 0, count: rows)
    unsafe small.withUnsafeMutableBufferPointer { target in
      unsafe scales.withUnsafeMutableBufferPointer { scales in
        guard var next = target.baseAddress, var scale = scales.baseAddress else { return }
        for part in parts {
          unsafe part.withStart { weights in
            packing.forRows(part.rows) { rows in
              let start = rows.lowerBound * columns
              unsafe bertconv_quantize_weights(
                weights + start, next + start, scale + rows.lowerBound, rows.count, columns)
            }
          }
          unsafe next += part.rows * columns
          unsafe scale += part.rows
        }
      }
    }
    return (small, scales)
  }

  deinit {
    if isOfPanels {
      unsafe bertconv_panels_free(packed)
    } else {
      unsafe bertconv_packed_free(packed)
    }
  }

  /// What products with panels take as activations.
  enum Input {
    case floats
    /// Floats with the bits of a bfloat16.
    case rounded
    /// bfloat16.
    case words
    case bytes
  }

  let input: Input
  /// Bytes of a row of activations, of which `inputBytes` are read.
  let rowBytes: Int
  let inputBytes: Int

  private static func input(_ panels: OpaquePointer) -> Input {
    switch unsafe UInt32(bertconv_panels_input(panels)) {
    case BERTCONV_INPUT_FLOATS.rawValue: .floats
    case BERTCONV_INPUT_ROUNDED.rawValue: .rounded
    case BERTCONV_INPUT_BF16.rawValue: .words
    default: .bytes
    }
  }

  /// Outputs of a panel.
  static let panelWidth = Int(BERTCONV_PANEL_WIDTH.rawValue)

  /// Calls `body` with what oneDNN packed.
  @unsafe
  func withPacked<R>(_ body: (_ packed: OpaquePointer, _ scales: [Float], _ sums: [Int32]) -> R) -> R {
    precondition(!isOfPanels)
    return withExtendedLifetime(self) { unsafe body(packed, scales, sums) }
  }

  /// Calls `body` with the panels.
  @unsafe
  func withPanels<R>(_ body: (_ panels: OpaquePointer) -> R) -> R {
    precondition(isOfPanels)
    return withExtendedLifetime(self) { unsafe body(packed) }
  }

  /// Calls `body` with the scale of each row of 8-bit weights, and the sum of its weights.
  @unsafe
  func withScales<R>(_ body: (_ scales: UnsafePointer<Float>, _ sums: UnsafePointer<Int32>) -> R) -> R {
    unsafe scales.withUnsafeBufferPointer { scales in
      unsafe sums.withUnsafeBufferPointer { sums in
        guard let scales = scales.baseAddress, let sums = sums.baseAddress else {
          preconditionFailure("only of 8-bit weights")
        }
        return unsafe body(scales, sums)
      }
    }
  }
}
