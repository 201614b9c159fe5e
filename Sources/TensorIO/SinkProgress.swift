/// How much of each tensor a sink has received so far. Data that does not match its declaration is an error.
package struct SinkProgress {
  private var received: [Int]
  private let tensors: [TensorInfo]
  private let file: String

  package init(_ tensors: [TensorInfo], file: String) {
    self.tensors = tensors
    self.file = file
    received = [Int](repeating: 0, count: tensors.count)
  }

  /// Counts `count` more bytes and returns the offset within the tensor at which they belong.
  package mutating func advance(_ index: Int, by count: Int) throws(FormatError) -> Int {
    let offset = received[index]
    guard count <= tensors[index].byteCount - offset else {
      throw FormatError(
        .output, "there is more data than the tensor's shape and type allow", file: file, tensor: tensors[index].name,
        found: "\(offset + count) bytes", expected: "\(tensors[index].byteCount)")
    }
    received[index] = offset + count
    return offset
  }

  package func checkComplete() throws(FormatError) {
    for (tensor, count) in zip(tensors, received) where count != tensor.byteCount {
      throw FormatError(
        .output, "there is less data than the tensor's shape and type require", file: file, tensor: tensor.name,
        found: "\(count) bytes",
        expected: "\(tensor.byteCount)")
    }
  }

  /// Checks what every sink requires of its declaration: types with values, sizes that match, each name once.
  package static func check(_ tensors: [TensorInfo], file: String) throws(FormatError) {
    var names: Set<String> = []
    for tensor in tensors {
      guard checkedByteCount(tensor.shape, tensor.elementType) == tensor.byteCount else {
        throw FormatError(
          .output, "the tensor's size does not match its shape and type", file: file, tensor: tensor.name,
          found: "\(tensor.byteCount) bytes for \(tensor.elementType.rawValue) \(shapeText(tensor.shape))")
      }
      guard names.insert(tensor.name).inserted else {
        throw FormatError(.output, "two tensors have the same name", file: file, tensor: tensor.name)
      }
    }
  }
}
