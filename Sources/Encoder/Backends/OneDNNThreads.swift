import COneDNN

/// Loops on the threads of oneDNN's OpenMP library: two sets of threads would wait for each other.
enum OneDNNThreads {
  // Memory safety: the C loops call their body only until they return, and until then the box that they are given is kept.

  /// Rows that a thread takes at least: fewer are done before the others are awake.
  private static let grain = 8

  /// Threads of the loops and products that the calling thread starts.
  static var count: Int { Int(bertconv_onednn_threads()) }

  /// Calls `body` with parts of `0..<count`, several at once: what one part writes, no other may read or write.
  static func forParts(_ count: Int, grain: Int = OneDNNThreads.grain, _ body: (Range<Int>) -> Void) {
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      withExtendedLifetime(box) {
        unsafe bertconv_parallel(
          count, grain,
          { data, first, last in
            guard let data = unsafe data else { return }
            unsafe Unmanaged<Box<Range<Int>>>.fromOpaque(data).takeUnretainedValue().body(first..<last)
          }, Unmanaged.passUnretained(box).toOpaque())
      }
    }
  }

  /// Calls `body` for each of `0..<count`, each on a thread of its own if there are as many, on which all that it computes
  /// runs: what one writes, no other may read or write.
  static func forEach(_ count: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      withExtendedLifetime(box) {
        unsafe bertconv_each(
          count,
          { data, index in
            guard let data = unsafe data else { return }
            unsafe Unmanaged<Box<Int>>.fromOpaque(data).takeUnretainedValue().body(index)
          }, Unmanaged.passUnretained(box).toOpaque())
      }
    }
  }

  /// A closure behind the address of an object.
  private final class Box<Argument> {
    let body: (Argument) -> Void
    init(_ body: @escaping (Argument) -> Void) { self.body = body }
  }
}
