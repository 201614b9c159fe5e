import Synchronization
import TensorIO
import TestSupport
import Testing

@testable import Encoder

@Suite("A pool of threads")
struct ThreadPoolTests {
  /// Each index once, whatever the number of threads, of indices and of those at a time; a loop in a loop runs too.
  @Test(arguments: 1...6) func everyIndexOnce(threads: Int) throws {
    var random = SeededRandom(UInt64(threads))
    for _ in 0..<20 {
      let pool = try #require(ThreadPool(threads: threads))
      for _ in 0..<20 {
        let (count, grain) = (random.below(3000), 1 + random.below(50))
        let times = (0..<count).map { _ in Counter() }
        pool.forParts(count, grain: grain) { thread, part in
          #expect(thread >= 0 && thread < threads && part.count <= grain && part.lowerBound % grain == 0)
          if part.lowerBound % 7 == 0 {
            for index in part { times[index].add() }
          } else {
            pool.forParts(part.count, grain: 3) { _, inner in
              for index in inner { times[part.lowerBound + index].add() }
            }
          }
        }
        #expect(times.allSatisfy { $0.value == 1 })
      }
    }
  }

  /// No two parts at the same time have the same number.
  @Test func numbersOfThreadsAreTheirOwn() throws {
    let pool = try #require(ThreadPool(threads: 4))
    let users = (0..<4).map { _ in Counter() }
    let isShared = Counter()
    for _ in 0..<200 {
      pool.forParts(64, grain: 1) { thread, _ in
        if users[thread].add() != 1 { isShared.add() }
        users[thread].add(-1)
      }
    }
    #expect(isShared.value == 0)
  }

  private final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .sequentiallyConsistent) }
    @discardableResult func add(_ number: Int = 1) -> Int {
      count.add(number, ordering: .sequentiallyConsistent).newValue
    }
  }
}
