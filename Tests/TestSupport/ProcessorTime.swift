#if canImport(Glibc)
  import Glibc
#endif

// Memory safety: clock_gettime writes into a value that lives until it returns.

/// Runs `body` and measures the time that the processor spent on this thread, which other tests and processes do not change.
///
/// - Returns: the result and the seconds; the work of other threads does not count
public func processorSeconds<Result>(_ body: () throws -> Result) rethrows -> (result: Result, seconds: Double) {
  func now() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
  let start = now()
  let result = try body()
  return (result, now() - start)
}
