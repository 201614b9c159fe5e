/// The tensors of a checkpoint as a tree, whose branches are the parts of their names between `/` and `.`.
///
/// A branch with only one child is merged with it, so that a tree has at most as many nodes as it has leaves and one.
package struct NameTree {
  package struct Node: Equatable {
    /// What its name adds to that of its parent, as it is written.
    package let label: String
    /// The name up to here.
    package let path: String
    /// `nil` for the root alone, which is the first node.
    package let parent: Int?
  }

  package struct Leaf: Equatable {
    package let label: String
    package let node: Int
  }

  package private(set) var nodes = [Node(label: "", path: "", parent: nil)]
  /// One for each name, in the order of the names.
  package private(set) var leaves: [Leaf]

  /// Names of more parts keep the rest in one: a name is as long as whoever made it likes.
  package static let maximumParts = 16

  package init(_ names: [String]) {
    leaves = names.map { Leaf(label: $0, node: 0) }
    let parts = names.map(Self.parts)
    let order = names.indices.sorted { first, second in
      parts[first] == parts[second] ? first < second : parts[first].lexicographicallyPrecedes(parts[second])
    }
    grow(0, order[...], depth: 0, parts)
  }

  /// Adds the names of `range`, which agree in their first `depth` parts, below `node`.
  private mutating func grow(_ node: Int, _ range: ArraySlice<Int>, depth: Int, _ parts: [[Substring]]) {
    var rest = range
    while let first = rest.first {
      guard parts[first].count > depth else {
        leaves[first] = Leaf(label: Self.text(parts[first].suffix(1)), node: node)
        rest = rest.dropFirst()
        continue
      }
      let group = rest.prefix { parts[$0].count > depth && parts[$0][depth] == parts[first][depth] }
      rest = rest.dropFirst(group.count)
      guard group.count > 1, let last = group.last else {
        leaves[first] = Leaf(label: Self.text(parts[first][depth...]), node: node)
        continue
      }
      var end = depth + 1
      // In this order all agree where the first and the last do.
      while parts[first].count > end + 1, parts[last].count > end + 1, parts[first][end] == parts[last][end] {
        end += 1
      }
      nodes.append(
        Node(label: Self.text(parts[first][depth..<end]), path: parts[first][..<end].joined(), parent: node))
      grow(nodes.count - 1, group, depth: end, parts)
    }
  }

  /// The parts of a name, each with the separators before it; at least one.
  package static func parts(_ name: String) -> [Substring] {
    let text = name.utf8
    var parts: [Substring] = []
    var start = text.startIndex
    var index = start
    var isInside = false
    while index < text.endIndex, parts.count < maximumParts - 1 {
      let isSeparator = text[index] == UInt8(ascii: "/") || text[index] == UInt8(ascii: ".")
      if isSeparator, isInside {
        parts.append(name[start..<index])
        start = index
      }
      isInside = !isSeparator
      index = text.index(after: index)
    }
    return parts + [name[start...]]
  }

  /// Parts as they are in the name, without the separators before the first.
  private static func text(_ parts: ArraySlice<Substring>) -> String {
    let text = parts.joined()
    return String(text.drop { $0 == "/" || $0 == "." })
  }
}

extension NameTree {
  /// The parts that a model is best described by, at most `maximum`, and the one that each leaf belongs to (`nil`: to none of
  /// them). They are the first branches; a branch of more than half of all bytes is replaced by its own branches
  /// where the maximum allows.
  package func mainParts(weights: [Int], maximum: Int = 7) -> (paths: [String], ofLeaf: [Int?]) {
    var sums = [Double](repeating: 0, count: nodes.count)
    for (leaf, weight) in zip(leaves, weights) { sums[leaf.node] += Double(weight) }
    var children = [[Int]](repeating: [], count: nodes.count)
    // A node comes after its parent.
    for index in nodes.indices.reversed() {
      guard let parent = nodes[index].parent else { continue }
      sums[parent] += sums[index]
      children[parent].append(index)
    }
    func heavier(_ a: Int, _ b: Int) -> Bool { sums[a] == sums[b] ? a < b : sums[a] > sums[b] }
    var chosen = children[0].sorted(by: heavier)
    while let first = chosen.first, sums[first] * 2 > sums[0], !children[first].isEmpty,
      chosen.count - 1 + children[first].count <= maximum
    {
      chosen = (chosen.dropFirst() + children[first]).sorted(by: heavier)
    }
    chosen = Array(chosen.prefix(maximum))
    var part = [Int?](repeating: nil, count: nodes.count)
    for (number, index) in chosen.enumerated() { part[index] = number }
    for index in nodes.indices where part[index] == nil { part[index] = nodes[index].parent.flatMap { part[$0] } }
    return (chosen.map { nodes[$0].path }, leaves.map { part[$0.node] })
  }
}
