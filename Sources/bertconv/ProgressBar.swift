import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A bar on the terminal for work of a known amount; nothing elsewhere, and nothing for what is done in half a second.
struct ProgressBar {
  enum Unit { case bytes, tokens }

  private let label: String
  private let total: Int
  private let started = Clock.now
  private var drawn = 0.0
  private var isVisible = false

  private let unit: Unit

  init(_ label: String, total: Int, unit: Unit = .bytes) {
    self.label = label
    self.unit = unit
    self.total = max(total, 1)
  }

  mutating func update(_ done: Int) {
    let now = Clock.now
    guard Console.showsProgress, now - started > 0.5, now - drawn > 0.1 else { return }
    drawn = now
    isVisible = true
    let share = min(1, Double(done) / Double(total))
    let filled = Int(share * 30)
    let rate = Double(done) / (now - started)
    let left = rate > 0 ? Double(total - done) / rate : 0
    Console.progress(
      "\r\(label) [\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 30 - filled))] "
        + "\(fixed(share * 100, digits: 0)) %  \(amount(rate))/s  \(fixed(left, digits: 0)) s left \u{1B}[K")
  }

  private func amount(_ value: Double) -> String {
    switch unit {
    case .bytes: humanBytes(UInt64(value))
    case .tokens: "\(grouped(Int(value))) tokens"
    }
  }

  /// Does work that reports its progress, with a bar.
  static func during<R>(
    _ label: String, unit: Unit = .bytes, _ work: (_ progress: @escaping @Sendable (Int, Int) -> Void) throws -> R
  ) rethrows -> R {
    let shared = SharedBar()
    defer { shared.bar.withLock { $0?.finish() } }
    return try work { done, total in
      shared.bar.withLock { bar in
        if bar == nil { bar = ProgressBar(label, total: total, unit: unit) }
        bar?.update(done)
      }
    }
  }

  /// A bar that several threads report to.
  private final class SharedBar: Sendable {
    let bar = Lock<ProgressBar?>(nil)
  }

  mutating func finish() {
    if isVisible { Console.progress("\r\u{1B}[K") }
    isVisible = false
  }
}

enum Clock {
  /// Seconds of a clock that only goes forward.
  static var now: Double {
    var time = timespec()
    // Memory safety: the call fills the structure.
    unsafe _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
