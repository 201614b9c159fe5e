import Conversion
import TensorIO
import WeightMapping

/// What a comparison of two checkpoints found, tensor by tensor.
public struct ModelDifference: Sendable {
  public struct Side: Sendable, Equatable {
    /// The type that it is stored in; 8-bit weights are compared as the numbers that they stand for.
    public let elementType: ElementType
    public let shape: [Int]
    /// The tensors of the checkpoint that it is made of, where their names are others.
    public let sources: [String]
  }

  public enum Kind: String, Sendable, CaseIterable {
    case added, removed
    /// The same type, shape and bytes under another name.
    case renamed
    case retyped, reshaped, changed
  }

  public struct Entry: Sendable {
    public let name: String
    public let kind: Kind
    /// `nil` for what was added.
    public let a: Side?
    /// `nil` for what was removed.
    public let b: Side?
    /// The name in B of what was renamed.
    public internal(set) var newName: String?
    /// `nil` where the shapes differ or the values are not numbers.
    public internal(set) var distance: ValueDistance?
    /// The number of values that are not the same; `nil` where the shapes differ.
    public internal(set) var differing: Int?

    /// Infinite where one is NaN and the other is not; `nil` where the shapes differ or the values are not numbers.
    public var maximum: Double? { distance?.maximum }

    init(_ name: String, _ kind: Kind, a: Side?, b: Side?) {
      self.name = name
      self.kind = kind
      self.a = a
      self.b = b
    }
  }

  public internal(set) var tolerance = 0.0
  /// Whether the names were matched through a table; otherwise they are the checkpoints' own.
  public internal(set) var isMatchedByTable = false
  public internal(set) var family: String?
  public internal(set) var dialects: [String?] = [nil, nil]
  /// In the order of A, then what B has beside it.
  public internal(set) var entries: [Entry] = []
  /// How far each part of the model moved, in the order of the model; empty where no values differ, or where the names
  /// show no parts.
  public internal(set) var parts: [Part] = []
  public internal(set) var equalCount = 0
  /// The largest difference among those counted as equal: not zero only with a tolerance.
  public internal(set) var largestTolerated = 0.0
  /// How many of those counted as equal are of another type: none without a tolerance.
  public internal(set) var toleratedTypes = 0
  /// What was left out or could not be done, a sentence each.
  public internal(set) var notes: [String] = []

  public var isEqual: Bool { entries.isEmpty }
  public func count(_ kind: Kind) -> Int { entries.count { $0.kind == kind } }
}

extension ModelDifference {
  /// One of the two checkpoints.
  public struct Input {
    let source: any TensorSource
    let name: String
    let config: JSON?

    public init(_ source: any TensorSource, name: String, config: JSON?) {
      // Integers and their scales are compared as the numbers that they stand for.
      self.source = DequantizedSource(source) ?? source
      self.name = name
      self.config = config
    }
  }

  /// Compares `a` with `b`.
  ///
  /// Where a table knows both, and as one family, tensors are compared as it names and turns them; otherwise as they
  /// are. Without a tolerance two tensors are equal when their type and every bit are; with one, when no two values
  /// differ by more, whatever their types. What only one side has under its name is renamed when the other side has the
  /// same bytes under another, with a tolerance too.
  /// `progress` is told how many bytes of A, of those given first, have been compared.
  public init(
    _ a: Input, _ b: Input, mapper: Mapper, tolerance: Double, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws {
    self.tolerance = tolerance
    let (left, right) = match(a, b, mapper)
    let total = left.reduce(0) { $0 + $1.info.byteCount }
    var done = 0
    func advance(_ target: MappingPlan.Target) {
      done += target.info.byteCount
      progress?(done, total)
    }
    let names = Names(left, right)
    func candidates(_ places: [Int], _ targets: [MappingPlan.Target], _ source: any TensorSource)
      -> [RenamedTensors.Candidate]
    {
      places.map { place in
        .init(place: place, target: targets[place], storedType: Self.storedType(targets[place], source))
      }
    }
    let pairs = try RenamedTensors.find(
      candidates(names.onlyA, left, a.source), in: a.source, candidates(names.onlyB, right, b.source), in: b.source
    ) { advance($0.target) }
    let renamed = Dictionary(uniqueKeysWithValues: pairs.map { ($0.a, $0.b) })

    var outcomes: [Outcome] = []
    for (place, target) in left.enumerated() {
      if let partner = names.partners[place] {
        outcomes.append(Outcome(place: place, kind: try compare(target, a.source, right[partner], b.source)))
        advance(target)
      } else if let other = renamed[place] {
        var entry = Entry(target.info.name, .renamed, a: side(target, a.source), b: side(right[other], b.source))
        entry.newName = right[other].info.name
        entries.append(entry)
      } else {
        entries.append(Entry(target.info.name, .removed, a: side(target, a.source), b: nil))
      }
    }
    let moved = Set(renamed.values)
    for place in names.onlyB where !moved.contains(place) {
      entries.append(Entry(right[place].info.name, .added, a: nil, b: side(right[place], b.source)))
    }
    try divide(outcomes, left, a.source)
  }

  // MARK: Names

  private mutating func match(
    _ a: Input, _ b: Input, _ mapper: Mapper
  ) -> (left: [MappingPlan.Target], right: [MappingPlan.Target]) {
    let found = [a, b].map {
      mapper.recognise($0.source.tensors, metadata: $0.source.metadata, config: $0.config)
    }
    dialects = found.map(\.dialect)
    if found[0].dialect != nil, found[1].dialect != nil, found[0].family == found[1].family {
      do {
        let plans = try [a, b].map { input in
          try mapper.plan(
            for: input.source.tensors, metadata: input.source.metadata, file: input.name, config: input.config,
            configFile: nil, allowUnexpected: ["*"], allowsMissing: true
          ).resolvingTies(in: input.source)
        }
        isMatchedByTable = true
        family = found[0].family
        let targets = zip([a, b], plans).map { input, plan in
          let dropped = plan.report.dropped.filter { !Self.isUnknown($0) && !$0.cause.isCopy }
          if !dropped.isEmpty {
            notes.append(
              "\(input.name): \(grouped(dropped.count)) tensors that are no part of the model are not compared: "
                + Set(dropped.map(\.reason)).sorted().joined(separator: "; "))
          }
          if !plan.report.missing.isEmpty {
            let missing = plan.report.missing.map(\.target)
            notes.append(
              "\(input.name): no whole model, \(grouped(missing.count)) of its tensors \(missing.count == 1 ? "is" : "are") missing: "
                + missing.prefix(5).joined(separator: ", ") + (missing.count > 5 ? ", …" : ""))
          }
          // What no rule knows is compared under its own name, not left out.
          let unknown = Set(plan.report.dropped.filter(Self.isUnknown).map(\.name))
          return plan.targets + Self.asTheyAre(input.source).filter { unknown.contains($0.info.name) }
        }
        return (targets[0], targets[1])
      } catch {
        // The first line says what is wrong; the tensors that it is about are in the comparison anyhow.
        let reason = "\(error)".split(separator: "\n").first ?? ""
        notes.append("names could not be matched through the tables: \(reason)")
      }
    } else if found.contains(where: { $0.dialect != nil }) {
      notes.append("no table knows both checkpoints as one family: they are compared by their own names")
    }
    for input in [a, b] {
      let count = input.source.tensors.count { $0.elementType.size == nil }
      if count > 0 { notes.append("\(input.name): \(grouped(count)) tensors without numbers are not compared") }
    }
    return (Self.asTheyAre(a.source), Self.asTheyAre(b.source))
  }

  private static func isUnknown(_ dropped: MappingReport.Dropped) -> Bool {
    dropped.cause.isAllowed
  }

  private static func asTheyAre(_ source: any TensorSource) -> [MappingPlan.Target] {
    source.tensors.enumerated().filter { $0.element.elementType.size != nil }.map { index, info in
      MappingPlan.Target(info: info, operation: .rename, sources: [index])
    }
  }

  /// Which targets go by one name.
  private struct Names {
    /// The place in B of what has the name of a place in A.
    var partners: [Int: Int] = [:]
    var onlyA: [Int] = []
    let onlyB: [Int]

    init(_ left: [MappingPlan.Target], _ right: [MappingPlan.Target]) {
      var places: [String: Int] = [:]
      for (place, target) in right.enumerated() where places[target.info.name] == nil {
        places[target.info.name] = place
      }
      let common = Set(left.map(\.info.name)).intersection(places.keys)
      onlyB = right.indices.filter { !common.contains(right[$0].info.name) }
      for (place, target) in left.enumerated() {
        if let partner = places.removeValue(forKey: target.info.name) {
          partners[place] = partner
        } else {
          onlyA.append(place)
        }
      }
    }
  }

  private static func storedType(_ target: MappingPlan.Target, _ source: any TensorSource) -> ElementType {
    target.sources.first.map { source.storedType(ofTensorAt: $0) } ?? target.info.elementType
  }

  private func side(_ target: MappingPlan.Target, _ source: any TensorSource) -> Side {
    let names = target.sources.map { source.tensors[$0].name }
    return Side(
      elementType: Self.storedType(target, source), shape: target.info.shape,
      sources: names == [target.info.name] ? [] : names)
  }

  // MARK: Values

  /// What became of a tensor that both sides have.
  private struct Outcome {
    enum Kind {
      case equal
      /// Not equal in every bit, but within the tolerance.
      case tolerated(ValueDistance)
      /// An entry of this place.
      case different(Int)
    }

    /// Among the targets of A.
    let place: Int
    let kind: Kind
  }

  private mutating func compare(
    _ x: MappingPlan.Target, _ a: any TensorSource, _ y: MappingPlan.Target, _ b: any TensorSource
  ) throws -> Outcome.Kind {
    let name = x.info.name
    let sides = (side(x, a), side(y, b))
    guard x.info.shape == y.info.shape else {
      entries.append(Entry(name, .reshaped, a: sides.0, b: sides.1))
      return .different(entries.count - 1)
    }
    var tally = ValueTally(x.info.elementType, y.info.elementType)
    try Converter.withBytes(of: y, from: b) { whole in
      try Converter.stream(x, from: a) { piece in tally.add(piece, whole) }
    }
    guard tally.isWhole(x.info.elementCount) else {
      throw FormatError("a checkpoint has not the bytes that the tensor's shape says", tensor: name)
    }
    let isRetyped = sides.0.elementType != sides.1.elementType
    if !isRetyped, tally.differing == 0 {
      equalCount += 1
      return .equal
    }
    if tolerance > 0, let distance = tally.distance, distance.maximum <= tolerance {
      equalCount += 1
      if isRetyped { toleratedTypes += 1 }
      largestTolerated = max(largestTolerated, distance.maximum)
      return .tolerated(distance)
    }
    var entry = Entry(name, isRetyped ? .retyped : .changed, a: sides.0, b: sides.1)
    entry.distance = tally.distance
    entry.differing = tally.differing
    entries.append(entry)
    return .different(entries.count - 1)
  }

  /// Adds up what the parts of the model are apart.
  ///
  /// The norm of a part takes in its equal tensors too. These are read again for it, but only those of parts that moved:
  /// to sum up every tensor while it is compared would make the comparison of equal checkpoints several times as slow.
  private mutating func divide(
    _ outcomes: [Outcome], _ left: [MappingPlan.Target], _ source: any TensorSource
  ) throws {
    guard entries.contains(where: { $0.differing ?? 0 > 0 }) else { return }
    let partition = ModelPartition(
      outcomes.map { left[$0.place].info.name },
      beside: entries.filter { $0.kind == .added || $0.kind == .removed }.map(\.name))
    guard !partition.parts.isEmpty else { return }
    parts = partition.parts
    var equal: [(part: Int, target: MappingPlan.Target)] = []
    for (outcome, part) in zip(outcomes, partition.partOfName) {
      let target = left[outcome.place]
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
        try Converter.stream(target, from: source, add)
      }
    }
  }
}

// MARK: JSON

extension ModelDifference {
  public func json() -> JSON {
    var result = JSON.object([
      "equal": .bool(isEqual), "tolerance": .double(tolerance),
      "matched_by": .string(isMatchedByTable ? "table" : "name"), "family": family.map { .string($0) } ?? .null,
      "dialects": .array(dialects.map { $0.map { .string($0) } ?? .null }),
    ])
    var counts = JSON.object(["equal": .int(equalCount), "equal_of_other_types": .int(toleratedTypes)])
    for kind in Kind.allCases { counts.set(kind.rawValue, .int(count(kind))) }
    result.set("counts", counts)
    for kind in Kind.allCases {
      result.set(kind.rawValue, .array(entries.filter { $0.kind == kind }.map(Self.json)))
    }
    result.set("parts", .array(parts.map(Self.json)))
    result.set("notes", .strings(notes))
    return result
  }

  private static func json(_ entry: Entry) -> JSON {
    var result = JSON.object(["name": .string(entry.name)])
    if let name = entry.newName { result.set("new_name", .string(name)) }
    for (key, side) in [("a", entry.a), ("b", entry.b)] {
      guard let side else { continue }
      var value = JSON.object(["dtype": .string(side.elementType.rawValue), "shape": .ints(side.shape)])
      if !side.sources.isEmpty { value.set("sources", .strings(side.sources)) }
      result.set(key, value)
    }
    if let differing = entry.differing {
      func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
      result.set("differing", .int(differing))
      result.set("max_abs_difference", number(entry.maximum))
      result.set("rms_difference", number(entry.distance?.rms))
      result.set("relative_change", number(entry.distance?.relativeChange))
      result.set("cosine", number(entry.distance?.cosine))
    }
    return result
  }

  private static func json(_ part: Part) -> JSON {
    .object([
      "part": .string(part.name), "tensors": .int(part.tensors), "changed": .int(part.changed),
      "values": .int(part.values), "differing": .int(part.differing),
      "relative_change": part.relativeChange.map { .double($0) } ?? .null,
      "max_abs_difference": part.maximum.map { .double($0) } ?? .null,
    ])
  }
}
