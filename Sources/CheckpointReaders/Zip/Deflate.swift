import CZlib
import TensorIO

/// Unpacks deflate data with zlib, raw (RFC 1951) or in zlib's own format with a checksum (RFC 1950), into a buffer of exactly
/// the declared size.
enum Deflate {
  /// All of `source`, which must make `size` bytes, no more and no fewer.
  static func unpack(
    _ source: Bytes, size: Int, what: String, isWrapped: Bool = false
  ) throws(FormatError) -> Bytes {
    try Bytes(count: max(1, size), file: source.file) { (target) throws(FormatError) in
      let result = run(source, into: &target, limit: size, window: isWrapped ? MAX_WBITS : -MAX_WBITS)
      guard result.status == Z_STREAM_END, result.produced == size, result.consumed == source.count else {
        throw FormatError(
          .damaged, "\(what) does not unpack to the size that it declares", file: source.file,
          offset: source.offsetInFile,
          found: result.status == Z_STREAM_END
            ? "\(result.produced) bytes from \(result.consumed)" : "an error after \(result.produced) bytes",
          expected: "\(size) from \(source.count)", advice: "The data is damaged: fetch the file again.")
      }
      // An empty entry still gets a byte, so that zlib gets an address.
      if size == 0 { target.storeBytes(of: 0, toByteOffset: 0, as: UInt8.self) }
    }.slice(0, size) ?? Bytes([], file: source.file)
  }

  /// Everything that a stream of zlib's format or gzip's (RFC 1952) makes, whose size is found first by unpacking it.
  static func unpackStream(_ source: Bytes, what: String) throws(FormatError) -> Bytes {
    let limit = max(
      256 << 20, source.count.multipliedReportingOverflow(by: CheckpointLimits.unpackingRatio).partialValue)
    let scratch = 1 << 20
    var found = (status: Z_OK, produced: 0, consumed: 0)
    _ = Bytes(count: scratch, file: nil) { target in
      found = run(source, into: &target, limit: limit, window: MAX_WBITS + 32, scratch: scratch)
    }
    guard found.status == Z_STREAM_END else {
      throw FormatError(
        found.produced >= limit ? .limit : .damaged,
        found.produced >= limit ? "\(what) unpacks to far more than its size" : "\(what) does not unpack",
        file: source.file,
        found: "an end after \(found.produced) bytes",
        advice: found.produced >= limit
          ? "If you trust it, unpack it first." : "The data is damaged or incomplete: fetch the file again.")
    }
    let size = found.produced
    let whole = Bytes(count: max(1, size), file: source.file) { target in
      _ = run(source, into: &target, limit: max(1, size), window: MAX_WBITS + 32)
    }
    return whole.slice(0, size) ?? whole
  }

  /// The first bytes, at most `count`, that a stream of zlib's format or gzip's makes; fewer where it is damaged.
  static func beginning(_ source: Bytes, count: Int) -> [UInt8] {
    var produced = 0
    let head = Bytes(count: max(1, count), file: source.file) { target in
      produced = run(source, into: &target, limit: count, window: MAX_WBITS + 32).produced
    }
    return head.slice(0, produced)?.array() ?? []
  }

  /// The first `count` bytes that `source` makes.
  static func head(_ source: Bytes, count: Int, what: String) throws(FormatError) -> Bytes {
    guard count > 0 else { return Bytes([], file: source.file) }
    return try Bytes(count: count, file: source.file) { (target) throws(FormatError) in
      let result = run(source, into: &target, limit: count, window: -MAX_WBITS)
      guard result.produced == count else {
        throw FormatError(
          .damaged, "\(what) does not unpack", file: source.file, offset: source.offsetInFile,
          found: "an error after \(result.produced) bytes", advice: "The data is damaged: fetch the file again.")
      }
    }
  }

  /// Fills at most `limit` bytes of `target`, or counts them: with `scratch`, they are written to the first `scratch` bytes of
  /// `target` again and again. zlib counts in 32 bits, so both sides are passed in chunks. `window` is what inflateInit2 takes:
  /// negative for raw data, 32 more for a header that is recognized.
  private static func run(
    _ source: Bytes, into target: inout MutableRawSpan, limit: Int, window: Int32, scratch: Int? = nil
  ) -> (status: Int32, produced: Int, consumed: Int) {
    // Memory safety: `consumed` and `produced` count what zlib read and wrote so far, never more than it was given: the bytes
    // of `source`, and `limit` or `scratch` bytes, which `target` has. zlib's state points back to the stream, so the stream
    // does not move until inflateEnd.
    precondition(limit >= 0 && (scratch ?? limit) <= target.byteCount)
    return source.withSpan { span in
      unsafe span.withUnsafeBytes { from in
        unsafe target.withUnsafeMutableBytes { to in
          var stream = unsafe z_stream()
          return unsafe withUnsafeMutablePointer(to: &stream) { stream in
            guard let input = unsafe from.baseAddress?.assumingMemoryBound(to: UInt8.self),
              let output = unsafe to.baseAddress?.assumingMemoryBound(to: UInt8.self),
              unsafe inflateInit2_(
                stream, window, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
            else { return (Z_MEM_ERROR, 0, 0) }
            defer { unsafe _ = inflateEnd(stream) }
            let chunk = 1 << 30
            var consumed = 0
            var produced = 0
            var status = Z_OK
            while status == Z_OK {
              let available = min(chunk, from.count - consumed)
              let free = min(chunk, scratch ?? Int.max, limit - produced)
              unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: input + consumed)
              unsafe stream.pointee.avail_in = uInt(available)
              unsafe stream.pointee.next_out = output + (scratch == nil ? produced : 0)
              unsafe stream.pointee.avail_out = uInt(free)
              status = unsafe inflate(stream, Z_NO_FLUSH)
              let read = available - Int(unsafe stream.pointee.avail_in)
              let written = free - Int(unsafe stream.pointee.avail_out)
              consumed += read
              produced += written
              // No progress: the input is cut short, or there is no space for the output.
              if status == Z_OK, read == 0, written == 0 { break }
            }
            return (status, produced, consumed)
          }
        }
      }
    }
  }
}
