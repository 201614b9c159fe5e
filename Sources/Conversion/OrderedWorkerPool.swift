import Dispatch
import TensorIO
import WeightMapping

/// Makes the targets that are computed (transposed, cut, joined) on other cores while the caller writes.
///
/// Workers take the targets in order and hand over what they made; a worker waits while as much as the
/// limits allow is made and not taken. The pieces of one target come in order, since one worker makes them all.
final class OrderedWorkerPool: Sendable {
  struct Piece: Sendable {
    /// The index of the target.
    let target: Int
    let bytes: Bytes
  }

  private struct State {
    var next = 0
    var ready: [Piece] = []
    var readySize = 0
    var failure: (any Error)?
    var isClosed = false
    var workersLeft: Int
  }

  private let state: Lock<State>
  private let targets: [(index: Int, target: MappingPlan.Target)]
  private let source: any TensorSource
  /// Signalled for every piece that is ready, and when a worker ends.
  private let news = DispatchSemaphore(value: 0)
  /// Signalled for every worker when a piece was taken, and at the end.
  private let room = DispatchSemaphore(value: 0)
  private let workers = DispatchGroup()
  private let workerCount: Int
  private let limits: Converter.Limits

  /// Starts to make `targets`.
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
        try Converter.makePieces(of: target, from: source, pieceSize: limits.pieceSize) {
          try deliver(Piece(target: index, bytes: $0))
        }
      }
    } catch {
      state.withLock { if $0.failure == nil { $0.failure = error } }
    }
    state.withLock { $0.workersLeft -= 1 }
    news.signal()
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

  private func deliver(_ piece: Piece) throws {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.ready.append(piece)
      state.readySize += piece.bytes.count
    }
    news.signal()
    // The next piece is begun when there is room for it.
    while try state.withLock({ state throws(Closed) in
      if state.isClosed { throw Closed() }
      return state.readySize > limits.waitingSize
    }) { room.wait() }
  }

  /// A piece that is ready; without one `nil`, when `waits` only after the last. Throws what a worker found.
  func next(waits: Bool) throws -> Piece? {
    while true {
      let (piece, isOver) = try state.withLock { state in
        if let failure = state.failure { throw failure }
        guard !state.ready.isEmpty else { return (nil as Piece?, state.workersLeft == 0) }
        let piece = state.ready.removeFirst()
        state.readySize -= piece.bytes.count
        return (piece, false)
      }
      if let piece {
        // Any of them may be the one that now has room.
        for _ in 0..<workerCount { room.signal() }
        return piece
      }
      guard waits, !isOver else { return nil }
      news.wait()
    }
  }

  /// Stops the workers and waits for them: nothing reads the source any more.
  func close() {
    state.withLock { state in
      state.isClosed = true
      state.ready = []
    }
    for _ in 0..<workerCount { room.signal() }
    workers.wait()
  }
}
