import TensorIO
import WeightMapping

/// Carries out plans. Computed tensors are in memory a few chunks at a time, and tensors that keep their bytes are not
/// copied into memory at all.
public enum Converter {
  /// The threads and the memory that a conversion uses.
  package struct Limits: Sendable {
    /// Threads that compute chunks while the caller writes.
    package var workers: Int
    /// Bytes of a transpose that are computed at once; a larger one takes several passes over the source.
    package var chunkSize: Int
    /// Computed bytes that may wait to be written while a worker computes more.
    package var waitingSize = 12 << 20

    package init() {
      workers = max(1, min(Processors.count - 1, 4))
      // One chunk is computed by each worker, and one is written.
      chunkSize = (96 << 20) / (workers + 1)
    }
  }

  /// Streams every target of `plan` from `source` to `sink`: `TensorSink.begin(_:)` and the data, but not
  /// `TensorSink.finish()`. Ties that are not resolved yet are resolved first.
  ///
  /// Targets are computed on other cores while this one writes; the sink is called on this thread alone. `progress` is
  /// called with the number of bytes written so far, of `MappingPlan.byteCount`.
  public static func write(
    _ plan: MappingPlan, from source: any TensorSource, to sink: any TensorSink, progress: ((Int) -> Void)?
  ) throws {
    try write(plan, from: source, to: sink, limits: Limits(), progress: progress)
  }

  package static func write(
    _ plan: MappingPlan, from source: any TensorSource, to sink: any TensorSink, limits: Limits,
    progress: ((Int) -> Void)?
  ) throws {
    let plan = try plan.resolvingTies(in: source)
    try sink.begin(plan.targets.map(\.info))
    var written = 0
    func append(_ bytes: RawSpan, _ index: Int) throws {
      try sink.append(bytes, toTensorAt: index)
      written += bytes.byteCount
      progress?(written)
    }
    let targets = plan.targets.enumerated().map { (index: $0.offset, target: $0.element) }
    guard Processors.canStart(workers: limits.workers) else {
      for (index, target) in targets { try stream(target, from: source) { try append($0, index) } }
      return
    }
    let pool = OrderedWorkerPool(
      targets.filter { !$0.target.operation.keepsBytes }, from: source, limits: limits)
    defer { pool.close() }
    func appendComputed(waits: Bool) throws {
      while let chunk = try pool.next(waits: waits) {
        try chunk.bytes.withSpan { try append($0, chunk.target) }
      }
    }
    for (index, target) in targets where target.operation.keepsBytes {
      try source.streamBytes(ofTensorAt: target.sources[0]) { bytes in
        try append(bytes, index)
        try appendComputed(waits: false)
      }
    }
    try appendComputed(waits: true)
  }

  /// Whether two targets of one source hold the same bytes.
  static func isEqual(_ a: MappingPlan.Target, _ b: MappingPlan.Target, in source: any TensorSource) throws -> Bool {
    guard a.info.elementType == b.info.elementType, a.info.shape == b.info.shape else { return false }
    if a.operation == b.operation, a.sources.count == 1, b.sources.count == 1 {
      let (x, y) = (source.tensors[a.sources[0]], source.tensors[b.sources[0]])
      if a.sources == b.sources { return true }
      // The same offset in the same storage needs no comparison.
      if let shared = x.sharedStorage, shared == y.sharedStorage, let location = x.location, location == y.location {
        return true
      }
    }
    var tally = Tally(shape: a.info.shape, size: a.info.elementType.size ?? 1)
    func compare(_ whole: RawSpan) throws {
      try stream(a, from: source) { chunk in tally.add(chunk, whole) }
    }
    if b.operation.keepsBytes {
      try source.withBytes(ofTensorAt: b.sources[0]) { try compare($0) }
    } else {
      try stream(b, from: source) { try compare($0) }
    }
    return tally.problem == nil
  }
}
