import TensorIO

/// The bytes of a tensor in one or more consecutive segments of files; each contains whole elements.
struct SegmentedBytes: Sendable {
  let segments: [Bytes]

  /// Calls `body` with a single segment in place; several are joined in a buffer.
  func withBytes<R>(_ body: (RawSpan) throws -> R) throws -> R {
    guard segments.count == 1 else { return try joined().withSpan { try body($0) } }
    let result = try segments[0].withSpan { try body($0) }
    try segments[0].checkIntact()
    segments[0].releasePages()
    return result
  }

  func stream(_ body: (RawSpan) throws -> Void) throws {
    for segment in segments { try segment.forEachChunk { try $0.withSpan { try body($0) } } }
  }

  private func joined() throws -> Bytes {
    try Bytes(
      count: segments.reduce(0) { $0 + $1.count }, file: segments.first?.file,
      initializingWith: { (target) throws(FormatError) in
        var offset = 0
        do {
          try stream { part in
            target.copy(part, to: offset)
            offset += part.byteCount
          }
        } catch {
          throw error as? FormatError ?? FormatError(.system, "\(error)")
        }
      })
  }
}
