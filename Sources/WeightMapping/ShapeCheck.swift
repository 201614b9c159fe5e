import ModelFamilies
import TensorIO

/// Compares the shapes of a source with those that its model needs, in the words and the orientation of the source.
struct ShapeCheck {
  typealias Problem = (source: Int, problem: MappingReport.Misshapen)

  let assignments: Assignments
  let config: CanonicalConfig

  private var table: MappingTable { assignments.table }
  private var tensors: [TensorInfo] { assignments.tensors }
  private var sizes: [String: Int] { config.dimensions.values }

  /// What is wrong with the sources of a target.
  func problems(_ key: TargetKey, _ assignment: Assignment) -> [Problem] {
    if let source = sourceOfOtherType(assignment) {
      return [problem(source, "floating-point numbers (F32, F16, BF16 or F64), all of one type")]
    }
    let shape = table.shape(key, layers: assignments.layers)
    if shape.contains(where: isImpossible) {
      let wanted = assignment.operation == .transpose ? shape.reversed() : shape
      return assignment.sources.map { problem($0, text(wanted)) }
    }
    if let wanted = assignment.sourceShape { return problemsOfGivenShape(wanted, assignment, shape) }
    guard let expected = expectation(assignment, shape) else { return [] }
    if case .concat = assignment.operation { return assignment.sources.map { problem($0, expected) } }
    return [problem(assignment.sources[0], expected)]
  }

  private func sourceOfOtherType(_ assignment: Assignment) -> Int? {
    let first = tensors[assignment.sources[0]].elementType
    return assignment.sources.first { source in
      let type = tensors[source].elementType
      return ![.f32, .f16, .bf16, .f64].contains(type) || type != first
    }
  }

  private func problemsOfGivenShape(_ wanted: [Dimension], _ assignment: Assignment, _ shape: [Dimension]) -> [Problem]
  {
    let source = assignment.sources[0]
    let found = tensors[source].shape
    guard isEqual(found, wanted) else { return [problem(source, text(wanted))] }
    guard holdsElements(assignment, shape, found) else {
      return [problem(source, "dimensions that combine to \(text(shape))")]
    }
    return []
  }

  /// What the first source of a rule without a shape of its own should be; `nil` where it is that.
  private func expectation(_ assignment: Assignment, _ shape: [Dimension]) -> String? {
    let found = tensors[assignment.sources[0]].shape
    switch assignment.operation {
    case .rename, .alias, .drop, .transpose:
      let wanted = assignment.operation == .transpose ? shape.reversed() : shape
      return isEqual(found, wanted) ? nil : text(wanted)
    case .zerosBefore(let rows):
      let fits = assignments.foundShape(assignment) == shape.compactMap { $0.value(sizes) }
      return fits ? nil : "\(text(shape)) less \(rows) rows"
    case .zeros: return nil
    case .reshape:
      let count = checkedElementCount(shape.compactMap { $0.value(sizes) })
      return count != nil && count == checkedElementCount(found) ? nil : "as many elements as \(text(shape))"
    case .splitTransposed:
      let fits = found.count == 2 && holdsElements(assignment, shape, found)
      return fits ? nil : "\(text(shape.reversed())) of each of its parts, side by side"
    case .split(let axis), .splitHeads(let axis, _, _): return wholeExpectation(assignment, shape, axis: axis)
    case .concat(let axis):
      let fits = assignments.foundShape(assignment) == shape.compactMap { $0.value(sizes) }
      return fits ? nil : "\(text(shape)) when joined along axis \(axis)"
    case .joinHeads: return nil
    }
  }

  /// The whole must have what its parts have together.
  private func wholeExpectation(_ assignment: Assignment, _ shape: [Dimension], axis: Int) -> String? {
    var wanted = shape.map { $0.value(sizes) }
    wanted[axis] = extent(ofPartsOf: assignment, axis: axis)
    guard !wanted.contains(nil), tensors[assignment.sources[0]].shape == wanted.compactMap(\.self) else {
      return "[" + wanted.map { $0.map(String.init) ?? "?" }.joined(separator: ", ") + "]"
    }
    guard case .splitHeads(_, let key, _) = assignment.operation, let heads = config.json[key]?.intValue,
      let size = shape[axis].value(sizes), heads < 1 || size % heads != 0
    else { return nil }
    return "\(size) rows per part, in \(heads) heads of one size (\(key))"
  }

  private func isEqual(_ found: [Int], _ wanted: [Dimension]) -> Bool {
    found.count == wanted.count && found == wanted.compactMap { $0.value(sizes) }
  }

  /// Whether a source of the shape `found` holds the elements of a target, as a matrix where it is to be transposed.
  private func holdsElements(_ assignment: Assignment, _ shape: [Dimension], _ found: [Int]) -> Bool {
    let wanted = shape.compactMap { $0.value(sizes) }
    guard wanted.count == shape.count, let count = checkedElementCount(found) else { return false }
    switch assignment.operation {
    case .transpose, .splitTransposed:
      guard let rows = extent(ofPartsOf: assignment, axis: 0), checkedElementCount([rows, wanted[1]]) == count else {
        return false
      }
      // The first dimensions of the source make the columns of the target.
      return (0...found.count).contains { checkedElementCount(Array(found[..<$0])) == wanted[1] }
    default: return checkedElementCount(wanted) == count
    }
  }

  /// The size along an axis that all targets of the assignment's rule have together.
  private func extent(ofPartsOf assignment: Assignment, axis: Int) -> Int? {
    assignments.dialect.rules[assignment.rule].targets.reduce(0 as Int?) { sum, target in
      guard let sum, let size = table.tensors[target].shape[axis].value(sizes) else { return nil }
      let (total, overflow) = sum.addingReportingOverflow(size)
      return overflow ? nil : total
    }
  }

  // MARK: Words

  private func isImpossible(_ dimension: Dimension) -> Bool {
    if case .symbol(let name, _) = dimension { config.impossibleSizes[name] != nil } else { false }
  }

  private func text(_ shape: some Sequence<Dimension>) -> String {
    let texts = shape.map { dimension in
      if case .symbol(let name, 1) = dimension, let allowed = config.impossibleSizes[name] { return allowed }
      return dimension.text(sizes)
    }
    return "[" + texts.joined(separator: ", ") + "]"
  }

  private func problem(_ source: Int, _ expected: String) -> Problem {
    let info = tensors[source]
    let found = "\(info.elementType.rawValue) \(shapeText(info.shape))"
    return (source, .init(name: info.name, found: found, expected: expected))
  }
}
