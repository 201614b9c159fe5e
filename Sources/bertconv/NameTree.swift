import Reports
import TensorIO

/// The parts of a checkpoint by their names, each with what it takes.
struct NameTree {
  private struct Branch {
    var label: String
    /// Of the leaf alone.
    var kind: (dtype: String, shape: String) = ("", "")
    var tensors = 0
    var bytes = 0
    /// The place of the first of its lines in the listing.
    var first = Int.max
    var children: [Int] = []
  }

  private var branches: [Branch]
  private let isBySize: Bool

  /// `groups` are the lines of a listing of `tensors`, in order.
  init(_ groups: [NameGroup], of tensors: [TensorInfo], isBySize: Bool) {
    self.isBySize = isBySize
    let tree = PartTree(groups.map(\.pattern))
    branches = tree.nodes.map { Branch(label: $0.label) }
    // What stands in the holes above a line: the numbers of all lines below.
    var numbers = [[Set<Int>]](repeating: [], count: tree.nodes.count)
    for (place, (group, leaf)) in zip(groups, tree.leaves).enumerated() {
      let info = tensors[group.members[0]]
      branches.append(
        Branch(
          label: Self.label(leaf.label, of: group),
          kind: (info.elementType.rawValue, shapeText(info.shape)), tensors: group.members.count,
          bytes: group.members.reduce(0) { $0.addingReportingOverflow(tensors[$1].byteCount).partialValue },
          first: place))
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

  /// The last part of a name, with its numbers and what else stands for.
  private static func label(_ text: String, of group: NameGroup) -> String {
    let label = NameGroups.filled(text, group.numbers.suffix(NameGroups.holes(in: text)))
    return (label.isEmpty ? "(no name)" : label) + group.ending
  }

  var text: String {
    var table = TextTable(columns: [
      ("part", .left), ("dtype", .left), ("shape", .left), ("tensors", .right), ("size", .right), ("share", .right),
    ])
    let total = max(1, branches[0].bytes)
    func share(_ bytes: Int) -> String {
      let percent = Double(bytes) / Double(total) * 100
      return percent > 0 && percent < 0.1 ? "<0.1 %" : "\(fixed(percent, digits: 1)) %"
    }
    // Depth first, without recursion: how deep a tree is, a file says.
    var stack = ordered(0).map { (branch: $0, indent: "", isTop: true, isLast: false) }
    stack.reverse()
    while let (index, indent, isTop, isLast) = stack.popLast() {
      let branch = branches[index]
      let isLeaf = branch.children.isEmpty
      let lead = isTop ? "" : indent + (isLast ? "└─ " : "├─ ")
      table.add([
        TextTable.Cell(lead + printable(branch.label), isLeaf ? .plain : .strong),
        TextTable.Cell(branch.kind.dtype, .faint),
        TextTable.Cell(branch.kind.shape, .faint), TextTable.Cell(grouped(branch.tensors)),
        TextTable.Cell(humanBytes(UInt64(max(0, branch.bytes)))), TextTable.Cell(share(branch.bytes)),
      ])
      let children = ordered(index)
      let below = isTop ? "" : indent + (isLast ? "   " : "│  ")
      for (place, child) in children.enumerated().reversed() {
        stack.append((child, below, false, place == children.count - 1))
      }
    }
    return table.text
  }

  /// As the listing has them, or the largest first.
  private func ordered(_ index: Int) -> [Int] {
    branches[index].children.sorted { a, b in
      let (x, y) = (branches[a], branches[b])
      return isBySize && x.bytes != y.bytes ? x.bytes > y.bytes : x.first < y.first
    }
  }
}
