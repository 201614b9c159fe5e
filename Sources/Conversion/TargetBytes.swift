import TensorIO
import WeightMapping

/// The bytes of a target, streamed from the source or computed of it.
extension Converter {
  /// The whole of a target at once.
  package static func withBytes<R>(
    of target: MappingPlan.Target, from source: any TensorSource, _ body: (RawSpan) throws -> R
  ) throws -> R {
    if target.operation.keepsBytes { return try source.withBytes(ofTensorAt: target.sources[0], body) }
    var chunks: [Bytes] = []
    try computeChunks(of: target, from: source) { chunks.append($0) }
    if chunks.count == 1 { return try chunks[0].withSpan(body) }
    return try Bytes(chunks.flatMap { $0.array() }).withSpan(body)
  }

  /// The bytes of a target in order, in chunks of whole elements.
  package static func stream(
    _ target: MappingPlan.Target, from source: any TensorSource, _ body: (RawSpan) throws -> Void
  ) throws {
    if target.operation.keepsBytes {
      try source.streamBytes(ofTensorAt: target.sources[0], body)
    } else {
      try computeChunks(of: target, from: source) { try $0.withSpan(body) }
    }
  }

  /// The bytes of a target that is computed, in order, in chunks of whole elements.
  static func computeChunks(
    of target: MappingPlan.Target, from source: any TensorSource, chunkSize: Int = Limits().chunkSize,
    _ body: (Bytes) throws -> Void
  ) throws {
    let computation = TargetComputation(target, source)
    switch target.operation {
    case .rename, .reshape:
      try source.streamBytes(ofTensorAt: target.sources[0]) { try body(Bytes($0.array())) }
    case .transpose: try computation.transpose(columns: nil, chunkSize: chunkSize, body)
    case .transposeColumns(let start, let count):
      try computation.transpose(columns: start..<(start + count), chunkSize: chunkSize, body)
    case .slice(let axis, let start, let count):
      try body(try computation.slice(axis: axis, start: start, count: count))
    case .concatenate(let axis): try body(try computation.concatenate(axis: axis))
    case .takeHeads(let axis, let part, let layout):
      try body(try computation.takeHeads(axis: axis, part: part, layout))
    case .zeros: try body(Bytes([UInt8](repeating: 0, count: target.info.byteCount)))
    case .zerosBefore(let rows):
      try body(Bytes([UInt8](repeating: 0, count: try computation.size(ofRows: rows))))
      try source.streamBytes(ofTensorAt: target.sources[0]) { try body(Bytes($0.array())) }
    case .joinHeads(let axis, let layout): try body(try computation.joinHeads(axis: axis, layout))
    }
  }
}

/// One target that is computed of its sources. A source that lends another number of bytes than its shape needs is an
/// error, and never ends the program.
private struct TargetComputation {
  let target: MappingPlan.Target
  let source: any TensorSource
  /// Of the first source.
  let info: TensorInfo
  /// Bytes of an element.
  let size: Int

  init(_ target: MappingPlan.Target, _ source: any TensorSource) {
    self.target = target
    self.source = source
    info = source.tensors[target.sources[0]]
    size = target.info.elementType.size ?? 1
  }

  /// The bytes that the target has more than the source, which must be those of `rows` rows.
  func size(ofRows rows: Int) throws -> Int {
    let count = target.info.byteCount - info.byteCount
    guard info.shape.count == 2, target.info.shape.count == 2, count == rows * info.shape[1] * size else {
      throw wrongSize(found: info.elementCount)
    }
    return count
  }

  /// Bytes of all dimensions after `axis`.
  private func inner(_ shape: [Int], _ axis: Int) -> Int { shape[(axis + 1)...].reduce(size, *) }
  /// The product of all dimensions before `axis`.
  private func outer(_ shape: [Int], _ axis: Int) -> Int { shape[..<axis].reduce(1, *) }

  /// The transpose of the columns `wanted` of the source, or of all; several passes over the source where it is larger
  /// than a chunk.
  func transpose(columns wanted: Range<Int>?, chunkSize: Int, _ body: (Bytes) throws -> Void) throws {
    // One of the two is a matrix; the other may have some of its dimensions together.
    let rows = target.info.shape.count == 2 ? target.info.shape[1] : info.shape[0]
    guard target.info.shape.count == 2 || info.shape.count == 2, rows > 0 else {
      if target.info.byteCount == 0 { return }
      throw FormatError(.mismatch, "a transposed tensor is not a matrix", tensor: target.info.name)
    }
    let columns = info.elementCount / rows
    let all = wanted ?? 0..<columns
    guard all.upperBound <= columns, target.info.byteCount == all.count * rows * size else {
      throw wrongSize(found: info.elementCount)
    }
    let step = max(1, chunkSize / (rows * size))
    for start in stride(from: all.lowerBound, to: all.upperBound, by: step) {
      try body(try transpose(start..<min(all.upperBound, start + step), rows: rows, columns: columns))
    }
  }

  private func transpose(_ range: Range<Int>, rows: Int, columns: Int) throws -> Bytes {
    var position = 0
    var failure: (any Error)?
    let made = try Bytes(
      count: range.count * rows * size,
      initializingWith: { (out) throws(FormatError) in
        do {
          try source.streamBytes(ofTensorAt: target.sources[0]) { chunk in
            guard chunk.byteCount / size <= rows * columns - position else {
              throw wrongSize(found: position + chunk.byteCount / size)
            }
            Layout.transpose(
              chunk: chunk, from: position, into: &out, rows: rows, columns: columns, range: range, elementSize: size)
            position += chunk.byteCount / size
          }
        } catch { failure = error }
      })
    if let failure { throw failure }
    guard position == rows * columns else { throw wrongSize(found: position) }
    return made
  }

  func slice(axis: Int, start: Int, count: Int) throws -> Bytes {
    let shape = info.shape
    let (inner, outer) = (inner(shape, axis), outer(shape, axis))
    return try source.withBytes(ofTensorAt: target.sources[0]) { bytes in
      try check(bytes, parts: shape[axis], of: count)
      return Bytes(
        count: target.info.byteCount,
        initializingWith: { out in
          guard !out.isEmpty else { return }
          for row in 0..<outer {
            let from = (row * shape[axis] + start) * inner
            out.copy(bytes.extracting(from..<(from + count * inner)), to: row * count * inner)
          }
        })
    }
  }

  func concatenate(axis: Int) throws -> Bytes {
    var parts: [(bytes: Bytes, row: Int)] = []
    let inner = inner(target.info.shape, axis)
    let outer = outer(target.info.shape, axis)
    for index in target.sources {
      let row = source.tensors[index].shape[axis] * inner
      parts.append((try source.withBytes(ofTensorAt: index) { Bytes($0.array()) }, row))
    }
    let whole = parts.reduce(0) { $0 + $1.row }
    guard whole * outer == target.info.byteCount, parts.allSatisfy({ $0.bytes.count == $0.row * outer }) else {
      throw wrongPart
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

  func takeHeads(axis: Int, part: Int, _ layout: HeadLayout) throws -> Bytes {
    let (inner, outer) = (inner(info.shape, axis), outer(info.shape, axis))
    return try source.withBytes(ofTensorAt: target.sources[0]) { bytes in
      try check(bytes, parts: layout.parts, of: 1)
      return Bytes(
        count: target.info.byteCount,
        initializingWith: { out in
          guard !out.isEmpty else { return }
          for block in 0..<outer {
            layout.forEachRun(ofPart: part) { inWhole, inPart, count in
              let from = (block * layout.whole + inWhole) * inner
              out.copy(bytes.extracting(from..<(from + count * inner)), to: (block * layout.part + inPart) * inner)
            }
          }
        })
    }
  }

  func joinHeads(axis: Int, _ layout: HeadLayout) throws -> Bytes {
    let (inner, outer) = (inner(target.info.shape, axis), outer(target.info.shape, axis))
    var parts: [Bytes] = []
    for index in target.sources { parts.append(try source.withBytes(ofTensorAt: index) { Bytes($0.array()) }) }
    guard parts.count == layout.parts, layout.whole * inner * outer == target.info.byteCount,
      parts.allSatisfy({ $0.count == layout.part * inner * outer })
    else { throw wrongPart }
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

  // MARK: Errors

  /// `count` of `parts` of the source are the target.
  private func check(_ bytes: RawSpan, parts: Int, of count: Int) throws(FormatError) {
    guard count > 0 || target.info.byteCount == 0,
      count == 0 || bytes.byteCount == target.info.byteCount / max(count, 1) * parts
    else { throw wrongSize(found: bytes.byteCount / size) }
  }

  private func wrongSize(found: Int) -> FormatError {
    FormatError(
      .damaged, "the source has another number of values than its shape needs", tensor: target.info.name,
      found: "\(grouped(found)) values")
  }

  private var wrongPart: FormatError {
    FormatError(.damaged, "a part has another size than its shape needs", tensor: target.info.name)
  }
}
