import CheckpointFormats
import TensorIO
import WeightMapping

/// A checkpoint whose 8-bit weights are read as the numbers that they represent.
///
/// `X` I8 `[rows, columns]` with `X_scale` F32 `[rows]` (docs/FORMAT.md, section 6) is one tensor `X` F32, each
/// value the integer times the scale of its row, rounded to F32 once; all other tensors are passed on.
public struct DequantizedSource: TensorSource {
  public let tensors: [TensorInfo]
  private let base: any TensorSource
  /// The indices in `base` of each tensor and of its scales.
  private let indices: [(tensor: Int, scale: Int?)]

  /// `nil` when `base` has no 8-bit weights of this form.
  public init?(_ base: any TensorSource) {
    var scaleIndices: [String: Int] = [:]
    for (index, info) in base.tensors.enumerated() where Int8Quantization.weightName(ofScale: info.name) != nil {
      scaleIndices[info.name] = index
    }
    var scales: [Int: Int] = [:]
    for (index, info) in base.tensors.enumerated() where info.elementType == .i8 && info.shape.count == 2 {
      guard let scale = scaleIndices[Int8Quantization.scaleName(info.name)], base.tensors[scale].elementType == .f32,
        base.tensors[scale].shape == [info.shape[0]]
      else { continue }
      scales[index] = scale
    }
    guard !scales.isEmpty else { return nil }
    let hidden = Set(scales.values)
    var tensors: [TensorInfo] = []
    var pairs: [(tensor: Int, scale: Int?)] = []
    for (index, info) in base.tensors.enumerated() where !hidden.contains(index) {
      var seen = info
      if scales[index] != nil {
        // One whose numbers would not fit into memory is left as it is, without its scales: it fails where it is read.
        guard let whole = TensorInfo(name: info.name, elementType: .f32, shape: info.shape) else { return nil }
        seen = whole
      }
      tensors.append(seen)
      pairs.append((index, scales[index]))
    }
    self.base = base
    self.tensors = tensors
    indices = pairs
  }

  /// The number of tensors that are stored in 8 bits.
  public var count: Int { indices.count { $0.scale != nil } }

  public var format: FormatName { base.format }
  public var files: [SourceFile] { base.files }
  public var warnings: [String] { base.warnings }
  public var imports: [ImportedGlobal] { base.imports }
  public var code: [ContainedCode] { base.code }
  public var metadata: [(key: String, value: String)] { base.metadata }
  public var config: JSON? { base.config }

  /// The type in which a tensor is stored.
  package func storedType(ofTensorAt index: Int) -> ElementType { base.tensors[indices[index].tensor].elementType }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    guard indices[index].scale != nil else { return try base.withBytes(ofTensorAt: indices[index].tensor, body) }
    var out: [UInt8] = []
    out.reserveCapacity(tensors[index].byteCount)
    try streamBytes(ofTensorAt: index) { out += $0.array() }
    return try Bytes(out).withSpan(body)
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    let pair = indices[index]
    guard let scale = pair.scale else { return try base.streamBytes(ofTensorAt: pair.tensor, body) }
    let info = tensors[index]
    let columns = info.shape[1]
    let scales = try base.withBytes(ofTensorAt: scale) { $0.floats() }
    var position = 0
    try base.streamBytes(ofTensorAt: pair.tensor) { chunk in
      guard scales.count == info.shape[0], position + chunk.byteCount <= info.elementCount else {
        throw FormatError(.damaged, "the source has another number of bytes than its shape needs", tensor: info.name)
      }
      var start = 0
      while start < chunk.byteCount {
        // Four bytes are made of each: chunks of at most a mebibyte.
        let count = min(chunk.byteCount - start, 1 << 18)
        let made = Bytes(count: count * 4) { out in
          for element in 0..<count {
            let value = Int8Quantization.dequantize(
              Int8(bitPattern: chunk.byte(at: start + element)), scale: scales[(position + start + element) / columns])
            out.storeBytes(of: value.bitPattern.littleEndian, toByteOffset: element * 4, as: UInt32.self)
          }
        }
        try made.withSpan(body)
        start += count
      }
      position += chunk.byteCount
    }
  }

  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    try base.strings(ofTensorAt: indices[index].tensor)
  }
}

extension TensorSource {
  /// The type in which a tensor is stored, which for 8-bit weights is not the one that it is read in.
  package func storedType(ofTensorAt index: Int) -> ElementType {
    (self as? DequantizedSource)?.storedType(ofTensorAt: index) ?? tensors[index].elementType
  }
}

extension ModelOutline {
  /// Makes an outline of the tensors of a ``DequantizedSource`` one of the tensors that it is made of.
  public mutating func spread(from tensors: [TensorInfo], over all: [TensorInfo]) {
    guard let parts else { return }
    let known = Dictionary(zip(tensors.map(\.name), parts)) { first, _ in first }
    self.parts = all.map { info in
      let weight = Int8Quantization.weightName(ofScale: info.name)
      return known[info.name] ?? weight.flatMap { known[$0] } ?? .unknown
    }
  }
}
