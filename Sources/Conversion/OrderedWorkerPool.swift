import Dispatch
import TensorIO
import WeightMapping

/// Computes targets (transposed, cut, joined) on other cores while the caller writes.
///
/// Workers take the targets in order and deliver computed chunks; a worker waits while as many bytes as the limits allow
/// are computed and not taken. The chunks of one target come in order, since one worker computes them all.
final class OrderedWorkerPool: Sendable {
  struct Chunk: Sendable {
    /// The index of the target.
    let target: Int
    let bytes: Bytes
  }

  private struct State {
    var next = 0
    var ready: [Chunk] = []
    var readySize = 0
    var failure: (any Error)?
    var isClosed = false
    var workersLeft: Int
  }

  private let state: Lock<State>
  private let targets: [(index: Int, target: MappingPlan.Target)]
  private let source: any TensorSource
  /// Signalled for every chunk that is ready, and when a worker ends.
  private let chunkReady = DispatchSemaphore(value: 0)
  /// Signalled for every worker when a chunk was taken, and at the end.
  private let spaceFreed = DispatchSemaphore(value: 0)
  private let workers = DispatchGroup()
  private let workerCount: Int
  private let limits: Converter.Limits

  /// Starts to compute `targets`.
  init(
    _ targets: [(index: Int, target: MappingPlan.Target)], from source: any TensorSource, limits: Converter.Limits
  ) {
    self.targets = targets
    self.source = source
    self.limits = limits
    workerCount = min(targets.count, limits.workers)
    state = Lock(State(workersLeft: workerCount))
    for _ in 0..<workerCount { DispatchQueue.global().async(group: workers) { self.work() } }
  }

  private func work() {
    do {
      while let (index, target) = take() {
        try Converter.computeChunks(of: target, from: source, chunkSize: limits.chunkSize) {
          try deliver(Chunk(target: index, bytes: $0))
        }
      }
    } catch {
      state.withLock { if $0.failure == nil { $0.failure = error } }
    }
    state.withLock { $0.workersLeft -= 1 }
    chunkReady.signal()
  }

  private func take() -> (index: Int, target: MappingPlan.Target)? {
    state.withLock { state in
      guard !state.isClosed, state.failure == nil, state.next < targets.count else { return nil }
      state.next += 1
      return targets[state.next - 1]
    }
  }

  /// The caller has given up.
  private struct Closed: Error {}

  private func deliver(_ chunk: Chunk) throws {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.ready.append(chunk)
      state.readySize += chunk.bytes.count
    }
    chunkReady.signal()
    // The next chunk is begun when there is space for it.
    while try state.withLock({ state throws(Closed) in
      if state.isClosed { throw Closed() }
      return state.readySize > limits.waitingSize
    }) { spaceFreed.wait() }
  }

  /// A chunk that is ready; without one `nil`, when `waits` only after the last. Throws what a worker threw.
  func next(waits: Bool) throws -> Chunk? {
    while true {
      let (chunk, isOver) = try state.withLock { state in
        if let failure = state.failure { throw failure }
        guard !state.ready.isEmpty else { return (nil as Chunk?, state.workersLeft == 0) }
        let chunk = state.ready.removeFirst()
        state.readySize -= chunk.bytes.count
        return (chunk, false)
      }
      if let chunk {
        // Any of them may be the one that now has space.
        for _ in 0..<workerCount { spaceFreed.signal() }
        return chunk
      }
      guard waits, !isOver else { return nil }
      chunkReady.wait()
    }
  }

  /// Stops the workers and waits for them: nothing reads the source any more.
  func close() {
    state.withLock { state in
      state.isClosed = true
      state.ready = []
    }
    for _ in 0..<workerCount { spaceFreed.signal() }
    workers.wait()
  }
}
