import TensorIO

/// The parts of a checkpoint by their names, each with the bytes that it takes.
package struct SizeTree {
  private struct Branch {
    var label: String
    /// `nil` for what is not a leaf.
    var form: (elementType: ElementType, shape: [Int])?
    var tensors = 0
    var bytes = 0
    /// The first of its lines in the listing.
    var first = Int.max
    var children: [Int] = []
  }

  private var branches: [Branch]
  private let isBySize: Bool

  /// `groups` are the lines of a listing of `tensors`, in order.
  package init(_ groups: [NameGroup], of tensors: [TensorInfo], isBySize: Bool) {
    self.isBySize = isBySize
    let tree = NameTree(groups.map(\.pattern))
    branches = tree.nodes.map { Branch(label: $0.label) }
    // The numbers in the holes of a branch are those of all lines below it.
    var numbers = [[Set<Int>]](repeating: [], count: tree.nodes.count)
    for (line, (group, leaf)) in zip(groups, tree.leaves).enumerated() {
      let info = tensors[group.members[0]]
      branches.append(
        Branch(
          label: Self.label(leaf.label, of: group),
          form: (info.elementType, info.shape), tensors: group.members.count,
          bytes: group.members.reduce(0) { $0.addingReportingOverflow(tensors[$1].byteCount).partialValue },
          first: line))
      branches[leaf.node].children.append(branches.count - 1)
      var node: Int? = group.numbers.isEmpty ? nil : leaf.node
      while let current = node {
        for (hole, some) in group.numbers.enumerated() {
          if numbers[current].count == hole { numbers[current].append([]) }
          numbers[current][hole].formUnion(some)
        }
        node = tree.nodes[current].parent
      }
    }
    // A node comes after its parent.
    for index in tree.nodes.indices.reversed() {
      for child in branches[index].children {
        branches[index].tensors += branches[child].tensors
        branches[index].bytes = branches[index].bytes.addingReportingOverflow(branches[child].bytes).partialValue
        branches[index].first = min(branches[index].first, branches[child].first)
      }
      if let parent = tree.nodes[index].parent { branches[parent].children.append(index) }
    }
    for index in tree.nodes.indices where index > 0 {
      let node = tree.nodes[index]
      let own = NameGroups.holes(in: node.label)
      let before = NameGroups.holes(in: node.path) - own
      branches[index].label = NameGroups.filled(
        node.label, numbers[index].dropFirst(before).prefix(own).map(Array.init))
    }
  }

  /// The last part of a name, with its numbers and the endings that it includes.
  private static func label(_ text: String, of group: NameGroup) -> String {
    let label = NameGroups.filled(text, group.numbers.suffix(NameGroups.holes(in: text)))
    return (label.isEmpty ? "(no name)" : label) + group.ending
  }

  /// A line of the tree, in the order in which it is read.
  package struct Line {
    package let label: String
    /// For each level above this one but the top, and for this one, whether it is the last of its siblings; empty at the
    /// top.
    package let isLastOfLevel: [Bool]
    /// `nil` for a branch.
    package let form: (elementType: ElementType, shape: [Int])?
    package let tensors: Int
    package let bytes: Int
    /// Of all bytes, 0 to 1.
    package let share: Double
  }

  package var lines: [Line] {
    let total = Double(max(1, branches[0].bytes))
    var lines: [Line] = []
    // Depth first, without recursion: how deep a tree is depends on the file.
    var stack = ordered(0).reversed().map { (branch: $0, levels: [Bool](), isTop: true) }
    while let (index, levels, isTop) = stack.popLast() {
      let branch = branches[index]
      lines.append(
        Line(
          label: branch.label, isLastOfLevel: levels, form: branch.form, tensors: branch.tensors,
          bytes: branch.bytes, share: Double(branch.bytes) / total))
      let children = ordered(index)
      for (position, child) in children.enumerated().reversed() {
        stack.append((child, (isTop ? [] : levels) + [position == children.count - 1], false))
      }
    }
    return lines
  }

  /// As the listing has them, or the largest first.
  private func ordered(_ index: Int) -> [Int] {
    branches[index].children.sorted { a, b in
      let (x, y) = (branches[a], branches[b])
      return isBySize && x.bytes != y.bytes ? x.bytes > y.bytes : x.first < y.first
    }
  }
}
