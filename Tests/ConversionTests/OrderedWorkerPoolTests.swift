import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Conversion over several threads: what is written does not depend on them, and an error ends them all.
@Suite struct OrderedWorkerPoolTests {
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
    var reported: [Int] = []
    let plan = try plan(source)
    try Converter.write(
      plan, from: source, to: sink,
      limits: limits(chunkSize: chunkSize, waitingSize: way.waiting, workers: way.workers),
      progress: { reported.append($0) })
    #expect(sink.infos == expected.infos)
    let isSame = sink.data == expected.data
    #expect(isSame)
    #expect(reported == reported.sorted() && reported.last == plan.byteCount)
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
    let plan = try plan(googleTensors())
    let source = ObservedSource(googleTensors(), faults: [name: .damaged])
    let error = #expect(throws: FormatError.self) {
      try Converter.write(
        plan, from: source, to: MemorySink(), limits: limits(chunkSize: 16, waitingSize: 1, workers: 3), progress: nil)
    }
    #expect(error?.tensor == name)
    #expect(source.runningCalls == 0)
  }

  @Test func anErrorOfTheSinkEndsAll() throws {
    let plan = try plan(googleTensors())
    let source = ObservedSource(googleTensors())
    #expect(throws: FormatError.self) {
      try Converter.write(
        plan, from: source, to: MemorySink(capacity: 0), limits: limits(chunkSize: 16, waitingSize: 1, workers: 3),
        progress: nil)
    }
    #expect(source.runningCalls == 0)
  }

  @Test func aSourceThatLendsAnotherSizeIsRefused() throws {
    let plan = try plan(googleTensors())
    let kernels = googleTensors().tensors.map(\.name).filter { $0.hasSuffix("kernel") }
    for difference in [-4, 4] {
      let source = ObservedSource(
        googleTensors(), faults: Dictionary(uniqueKeysWithValues: kernels.map { ($0, .otherSize(by: difference)) }))
      let error = #expect(throws: FormatError.self) {
        try Converter.write(plan, from: source, to: MemorySink(), progress: nil)
      }
      #expect(error?.description.contains("another number of values than its shape needs") == true)
    }
  }
}
