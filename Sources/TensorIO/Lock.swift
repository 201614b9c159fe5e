import CTensorIO
import Synchronization

/// A value that one thread at a time may use: the standard library's `Mutex`. The thread sanitizer does not see into that
/// library and would report races that the lock prevents, so in builds with the sanitizer the lock is announced to it.
package struct Lock<Value>: ~Copyable, Sendable {
  private let mutex: Mutex<Value>
  private let number = bertconv_lock_number()

  package init(_ value: consuming sending Value) { mutex = Mutex(value) }

  package borrowing func withLock<Result, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending Result
  ) throws(E) -> sending Result {
    try mutex.withLock { (value: inout sending Value) throws(E) -> sending Result in
      bertconv_lock_taken(number)
      defer { bertconv_lock_released(number) }
      return try body(&value)
    }
  }
}
