import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Conversion over several threads: what is written does not depend on them, and an error ends them all.
@Suite struct OrderedWorkerPoolTests {
  /// A source that counts the calls that run, and fails at one tensor.
  private final class Watched: TensorSource {
    let inner: MemorySource
    let failing: String?
    private let running = Lock(0)

    init(_ inner: MemorySource, failing: String? = nil) {
      self.inner = inner
      self.failing = failing
    }

    var calls: Int { running.withLock { $0 } }
    var format: FormatName { inner.format }
    var files: [SourceFile] { inner.files }
    var tensors: [TensorInfo] { inner.tensors }

    func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
      running.withLock { $0 += 1 }
      defer { running.withLock { $0 -= 1 } }
      let result = try inner.withBytes(ofTensorAt: index, body)
      if tensors[index].name == failing { throw FormatError(.damaged, "damaged", tensor: failing) }
      return result
    }

    func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
      running.withLock { $0 += 1 }
      defer { running.withLock { $0 -= 1 } }
      try inner.streamBytes(ofTensorAt: index, body)
      if tensors[index].name == failing { throw FormatError(.damaged, "damaged", tensor: failing) }
    }
  }

  private func limits(chunkSize: Int, waitingSize: Int, workers: Int) -> Converter.Limits {
    var limits = Converter.Limits()
    limits.chunkSize = chunkSize
    limits.waitingSize = waitingSize
    limits.workers = workers
    return limits
  }

  @Test(arguments: [1, 16, 64, 1 << 20], [(1, 1), (1 << 20, 1), (1, 3), (100, 8)])
  func theResultIsTheSame(chunkSize: Int, way: (waiting: Int, workers: Int)) throws {
    let source = googleTensors()
    let expected = try convert(source)
    let sink = MemorySink()
    var told: [Int] = []
    let plan = try plan(source)
    try Converter.write(
      plan, from: source, to: sink,
      limits: limits(chunkSize: chunkSize, waitingSize: way.waiting, workers: way.workers),
      progress: { told.append($0) })
    #expect(sink.infos == expected.infos)
    let isSame = sink.data == expected.data
    #expect(isSame)
    #expect(told == told.sorted() && told.last == plan.byteCount)
    let kernel = source.bytes("bert/encoder/layer_1/intermediate/dense/kernel")
    let weight = sink.bytes("bert.encoder.layer.1.intermediate.dense.weight")
    for row in 0..<Size.hidden {
      for column in 0..<Size.inner {
        let (from, to) = ((row * Size.inner + column) * 4, (column * Size.hidden + row) * 4)
        #expect(kernel[from..<(from + 4)] == weight[to..<(to + 4)])
      }
    }
  }

  @Test(arguments: ["bert/encoder/layer_0/output/dense/kernel", "bert/embeddings/word_embeddings"])
  func anErrorOfTheSourceEndsAll(name: String) throws {
    let source = Watched(googleTensors(), failing: name)
    let plan = try plan(source.inner)
    let error = #expect(throws: FormatError.self) {
      try Converter.write(
        plan, from: source, to: MemorySink(), limits: limits(chunkSize: 16, waitingSize: 1, workers: 3), progress: nil)
    }
    #expect(error?.tensor == name)
    #expect(source.calls == 0)
  }

  @Test func anErrorOfTheSinkEndsAll() throws {
    final class Full: TensorSink {
      func begin(_ tensors: [TensorInfo]) throws {}
      func append(_ bytes: RawSpan, toTensorAt index: Int) throws { throw FormatError(.output, "the disk is full") }
      func finish() throws {}
      func cancel() {}
    }
    let source = Watched(googleTensors())
    let plan = try plan(source.inner)
    #expect(throws: FormatError.self) {
      try Converter.write(
        plan, from: source, to: Full(), limits: limits(chunkSize: 16, waitingSize: 1, workers: 3), progress: nil)
    }
    #expect(source.calls == 0)
  }

  @Test func aSourceThatLendsAnotherSizeIsRefused() throws {
    struct Wrong: TensorSource {
      let inner: MemorySource
      let isLonger: Bool
      var format: FormatName { inner.format }
      var files: [SourceFile] { inner.files }
      var tensors: [TensorInfo] { inner.tensors }
      func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
        try inner.withBytes(ofTensorAt: index) { bytes in
          guard tensors[index].name.hasSuffix("kernel") else { return try body(bytes) }
          let array = bytes.array()
          return try Bytes(isLonger ? array + array : Array(array.dropLast(4))).withSpan(body)
        }
      }
    }
    for isLonger in [false, true] {
      let plan = try plan(googleTensors())
      let error = #expect(throws: FormatError.self) {
        try Converter.write(
          plan, from: Wrong(inner: googleTensors(), isLonger: isLonger), to: MemorySink(), progress: nil)
      }
      #expect(error?.description.contains("another number of values than its shape needs") == true)
    }
  }
}
