import TensorIO

/// The bytes of a tensor, in one stretch of a file or in several that follow one another; each holds whole elements.
struct PiecewiseBytes: Sendable {
  let pieces: [Bytes]

  /// Lends a single stretch as it lies; several are put together in a buffer.
  func withBytes<R>(_ body: (RawSpan) throws -> R) throws -> R {
    guard pieces.count == 1 else { return try joined().withSpan { try body($0) } }
    let result = try pieces[0].withSpan { try body($0) }
    try pieces[0].checkIntact()
    pieces[0].releasePages()
    return result
  }

  func stream(_ body: (RawSpan) throws -> Void) throws {
    for piece in pieces { try piece.forEachPiece { try $0.withSpan { try body($0) } } }
  }

  private func joined() throws -> Bytes {
    try Bytes(
      count: pieces.reduce(0) { $0 + $1.count }, file: pieces.first?.file,
      fillingWith: { (target) throws(FormatError) in
        var offset = 0
        do {
          try stream { part in
            target.copy(part, to: offset)
            offset += part.byteCount
          }
        } catch {
          throw error as? FormatError ?? FormatError("\(error)")
        }
      })
  }
}
