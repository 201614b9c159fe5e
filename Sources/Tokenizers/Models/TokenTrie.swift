/// A vocabulary as a double-array trie (Aoe 1989) over bytes: finds a token, or all tokens that a text begins with, in one
/// step for each byte.
///
///     unit[node].base ^ byte = child        where unit[child].parent == node
///     unit[node].base & hasValue            a token ends here, and value[node] is its id
///
/// Children of one node lie in one block of 256 units, so no step leaves the array.
package struct TokenTrie: Sendable {
  private struct Unit {
    /// The lowest 31 bits; the highest is ``TokenTrie/hasValue``.
    var base: UInt32
    var parent: UInt32
  }

  private var units: [Unit]
  private var values: [Int32]
  /// Different tokens.
  package let count: Int

  private static let hasValue: UInt32 = 1 << 31
  private static let free: UInt32 = .max
  private static let block = 256

  /// The node of the empty text.
  package static let root = 0

  /// Builds the trie of `tokens`, whose ids are their indices. Of equal tokens the last one counts, as it does in the
  /// dictionaries of the original tokenizers.
  package init(_ tokens: TokenList) { self.init(tokens, ids: nil) }

  /// - Parameter ids: the id of each token; `nil` for its index
  package init(_ tokens: TokenList, ids: [Int32]?) {
    var builder = Builder()
    builder.build(tokens, ids: ids)
    units = builder.units
    values = builder.values
    count = builder.count
  }

  /// The node that `byte` leads to from `node`; `nil` where no token goes on with it.
  // Memory safety: the builder keeps every base, and every base ^ byte, inside the array, whose length is a multiple of 256;
  // nodes come from here alone.
  @inline(__always)
  package func child(of node: Int, _ byte: UInt8) -> Int? {
    let units = units.span
    let next = unsafe Int((units[unchecked: node].base & ~Self.hasValue) ^ UInt32(byte))
    return unsafe units[unchecked: next].parent == UInt32(truncatingIfNeeded: node) ? next : nil
  }

  /// The id of the token that ends at `node`.
  @inline(__always)
  package func id(at node: Int) -> Int32? {
    unsafe units.span[unchecked: node].base & Self.hasValue != 0 ? values.span[unchecked: node] : nil
  }

  /// The node of `text`; `nil` where no token begins with it.
  package func node(of text: borrowing Span<UInt8>, from start: Int = root) -> Int? {
    var node = start
    for index in text.indices {
      guard let next = child(of: node, text[index]) else { return nil }
      node = next
    }
    return node
  }

  /// The id of the token `text`.
  package func id(of text: borrowing Span<UInt8>) -> Int32? { node(of: text).flatMap { id(at: $0) } }

  package func id(of text: String) -> Int32? { id(of: text.utf8.span) }

  /// The longest token that is a prefix of `text` from `start` on, looked for from `origin`, and how many bytes it has.
  @inline(__always)
  package func longestPrefix(
    of text: borrowing Span<UInt8>, from start: Int, origin: Int = root
  ) -> (id: Int32, count: Int)? {
    var node = origin
    var best: (id: Int32, count: Int)?
    var index = start
    while index < text.count, let next = child(of: node, text[index]) {
      node = next
      index += 1
      if let id = id(at: node) { best = (id, index - start) }
    }
    return best
  }

  // MARK: Building

  /// Sorts the tokens byte by byte (most significant first) and gives the children of each node their units on the way.
  private struct Builder {
    var units: [Unit] = []
    var values: [Int32] = []
    var count = 0
    /// The free units as a ring; unit 0 is its anchor.
    private var next: [UInt32] = []
    private var previous: [UInt32] = []

    /// Tokens `order[low..<high]` share their first `depth` bytes, which lead to `node`.
    private struct Task {
      var low: Int
      var high: Int
      var depth: Int
      var node: Int
    }

    init() {
      addBlock()
      take(0, parent: TokenTrie.free - 1)
    }

    mutating func build(_ tokens: TokenList, ids: [Int32]?) {
      let count = tokens.count
      units.reserveCapacity(tokens.bytes.count / 2 + 1024)
      var order = (0..<count).map { UInt32(truncatingIfNeeded: $0) }
      var sorted = order
      var keys = [UInt8](repeating: 0, count: count)
      var counts = [Int](repeating: 0, count: 256)
      var labels: [UInt8] = []
      var starts: [Int] = []
      var tasks = [Task(low: 0, high: count, depth: 0, node: TokenTrie.root)]
      while var task = tasks.popLast() {
        // Tokens that end here leave the range; the last of them counts.
        var high = task.low
        for index in task.low..<task.high {
          let token = order[index]
          if tokens.range(Int(token)).count == task.depth {
            setValue(ids.map { $0[Int(token)] } ?? Int32(truncatingIfNeeded: token), at: task.node)
          } else {
            order[high] = token
            high += 1
          }
        }
        task.high = high
        guard task.low < task.high else { continue }
        if task.high - task.low == 1 {
          addTail(of: Int(order[task.low]), tokens, ids: ids, depth: task.depth, node: task.node)
          continue
        }
        // Counting sort by the byte at this depth, in the order in which equal ones were.
        for index in task.low..<task.high {
          let byte = tokens.bytes[tokens.range(Int(order[index])).lowerBound + task.depth]
          keys[index] = byte
          counts[Int(byte)] += 1
        }
        labels.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        if task.high - task.low < 32 {
          insertionSort(&order, &keys, task.low, task.high)
          for index in task.low..<task.high where labels.last != keys[index] {
            counts[Int(keys[index])] = 0
            labels.append(keys[index])
            starts.append(index)
          }
        } else {
          var position = task.low
          for byte in 0..<256 where counts[byte] > 0 {
            labels.append(UInt8(truncatingIfNeeded: byte))
            starts.append(position)
            let size = counts[byte]
            counts[byte] = position
            position += size
          }
          for index in task.low..<task.high {
            let byte = Int(keys[index])
            sorted[counts[byte]] = order[index]
            counts[byte] += 1
          }
          for label in labels { counts[Int(label)] = 0 }
          for index in task.low..<task.high { order[index] = sorted[index] }
        }
        let base = findBase(labels)
        setBase(base, of: task.node)
        for (number, label) in labels.enumerated() {
          let child = base ^ Int(label)
          take(child, parent: UInt32(truncatingIfNeeded: task.node))
          let high = number + 1 < starts.count ? starts[number + 1] : task.high
          tasks.append(Task(low: starts[number], high: high, depth: task.depth + 1, node: child))
        }
      }
    }

    /// Stable, by the keys.
    private func insertionSort(_ order: inout [UInt32], _ keys: inout [UInt8], _ low: Int, _ high: Int) {
      for index in (low + 1)..<high {
        let (key, token) = (keys[index], order[index])
        var hole = index
        while hole > low, keys[hole - 1] > key {
          keys[hole] = keys[hole - 1]
          order[hole] = order[hole - 1]
          hole -= 1
        }
        keys[hole] = key
        order[hole] = token
      }
    }

    /// The rest of the only token that goes on from `node`.
    private mutating func addTail(of token: Int, _ tokens: TokenList, ids: [Int32]?, depth: Int, node: Int) {
      let range = tokens.range(token)
      var node = node
      for index in (range.lowerBound + depth)..<range.upperBound {
        let label = tokens.bytes[index]
        if next[0] == 0 { addBlock() }
        let child = Int(next[0])
        setBase(child ^ Int(label), of: node)
        take(child, parent: UInt32(truncatingIfNeeded: node))
        node = child
      }
      setValue(ids.map { $0[token] } ?? Int32(truncatingIfNeeded: token), at: node)
    }

    /// A base from which the units of all `labels` are free.
    private mutating func findBase(_ labels: [UInt8]) -> Int {
      var slot = Int(next[0])
      var tries = 0
      while slot != 0, tries < 64 {
        let base = slot ^ Int(labels[0])
        if labels.allSatisfy({ units[base ^ Int($0)].parent == TokenTrie.free }) { return base }
        slot = Int(next[slot])
        tries += 1
      }
      let start = units.count
      addBlock()
      return start
    }

    private mutating func setBase(_ base: Int, of node: Int) {
      units[node].base = units[node].base & TokenTrie.hasValue | UInt32(truncatingIfNeeded: base)
    }

    private mutating func setValue(_ id: Int32, at node: Int) {
      if units[node].base & TokenTrie.hasValue == 0 { count += 1 }
      units[node].base |= TokenTrie.hasValue
      values[node] = id
    }

    /// Takes unit `slot` out of the ring of free ones.
    private mutating func take(_ slot: Int, parent: UInt32) {
      units[slot].parent = parent
      guard slot != 0 else { return }
      let (before, after) = (previous[slot], next[slot])
      next[Int(before)] = after
      previous[Int(after)] = before
    }

    /// 256 more free units at the end of the ring.
    private mutating func addBlock() {
      let start = units.count
      precondition(start < 1 << 30, "readers check the size of a vocabulary before they build its trie")
      units.append(contentsOf: repeatElement(Unit(base: 0, parent: TokenTrie.free), count: TokenTrie.block))
      values.append(contentsOf: repeatElement(-1, count: TokenTrie.block))
      next.append(contentsOf: repeatElement(0, count: TokenTrie.block))
      previous.append(contentsOf: repeatElement(0, count: TokenTrie.block))
      for slot in start..<(start + TokenTrie.block) where slot != 0 {
        let last = Int(previous[0])
        next[last] = UInt32(truncatingIfNeeded: slot)
        previous[slot] = UInt32(truncatingIfNeeded: last)
        next[slot] = 0
        previous[0] = UInt32(truncatingIfNeeded: slot)
      }
    }
  }
}
