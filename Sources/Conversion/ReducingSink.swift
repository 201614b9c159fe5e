import CheckpointFormats
import TensorIO

/// The types that a conversion can store weights in.
public enum StorageType: String, Sendable, CaseIterable {
  case f32, f16, bf16, int8
}

/// Passes tensors on to another sink in a smaller type, rounded to nearest, ties to even.
///
/// `f32`, `f16` and `bf16` hold every floating-point tensor; NaN stays NaN, and what is too large becomes infinite and is
/// counted. `int8` holds the matrices whose names end in `.weight`, symmetrically with one scale per row: `X` I8 and, after
/// all others, `X_scale` F32, where X = q · scale and q lies in −127 … 127; the other tensors stay as they are.
public final class ReducingSink: TensorSink {
  private enum Handling {
    case pass
    case convert
    /// With the index of the tensor for the scales.
    case quantize(scale: Int)
  }

  private let sink: any TensorSink
  private let type: StorageType
  private var tensors: [TensorInfo] = []
  private var handlings: [Handling] = []
  /// For each tensor the start of a row that is not complete yet.
  private var rests: [[UInt8]] = []
  private var overflowing: [Int] = []

  public init(_ sink: any TensorSink, type: StorageType) {
    self.sink = sink
    self.type = type
  }

  /// The tensors in which finite values became infinite, and how many.
  public var overflows: [(name: String, count: Int)] {
    zip(tensors, overflowing).filter { $0.1 > 0 }.map { (name: $0.0.name, count: $0.1) }
  }

  public func begin(_ tensors: [TensorInfo]) throws {
    self.tensors = tensors
    rests = tensors.map { _ in [] }
    overflowing = tensors.map { _ in 0 }
    var infos: [TensorInfo] = []
    var scales: [TensorInfo] = []
    for tensor in tensors {
      if isQuantized(tensor) {
        handlings.append(.quantize(scale: tensors.count + scales.count))
        infos.append(try Self.stored(tensor, as: .i8))
        guard
          let scale = TensorInfo(
            name: Int8Quantization.scaleName(tensor.name), elementType: .f32, shape: [tensor.shape[0]])
        else { throw Self.tooLarge(tensor) }
        scales.append(scale)
      } else if type != .int8, Self.floatTypes.contains(tensor.elementType), tensor.elementType != target {
        handlings.append(.convert)
        infos.append(try Self.stored(tensor, as: target))
      } else {
        handlings.append(.pass)
        infos.append(try Self.stored(tensor, as: tensor.elementType))
      }
    }
    try sink.begin(infos + scales)
  }

  private static let floatTypes: Set<ElementType> = [.f64, .f32, .f16, .bf16]

  /// Whether a tensor is one of the matrices that `int8` stores in 8 bits.
  private func isQuantized(_ tensor: TensorInfo) -> Bool {
    type == .int8 && Self.floatTypes.contains(tensor.elementType) && tensor.shape.count == 2
      && tensor.name.hasSuffix(".weight")
  }

  private static func stored(_ tensor: TensorInfo, as type: ElementType) throws(FormatError) -> TensorInfo {
    guard let byteCount = checkedByteCount(tensor.shape, type) else { throw tooLarge(tensor) }
    var info = tensor
    info.elementType = type
    info.byteCount = byteCount
    return info
  }

  private static func tooLarge(_ tensor: TensorInfo) -> FormatError {
    FormatError(.limit, "the tensor is too large", tensor: tensor.name, found: shapeText(tensor.shape))
  }

  public func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    switch handlings[index] {
    case .pass: try sink.append(bytes, toTensorAt: index)
    case .convert: try inChunks(bytes) { try convert($0, index) }
    case .quantize(let scale): try quantize(bytes, index, scale)
    }
  }

  public func finish() throws {
    for (tensor, rest) in zip(tensors, rests) where !rest.isEmpty {
      throw FormatError(.damaged, "less data than the tensor's shape and type need", tensor: tensor.name)
    }
    try sink.finish()
  }

  public func cancel() { sink.cancel() }

  /// Chunks of at most a mebibyte, so that the converted form of a large tensor takes little memory.
  private func inChunks(_ bytes: RawSpan, _ body: (RawSpan) throws -> Void) throws {
    var start = 0
    while start < bytes.byteCount {
      let end = min(bytes.byteCount, start + 1 << 20)
      try body(bytes.extracting(start..<end))
      start = end
    }
  }

  // MARK: Floats

  private func convert(_ bytes: RawSpan, _ index: Int) throws {
    let from = tensors[index].elementType
    guard let size = from.size, bytes.byteCount % size == 0, let width = target.size else {
      throw FormatError(.damaged, "a chunk of data ends within an element", tensor: tensors[index].name)
    }
    let count = bytes.byteCount / size
    var overflow = 0
    let type = type
    let made = Bytes(count: count * width) { out in
      for element in 0..<count {
        let bits = Rounding.floatBits(bytes, from, at: element * size, toOdd: type != .f32)
        let isFinite = bits.value & 0x7F80_0000 != 0x7F80_0000 || bits.isOverflow
        switch type {
        case .f16:
          let half = Float(bitPattern: bits.value).halfBits
          if isFinite, half & 0x7FFF == 0x7C00 { overflow += 1 }
          out.storeBytes(of: half.littleEndian, toByteOffset: element * 2, as: UInt16.self)
        case .bf16:
          let brain = Float(bitPattern: bits.value).bfloat16Bits
          if isFinite, brain & 0x7FFF == 0x7F80 { overflow += 1 }
          out.storeBytes(of: brain.littleEndian, toByteOffset: element * 2, as: UInt16.self)
        case .f32, .int8:
          if bits.isOverflow { overflow += 1 }
          out.storeBytes(of: bits.value.littleEndian, toByteOffset: element * 4, as: UInt32.self)
        }
      }
    }
    overflowing[index] += overflow
    try made.withSpan { try sink.append($0, toTensorAt: index) }
  }

  private var target: ElementType {
    switch type {
    case .f32, .int8: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }

  // MARK: 8 bits

  private func quantize(_ bytes: RawSpan, _ index: Int, _ scale: Int) throws {
    let row = tensors[index].shape[1] * (tensors[index].elementType.size ?? 1)
    guard row > 0 else {
      // Rows of nothing bring no data, so no scale either: such a tensor is not a weight.
      throw FormatError(
        .unsupported, "a matrix without columns cannot be stored in 8 bits", tensor: tensors[index].name)
    }
    var start = 0
    if !rests[index].isEmpty {
      start = min(row - rests[index].count, bytes.byteCount)
      rests[index] += bytes.extracting(0..<start).array()
      guard rests[index].count == row else { return }
      let whole = Bytes(rests[index])
      rests[index] = []
      try whole.withSpan { try quantizeRows($0, index, scale, row) }
    }
    let rows = max(1, (1 << 20) / row)
    while bytes.byteCount - start >= row {
      let end = start + min(rows, (bytes.byteCount - start) / row) * row
      try quantizeRows(bytes.extracting(start..<end), index, scale, row)
      start = end
    }
    rests[index] = bytes.extracting(start..<bytes.byteCount).array()
  }

  private func quantizeRows(_ bytes: RawSpan, _ index: Int, _ scale: Int, _ row: Int) throws {
    let from = tensors[index].elementType
    let size = from.size ?? 1
    let columns = row / size
    let rows = bytes.byteCount / row
    var isFinite = true
    var scales: [UInt8] = []
    let made = Bytes(count: rows * columns) { out in
      var values = [Float](repeating: 0, count: columns)
      for number in 0..<rows {
        var largest: Float = 0
        for column in 0..<columns {
          let bits = Rounding.floatBits(bytes, from, at: number * row + column * size, toOdd: false)
          let value = Float(bitPattern: bits.value)
          values[column] = value
          if !value.isFinite { isFinite = false }
          largest = max(largest, value.magnitude)
        }
        guard isFinite else { return }
        let step = Int8Quantization.scale(largestMagnitude: largest)
        for column in 0..<columns {
          let q = Int8Quantization.quantize(values[column], scale: step)
          out.storeBytes(of: q, toByteOffset: number * columns + column, as: Int8.self)
        }
        let bits = step.bitPattern
        for shift in [0, 8, 16, 24] as [UInt32] { scales.append(UInt8(truncatingIfNeeded: bits >> shift)) }
      }
    }
    guard isFinite else {
      throw FormatError(
        .unsupported, "8 bits cannot store NaN or infinite values", tensor: tensors[index].name,
        advice: .all([.chooseStorageType(["f16", "bf16"]), "Check the checkpoint: weights should be finite."]))
    }
    try made.withSpan { try sink.append($0, toTensorAt: index) }
    try Bytes(scales).withSpan { try sink.append($0, toTensorAt: scale) }
  }
}

/// Rounding to nearest, ties to even, on bit patterns.
enum Rounding {
  /// The element as a float. A double is rounded to nearest, or with `toOdd` so that a second rounding to half of the
  /// width gives what one rounding would. `isOverflow` is set for a finite double that became infinite.
  @inline(__always)
  static func floatBits(
    _ bytes: RawSpan, _ type: ElementType, at offset: Int, toOdd: Bool
  ) -> (value: UInt32, isOverflow: Bool) {
    switch type {
    case .f32: return (bytes.littleEndian(UInt32.self, at: offset), false)
    case .bf16: return (Float(bfloat16Bits: bytes.littleEndian(UInt16.self, at: offset)).bitPattern, false)
    case .f16: return (Float(halfBits: bytes.littleEndian(UInt16.self, at: offset)).bitPattern, false)
    default:
      let value = Double(bitPattern: bytes.littleEndian(UInt64.self, at: offset))
      let nearest = Float(value)
      let isOverflow = nearest.isInfinite && value.isFinite
      return ((toOdd ? Float(roundingToOdd: value) : nearest).bitPattern, isOverflow)
    }
  }
}
