import Conversion
import TensorIO
import WeightMapping

extension ModelDifference {
  /// One of the two checkpoints.
  public struct Input {
    let source: any TensorSource
    let name: String
    let config: JSON?
    private(set) var takesAverages = false

    /// `name` is what notes call it.
    public init(_ source: any TensorSource, name: String, config: JSON?) {
      // Integers and their scales are compared as the numbers that they represent.
      self.source = DequantizedSource(source) ?? source
      self.name = name
      self.config = config
    }

    public init(_ model: SourceModel, name: String) {
      self.init(model.tensors, name: name, config: model.config)
      takesAverages = model.options.takesAverages
    }
  }

  /// Compares `a` with `b`.
  ///
  /// ```swift
  /// let inputs = try ["a.safetensors", "b.ckpt"].map { ModelDifference.Input(try SourceModel($0), name: $0) }
  /// let difference = try ModelDifference.between(inputs[0], inputs[1], mapper: try Mapper(tablesAt: []))
  /// print(difference.isEqual)
  /// ```
  ///
  /// Where a table matches both as one family, tensors are compared in the names and layouts of the family; otherwise as
  /// they are. Without a tolerance two tensors are equal when their type and every bit are; with one, when no two values
  /// differ by more, whatever their types. What only one side has under its name is renamed when the other side has the
  /// same bytes under another, with a tolerance too.
  ///
  /// `progress` is called with the bytes of A that were compared, and with those of all.
  public static func between(
    _ a: Input, _ b: Input, mapper: Mapper, tolerance: Double = 0,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> ModelDifference {
    var comparer = CheckpointComparer(
      a: a.source, b: b.source, matching: TensorMatching.match(a, b, mapper), tolerance: tolerance)
    try comparer.compare(progress)
    return comparer.result
  }
}

/// Compares the matched tensors of two checkpoints.
private struct CheckpointComparer {
  private let a: any TensorSource
  private let b: any TensorSource
  private let left: [MappingPlan.Target]
  private let right: [MappingPlan.Target]
  private(set) var result = ModelDifference()

  /// What became of a tensor that both sides have.
  private struct Outcome {
    enum Kind {
      case equal
      /// Not equal in every bit, but within the tolerance.
      case tolerated(ValueDistance)
      /// The entry of this index.
      case different(Int)
    }

    /// Among the targets of A.
    let index: Int
    let kind: Kind
  }

  init(a: any TensorSource, b: any TensorSource, matching: TensorMatching, tolerance: Double) {
    self.a = a
    self.b = b
    left = matching.a
    right = matching.b
    result.tolerance = tolerance
    result.dialects = matching.dialects
    result.family = matching.family
    result.isMatchedByTable = matching.family != nil
    result.notes = matching.notes
  }

  mutating func compare(_ progress: ((_ done: Int, _ total: Int) -> Void)?) throws {
    let total = left.reduce(0) { $0 + $1.info.byteCount }
    var done = 0
    func advance(_ target: MappingPlan.Target) {
      done += target.info.byteCount
      progress?(done, total)
    }
    let names = CommonNames(left, right)
    let pairs = try RenamedTensors.find(
      candidates(names.onlyA, left, a), in: a, candidates(names.onlyB, right, b), in: b
    ) { advance($0.target) }
    let renamed = Dictionary(uniqueKeysWithValues: pairs.map { ($0.a, $0.b) })

    var outcomes: [Outcome] = []
    for (index, target) in left.enumerated() {
      if let partner = names.partners[index] {
        outcomes.append(Outcome(index: index, kind: try compare(target, right[partner])))
        advance(target)
      } else if let other = renamed[index] {
        var entry = ModelDifference.Entry(
          target.info.name, .renamed, a: side(target, a), b: side(right[other], b))
        entry.newName = right[other].info.name
        result.entries.append(entry)
      } else {
        result.entries.append(.init(target.info.name, .removed, a: side(target, a), b: nil))
      }
    }
    let moved = Set(renamed.values)
    for index in names.onlyB where !moved.contains(index) {
      result.entries.append(.init(right[index].info.name, .added, a: nil, b: side(right[index], b)))
    }
    try addParts(outcomes)
  }

  private func candidates(
    _ indices: [Int], _ targets: [MappingPlan.Target], _ source: any TensorSource
  ) -> [RenamedTensors.Candidate] {
    indices.map { .init(index: $0, target: targets[$0], storedType: storedType(targets[$0], source)) }
  }

  private func storedType(_ target: MappingPlan.Target, _ source: any TensorSource) -> ElementType {
    target.sources.first.map { source.storedType(ofTensorAt: $0) } ?? target.info.elementType
  }

  private func side(_ target: MappingPlan.Target, _ source: any TensorSource) -> ModelDifference.Side {
    let names = target.sources.map { source.tensors[$0].name }
    return .init(
      elementType: storedType(target, source), shape: target.info.shape,
      sources: names == [target.info.name] ? [] : names)
  }

  // MARK: Values

  private mutating func compare(_ x: MappingPlan.Target, _ y: MappingPlan.Target) throws -> Outcome.Kind {
    let name = x.info.name
    let sides = (side(x, a), side(y, b))
    guard x.info.shape == y.info.shape else {
      result.entries.append(.init(name, .reshaped, a: sides.0, b: sides.1))
      return .different(result.entries.count - 1)
    }
    var tally = ValueTally(x.info.elementType, y.info.elementType)
    try Converter.withBytes(of: y, from: b) { whole in
      try Converter.stream(x, from: a) { chunk in tally.add(chunk, whole) }
    }
    guard tally.isWhole(x.info.elementCount) else {
      throw FormatError(.damaged, "the checkpoint's data has another size than the tensor's shape", tensor: name)
    }
    let isRetyped = sides.0.elementType != sides.1.elementType
    if !isRetyped, tally.differing == 0 {
      result.equalCount += 1
      return .equal
    }
    if result.tolerance > 0, let distance = tally.distance, distance.maximum <= result.tolerance {
      result.equalCount += 1
      if isRetyped { result.toleratedTypes += 1 }
      result.largestTolerated = max(result.largestTolerated, distance.maximum)
      return .tolerated(distance)
    }
    var entry = ModelDifference.Entry(name, isRetyped ? .retyped : .changed, a: sides.0, b: sides.1)
    entry.distance = tally.distance
    entry.differing = tally.differing
    result.entries.append(entry)
    return .different(result.entries.count - 1)
  }

  /// Adds up how far the parts of the model are apart.
  ///
  /// The norm of a part takes in its equal tensors too. These are read again for it, but only those of parts that moved:
  /// to sum up every tensor while it is compared would make the comparison of equal checkpoints several times as slow.
  private mutating func addParts(_ outcomes: [Outcome]) throws {
    let entries = result.entries
    guard entries.contains(where: { $0.differing ?? 0 > 0 }) else { return }
    let partition = ModelPartition(
      outcomes.map { left[$0.index].info.name },
      others: entries.filter { $0.kind == .added || $0.kind == .removed }.map(\.name))
    guard !partition.parts.isEmpty else { return }
    var parts = partition.parts
    var equal: [(part: Int, target: MappingPlan.Target)] = []
    for (outcome, part) in zip(outcomes, partition.partOfName) {
      let target = left[outcome.index]
      let isFloat = target.info.elementType.isFloatingPoint
      parts[part].tensors += 1
      switch outcome.kind {
      case .equal:
        parts[part].values += target.info.elementCount
        if isFloat { equal.append((part, target)) }
      case .tolerated(let distance):
        parts[part].values += target.info.elementCount
        if isFloat { parts[part].distance += distance.withoutChange }
      case .different(let index):
        parts[part].changed += 1
        guard let differing = entries[index].differing else { continue }
        parts[part].values += target.info.elementCount
        parts[part].differing += differing
        if isFloat, let distance = entries[index].distance { parts[part].distance += distance }
      }
    }
    for (part, target) in equal where parts[part].distance.differing > 0 {
      parts[part].distance += try ValueDistance.ofEqual(target.info.elementType) { add in
        try Converter.stream(target, from: a, add)
      }
    }
    result.parts = parts
  }
}

/// Which targets have the same name.
private struct CommonNames {
  /// For an index in A the index in B of the target with its name.
  private(set) var partners: [Int: Int] = [:]
  private(set) var onlyA: [Int] = []
  let onlyB: [Int]

  init(_ left: [MappingPlan.Target], _ right: [MappingPlan.Target]) {
    var indices: [String: Int] = [:]
    for (index, target) in right.enumerated() where indices[target.info.name] == nil {
      indices[target.info.name] = index
    }
    let common = Set(left.map(\.info.name)).intersection(indices.keys)
    onlyB = right.indices.filter { !common.contains(right[$0].info.name) }
    for (index, target) in left.enumerated() {
      if let partner = indices.removeValue(forKey: target.info.name) {
        partners[index] = partner
      } else {
        onlyA.append(index)
      }
    }
  }
}
