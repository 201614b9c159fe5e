import TensorIO

/// A rule used backwards: the tensors of a dialect, made of canonical tensors.
struct InverseRule {
  let rule: Rule
  let layer: Int?
  /// The canonical tensors that the rule has as targets, in its order: indices into `tensors`.
  let sources: [Int]
  let tensors: [TensorInfo]
  let config: JSON

  private var first: TensorInfo { tensors[sources[0]] }

  /// The sources of the rule; none where the shapes do not allow it.
  func targets() -> [MappingPlan.Target] {
    switch rule.operation.inverse {
    case .rename: target(0, first.shape, .rename)
    case .transpose where rule.shape != nil: reshaped(.transpose)
    case .reshape where rule.shape != nil: reshaped(.reshape)
    case .transpose where first.shape.count == 2: target(0, first.shape.reversed(), .transpose)
    case .concat(let axis): joined(axis: axis)
    case .split(let axis): split(axis: axis)
    case .joinHeads(let axis, let key, let order): joinedByHead(axis: axis, key: key, order: order)
    case .zerosBefore, .zeros, .splitHeads, .splitTransposed, .transpose, .reshape, .alias, .drop, nil: []
    }
  }

  private func target(_ position: Int, _ shape: [Int], _ operation: Operation) -> [MappingPlan.Target] {
    let name = rule.sources[position].name(layer: layer)
    guard let info = TensorInfo(name: name, elementType: first.elementType, shape: shape) else { return [] }
    return [MappingPlan.Target(info: info, operation: operation, sources: sources)]
  }

  /// In the shape that the rule gives its source, whose sizes the config gives.
  private func reshaped(_ operation: Operation) -> [MappingPlan.Target] {
    let sizes = Dictionary(
      (config.members ?? []).compactMap { member in member.value.intValue.map { (member.key, $0) } },
      uniquingKeysWith: { first, _ in first })
    let wanted = rule.shape ?? []
    let shape = wanted.compactMap { $0.value(sizes) }
    guard shape.count == wanted.count, checkedElementCount(shape) == checkedElementCount(first.shape) else { return [] }
    return target(0, shape, operation)
  }

  private func joined(axis: Int) -> [MappingPlan.Target] {
    guard sources.allSatisfy({ tensors[$0].elementType == first.elementType }),
      let shape = joinedShape(sources.map { tensors[$0].shape }, axis: axis)
    else { return [] }
    return target(0, shape, .concatenate(axis: axis))
  }

  /// The parts of a joined tensor are taken to be of one size: the table does not record their sizes.
  private func split(axis: Int) -> [MappingPlan.Target] {
    let count = rule.sources.count
    guard axis < first.shape.count, first.shape[axis] % count == 0 else { return [] }
    var shape = first.shape
    shape[axis] /= count
    return (0..<count).flatMap { target($0, shape, .slice(axis: axis, start: $0 * shape[axis], count: shape[axis])) }
  }

  private func joinedByHead(axis: Int, key: String, order: HeadOrder) -> [MappingPlan.Target] {
    guard axis < first.shape.count, let heads = config[key]?.intValue,
      let layout = HeadLayout(parts: sources.count, size: first.shape[axis], heads: heads, order: order),
      sources.allSatisfy({ tensors[$0].shape == first.shape && tensors[$0].elementType == first.elementType })
    else { return [] }
    var shape = first.shape
    shape[axis] = layout.whole
    return target(0, shape, .joinHeads(axis: axis, layout: layout))
  }
}
