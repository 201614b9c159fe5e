import CThreads

/// Threads that take the parts of a loop one after the other: one whose processor has other work keeps the others waiting for
/// no more than the part that it is at.
///
/// Thread safety: used by one thread at a time; in the body of a loop, another loop runs on its thread alone.
@safe
final class ThreadPool: @unchecked Sendable {
  // Memory safety: `pool` lives from `init` to `deinit`. The C loop calls its body only until it returns, and until then the
  // box that it is given is kept.

  private let pool: OpaquePointer

  /// Threads are started by the first loop that has use for them. `nil` where there is no memory.
  init?(threads: Int) {
    guard let pool = unsafe bertconv_pool_create(Int32(clamping: threads)) else { return nil }
    unsafe self.pool = pool
  }

  deinit { unsafe bertconv_pool_free(pool) }

  /// Threads of the loops that the calling thread starts: 1 in a body.
  var count: Int { unsafe Int(bertconv_pool_threads(pool)) }

  /// Calls `body` with parts of `0..<count` of `grain` each, several at once: what one part writes, no other may read or write.
  /// `thread` is a number below ``count`` that no other part has at the same time.
  func forParts(_ count: Int, grain: Int, _ body: (_ thread: Int, _ part: Range<Int>) -> Void) {
    precondition(count >= 0 && grain > 0)
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      withExtendedLifetime((self, box)) {
        unsafe bertconv_pool_run(
          pool, count, grain,
          { data, thread, first, last in
            guard let data = unsafe data else { return }
            unsafe Unmanaged<Box>.fromOpaque(data).takeUnretainedValue().body(Int(thread), first..<last)
          }, Unmanaged.passUnretained(box).toOpaque())
      }
    }
  }

  /// A closure behind the address of an object.
  private final class Box {
    let body: (Int, Range<Int>) -> Void
    init(_ body: @escaping (Int, Range<Int>) -> Void) { self.body = body }
  }
}
