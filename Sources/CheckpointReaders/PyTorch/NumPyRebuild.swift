import CheckpointFormats
import TensorIO

// Arrays and scalars of NumPy (numpy/_core/multiarray), whose bytes are in the pickle.
extension PickleMachine {
  /// A NumPy array, whose bytes are in the pickle, as a tensor.
  mutating func array(
    _ bytes: Bytes, _ type: (element: ElementType, isBigEndian: Bool), _ shape: [Int], isFortran: Bool
  ) throws(FormatError) -> Int {
    guard checkedByteCount(shape, type.element) == bytes.count else {
      throw fail(
        .damaged, "the data of an array does not match its shape", found: "\(bytes.count) bytes",
        expected: shapeText(shape))
    }
    // One array can be made again and again of the same bytes; long ones are not copied.
    try chargeBytes(min(bytes.count, Self.maxNameLength))
    var storage = TorchStorage(key: "array \(storages.count)", elementType: type.element, byteCount: bytes.count)
    storage.inline = bytes
    storage.isBigEndian = type.isBigEndian
    return add(
      TorchTensor(
        storage: add(storage), offset: 0, shape: shape,
        strides: isFortran ? Strides.columnMajor(shape) : Strides.rowMajor(shape),
        elementType: type.element))
  }

  static func isArray(_ name: String) -> Bool { name == "numpy.ndarray" }

  mutating func array(
    _ name: String, _ given: PickleTuple, _ arguments: PickleValue
  ) throws(FormatError) -> PickleValue? {
    switch name {
    case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct":
      guard given.count > 0, let name = globalName(self[given, 0]), Self.isArray(name) else { return nil }
      return try object(self[given, 0], arguments)
    case "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer":
      // Protocol 5: buffer, type, shape, order.
      guard given.count == 4, let bytes = bytes(self[given, 0]), let type = dataType(self[given, 1]),
        let shape = integers(self[given, 2])
      else { return nil }
      return try make(.tensor(try array(bytes, type, shape, isFortran: text(self[given, 3]) == "F")))
    case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
      guard given.count == 2, let type = dataType(self[given, 0]), let bytes = bytes(self[given, 1]),
        bytes.count == type.element.size
      else { return nil }
      return scalar(type.isBigEndian ? bytes.array().reversed() : bytes.array(), type.element)
    default: return nil
    }
  }

  /// The type of a `numpy.dtype` object: its name, and the byte order in its state.
  func dataType(_ value: PickleValue) -> (element: ElementType, isBigEndian: Bool)? {
    guard let object = object(value), globalName(object.type) == "numpy.dtype",
      let arguments = tuple(object.arguments), arguments.count > 0, let code = text(self[arguments, 0])
    else { return nil }
    let (order, plain) = NumPyType.split(code)
    guard let type = NumPyType.type(code: plain) else { return nil }
    // A dtype's state names its byte order.
    let stated = tuple(object.state).flatMap { $0.count > 1 ? text(self[$0, 1]) : nil }
    return (type, stated.map { $0 == ">" } ?? (order == ">"))
  }

  /// A number from its little-endian bytes.
  private func scalar(_ bytes: [UInt8], _ type: ElementType) -> PickleValue? {
    var bits: UInt64 = 0
    for byte in bytes.prefix(8).reversed() { bits = bits << 8 | UInt64(byte) }
    switch type {
    case .f64: return .float(Double(bitPattern: bits))
    case .f32: return .float(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
    case .f16: return .float(Double(Float(halfBits: UInt16(truncatingIfNeeded: bits))))
    case .bool: return .bool(bits != 0)
    case .i64: return .int(Int(Int64(bitPattern: bits)))
    case .i32: return .int(Int(Int32(truncatingIfNeeded: bits)))
    case .i16: return .int(Int(Int16(truncatingIfNeeded: bits)))
    case .i8: return .int(Int(Int8(truncatingIfNeeded: bits)))
    case .u64, .u32, .u16, .u8: return Int(exactly: bits).map { .int($0) }
    default: return nil
    }
  }
}
