import TensorIO

/// One output of a run, in the input's padded shape: zeros where the mask is 0.
public struct EncoderOutput: Sendable {
  public let name: String
  public let shape: [Int]
  /// Row-major.
  public let values: [Float]

  /// The values at the first indices of the shape: of a hidden state `[batch, sequence, H]`, `output[1, 4]` are the H
  /// numbers of the fifth token of the second sequence.
  public subscript(_ indices: Int...) -> ArraySlice<Float> {
    precondition(
      indices.count <= shape.count && zip(indices, shape).allSatisfy { 0 <= $0 && $0 < $1 }, "an index is out of range")
    let size = shape.dropFirst(indices.count).reduce(1, *)
    let first = zip(indices, shape).reduce(0) { $0 * $1.1 + $1.0 } * size
    return values[first..<(first + size)]
  }
}

/// The values of one output while they are filled in, group by group; from several threads, each for sequences of its own.
final class OutputValues: Sendable {
  let shape: [Int]
  private let storage: Lock<[Float]>

  init(_ shape: [Int]) {
    self.shape = shape
    storage = Lock(Array(repeating: 0, count: shape.reduce(1, *)))
  }

  var values: [Float] { storage.withLock { $0 } }

  func fill(_ body: (inout [Float]) -> Void) { storage.withLock { body(&$0) } }
}
