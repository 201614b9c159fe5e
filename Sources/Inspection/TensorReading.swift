import TensorIO

/// What one reading of a tensor's values shows.
public struct TensorReading: Sendable {
  public let statistics: TensorStatistics
  public let histogram: Histogram?
  /// CRC32C of the bytes: equal tensors have equal ones.
  let checksum: UInt32

  /// Reads each of the tensors at `indices` that has numeric values, once and with every checksum that the format has,
  /// several at once. `progress` is called with the bytes read and with those of all.
  public static func read(
    _ source: any TensorSource, _ indices: [Int], progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> [Int: TensorReading] {
    let tensors = source.tensors
    let total = indices.reduce(0) { $0 + tensors[$1].byteCount }
    // The largest first, so that no thread is left with one of them at the end.
    let order = indices.filter { tensors[$0].elementType.size != nil }.sorted {
      tensors[$0].byteCount > tensors[$1].byteCount
    }
    let state = Lock(State())
    Processors.forEach(min(order.count, Processors.count)) { _ in
      while let index = state.withLock({ $0.take(from: order) }) {
        let result = Result {
          try source.withBytes(ofTensorAt: index) { TensorReading($0, tensors[index].elementType) }
        }
        state.withLock {
          $0.add(result, index, byteCount: tensors[index].byteCount)
          progress?($0.done, total)
        }
      }
    }
    return try state.withLock { try $0.result() }
  }

  /// What several threads have read so far.
  private struct State {
    private var next = 0
    private var readings: [Int: TensorReading] = [:]
    /// The first error by the order of the tensors, so that it does not depend on the threads.
    private var failure: (index: Int, error: any Error)?
    private(set) var done = 0

    mutating func take(from order: [Int]) -> Int? {
      guard next < order.count else { return nil }
      next += 1
      return order[next - 1]
    }

    mutating func add(_ result: Result<TensorReading?, any Error>, _ index: Int, byteCount: Int) {
      done += byteCount
      switch result {
      case .success(let reading): readings[index] = reading
      case .failure(let error):
        if failure.map({ index < $0.index }) ?? true { failure = (index, error) }
      }
    }

    func result() throws -> [Int: TensorReading] {
      if let failure { throw failure.error }
      return readings
    }
  }

  private init?(_ bytes: RawSpan, _ type: ElementType) {
    guard let statistics = TensorStatistics(bytes, type) else { return nil }
    self.statistics = statistics
    histogram = Histogram(bytes, type, statistics)
    checksum = CRC32C.checksum(bytes)
  }

  /// Whether all values are one and the same.
  var isConstant: Bool { statistics.isConstant }

  /// Whether all of several values are zero.
  var isZero: Bool { statistics.count > 1 && statistics.zeros == statistics.count }
}

/// What is odd about values that were read.
public struct ValueFinding: Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case nan
    case infinite = "inf"
    /// Nothing but zeros.
    case zeros
    /// Several tensors with the same values.
    case same
  }

  public let kind: Kind
  /// The names of the tensors.
  public let tensors: [String]

  /// All findings in the order of their kinds. Tensors that seem to be the same are read once more, to be sure.
  public static func all(_ readings: [Int: TensorReading], of source: any TensorSource) throws -> [ValueFinding] {
    let tensors = source.tensors
    let indices = readings.keys.sorted()
    func finding(_ kind: Kind, _ isOdd: (TensorReading) -> Bool) -> ValueFinding? {
      let names = indices.filter { readings[$0].map(isOdd) == true }.map { tensors[$0].name }
      return names.isEmpty ? nil : ValueFinding(kind: kind, tensors: names)
    }
    let single = [
      finding(.nan) { $0.statistics.nan > 0 }, finding(.infinite) { $0.statistics.infinite > 0 },
      finding(.zeros, \.isZero),
    ]
    return single.compactMap(\.self)
      + (try equals(readings, source)).map { ValueFinding(kind: .same, tensors: $0.map { tensors[$0].name }) }
  }

  private struct Content: Hashable {
    let type: ElementType
    let shape: [Int]
    let checksum: UInt32
  }

  /// Groups of tensors that hold the same bytes. All-zero biases and the like are equal everywhere, and mean nothing.
  private static func equals(_ readings: [Int: TensorReading], _ source: any TensorSource) throws -> [[Int]] {
    let tensors = source.tensors
    let candidates = readings.filter { $0.value.statistics.count > 1 && !$0.value.isConstant }
    let groups = Dictionary(grouping: candidates.keys.sorted()) { index in
      Content(
        type: tensors[index].elementType, shape: tensors[index].shape, checksum: candidates[index]?.checksum ?? 0)
    }
    return try groups.values.filter { $0.count > 1 }.sorted { $0[0] < $1[0] }.compactMap { group in
      let same = try source.withBytes(ofTensorAt: group[0]) { first in
        try group.dropFirst().filter { index in
          try source.withBytes(ofTensorAt: index) { $0.elementsEqual(first) }
        }
      }
      return same.isEmpty ? nil : [group[0]] + same
    }
  }

  public var json: JSON { .object(["kind": .string(kind.rawValue), "tensors": .strings(tensors)]) }
}

/// The first values of a tensor.
public enum FirstValues {
  private struct Enough: Error {}

  /// At most `count` of them, as text and as JSON. Reads no more than the first chunk of the tensor, where the format
  /// allows it; checksums are not checked then.
  public static func read(
    _ source: any TensorSource, _ index: Int, count: Int
  ) throws -> (texts: [String], json: [JSON]) {
    let info = source.tensors[index]
    if info.elementType == .string {
      let strings = try source.strings(ofTensorAt: index).prefix(count).map { String(decoding: $0, as: UTF8.self) }
      return (strings.map(quoted), strings.map { .string($0) })
    }
    guard let size = info.elementType.size else { return ([], []) }
    var texts: [String] = []
    var json: [JSON] = []
    do {
      try source.streamBytes(ofTensorAt: index) { bytes in
        for element in 0..<min(count - texts.count, bytes.byteCount / size) {
          guard let (text, value) = info.elementType.element(of: bytes, at: element * size) else { break }
          texts.append(text)
          json.append(value)
        }
        if texts.count == count { throw Enough() }
      }
    } catch is Enough {}
    return (texts, json)
  }

  private static func quoted(_ text: String) -> String {
    let start = String(text.prefix(60))
    return "'\(printable(start))\(start.utf8.count < text.utf8.count ? "…" : "")'"
  }
}
