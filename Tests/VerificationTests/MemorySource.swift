import TensorIO

/// Tensors of numbers in memory.
struct MemorySource: TensorSource {
  var list: [(info: TensorInfo, bytes: [UInt8])] = []
  var format: FormatName { .npz }
  var files: [SourceFile] { [SourceFile(path: "fixture.npz", size: 0)] }
  var tensors: [TensorInfo] { list.map(\.info) }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let bytes = list[index].bytes
    return try unsafe body(bytes.span.bytes)
  }

  mutating func set(_ name: String, _ type: ElementType, _ shape: [Int], _ bytes: [UInt8]) {
    guard let info = TensorInfo(name: name, elementType: type, shape: shape) else { return }
    if let index = index(ofTensor: name) { list[index] = (info, bytes) } else { list.append((info, bytes)) }
  }

  mutating func set(_ name: String, _ shape: [Int], _ values: [Float]) {
    set(name, .f32, shape, values.flatMap { littleEndian($0.bitPattern) })
  }

  mutating func set(_ name: String, _ shape: [Int], _ values: [Int]) {
    set(name, .i64, shape, values.flatMap { littleEndian(UInt64(bitPattern: Int64($0))) })
  }

  mutating func remove(_ name: String) { list.removeAll { $0.info.name == name } }
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
}
