import TensorIO
import WeightMapping

/// Carries out plans. What is made of the source is in memory a few pieces at a time, and nothing that keeps its bytes.
public enum Converter {
  /// What a conversion may take.
  package struct Limits: Sendable {
    /// Threads that make pieces while the caller writes.
    package var workers: Int
    /// Bytes of a transpose that are made at once; a larger one takes several passes over the source.
    package var pieceSize: Int
    /// Bytes that may be made and not yet written while a worker makes more.
    package var waitingSize = 12 << 20

    package init() {
      workers = max(1, min(Processors.count - 1, 4))
      // One piece in the making for each worker, and one that is written.
      pieceSize = (96 << 20) / (workers + 1)
    }
  }

  /// Streams every target of `plan` from `source` to `sink`: `TensorSink.begin(_:)` and the data, but not
  /// `TensorSink.finish()`. Ties that are not resolved yet are resolved first.
  ///
  /// The targets that are computed are made on other cores while this one writes; the sink is called on this thread
  /// alone. `progress` is told the number of bytes written so far, of ``MappingPlan/byteCount``.
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
    let pool = OrderedWorkerPool(
      targets.filter { !$0.target.operation.keepsBytes }, from: source, limits: limits)
    defer { pool.close() }
    func appendMade(waits: Bool) throws {
      while let piece = try pool.next(waits: waits) {
        try piece.bytes.withSpan { try append($0, piece.target) }
      }
    }
    for (index, target) in targets where target.operation.keepsBytes {
      try source.streamBytes(ofTensorAt: target.sources[0]) { bytes in
        try append(bytes, index)
        try appendMade(waits: false)
      }
    }
    try appendMade(waits: true)
  }

  /// Whether two targets of one source hold the same bytes.
  static func isEqual(_ a: MappingPlan.Target, _ b: MappingPlan.Target, in source: any TensorSource) throws -> Bool {
    guard a.info.elementType == b.info.elementType, a.info.shape == b.info.shape else { return false }
    if a.operation == b.operation, a.sources.count == 1, b.sources.count == 1 {
      let (x, y) = (source.tensors[a.sources[0]], source.tensors[b.sources[0]])
      if a.sources == b.sources { return true }
      // The same place in the same storage needs no comparison.
      if let shared = x.sharedStorage, shared == y.sharedStorage, let place = x.location, place == y.location {
        return true
      }
    }
    var tally = Tally(shape: a.info.shape, size: a.info.elementType.size ?? 1)
    func compare(_ whole: RawSpan) throws {
      try stream(a, from: source) { piece in tally.add(piece, whole) }
    }
    if b.operation.keepsBytes {
      try source.withBytes(ofTensorAt: b.sources[0]) { try compare($0) }
    } else {
      try stream(b, from: source) { try compare($0) }
    }
    return tally.problem == nil
  }

  // MARK: Making a target

  /// The whole of a target at once.
  package static func withBytes<R>(
    of target: MappingPlan.Target, from source: any TensorSource, _ body: (RawSpan) throws -> R
  ) throws -> R {
    if target.operation.keepsBytes { return try source.withBytes(ofTensorAt: target.sources[0], body) }
    var pieces: [Bytes] = []
    try makePieces(of: target, from: source) { pieces.append($0) }
    if pieces.count == 1 { return try pieces[0].withSpan(body) }
    return try Bytes(pieces.flatMap { $0.array() }).withSpan(body)
  }

  /// The bytes of a target in order, in pieces.
  package static func stream(
    _ target: MappingPlan.Target, from source: any TensorSource, _ body: (RawSpan) throws -> Void
  ) throws {
    if target.operation.keepsBytes {
      try source.streamBytes(ofTensorAt: target.sources[0], body)
    } else {
      try makePieces(of: target, from: source) { try $0.withSpan(body) }
    }
  }

  /// The transpose of the columns `wanted` of the source, or of all.
  private static func transpose(
    _ target: MappingPlan.Target, columns wanted: Range<Int>? = nil, from source: any TensorSource, size: Int,
    pieceSize: Int, _ body: (Bytes) throws -> Void
  ) throws {
    let first = target.sources[0]
    let info = source.tensors[first]
    // One of the two is a matrix; the other may have some of its dimensions together.
    let rows = target.info.shape.count == 2 ? target.info.shape[1] : info.shape[0]
    guard target.info.shape.count == 2 || info.shape.count == 2, rows > 0 else {
      if target.info.byteCount == 0 { return }
      throw FormatError("not a matrix", tensor: target.info.name)
    }
    let columns = info.elementCount / rows
    let all = wanted ?? 0..<columns
    guard all.upperBound <= columns, target.info.byteCount == all.count * rows * size else {
      throw wrongSize(target, found: info.elementCount)
    }
    let step = max(1, pieceSize / (rows * size))
    for start in stride(from: all.lowerBound, to: all.upperBound, by: step) {
      let range = start..<min(all.upperBound, start + step)
      var position = 0
      var failure: (any Error)?
      let made = try Bytes(
        count: range.count * rows * size,
        initializingWith: { (out) throws(FormatError) in
          do {
            try source.streamBytes(ofTensorAt: first) { piece in
              guard piece.byteCount / size <= rows * columns - position else {
                throw wrongSize(target, found: position + piece.byteCount / size)
              }
              Layout.transpose(
                chunk: piece, from: position, into: &out, rows: rows, columns: columns, range: range, elementSize: size)
              position += piece.byteCount / size
            }
          } catch { failure = error }
        })
      if let failure { throw failure }
      guard position == rows * columns else { throw wrongSize(target, found: position) }
      try body(made)
    }
  }

  /// The bytes of a target that is computed, in order, in pieces of whole elements.
  static func makePieces(
    of target: MappingPlan.Target, from source: any TensorSource, pieceSize: Int = Limits().pieceSize,
    _ body: (Bytes) throws -> Void
  ) throws {
    let first = target.sources[0]
    let shape = source.tensors[first].shape
    let size = target.info.elementType.size ?? 1
    switch target.operation {
    case .rename, .reshape:
      try source.streamBytes(ofTensorAt: first) { try body(Bytes($0.array())) }
    case .transpose:
      try transpose(target, from: source, size: size, pieceSize: pieceSize, body)
    case .transposeColumns(let start, let count):
      try transpose(
        target, columns: start..<(start + count), from: source, size: size, pieceSize: pieceSize, body)
    case .slice(let axis, let start, let count):
      let made = try source.withBytes(ofTensorAt: first) { bytes in
        try check(bytes, target, parts: shape[axis], of: count)
        return Bytes(
          count: target.info.byteCount,
          initializingWith: { out in
            guard !out.isEmpty else { return }
            let inner = shape[(axis + 1)...].reduce(size, *)
            let outer = shape[..<axis].reduce(1, *)
            for row in 0..<outer {
              let from = (row * shape[axis] + start) * inner
              out.copy(bytes.extracting(from..<(from + count * inner)), to: row * count * inner)
            }
          })
      }
      try body(made)
    case .concatenate(let axis):
      try body(try concatenate(target, axis: axis, from: source, size: size))
    case .takeHeads(let axis, let part, let layout):
      let inner = shape[(axis + 1)...].reduce(size, *)
      let outer = shape[..<axis].reduce(1, *)
      let made = try source.withBytes(ofTensorAt: first) { bytes in
        try check(bytes, target, parts: layout.parts, of: 1)
        return Bytes(
          count: target.info.byteCount,
          initializingWith: { out in
            guard !out.isEmpty else { return }
            for block in 0..<outer {
              layout.forEachRun(ofPart: part) { inWhole, inPart, count in
                let from = (block * layout.whole + inWhole) * inner
                out.copy(
                  bytes.extracting(from..<(from + count * inner)), to: (block * layout.part + inPart) * inner)
              }
            }
          })
      }
      try body(made)
    case .joinHeads(let axis, let layout):
      try body(try joinHeads(target, axis: axis, layout, from: source, size: size))
    }
  }

  private static func joinHeads(
    _ target: MappingPlan.Target, axis: Int, _ layout: HeadLayout, from source: any TensorSource, size: Int
  ) throws -> Bytes {
    let inner = target.info.shape[(axis + 1)...].reduce(size, *)
    let outer = target.info.shape[..<axis].reduce(1, *)
    var parts: [Bytes] = []
    for index in target.sources { parts.append(try source.withBytes(ofTensorAt: index) { Bytes($0.array()) }) }
    guard parts.count == layout.parts, layout.whole * inner * outer == target.info.byteCount,
      parts.allSatisfy({ $0.count == layout.part * inner * outer })
    else { throw FormatError("a part has not the size that its shape says", tensor: target.info.name) }
    return Bytes(
      count: target.info.byteCount,
      initializingWith: { out in
        guard !out.isEmpty else { return }
        for (number, part) in parts.enumerated() {
          part.withSpan { bytes in
            for block in 0..<outer {
              layout.forEachRun(ofPart: number) { inWhole, inPart, count in
                let from = (block * layout.part + inPart) * inner
                out.copy(
                  bytes.extracting(from..<(from + count * inner)), to: (block * layout.whole + inWhole) * inner)
              }
            }
          }
        }
      })
  }

  private static func concatenate(
    _ target: MappingPlan.Target, axis: Int, from source: any TensorSource, size: Int
  ) throws -> Bytes {
    var parts: [(bytes: Bytes, row: Int)] = []
    let inner = target.info.shape[(axis + 1)...].reduce(size, *)
    let outer = target.info.shape[..<axis].reduce(1, *)
    for index in target.sources {
      let row = source.tensors[index].shape[axis] * inner
      parts.append((try source.withBytes(ofTensorAt: index) { Bytes($0.array()) }, row))
    }
    let whole = parts.reduce(0) { $0 + $1.row }
    guard whole * outer == target.info.byteCount, parts.allSatisfy({ $0.bytes.count == $0.row * outer }) else {
      throw FormatError("a part has not the size that its shape says", tensor: target.info.name)
    }
    return Bytes(
      count: target.info.byteCount,
      initializingWith: { out in
        var column = 0
        for part in parts {
          part.bytes.withSpan { bytes in
            for row in 0..<outer {
              out.copy(bytes.extracting((row * part.row)..<((row + 1) * part.row)), to: row * whole + column)
            }
          }
          column += part.row
        }
      })
  }

  /// A source that lends fewer bytes than its shape says must not stop the program.
  private static func check(_ bytes: RawSpan, _ target: MappingPlan.Target, parts: Int, of count: Int) throws {
    guard count > 0 || target.info.byteCount == 0,
      count == 0 || bytes.byteCount == target.info.byteCount / max(count, 1) * parts
    else { throw wrongSize(target, found: bytes.byteCount / (target.info.elementType.size ?? 1)) }
  }

  private static func wrongSize(_ target: MappingPlan.Target, found: Int) -> FormatError {
    FormatError(
      "the source has not the values that its shape says", tensor: target.info.name, found: "\(grouped(found)) values")
  }
}

/// Counts the elements that differ between the pieces of a tensor and the whole of another.
package struct Tally {
  private let shape: [Int]
  private let size: Int
  private var position = 0
  private var differing = 0
  private var first: Int?
  private var isShort = false

  package init(shape: [Int], size: Int) {
    self.shape = shape
    self.size = size
  }

  package mutating func add(_ piece: RawSpan, _ whole: RawSpan) {
    defer { position += piece.byteCount }
    guard position + piece.byteCount <= whole.byteCount else {
      isShort = true
      return
    }
    let other = whole.extracting(position..<(position + piece.byteCount))
    if piece.elementsEqual(other) { return }
    for element in 0..<(piece.byteCount / size) {
      let range = (element * size)..<((element + 1) * size)
      if !piece.extracting(range).elementsEqual(other.extracting(range)) {
        differing += 1
        if first == nil { first = position / size + element }
      }
    }
  }

  /// `nil` when all is equal.
  package var problem: String? {
    let total = checkedElementCount(shape) ?? 0
    if isShort || position != total * size { return "the two have not the same number of bytes" }
    guard let first else { return nil }
    var place: [Int] = []
    var rest = first
    for dimension in shape.reversed() {
      place.append(rest % max(dimension, 1))
      rest /= max(dimension, 1)
    }
    return "\(grouped(differing)) of \(grouped(total)) values differ, the first at \(shapeText(place.reversed()))"
  }
}
