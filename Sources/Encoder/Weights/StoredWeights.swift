import CheckpointFormats
import NativeFormat
import TensorIO

/// Tensors of a file as floats: views where the file has floats, else buffers that are converted once.
extension WeightLoader {
  // Memory safety: the model's header was checked, so that a tensor has as many bytes as its shape needs; the buffer that
  // they are turned into floats in is made for the elements of the same shapes.

  /// The floats of several tensors in a row: a view when they lie so in the file, a new buffer when they have to be
  /// converted anyhow, `nil` when they are stored floats that are not adjacent.
  func adjacent(_ tensors: [NativeModel.Tensor]) throws(FormatError) -> Bytes? {
    guard tensors.allSatisfy(isUsableAsStored) else {
      return tensors.contains(where: isUsableAsStored) ? nil : try floats(tensors)
    }
    guard let first = tensors.first else { return nil }
    var end = first.bytes.offsetInFile
    for tensor in tensors {
      guard tensor.bytes.offsetInFile == end else { return nil }
      end += UInt64(tensor.bytes.count)
    }
    return model.file.slice(Int(first.bytes.offsetInFile), Int(end - first.bytes.offsetInFile))
  }

  /// Whether the tensor's bytes are floats on a float's boundary. A plain safetensors file promises no alignment.
  private func isUsableAsStored(_ tensor: NativeModel.Tensor) -> Bool {
    tensor.elementType == .f32 && tensor.bytes.offsetInFile % 4 == 0
  }

  /// The elements of `tensors`, one after the other, as floats.
  func floats(_ tensors: [NativeModel.Tensor]) throws(FormatError) -> Bytes {
    if tensors.count == 1, isUsableAsStored(tensors[0]) { return tensors[0].bytes }
    var scales: [Bytes] = []
    for tensor in tensors {
      switch tensor.elementType {
      case .f32, .f16, .bf16: scales.append(Bytes([]))
      case .f64:
        try checkRange(of: tensor)
        scales.append(Bytes([]))
      case .i8: scales.append(try scale(of: tensor))
      default:
        throw FormatError(
          .unsupported, "the encoder cannot use weights of this type", file: model.path, tensor: tensor.name,
          found: tensor.elementType.rawValue, expected: "F32, F16, BF16, F64 or I8 with a scale")
      }
    }
    let count = tensors.reduce(0) { $0 + (checkedElementCount($1.shape) ?? 0) }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: 4)
    guard !overflow else {
      throw FormatError(.limit, "the weights are too large", file: model.path, tensor: tensors[0].name)
    }
    let parts = Array(zip(tensors, scales))
    return Bytes(
      count: byteCount, file: model.path,
      initializingWith: { target in
        unsafe target.withUnsafeMutableBytes { buffer in
          guard var start = unsafe buffer.baseAddress?.assumingMemoryBound(to: Float.self) else { return }
          for (tensor, scale) in parts {
            unsafe Self.convert(tensor, scale, to: start)
            unsafe start += checkedElementCount(tensor.shape) ?? 0
          }
        }
      })
  }

  /// Throws where a double is finite and no float is as large.
  private func checkRange(of tensor: NativeModel.Tensor) throws(FormatError) {
    let large: Double? = tensor.bytes.withSpan { span in
      for index in 0..<(span.byteCount / 8) {
        let value = Double(bitPattern: span.littleEndian(UInt64.self, at: index * 8))
        if value.isFinite, Float(value).isInfinite { return value }
      }
      return nil
    }
    guard let large else { return }
    throw FormatError(
      .unsupported, "a weight is too large for f32, in which the encoder computes", file: model.path,
      tensor: tensor.name, found: "\(large)", expected: "at most \(Float.greatestFiniteMagnitude)")
  }

  /// The scales of a quantized matrix, one per row; a copy, since they need not be aligned.
  func scale(of tensor: NativeModel.Tensor) throws(FormatError) -> Bytes {
    let name = Int8Quantization.scaleName(tensor.name)
    guard let scale = model.tensor(name) else {
      throw FormatError(
        .mismatch, "the 8-bit tensor has no scale", file: model.path, tensor: tensor.name,
        expected: "a tensor '\(name)'")
    }
    let rows = tensor.shape.count > 1 ? tensor.shape[0] : 1
    guard scale.elementType == .f32, checkedElementCount(scale.shape) == rows else {
      throw FormatError(
        .mismatch, "the scale does not fit its 8-bit tensor", file: model.path, tensor: name,
        found: "\(scale.elementType.rawValue) \(shapeText(scale.shape))", expected: "F32 \(shapeText([rows]))")
    }
    return Bytes(scale.bytes.array(), file: model.path)
  }

  /// `target` has space for the tensor's elements; `scale` has a float for each row of an 8-bit tensor.
  @unsafe
  private static func convert(_ tensor: NativeModel.Tensor, _ scale: Bytes, to target: UnsafeMutablePointer<Float>) {
    let count = checkedElementCount(tensor.shape) ?? 0
    let scales = scale.withSpan { $0.floats() }
    tensor.bytes.withSpan { span in
      unsafe span.withUnsafeBytes { source in
        // The data need not be aligned.
        func element<Number: FixedWidthInteger & BitwiseCopyable>(_ index: Int) -> Number {
          unsafe Number(
            littleEndian: source.loadUnaligned(fromByteOffset: index * MemoryLayout<Number>.size, as: Number.self))
        }
        switch tensor.elementType {
        case .f16: for index in 0..<count { unsafe target[index] = Float(halfBits: element(index)) }
        case .bf16: for index in 0..<count { unsafe target[index] = Float(bfloat16Bits: element(index)) }
        case .f64: for index in 0..<count { unsafe target[index] = Float(Double(bitPattern: element(index))) }
        case .i8:
          guard !scales.isEmpty else { return }
          let columns = count / scales.count
          for (row, scale) in scales.enumerated() {
            for index in (row * columns)..<((row + 1) * columns) {
              unsafe target[index] = Float(element(index) as Int8) * scale
            }
          }
        default:
          guard let start = source.baseAddress else { return }
          unsafe UnsafeMutableRawPointer(target).copyMemory(from: start, byteCount: count * 4)
        }
      }
    }
  }
}
