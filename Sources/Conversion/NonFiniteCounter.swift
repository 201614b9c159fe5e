import TensorIO

/// Passes tensors on to another sink, and counts the values in them that are NaN or infinite.
final class NonFiniteCounter: TensorSink {
  private let sink: any TensorSink
  private var tensors: [TensorInfo] = []
  private var counts: [NonFiniteValues] = []

  init(_ sink: any TensorSink) { self.sink = sink }

  var warnings: [ConversionResult.Warning] {
    NonFiniteValues.text(zip(tensors, counts).map { ($0.name, $1) }).map { [.notFinite($0)] } ?? []
  }

  func begin(_ tensors: [TensorInfo]) throws {
    self.tensors = tensors
    counts = tensors.map { _ in NonFiniteValues() }
    try sink.begin(tensors)
  }

  func append(_ bytes: RawSpan, toTensorAt index: Int) throws {
    counts[index].add(bytes, tensors[index].elementType)
    try sink.append(bytes, toTensorAt: index)
  }

  func finish() throws { try sink.finish() }

  func cancel() { sink.cancel() }
}
