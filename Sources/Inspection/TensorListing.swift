import TensorIO

/// The lines of a listing: a tensor each, or one for all layers whose tensors are alike.
package struct TensorListing {
  package let groups: [NameGroup]

  private struct Kind: Hashable {
    let type: ElementType
    let shape: [Int]
    let bytes: Int
  }

  /// A line for each of the tensors at `indices`.
  package static func each(_ tensors: [TensorInfo], _ indices: [Int]) -> TensorListing {
    TensorListing(groups: indices.map { NameGroup(tensors[$0].name, at: $0) })
  }

  /// The tensors at `indices`, those in one line that differ in the number of their layer alone, with what is stored next
  /// to each (moments). `usesFullNames` takes the readable name where there is one; `isBySize` sorts by the bytes of a line.
  package static func folded(
    _ tensors: [TensorInfo], _ indices: [Int], usesFullNames: Bool = false, isBySize: Bool = false
  ) -> TensorListing {
    let names = indices.map { usesFullNames ? tensors[$0].fullName ?? tensors[$0].name : tensors[$0].name }
    func kind(_ position: Int) -> Kind {
      let info = tensors[indices[position]]
      return Kind(type: info.elementType, shape: info.shape, bytes: info.byteCount)
    }
    let layers = NameGroups.group(names, kind: kind)
    let groups = NameGroups.joinEndings(layers, kind: kind).map { $0.renumbered(indices) }
    return TensorListing(groups: isBySize ? sortedBySize(groups, tensors) : groups)
  }

  private static func sortedBySize(_ groups: [NameGroup], _ tensors: [TensorInfo]) -> [NameGroup] {
    func size(_ group: NameGroup) -> Double {
      Double(group.members.count) * Double(tensors[group.members[0]].byteCount)
    }
    return groups.enumerated().sorted { (size($1.element), $0.offset) < (size($0.element), $1.offset) }.map(\.element)
  }

  /// The readable name of a line, where the checkpoint has one for all of it.
  package static func fullName(of group: NameGroup, _ tensors: [TensorInfo]) -> String? {
    // HDF5 has the full name in the path.
    let own = tensors[group.members[0]]
    if let full = own.fullName, own.name.hasSuffix(full) || own.name.hasSuffix(full + ":0") { return nil }
    guard group.members.count > 1 else { return own.fullName }
    let names = group.members.compactMap { tensors[$0].fullName }
    let whole = NameGroups.group(names) { _ in 0 }
    return names.count == group.members.count && whole.count == 1 ? whole[0].name : nil
  }
}
